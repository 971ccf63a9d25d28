/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * AoE's frames on one interface: a packet socket with a ring in shared memory (packet(7),
 * PACKET_RX_RING) that many frames are taken from with no system call, and from which many are sent
 * by one. A frame is copied out of the ring to the buffer that its answer goes from, too: a read's
 * data go from the disk to it, and a write's from it to the disk.
 *
 * Measured over veth, CPU time for an operation of 4 KiB, 16 at a time, of a bare responder: the
 * ring instead of recvmmsg() saves 0.5 us of 4.3 for reads in one frame, 1.9 of 5.7 for writes, and
 * 4.6 of 15.3 for reads in four frames. Left out: PACKET_QDISC_BYPASS (no difference);
 * PACKET_TX_RING saves next to nothing, and lets the slot of a frame be used anew while its data
 * are on the way, as the kernel takes it for sent when it leaves the socket; to send a read's data
 * from the page cache, by a mapping, costs more than the copy that it saves; AF_XDP in copy mode,
 * without any disk, is as slow as the ring without any (3.4 and 2.8 us).
 */
#ifndef NET_AOE_PORT_H
#define NET_AOE_PORT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "core/loop.h"
#include "net/aoe/frame.h"
#include "net/link.h"

#define AOE_SECTORS_MAX 16u
#define AOE_BYTES_MAX	(AOE_ATA_DATA + AOE_SECTORS_MAX * AOE_SECTOR)
#define AOE_MTU_MIN	(AOE_ATA_DATA + AOE_SECTOR - AOE_ETHER)
#define AOE_FRAMES	512u /* that a port holds at a time */
#define AOE_BUFFERS	64u  /* of them an initiator may take, by what it is told */
#define AOE_BATCH	64u  /* taken, or sent by one system call, at a time */

/* The ring: blocks that the kernel allocates each in one piece, of slots that take any frame of
 * ours behind the kernel's header. */
#define AOE_RING_SLOT	  (128u + (AOE_BYTES_MAX + 15u) / 16u * 16u)
#define AOE_RING_BLOCK	  (128u << 10)
#define AOE_RING_IN_BLOCK (AOE_RING_BLOCK / AOE_RING_SLOT)
#define AOE_RING_BLOCKS	  32u
#define AOE_RING_BYTES	  (AOE_RING_BLOCKS * AOE_RING_BLOCK)
#define AOE_RING_SLOTS	  (AOE_RING_BLOCKS * AOE_RING_IN_BLOCK)

struct aoe_port;

struct aoe_frame {
	struct aoe_frame *next;
	struct aoe_port *port;
	uint32_t len;	   /* bytes of it */
	uint8_t unused[8]; /* so that a frame's data begin where a cache line does */
	uint8_t data[AOE_BYTES_MAX];
} __attribute__((aligned(64)));

struct aoe_port {
	struct link link;
	struct loop *loop;
	uint16_t shelf;
	int fd; /* -1: there is no right to have one */
	struct loop_fd watch;
	void (*frame)(void *arg, struct aoe_frame *f);
	void (*turn)(void *arg);
	void (*changed)(void *arg);
	void *arg;
	uint8_t *ring;		      /* NULL: there is none, and frames are received one by one */
	unsigned next;		      /* slot of the ring that the kernel fills next, or has */
	struct aoe_frame *all, *idle; /* idle: a list */
	unsigned idle_n;
	struct aoe_frame *out, **out_tail;
	struct loop_task send;
	bool full; /* the kernel takes no more for now */
};

/*
 * Opens what takes rights: the socket. Frames of other shelves do not get through it. 0, or -errno:
 * -EPERM is for want of CAP_NET_RAW. That there is no such interface is no error: it may come.
 */
int aoe_port_open(struct aoe_port *p, const char *ifname, uint16_t shelf);
/*
 * Watches it. frame(): one has come, of at least AOE_ARG bytes; it has to be given back, by
 * aoe_port_send() or aoe_port_drop(). turn(): these were all for now. changed(): see p->link.now.
 * 0 or -errno.
 */
int aoe_port_start(struct aoe_port *p, struct loop *loop);
/* Binds the socket to the interface as it is now, that has come. 0 or -errno. */
int aoe_port_bind(struct aoe_port *p);
/* An empty frame; NULL: all are in use. */
struct aoe_frame *aoe_port_frame(struct aoe_port *p);
/* Sends f->len bytes at the end of this turn of the loop, and gives the frame back. */
void aoe_port_send(struct aoe_frame *f);
void aoe_port_drop(struct aoe_frame *f);
/* No more frames are taken. */
void aoe_port_stop(struct aoe_port *p);
/* Harmless on one that could not be opened. All frames have been given back, or never will be. */
void aoe_port_close(struct aoe_port *p);
/* Sectors that a frame takes here; 0: the MTU is too small. */
unsigned aoe_port_sectors(const struct aoe_port *p);

#endif
