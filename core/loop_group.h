/* SPDX-License-Identifier: BSD-2-Clause */
/* Loops over shared state, each in a thread of its own (see loop_set_lock()). */
#ifndef CORE_LOOP_GROUP_H
#define CORE_LOOP_GROUP_H

#include "core/loop.h"

struct loop_group;

/* n loops, at least 1: `first`, which stays the caller's to run and to free, and n - 1 new ones. Of
 * a group of one, nothing is locked. NULL with errno. */
struct loop_group *loop_group_new(struct loop *first, unsigned n);
/* The loops of the group, from 0 (the first) to n - 1. */
struct loop *loop_group_get(const struct loop_group *g, unsigned i);
/* Runs all but the first, each in a thread with all signals blocked, and has another one stand by
 * for each, the first included (loop_risk()). 0 or -errno: none runs. The caller has to run the
 * first one soon: to work on what is shared takes its lock by now. */
int loop_group_start(struct loop_group *g);
/* Stops what loop_group_start() began and waits for the threads; the first loop does not run. */
void loop_group_stop(struct loop_group *g);
/* None of them may run. NULL is fine. */
void loop_group_free(struct loop_group *g);

#endif
