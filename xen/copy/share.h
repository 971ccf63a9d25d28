/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Leaves a guest's disks their share of the network while its memory goes over it: while they are
 * busy the stream yields (net/yield.h), as long as that gives them something. Where the network is
 * not what they lack (the stream and they may share a CPU that is too slow), a stream that yields
 * only takes longer. So now and then both ways are tried, one after the other, and compared by what
 * the disks gain and the stream loses. Over ssh, whose socket is not ours, nothing is done.
 */
#ifndef XEN_SHARE_H
#define XEN_SHARE_H

#include "core/loop.h"
#include "net/channel.h"
#include "net/yield.h"

/* Requests a second of all its disks together from which on they count as busy. */
#define SHARE_BUSY 50
/* How long each way is tried: the disks are made to lose no longer than it takes to see it. */
#define SHARE_TRY_YIELDING_NS 2000000000ull
#define SHARE_TRY_TAKING_NS   1500000000ull
/* How long the better one is then kept; not to yield, twice as long each time that it is. */
#define SHARE_YIELD_NS	   60000000000ull
#define SHARE_TAKE_NS	   15000000000ull
#define SHARE_TAKE_MOST_NS 120000000000ull

#define SHARE_LOOK_NS 250000000ull

struct share_count {
	uint64_t at; /* 0: not counted yet */
	uint64_t requests, bytes;
	bool waits; /* the stream, for the link: yield_waits() */
};

/* What to do, and why. All zero: nothing is known yet. */
struct share_choice {
	double most; /* requests/s that the disks were seen to do, at first without the stream */
	enum { SHARE_TAKES, SHARE_TRIES_TAKING, SHARE_TRIES_YIELDING, SHARE_YIELDS } does;
	uint64_t since, take_ns;
	struct share_count from, last;
	double requests[2], bytes[2]; /* a second, when it took and when it yielded */
};

struct share {
	struct loop *loop;
	struct loop_timer timer;
	struct yield yield;
	uint32_t domid;
	struct share_choice choice;
	struct share_count watched; /* since then */
	bool yields;
};

/* From here to share_start() it is learnt how much its disks do without the stream. */
void share_watch(struct share *s, uint32_t domid);
/* After share_watch(). c: open; it must outlive the share. */
void share_start(struct share *s, struct loop *l, struct channel *c);
/* From now on the stream takes what it gets. Harmless when not started (all zero). */
void share_stop(struct share *s);

/* The decision alone, every SHARE_LOOK_NS: what its disks have done and the stream has carried by
 * then, in all. True: yield. */
bool share_choose(struct share_choice *c, const struct share_count *now);

/* Where blkback counts requests; "/sys/bus/xen-backend/devices" unless a test changes it. */
extern const char *share_backends;
/* Of all disks of a guest so far. */
uint64_t share_requests(uint32_t domid);

#endif
