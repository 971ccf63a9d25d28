/* SPDX-License-Identifier: BSD-2-Clause */
/* Threads for what would block the loop. Jobs are embedded in their owner's struct. */
#ifndef CORE_WORKERS_H
#define CORE_WORKERS_H

#include "core/loop.h"

struct workers;

struct job {
	void (*run)(struct job *j);  /* in a worker thread */
	void (*done)(struct job *j); /* in the loop that was named, after run */
	struct loop *loop;
	struct job *next;
	struct loop_task task;
};

/* n threads with all signals blocked; NULL with errno. */
struct workers *workers_new(unsigned n);
/* Waits for the jobs that run or are queued; their done() callbacks have been posted by then. */
void workers_free(struct workers *w);
/* Queues j; its run, done and loop are set. */
void workers_submit(struct workers *w, struct job *j);

#endif
