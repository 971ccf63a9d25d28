/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Paths that come while a guest runs whose disk is held by several (xen/fence/referee_paths.h): one
 * that is not registered has its writes refused, which dm-multipath hands on to the guest as I/O
 * errors. Each is registered as soon as sysfs shows it, which is looked at once a second: before
 * multipathd has put it to use, as a rule, but nothing waits for that.
 */
#ifndef XEN_PATH_WATCH_H
#define XEN_PATH_WATCH_H

#include "xen/fence/fencing.h"
#include "xen/fence/paths.h"

struct path_watch {
	struct loop *loop;
	struct loop_timer timer;
	struct fencing fencing;
	struct referee r; /* the maps among the guest's disks */
	struct paths known[REFEREE_DISKS];
};

/* Watches those of r, of which it keeps a copy. Does nothing when none has several paths. */
void path_watch_start(struct path_watch *w, struct loop *l, const struct referee *r);
/* Harmless when all zero. */
void path_watch_stop(struct path_watch *w);

#endif
