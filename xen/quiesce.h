/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A suspended guest writes no more, but what it has written may still be on its way: in the ring
 * that it shares with its disk's back end, or with the disk. The other host must not start the
 * guest before all of it has ended, or an old write could land on top of a newer one. (The guest
 * sends again what it has no answer to, once it is resumed there.)
 */
#ifndef XEN_QUIESCE_H
#define XEN_QUIESCE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/loop.h"

struct quiesce {
	struct loop *loop;
	uint32_t domid;
	struct loop_timer timer;
	uint64_t deadline;
	void (*done)(void *arg, int err);
	void *arg;
};

/*
 * Waits until quiesce_inflight() of the (suspended) domain is 0; then done(arg, 0). After limit_ns
 * done(arg, -ETIMEDOUT), or another -errno when it is not known. Never before it has returned.
 */
void quiesce_start(struct quiesce *q, struct loop *l, uint32_t domid, uint64_t limit_ns,
		   void (*done)(void *arg, int err), void *arg);
/* Harmless when all zero. */
void quiesce_stop(struct quiesce *q);

/*
 * Requests of the domain's disks that have no answer yet, by the counters in the rings themselves:
 * a back end answers when the disk has. -errno when it cannot be known: no /dev/xen/gntdev, or a
 * back end in another domain.
 */
int quiesce_inflight(uint32_t domid);

#endif
