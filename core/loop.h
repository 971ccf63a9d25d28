/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The event loop under every role: file descriptors, timers, signals, child processes and tasks.
 * One thread runs one loop; all functions but loop_post() belong to that thread, unless loops share
 * a lock (see loop_set_lock()). All watchers are embedded in their owner's struct: nothing here
 * allocates for them, and each may be removed at any time, also from inside a callback (its own
 * included).
 */
#ifndef CORE_LOOP_H
#define CORE_LOOP_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct loop;
struct standby;

#define LOOP_READ  1u /* readable, end of file or error */
#define LOOP_WRITE 2u /* writable or error */

#define MS_NS  1000000ull
#define SEC_NS 1000000000ull

/* A new loop, or NULL with errno. Ends with loop_free(), which leaves watched fds open. */
struct loop *loop_new(void);
void loop_free(struct loop *l);

/* Runs until loop_stop(); returns its status. */
int loop_run(struct loop *l);
void loop_stop(struct loop *l, int status);

/*
 * Loops whose callbacks work on the same state share a lock. Each holds it while its callbacks run
 * and lets go of it while it waits, so that never two callbacks of such loops run at a time; a
 * callback lets go of it by loop_unlock() around what takes long and touches nothing shared, a
 * system call that moves data above all. Who holds the lock may also use, of every loop that shares
 * it: loop_defer(), loop_defer_cancel(), the timers, loop_fd_add(), loop_now() and loop_stop(). Not
 * loop_fd_mod() and loop_fd_del(): that loop's thread may have fetched the fd's events already.
 * To be set before the loop runs, and not held by who calls loop_run(). NULL, the default: the loop
 * shares nothing, and locks nothing.
 */
void loop_set_lock(struct loop *l, pthread_mutex_t *lock);
void loop_unlock(struct loop *l);
void loop_lock(struct loop *l);

/*
 * Before it sleeps the loop looks for events for so long (ns; 0, the default: not at all), as long
 * as that mostly finds some: a request that follows an answer at once is then served without being
 * woken for it, which takes longer than all the rest, and no less CPU time. (The same is done by
 * net.core.busy_poll, and by KVM's halt_poll_ns.)
 */
void loop_set_spin(struct loop *l, uint64_t ns);
/* Before the next sleep it does not: whoever calls this has moved much, or waits for it, which
 * takes longer than a spin. */
void loop_skip_spin(struct loop *l);

/* The monotonic clock in ns: as of this iteration (cheap), and right now. */
uint64_t loop_now(const struct loop *l);
uint64_t clock_ns(void);

/* File descriptors. Level-triggered; the fd stays the caller's. */
struct loop_fd {
	int fd;
	unsigned events;
	void (*fn)(void *arg, unsigned events);
	void *arg;
	bool on;
};
/* Watches fd for events (LOOP_READ | LOOP_WRITE, or 0: errors only).
 * -EPERM: the kernel cannot poll this kind of file (a regular file). -EEXIST: fd is watched. */
int loop_fd_add(struct loop *l, struct loop_fd *w, int fd, unsigned events,
		void (*fn)(void *arg, unsigned events), void *arg);
/* Changes what w waits for; costs no system call when nothing changes. */
int loop_fd_mod(struct loop *l, struct loop_fd *w, unsigned events);
/* Ends the watch; harmless when w is not watched (or all zero). */
void loop_fd_del(struct loop *l, struct loop_fd *w);

/* One-shot timers: fn runs once, delay_ns from now (clock_ns()). Setting a set timer moves it. */
struct loop_timer {
	uint64_t due;
	void (*fn)(void *arg);
	void *arg;
	unsigned pos; /* place in the heap, counted from 1; 0: not set */
};
void loop_timer_set(struct loop *l, struct loop_timer *t, uint64_t delay_ns, void (*fn)(void *arg),
		    void *arg);
void loop_timer_del(struct loop *l, struct loop_timer *t);

/* Signals: fn runs in the loop, not in signal context. Several watchers may share a signal. Only
 * one loop of a process may watch signals. Handlers, not a mask: children inherit nothing. */
struct loop_signal {
	int signo;
	void (*fn)(void *arg, int signo);
	void *arg;
	struct loop_signal *next;
};
int loop_signal_add(struct loop *l, struct loop_signal *s, int signo, void (*fn)(void *, int),
		    void *arg);
void loop_signal_del(struct loop *l, struct loop_signal *s);

/* Child processes: fn gets the wait status of pid, which has been reaped by then. Children that
 * nobody watches are left alone (libxl reaps its own). */
struct loop_child {
	pid_t pid;
	void (*fn)(void *arg, int status);
	void *arg;
	struct loop_child *next;
};
int loop_child_add(struct loop *l, struct loop_child *c, pid_t pid, void (*fn)(void *, int),
		   void *arg);
void loop_child_del(struct loop *l, struct loop_child *c);

/* Tasks. loop_defer(): fn runs once before the loop next waits (gather work, then send once).
 * loop_post(): the same from any thread; wakes the loop. A task that is queued already is not
 * queued twice. Tasks that defer one another without end keep nothing else from its turn. */
struct loop_task {
	void (*fn)(void *arg);
	void *arg;
	struct loop_task *next;
	bool queued;
};
void loop_defer(struct loop *l, struct loop_task *t);
/* Takes a deferred (not a posted) task back. */
void loop_defer_cancel(struct loop *l, struct loop_task *t);
void loop_post(struct loop *l, struct loop_task *t);

/*
 * What may hang, in a loop that has to go on all the same: a second thread stands by (see
 * standby.h), which takes the loop over when it takes too long.
 * loop_risk(), from a deferred task: runs fn without the loop's lock. True: it has ended, and
 * nothing else is to be known. False: the loop has gone on without us, fn has ended by now, and the
 * caller returns at once, without touching anything; `late` has been posted to tell it. When that
 * happens the interrupted task runs anew, to go on with what else there was for it.
 */
bool loop_risk(struct loop *l, void (*fn)(void *arg), void *arg, struct loop_task *late);
/* Without one, what is run by loop_risk() holds the loop. */
bool loop_has_standby(const struct loop *l);
/* To be set before the loop runs, and taken back (NULL) after: s stays the caller's. The second
 * thread calls loop_stand_by(), which returns when loop_run() does. */
void loop_set_standby(struct loop *l, struct standby *s);
void loop_stand_by(struct loop *l);

#endif
