/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/meanwhile.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include "core/loop.h"

uint64_t meanwhile_ns = SEC_NS / 4;

static __thread struct meanwhile *list;

void meanwhile_add(struct meanwhile *m, void (*fn)(void *arg), void *arg)
{
	*m = (struct meanwhile){.fn = fn, .arg = arg, .of = getpid(), .next = list};
	list = m;
}

void meanwhile_del(struct meanwhile *m)
{
	for (struct meanwhile **at = &list; *at; at = &(*at)->next)
		if (*at == m) {
			*at = m->next;
			break;
		}
}

struct flush {
	int fd, rc;
	bool data, over;
	pthread_mutex_t lock;
	pthread_cond_t cond;
};

static void flush(struct flush *f)
{
	do
		f->rc = (f->data ? fdatasync(f->fd) : fsync(f->fd)) ? -errno : 0;
	while (f->rc == -EINTR);
}

static void *run(void *arg)
{
	struct flush *f = arg;

	flush(f);
	pthread_mutex_lock(&f->lock);
	f->over = true;
	pthread_cond_signal(&f->cond);
	pthread_mutex_unlock(&f->lock);
	return NULL;
}

/* With all signals blocked: they are the loop's. False: there is no thread to be had. */
static bool start(struct flush *f, pthread_t *thread)
{
	sigset_t all, before;
	int rc;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	rc = pthread_create(thread, NULL, run, f);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return rc == 0;
}

static void wait_and_work(struct flush *f)
{
	uint64_t next = clock_ns() + meanwhile_ns;
	pid_t us = getpid();

	pthread_mutex_lock(&f->lock);
	while (!f->over) {
		struct timespec at = {.tv_sec = (time_t)(next / SEC_NS),
				      .tv_nsec = (long)(next % SEC_NS)};
		if (pthread_cond_timedwait(&f->cond, &f->lock, &at) != ETIMEDOUT)
			continue;
		pthread_mutex_unlock(&f->lock);
		for (struct meanwhile *m = list; m; m = m->next)
			if (m->of == us)
				m->fn(m->arg);
		next = clock_ns() + meanwhile_ns;
		pthread_mutex_lock(&f->lock);
	}
	pthread_mutex_unlock(&f->lock);
}

static int sync_fd(int fd, bool data)
{
	struct flush f = {.fd = fd, .data = data, .lock = PTHREAD_MUTEX_INITIALIZER};
	pthread_condattr_t attr;
	pthread_t thread;

	if (!list) {
		flush(&f);
		return f.rc;
	}
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC); /* as clock_ns() */
	pthread_cond_init(&f.cond, &attr);
	pthread_condattr_destroy(&attr);
	if (start(&f, &thread)) {
		wait_and_work(&f);
		pthread_join(thread, NULL);
	} else {
		flush(&f);
	}
	pthread_cond_destroy(&f.cond);
	return f.rc;
}

int meanwhile_fdatasync(int fd)
{
	return sync_fd(fd, true);
}

int meanwhile_fsync(int fd)
{
	return sync_fd(fd, false);
}
