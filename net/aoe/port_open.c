/* SPDX-License-Identifier: BSD-2-Clause */
/* The packet socket of a port: what takes rights, and an interface. */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/if_packet.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "core/bytes.h"
#include "net/aoe/port.h"

#define BUFFER_BYTES (4 << 20) /* in the kernel: what several initiators send at once */

/* Requests and answers for this shelf or for all, but for what a switch floods to us. */
static int filter(int fd, uint16_t shelf)
{
	struct sock_filter code[] = {
		{BPF_LD | BPF_W | BPF_ABS, 0, 0, (uint32_t)(SKF_AD_OFF + SKF_AD_PKTTYPE)},
		{BPF_JMP | BPF_JEQ | BPF_K, 3, 0, PACKET_OTHERHOST},
		{BPF_LD | BPF_H | BPF_ABS, 0, 0, AOE_SHELF},
		{BPF_JMP | BPF_JEQ | BPF_K, 2, 0, shelf},
		{BPF_JMP | BPF_JEQ | BPF_K, 1, 0, AOE_SHELF_ALL},
		{BPF_RET | BPF_K, 0, 0, 0},
		{BPF_RET | BPF_K, 0, 0, UINT32_MAX},
	};
	struct sock_fprog program = {.len = ARRAY_SIZE(code), .filter = code};
	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) < 0 ? -errno
											   : 0;
}

/* By right if we have it, or as far as the system lets anybody. */
static void grow_buffer(int fd, int forced, int plain)
{
	int bytes = BUFFER_BYTES;
	if (setsockopt(fd, SOL_SOCKET, forced, &bytes, sizeof(bytes)) < 0)
		setsockopt(fd, SOL_SOCKET, plain, &bytes, sizeof(bytes));
}

/* Where there is no memory for it, the socket's buffer has to do. */
static void open_ring(struct aoe_port *p)
{
	int version = TPACKET_V2;
	struct tpacket_req r = {.tp_block_size = AOE_RING_BLOCK,
				.tp_block_nr = AOE_RING_BLOCKS,
				.tp_frame_size = AOE_RING_SLOT,
				.tp_frame_nr = AOE_RING_SLOTS};
	void *ring = MAP_FAILED;
	if (setsockopt(p->fd, SOL_PACKET, PACKET_VERSION, &version, sizeof(version)) == 0 &&
	    setsockopt(p->fd, SOL_PACKET, PACKET_RX_RING, &r, sizeof(r)) == 0)
		ring = mmap(NULL, AOE_RING_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, p->fd, 0);
	if (ring != MAP_FAILED) {
		p->ring = ring;
		return;
	}
	r = (struct tpacket_req){0}; /* if it is there, but cannot be mapped */
	setsockopt(p->fd, SOL_PACKET, PACKET_RX_RING, &r, sizeof(r));
	grow_buffer(p->fd, SO_RCVBUFFORCE, SO_RCVBUF);
}

int aoe_port_open(struct aoe_port *p, const char *ifname, uint16_t shelf)
{
	int rc = link_open(&p->link, ifname);
	p->shelf = shelf;
	p->fd = -1;
	p->ring = NULL;
	p->next = 0;
	if (rc)
		return rc;
	/* Protocol 0: nothing comes before it is bound to an interface. */
	p->fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (p->fd < 0)
		rc = -errno;
	else
		rc = filter(p->fd, shelf);
	if (rc) {
		aoe_port_close(p);
		return rc;
	}
	open_ring(p);
	grow_buffer(p->fd, SO_SNDBUFFORCE, SO_SNDBUF);
	return 0;
}

int aoe_port_bind(struct aoe_port *p)
{
	struct sockaddr_ll a = {.sll_family = AF_PACKET,
				.sll_protocol = htons(AOE_ETHERTYPE),
				.sll_ifindex = p->link.now.index};
	return bind(p->fd, (struct sockaddr *)&a, sizeof(a)) < 0 ? -errno : 0;
}
