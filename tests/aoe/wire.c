/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/aoe/wire.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/bytes.h"
#include "core/loop.h"

#define BUFFER	 (8 << 20)
#define INTERVAL (100 * MS_NS)

int wire_open(struct wire *w, const char *ifname)
{
	struct sockaddr_ll a = {.sll_family = AF_PACKET, .sll_protocol = htons(AOE_ETHERTYPE)};
	struct ifreq r = {.ifr_name = ""};
	int big = BUFFER;

	memset(w, 0, sizeof(*w));
	w->fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	strncpy(r.ifr_name, ifname, sizeof(r.ifr_name) - 1);
	if (w->fd < 0 || ioctl(w->fd, SIOCGIFINDEX, &r) < 0)
		return -errno;
	a.sll_ifindex = r.ifr_ifindex;
	if (ioctl(w->fd, SIOCGIFMTU, &r) < 0)
		return -errno;
	w->mtu_sectors = aoe_sectors((unsigned)r.ifr_mtu);
	if (ioctl(w->fd, SIOCGIFHWADDR, &r) < 0)
		return -errno;
	memcpy(w->mac, r.ifr_hwaddr.sa_data, AOE_MAC);
	setsockopt(w->fd, SOL_SOCKET, SO_SNDBUFFORCE, &big, sizeof(big));
	setsockopt(w->fd, SOL_SOCKET, SO_RCVBUFFORCE, &big, sizeof(big));
	return bind(w->fd, (struct sockaddr *)&a, sizeof(a)) < 0 ? -errno : 0;
}

void wire_address(struct wire *w, uint16_t shelf, uint8_t slot)
{
	memset(w->to, 0xff, AOE_MAC);
	w->shelf = shelf;
	w->slot = slot;
}

void wire_head(const struct wire *w, uint8_t *frame, uint8_t command, uint32_t tag)
{
	memset(frame, 0, 64);
	memcpy(frame + AOE_DST, w->to, AOE_MAC);
	memcpy(frame + AOE_SRC, w->mac, AOE_MAC);
	put_be16(frame + AOE_TYPE, AOE_ETHERTYPE);
	frame[AOE_FLAGS] = AOE_VERSION_1;
	put_be16(frame + AOE_SHELF, w->shelf);
	frame[AOE_SLOT] = w->slot;
	frame[AOE_COMMAND] = command;
	put_be32(frame + AOE_TAG, tag);
}

void wire_ata(const struct wire *w, uint8_t *frame, uint8_t command, uint64_t lba, unsigned sectors,
	      uint32_t tag)
{
	wire_head(w, frame, AOE_ATA, tag);
	frame[AOE_ATA_FLAGS] = command == ATA_WRITE || command == ATA_WRITE_EXT ? AOE_ATA_WRITE : 0;
	if (command == ATA_READ_EXT || command == ATA_WRITE_EXT)
		frame[AOE_ATA_FLAGS] |= AOE_ATA_EXT;
	frame[AOE_ATA_COUNT] = (uint8_t)sectors;
	frame[AOE_ATA_COMMAND] = command;
	aoe_put_lba(frame, lba);
}

void wire_send(const struct wire *w, const void *frame, size_t len)
{
	while (send(w->fd, frame, len, 0) < 0 && (errno == EINTR || errno == ENOBUFS))
		;
}

static void receive(struct wire *w)
{
	struct mmsghdr messages[WIRE_BATCH] = {0};
	struct iovec iov[WIRE_BATCH];
	int n;
	for (unsigned i = 0; i < WIRE_BATCH; i++) {
		iov[i] = (struct iovec){w->frames[i], WIRE_FRAME_MAX};
		messages[i].msg_hdr = (struct msghdr){.msg_iov = &iov[i], .msg_iovlen = 1};
	}
	n = recvmmsg(w->fd, messages, WIRE_BATCH, MSG_DONTWAIT, NULL);
	w->n = n > 0 ? (unsigned)n : 0;
	w->at = 0;
	for (unsigned i = 0; i < w->n; i++)
		w->len[i] = messages[i].msg_len;
}

unsigned wire_poll(struct wire *w, bool (*fn)(void *arg, const uint8_t *frame, size_t len),
		   void *arg)
{
	unsigned n = 0;
	for (bool more = true; more; n++) {
		unsigned i;
		if (w->at == w->n)
			receive(w);
		if (w->at == w->n)
			break;
		i = w->at++;
		more = w->len[i] < AOE_ARG || fn(arg, w->frames[i], w->len[i]);
	}
	return n;
}

struct seen {
	uint8_t *frame;
	size_t len;
	const uint8_t *tag; /* NULL: any */
};

static bool see(void *arg, const uint8_t *frame, size_t len)
{
	struct seen *s = arg;
	if (s->tag &&
	    (!(frame[AOE_FLAGS] & AOE_RESPONSE) || memcmp(frame + AOE_TAG, s->tag, 4) != 0))
		return true;
	s->len = MIN(len, (size_t)WIRE_FRAME_MAX);
	memcpy(s->frame, frame, s->len);
	return false;
}

static size_t wait_for(struct wire *w, struct seen *s, uint64_t ns)
{
	uint64_t end = clock_ns() + ns, now;
	struct pollfd p = {.fd = w->fd, .events = POLLIN};
	for (;;) {
		wire_poll(w, see, s);
		now = clock_ns();
		if (s->len || now >= end)
			return s->len;
		poll(&p, 1, (int)((end - now) / MS_NS) + 1);
	}
}

size_t wire_receive(struct wire *w, uint8_t frame[WIRE_FRAME_MAX], uint64_t ns)
{
	struct seen s = {.frame = frame};
	return wait_for(w, &s, ns);
}

size_t wire_ask(struct wire *w, const void *frame, size_t len, uint8_t answer[WIRE_FRAME_MAX],
		uint64_t ns)
{
	uint64_t end = clock_ns() + ns;
	do {
		struct seen s = {.frame = answer, .tag = (const uint8_t *)frame + AOE_TAG};
		wire_send(w, frame, len);
		if (wait_for(w, &s, MIN(ns, INTERVAL)))
			return s.len;
	} while (clock_ns() < end);
	return 0;
}

/* ATA's texts have the two bytes of a word the other way round, and blanks behind them. */
static void text(char *to, const uint8_t *from, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		to[i] = (char)from[i ^ 1];
	while (n && to[n - 1] == ' ')
		n--;
	to[n] = '\0';
}

int wire_find(struct wire *w, struct wire_target *t, uint64_t ns)
{
	uint8_t frame[64], answer[WIRE_FRAME_MAX];
	wire_head(w, frame, AOE_CONFIG, 0xfffffff0);
	if (wire_ask(w, frame, AOE_FRAME_MIN, answer, ns) < AOE_CFG_STRING)
		return -1;
	memcpy(t->mac, answer + AOE_SRC, AOE_MAC);
	memcpy(w->to, t->mac, AOE_MAC);
	t->buffers = get_be16(answer + AOE_CFG_BUFFERS);
	t->per_frame = answer[AOE_CFG_SECTORS];
	wire_ata(w, frame, ATA_IDENTIFY, 0, 1, 0xfffffff1);
	if (wire_ask(w, frame, AOE_FRAME_MIN, answer, ns) < AOE_ATA_DATA + AOE_SECTOR)
		return -1;
	memcpy(t->identify, answer + AOE_ATA_DATA, AOE_SECTOR);
	t->sectors = get_le64(t->identify + 200) & ATA_LBA_48;
	text(t->serial, t->identify + 20, 20);
	text(t->model, t->identify + 54, 40);
	return 0;
}
