/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Leaves a guest's disks their share of the network while its memory goes over it: as long as they
 * are busy, the stream yields (net/yield.h). Over ssh, whose socket is not ours, nothing is done.
 */
#ifndef XEN_SHARE_H
#define XEN_SHARE_H

#include "core/loop.h"
#include "net/channel.h"
#include "net/yield.h"

/* Requests a second of all its disks together from which on they count as busy. */
#define SHARE_BUSY 50

struct share {
	struct loop *loop;
	struct loop_timer timer;
	struct yield yield;
	uint32_t domid;
	uint64_t requests, looked_at;
	bool busy;
};

/* c: open; it must outlive the share. */
void share_start(struct share *s, struct loop *l, struct channel *c, uint32_t domid);
/* From now on the stream takes what it gets. Harmless when not started (all zero). */
void share_stop(struct share *s);

/* Where blkback counts requests; "/sys/bus/xen-backend/devices" unless a test changes it. */
extern const char *share_backends;
/* Of all disks of a guest so far. */
uint64_t share_requests(uint32_t domid);

#endif
