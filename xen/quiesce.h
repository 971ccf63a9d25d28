/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A suspended guest writes no more, but what it has written may still be on its way: the backend
 * driver goes on with the requests it has taken. The other host must not start the guest before
 * they have ended, or an old write could land on top of a newer one.
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
	unsigned quiet; /* looks in a row that found nothing in flight */
	void (*done)(void *arg, int err);
	void *arg;
};

/*
 * Waits until no block device of the (suspended) domain has a request in flight, as the kernel
 * counts them (Linux: Documentation/ABI/stable/sysfs-block "inflight"); then done(arg, 0). After
 * limit_ns done(arg, -ETIMEDOUT). Never before it has returned.
 */
void quiesce_start(struct quiesce *q, struct loop *l, uint32_t domid, uint64_t limit_ns,
		   void (*done)(void *arg, int err), void *arg);
/* Harmless when all zero. */
void quiesce_stop(struct quiesce *q);

/* Requests in flight on all the block devices of the domain. */
unsigned quiesce_inflight(uint32_t domid);

/* Where sysfs is; a test changes it. */
extern const char *quiesce_sysfs;

#endif
