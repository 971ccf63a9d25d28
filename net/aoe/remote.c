/* SPDX-License-Identifier: BSD-2-Clause */
#include "net/aoe/remote.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/if_packet.h>
#include <poll.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "core/bytes.h"
#include "core/loop.h"
#include "net/link.h"

#define WINDOW	    32u		 /* frames under way: bits of a word */
#define PATIENCE    (20 * MS_NS) /* for an answer, the first time; then twice as long */
#define PATIENCES   (SEC_NS)	 /* at most */
#define SEARCH	    (5 * SEC_NS) /* for the target */
#define SECTORS_MAX 16u
#define FRAME_MAX   (AOE_ATA_DATA + SECTORS_MAX * AOE_SECTOR)

/* What is under way: frames that take so many sectors each, and one for the rest. */
struct operation {
	struct aoe_remote *r;
	uint8_t command;
	uint8_t *in;
	const uint8_t *out;
	uint64_t lba;
	unsigned sectors, frames;
	uint16_t tag; /* of the first frame */
	uint32_t waiting;
	int err;
};

__attribute__((format(printf, 3, 4))) static int failed(char *error, int err, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(error, AOE_REMOTE_ERROR, fmt, ap);
	va_end(ap);
	return err;
}

/* ---- frames ---- */

static void put_head(const struct aoe_remote *r, uint8_t *f, uint8_t command, uint16_t tag)
{
	memset(f, 0, AOE_FRAME_MIN);
	memcpy(f + AOE_DST, r->to, AOE_MAC);
	memcpy(f + AOE_SRC, r->mac, AOE_MAC);
	put_be16(f + AOE_TYPE, AOE_ETHERTYPE);
	f[AOE_FLAGS] = AOE_VERSION_1;
	put_be16(f + AOE_SHELF, r->at.shelf);
	f[AOE_SLOT] = r->at.slot;
	f[AOE_COMMAND] = command;
	put_be32(f + AOE_TAG, (uint32_t)r->id << 16 | tag);
}

static unsigned frame_sectors(const struct operation *o, unsigned i)
{
	return MIN(o->r->per_frame, o->sectors - i * o->r->per_frame);
}

/* What the socket does not take is lost, as on a wire, and sent again. */
static void send_frame(const struct operation *o, unsigned i)
{
	uint8_t head[AOE_FRAME_MIN];
	unsigned n = o->sectors ? frame_sectors(o, i) : 0;
	size_t at = (size_t)i * o->r->per_frame * AOE_SECTOR;
	struct iovec v[2] = {{head, o->out ? AOE_ATA_DATA : AOE_FRAME_MIN},
			     {(uint8_t *)o->out + (o->out ? at : 0), o->out ? n * AOE_SECTOR : 0}};

	put_head(o->r, head, AOE_ATA, (uint16_t)(o->tag + i));
	head[AOE_ATA_FLAGS] = AOE_ATA_EXT | (o->out ? AOE_ATA_WRITE : 0);
	head[AOE_ATA_COUNT] = (uint8_t)n;
	head[AOE_ATA_COMMAND] = o->command;
	aoe_put_lba(head, o->lba + (uint64_t)i * o->r->per_frame);
	(void)!writev(o->r->fd, v, o->out ? 2 : 1);
}

static void take(struct operation *o, const uint8_t *f, size_t len)
{
	unsigned i = (uint16_t)(get_be32(f + AOE_TAG) - o->tag);
	size_t bytes;

	if (len < AOE_ATA_DATA || f[AOE_COMMAND] != AOE_ATA || i >= o->frames ||
	    !(o->waiting & 1u << i))
		return;
	bytes = o->in ? frame_sectors(o, i) * AOE_SECTOR : 0;
	if (f[AOE_FLAGS] & AOE_IS_ERROR || f[AOE_ATA_COMMAND] & (ATA_ERR | ATA_DF) ||
	    len < AOE_ATA_DATA + bytes)
		o->err = -EIO;
	else if (o->in)
		memcpy(o->in + (size_t)i * o->r->per_frame * AOE_SECTOR, f + AOE_ATA_DATA, bytes);
	o->waiting &= ~(1u << i);
}

/* Until all have been answered. */
static int run(struct operation *o)
{
	uint8_t f[FRAME_MAX];
	struct pollfd p = {.fd = o->r->fd, .events = POLLIN};
	uint64_t patience = PATIENCE, now = clock_ns(), end = now + AOE_REMOTE_TIMEOUT;
	uint64_t again = now + patience;

	o->tag = (uint16_t)(o->r->tag + 1);
	o->r->tag = (uint16_t)(o->r->tag + o->frames);
	o->waiting = o->frames == 32 ? UINT32_MAX : (1u << o->frames) - 1;
	for (unsigned i = 0; i < o->frames; i++)
		send_frame(o, i);
	while (o->waiting) {
		ssize_t n = recv(o->r->fd, f, sizeof(f), MSG_DONTWAIT);

		if (n >= (ssize_t)AOE_ATA_DATA) {
			take(o, f, (size_t)n);
			continue;
		}
		now = clock_ns();
		if (now >= end)
			return -ETIMEDOUT;
		if (now < again) {
			poll(&p, 1, (int)((again - now) / MS_NS) + 1);
			continue;
		}
		for (unsigned i = 0; i < o->frames; i++)
			if (o->waiting & 1u << i) {
				send_frame(o, i);
				o->r->repeated++;
			}
		patience = MIN(2 * patience, PATIENCES);
		again = now + patience;
	}
	return o->err;
}

static ssize_t transfer(struct aoe_remote *r, uint8_t *in, const uint8_t *out, size_t n,
			uint64_t at)
{
	size_t most = (size_t)r->window * r->per_frame * AOE_SECTOR;
	int err = 0;

	for (size_t done = 0; !err && done < n; done += MIN(most, n - done)) {
		struct operation o = {.r = r,
				      .command = out ? ATA_WRITE_EXT : ATA_READ_EXT,
				      .in = in ? in + done : NULL,
				      .out = out ? out + done : NULL,
				      .lba = (at + done) / AOE_SECTOR,
				      .sectors = (unsigned)(MIN(most, n - done) / AOE_SECTOR)};

		o.frames = (o.sectors + r->per_frame - 1) / r->per_frame;
		err = run(&o);
	}
	return err ? err : (ssize_t)n;
}

ssize_t aoe_remote_read(struct aoe_remote *r, void *p, size_t n, uint64_t at)
{
	return transfer(r, p, NULL, n, at);
}

ssize_t aoe_remote_write(struct aoe_remote *r, const void *p, size_t n, uint64_t at)
{
	return transfer(r, NULL, p, n, at);
}

int aoe_remote_flush(struct aoe_remote *r)
{
	struct operation o = {.r = r, .command = ATA_FLUSH_EXT, .frames = 1};

	return run(&o);
}

/* ---- the beginning and the end ---- */

/* Only answers to ours: each socket on an interface would get all. */
static int filter(const struct aoe_remote *r)
{
	struct sock_filter code[] = {
		{BPF_LD | BPF_B | BPF_ABS, 0, 0, AOE_FLAGS},
		{BPF_JMP | BPF_JSET | BPF_K, 0, 3, AOE_RESPONSE},
		{BPF_LD | BPF_H | BPF_ABS, 0, 0, AOE_TAG},
		{BPF_JMP | BPF_JEQ | BPF_K, 0, 1, r->id},
		{BPF_RET | BPF_K, 0, 0, UINT32_MAX},
		{BPF_RET | BPF_K, 0, 0, 0},
	};
	struct sock_fprog program = {.len = ARRAY_SIZE(code), .filter = code};

	return setsockopt(r->fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) < 0
		       ? -errno
		       : 0;
}

static _Atomic uint16_t opened;

static int open_socket(struct aoe_remote *r, int index)
{
	struct sockaddr_ll a = {.sll_family = AF_PACKET,
				.sll_protocol = htons(AOE_ETHERTYPE),
				.sll_ifindex = index};
	int err;

	/* Of several on one interface each has its own. */
	r->id = (uint16_t)((uint32_t)getpid() * 257 + atomic_fetch_add(&opened, 1));
	r->fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	if (r->fd < 0)
		return -errno;
	err = filter(r);
	if (!err && bind(r->fd, (struct sockaddr *)&a, sizeof(a)) < 0)
		err = -errno;
	return err;
}

/* Asks all who has the address: AoEr11, 3.2. */
static int find(struct aoe_remote *r, unsigned mtu)
{
	uint8_t f[FRAME_MAX];
	struct pollfd p = {.fd = r->fd, .events = POLLIN};
	uint64_t end = clock_ns() + SEARCH;

	memset(r->to, 0xff, AOE_MAC);
	do {
		ssize_t n;

		put_head(r, f, AOE_CONFIG, ++r->tag);
		(void)!write(r->fd, f, AOE_FRAME_MIN);
		if (poll(&p, 1, 200) <= 0)
			continue;
		n = recv(r->fd, f, sizeof(f), MSG_DONTWAIT);
		if (n < AOE_CFG_STRING || f[AOE_COMMAND] != AOE_CONFIG ||
		    f[AOE_FLAGS] & AOE_IS_ERROR)
			continue;
		memcpy(r->to, f + AOE_SRC, AOE_MAC);
		r->per_frame = MIN(MIN(MAX(f[AOE_CFG_SECTORS], 1u), aoe_sectors(mtu)), SECTORS_MAX);
		r->window = MIN(MAX(get_be16(f + AOE_CFG_BUFFERS), 1u), WINDOW);
		return 0;
	} while (clock_ns() < end);
	return -ETIMEDOUT;
}

static int identify(struct aoe_remote *r)
{
	uint8_t id[AOE_SECTOR];
	struct operation o = {.r = r, .command = ATA_IDENTIFY, .in = id, .sectors = 1, .frames = 1};
	int err = run(&o);

	/* Words 100 to 103: user addressable sectors (ACS-3, 7.12.7). */
	r->sectors = err ? 0 : get_le64(id + 200) & ATA_LBA_48;
	return err;
}

int aoe_remote_open(struct aoe_remote *r, const char *url, char error[AOE_REMOTE_ERROR])
{
	const char *name = url + strlen(AOE_REMOTE_SCHEME), *slash = strchr(name, '/');
	char interface[IF_NAMESIZE];
	struct link link;
	int err;

	*r = (struct aoe_remote){.fd = -1};
	if (!slash || slash == name || slash - name >= IF_NAMESIZE ||
	    aoe_address_parse(slash + 1, &r->at))
		return failed(error, -EINVAL,
			      "%s: write it as " AOE_REMOTE_SCHEME "INTERFACE/SHELF.SLOT", url);
	snprintf(interface, sizeof(interface), "%.*s", (int)(slash - name), name);
	err = link_open(&link, interface);
	if (err)
		return failed(error, err, "%s: %s", url, strerror(-err));
	link_close(&link);
	memcpy(r->mac, link.now.mac, AOE_MAC);
	if (!link.now.index)
		return failed(error, -ENODEV, "%s: no interface %s: see `ip link`", url, interface);
	if (!link.now.ethernet || !aoe_sectors(link.now.mtu))
		return failed(error, -ENODEV, "%s: %s is no Ethernet with an MTU of 534 or more",
			      url, interface);
	err = open_socket(r, link.now.index);
	if (!err && !link.now.running)
		err = -ENETDOWN;
	if (!err)
		err = find(r, link.now.mtu);
	if (!err)
		err = identify(r);
	if (!err)
		return 0;
	aoe_remote_close(r);
	return failed(
		error, err, "%s: %s", url,
		err == -EPERM ? "no right to open packet sockets: run as root"
		: err == -ETIMEDOUT
			? "nobody answers for it: check shelf and slot, and whom the target lets in"
			: strerror(-err));
}

void aoe_remote_close(struct aoe_remote *r)
{
	if (r->fd >= 0)
		close(r->fd);
	r->fd = -1;
}
