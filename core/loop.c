/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/loop_priv.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "core/bytes.h"
#include "core/standby.h"

#define TURN 1024 /* tasks, at most, between two looks at the file descriptors */

uint64_t clock_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * SEC_NS + (uint64_t)t.tv_nsec;
}

uint64_t loop_now(const struct loop *l)
{
	return l->now;
}

/* ---- the lock that loops share ---- */

void loop_set_lock(struct loop *l, pthread_mutex_t *lock)
{
	l->lock = lock;
}

void loop_unlock(struct loop *l)
{
	if (l->lock)
		pthread_mutex_unlock(l->lock);
}

void loop_lock(struct loop *l)
{
	if (l->lock)
		pthread_mutex_lock(l->lock);
}

static void ring(struct loop *l)
{
	(void)!write(l->post_watch.fd, &(uint64_t){1}, sizeof(uint64_t));
}

/* Another thread has left it something to do. */
static void wake(struct loop *l)
{
	if (!l->asleep)
		return;
	l->asleep = false; /* once is enough */
	ring(l);
}

/* ---- tasks ---- */

void loop_defer(struct loop *l, struct loop_task *t)
{
	if (t->queued)
		return;
	t->queued = true;
	t->next = NULL;
	*l->deferred_tail = t;
	l->deferred_tail = &t->next;
	wake(l);
}

void loop_defer_cancel(struct loop *l, struct loop_task *t)
{
	if (!t->queued)
		return;
	for (struct loop_task **p = &l->deferred; *p; p = &(*p)->next) {
		if (*p != t)
			continue;
		*p = t->next;
		if (!*p)
			l->deferred_tail = p;
		t->queued = false;
		return;
	}
}

/* False: another thread runs the loop by now. */
static bool run_deferred(struct loop *l, unsigned me)
{
	struct loop_task *t;
	for (unsigned n = 0; n < TURN && (t = l->deferred); n++) {
		l->deferred = t->next;
		if (!l->deferred)
			l->deferred_tail = &l->deferred;
		t->queued = false;
		l->running = t;
		t->fn(t->arg);
		if (l->standby && !standby_works(l->standby, me))
			return false;
	}
	l->running = NULL;
	return true;
}

void loop_post(struct loop *l, struct loop_task *t)
{
	bool first;
	pthread_mutex_lock(&l->post_lock);
	if (__atomic_load_n(&t->queued, __ATOMIC_ACQUIRE)) {
		pthread_mutex_unlock(&l->post_lock);
		return;
	}
	__atomic_store_n(&t->queued, true, __ATOMIC_RELAXED);
	t->next = NULL;
	first = !l->posted;
	*l->posted_tail = t;
	l->posted_tail = &t->next;
	pthread_mutex_unlock(&l->post_lock);
	/* Only the first task of a batch pays for the wake-up. */
	if (first)
		ring(l);
}

static void run_posted(void *arg, unsigned events)
{
	struct loop *l = arg;
	struct loop_task *t, *next;
	uint64_t n;
	(void)events;
	(void)!read(l->post_watch.fd, &n, sizeof(n));
	pthread_mutex_lock(&l->post_lock);
	t = l->posted;
	l->posted = NULL;
	l->posted_tail = &l->posted;
	pthread_mutex_unlock(&l->post_lock);
	for (; t; t = next) {
		next = t->next;
		__atomic_store_n(&t->queued, false, __ATOMIC_RELEASE);
		t->fn(t->arg);
	}
}

/* ---- what may hang ---- */

void loop_set_standby(struct loop *l, struct standby *s)
{
	l->standby = s;
}

bool loop_has_standby(const struct loop *l)
{
	return l->standby && standby_ready(l->standby);
}

bool loop_risk(struct loop *l, void (*fn)(void *arg), void *arg, struct loop_task *late)
{
	unsigned risk = l->running && l->standby ? standby_risk(l->standby) : 0;
	loop_unlock(l);
	fn(arg);
	if (risk && !standby_back(l->standby, risk)) {
		loop_post(l, late);
		return false;
	}
	loop_lock(l);
	return true;
}

/* ---- timers: a binary heap, so that thousands of connections may each have one ---- */

static void heap_place(struct loop *l, struct loop_timer *t, unsigned pos)
{
	l->heap[pos] = t;
	t->pos = pos;
}

static void heap_up(struct loop *l, struct loop_timer *t, unsigned pos)
{
	while (pos > 1 && l->heap[pos / 2]->due > t->due) {
		heap_place(l, l->heap[pos / 2], pos);
		pos /= 2;
	}
	heap_place(l, t, pos);
}

static void heap_down(struct loop *l, struct loop_timer *t, unsigned pos)
{
	for (;;) {
		unsigned child = pos * 2;
		if (child > l->timers)
			break;
		if (child < l->timers && l->heap[child + 1]->due < l->heap[child]->due)
			child++;
		if (l->heap[child]->due >= t->due)
			break;
		heap_place(l, l->heap[child], pos);
		pos = child;
	}
	heap_place(l, t, pos);
}

void loop_timer_del(struct loop *l, struct loop_timer *t)
{
	unsigned pos = t->pos;
	struct loop_timer *last;
	if (!pos)
		return;
	t->pos = 0;
	last = l->heap[l->timers--];
	if (last == t)
		return;
	if (pos > 1 && l->heap[pos / 2]->due > last->due)
		heap_up(l, last, pos);
	else
		heap_down(l, last, pos);
}

void loop_timer_set(struct loop *l, struct loop_timer *t, uint64_t delay_ns, void (*fn)(void *arg),
		    void *arg)
{
	loop_timer_del(l, t);
	t->due = clock_ns() + delay_ns;
	t->fn = fn;
	t->arg = arg;
	if (l->timers + 1 >= l->heap_cap) {
		unsigned cap = l->heap_cap ? l->heap_cap * 2 : 16;
		struct loop_timer **heap = realloc(l->heap, cap * sizeof(*heap));
		/* A timer that silently never fires would be worse than the end. */
		if (!heap)
			abort();
		l->heap = heap;
		l->heap_cap = cap;
	}
	heap_up(l, t, ++l->timers);
	wake(l);
}

void loop_set_spin(struct loop *l, uint64_t ns)
{
	l->spin = ns;
}

void loop_skip_spin(struct loop *l)
{
	l->skip_spin = true;
}

static void run_timers(struct loop *l)
{
	while (l->timers && l->heap[1]->due <= l->now) {
		struct loop_timer *t = l->heap[1];
		loop_timer_del(l, t);
		t->fn(t->arg);
	}
}

/* ---- file descriptors ---- */

static uint32_t to_epoll(unsigned events)
{
	return (events & LOOP_READ ? EPOLLIN | EPOLLRDHUP : 0u) |
	       (events & LOOP_WRITE ? EPOLLOUT : 0u);
}

int loop_fd_add(struct loop *l, struct loop_fd *w, int fd, unsigned events,
		void (*fn)(void *arg, unsigned events), void *arg)
{
	struct epoll_event ev = {.events = to_epoll(events), .data.ptr = w};
	if (epoll_ctl(l->epfd, EPOLL_CTL_ADD, fd, &ev) < 0)
		return -errno;
	*w = (struct loop_fd){.fd = fd, .events = events, .fn = fn, .arg = arg, .on = true};
	return 0;
}

int loop_fd_mod(struct loop *l, struct loop_fd *w, unsigned events)
{
	struct epoll_event ev = {.events = to_epoll(events), .data.ptr = w};
	if (w->events == events)
		return 0;
	if (epoll_ctl(l->epfd, EPOLL_CTL_MOD, w->fd, &ev) < 0)
		return -errno;
	w->events = events;
	return 0;
}

void loop_fd_del(struct loop *l, struct loop_fd *w)
{
	if (!w->on)
		return;
	w->on = false;
	epoll_ctl(l->epfd, EPOLL_CTL_DEL, w->fd, NULL);
	/* Events of this iteration that are still to be delivered must not reach a dead watcher. */
	for (int i = l->batch_pos; i < l->batch_len; i++)
		if (l->batch[i].data.ptr == w)
			l->batch[i].data.ptr = NULL;
}

/* Fills the batch; waits at most so many ns (UINT64_MAX: for ever). */
static int poll_fds(struct loop *l, uint64_t wait)
{
	if (!l->no_pwait2) {
		struct timespec ts = {.tv_sec = (time_t)(wait / SEC_NS),
				      .tv_nsec = (long)(wait % SEC_NS)};
		int n = (int)syscall(SYS_epoll_pwait2, l->epfd, l->batch, LOOP_BATCH,
				     wait == UINT64_MAX ? NULL : &ts, NULL, (size_t)8);
		if (n >= 0 || (errno != ENOSYS && errno != EPERM))
			return n;
		l->no_pwait2 = true; /* before Linux 5.11, or filtered */
	}
	/* Rounded up: waking early would spin. */
	uint64_t ms = wait / MS_NS + (wait % MS_NS != 0);
	return epoll_wait(l->epfd, l->batch, LOOP_BATCH,
			  wait == UINT64_MAX ? -1 : (int)MIN(ms, 3600000u));
}

/* How much spinning has paid of late: a sleep costs less than three vain searches. */
#define SPIN_SCORE_MAX 12
#define SPIN_TRIES     3  /* the score after a while without: three successes to go on */
#define SPIN_REST      64 /* sleeps between such tries */

/* Looks for events without sleeping, for l->spin or until `wait` is over. */
static int spin(struct loop *l, uint64_t wait)
{
	uint64_t begin, now;
	bool skip = l->skip_spin;
	l->skip_spin = false;
	if (!l->spin || !wait || skip)
		return 0;
	if (l->spin_score <= 0) {
		if (++l->spin_rest < SPIN_REST)
			return 0;
		l->spin_rest = 0;
		l->spin_score = SPIN_TRIES;
	}
	begin = clock_ns();
	do {
		int n = epoll_wait(l->epfd, l->batch, LOOP_BATCH, 0);
		if (n > 0) {
			l->spin_score = MIN(l->spin_score + 1, SPIN_SCORE_MAX);
			return n;
		}
		now = clock_ns();
	} while (now - begin < MIN(l->spin, wait));
	l->spin_score -= 3;
	return 0;
}

static int wait_events(struct loop *l)
{
	uint64_t wait = UINT64_MAX;
	int n;
	if (l->deferred) {
		wait = 0;
	} else if (l->timers) {
		uint64_t now = clock_ns(), due = l->heap[1]->due;
		wait = due > now ? due - now : 0;
	}
	l->asleep = l->lock != NULL;
	loop_unlock(l);
	n = spin(l, wait);
	if (n == 0)
		n = poll_fds(l, wait);
	loop_lock(l);
	l->asleep = false;
	return n;
}

/* ---- the loop ---- */

struct loop *loop_new(void)
{
	struct loop *l = calloc(1, sizeof(*l));
	int efd, rc;
	if (!l)
		return NULL;
	l->deferred_tail = &l->deferred;
	l->posted_tail = &l->posted;
	pthread_mutex_init(&l->post_lock, NULL);
	l->now = clock_ns();
	l->epfd = epoll_create1(EPOLL_CLOEXEC);
	efd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (l->epfd < 0 || efd < 0)
		goto fail;
	rc = loop_fd_add(l, &l->post_watch, efd, LOOP_READ, run_posted, l);
	if (rc == 0)
		return l;
	errno = -rc;
fail:
	rc = errno;
	if (l->epfd >= 0)
		close(l->epfd);
	if (efd >= 0)
		close(efd);
	free(l);
	errno = rc;
	return NULL;
}

void loop_free(struct loop *l)
{
	if (!l)
		return;
	loop_signals_end(l);
	close(l->post_watch.fd);
	close(l->epfd);
	pthread_mutex_destroy(&l->post_lock);
	free(l->heap);
	free(l);
}

void loop_stop(struct loop *l, int status)
{
	l->stopping = true;
	l->status = status;
	wake(l);
}

static void deliver(const struct epoll_event *ev)
{
	struct loop_fd *w = ev->data.ptr;
	unsigned events = 0;
	if (!w)
		return;
	if (ev->events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		events |= LOOP_READ;
	if (ev->events & (EPOLLOUT | EPOLLHUP | EPOLLERR))
		events |= LOOP_WRITE;
	w->fn(w->arg, events);
}

/* Until it is stopped (true), or thread `me` is no longer the one that runs it. */
static bool run(struct loop *l, unsigned me)
{
	loop_lock(l);
	if (l->running) /* taken over amid a task: there may be more to it */
		loop_defer(l, l->running);
	while (run_deferred(l, me)) {
		if (l->stopping) {
			loop_unlock(l);
			return true;
		}
		if (l->batch_pos < l->batch_len) {
			deliver(&l->batch[l->batch_pos++]);
		} else {
			int n = wait_events(l);
			l->now = clock_ns();
			l->batch_pos = 0;
			l->batch_len = n > 0 ? n : 0;
		}
		if (l->batch_pos == l->batch_len)
			run_timers(l);
	}
	return false;
}

/* Thread `me` of those that take turns at it, to the end. */
static void take_turns(struct loop *l, unsigned me)
{
	while (!l->standby || standby_works(l->standby, me) || standby_wait(l->standby, me)) {
		if (!run(l, me))
			continue;
		if (l->standby)
			standby_end(l->standby);
		return;
	}
}

int loop_run(struct loop *l)
{
	int status;
	l->stopping = false;
	l->batch_pos = l->batch_len = 0;
	take_turns(l, 0);
	loop_lock(l);
	status = l->status;
	loop_unlock(l);
	return status;
}

void loop_stand_by(struct loop *l)
{
	take_turns(l, 1);
}
