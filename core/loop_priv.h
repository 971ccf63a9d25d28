/* SPDX-License-Identifier: BSD-2-Clause */
/* Inside a loop: what loop.c and loop_signal.c share. */
#ifndef CORE_LOOP_PRIV_H
#define CORE_LOOP_PRIV_H

#include <sys/epoll.h>

#include "core/loop.h"

#define LOOP_BATCH 64

struct loop {
	int epfd;
	bool stopping, no_pwait2;
	int status;
	uint64_t now;
	pthread_mutex_t *lock;	 /* shared with other loops, or NULL */
	bool asleep;		 /* waits without the lock: others have to wake it */
	struct standby *standby; /* NULL: no second thread */

	uint64_t spin; /* ns; see loop_set_spin() */
	bool skip_spin;
	int spin_score;
	unsigned spin_rest; /* sleeps since it has last been tried */

	struct epoll_event batch[LOOP_BATCH];
	int batch_len, batch_pos;

	struct loop_timer **heap; /* heap[1..timers], earliest first */
	unsigned timers, heap_cap;

	struct loop_task *deferred, **deferred_tail;
	struct loop_task *running; /* of these */

	pthread_mutex_t post_lock;
	struct loop_task *posted, **posted_tail;
	struct loop_fd post_watch; /* an eventfd */

	struct loop_signal *signals, *next_signal; /* next_signal: whom run_signals() asks next */
	struct loop_fd signal_watch;
	struct loop_child *children;
	struct loop_signal sigchld;
};

/* loop_signal.c: nobody watches signals any more. */
void loop_signals_end(struct loop *l);

#endif
