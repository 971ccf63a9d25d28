/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Bulk that yields to others on the same link: a TCP socket is paced so that its own packets hardly
 * queue anywhere on the way. Whoever else has something to send then finds the way free, whatever
 * the queues are made of (RFC 6817, LEDBAT, does the same by one-way delays; here the kernel's
 * round-trip time is at hand). Alone on the link it uses nearly all of it; and a stream that is not
 * as fast as the link, because its source is not, is left alone.
 */
#ifndef NET_YIELD_H
#define NET_YIELD_H

#include <stdbool.h>
#include <stdint.h>

#define YIELD_STEP_NS 50000000ull /* how often to call yield_step() */
/* Never less than this, bytes/s: a quarter of what a 100 Mbit/s link carries. */
#define YIELD_LEAST 3e6
/* The delay that its own queue may make. With 4 ms a disk on a link of 100 Mbit/s kept a quarter of
 * what it did alone, a request at a time; with 1 ms four fifths and more. */
#define YIELD_QUEUE_US 1000u

struct yield {
	int fd;
	bool on;
	uint64_t acked, at; /* bytes that had arrived then */
	double rate;	    /* bytes/s, paced; 0: not yet */
	double carried;	    /* bytes/s, smoothed */
	double best;	    /* the most that was carried while it did not yield */
	double waits;	    /* how often something waited to be sent, smoothed: 0 to 1 */
};

/* fd: a connected TCP socket, which stays the caller's. -ENOTSUP: it is none. */
int yield_init(struct yield *y, int fd);
/* One step. on: yield; else it takes what it gets, and learns how much that is. */
void yield_step(struct yield *y, uint64_t now, bool on);
/* Its packets wait for the way, rather than that for its source: only then yielding does anything.
 */
bool yield_waits(const struct yield *y);
/* The decision alone: its packets wait for queue_us, and so many bytes/s arrive. The new rate. */
double yield_rate(struct yield *y, double queue_us, double carried);

#endif
