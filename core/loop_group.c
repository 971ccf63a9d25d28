/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/loop_group.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

#include "core/standby.h"

struct loop_group {
	pthread_mutex_t lock;
	unsigned n, running; /* loops; how many of them run, the first included */
	struct member {
		struct loop *loop;
		struct loop_task stop;
		pthread_t thread, second;
		struct standby *standby;
	} member[]; /* [0]: the first, which has no thread of ours but the second */
};

static void stop(void *arg)
{
	loop_stop(arg, 0);
}

struct loop_group *loop_group_new(struct loop *first, unsigned n)
{
	struct loop_group *g = calloc(1, sizeof(*g) + n * sizeof(g->member[0]));
	if (!g)
		return NULL;
	pthread_mutex_init(&g->lock, NULL);
	g->member[0].loop = first;
	for (g->n = 1; g->n < n; g->n++) {
		struct member *m = &g->member[g->n];
		m->loop = loop_new();
		if (!m->loop) {
			int saved = errno;
			loop_group_free(g);
			errno = saved;
			return NULL;
		}
		m->stop = (struct loop_task){.fn = stop, .arg = m->loop};
		loop_set_lock(m->loop, &g->lock);
	}
	loop_set_lock(first, n > 1 ? &g->lock : NULL);
	return g;
}

struct loop *loop_group_get(const struct loop_group *g, unsigned i)
{
	return g->member[i].loop;
}

static void *run(void *arg)
{
	loop_run(arg);
	return NULL;
}

static void *stand_by(void *arg)
{
	loop_stand_by(arg);
	return NULL;
}

/* A second thread for a loop. Without it, it is one like any other. */
static void start_second(struct member *m)
{
	m->standby = standby_new();
	loop_set_standby(m->loop, m->standby);
	if (!m->standby || pthread_create(&m->second, NULL, stand_by, m->loop) == 0)
		return;
	loop_set_standby(m->loop, NULL);
	standby_free(m->standby);
	m->standby = NULL;
}

static void end_second(struct member *m)
{
	if (!m->standby)
		return;
	standby_end(m->standby); /* the loop may never have run */
	pthread_join(m->second, NULL);
	loop_set_standby(m->loop, NULL);
	standby_free(m->standby);
	m->standby = NULL;
}

int loop_group_start(struct loop_group *g)
{
	sigset_t all, old;
	int rc = 0;
	/* Signals are the first loop's. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	start_second(&g->member[0]);
	for (g->running = 1; g->running < g->n; g->running++) {
		struct member *m = &g->member[g->running];
		start_second(m);
		rc = pthread_create(&m->thread, NULL, run, m->loop);
		if (rc) {
			end_second(m);
			break;
		}
	}
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (rc)
		loop_group_stop(g);
	return -rc;
}

void loop_group_stop(struct loop_group *g)
{
	/* By a task: a thread that has not come to its loop yet gets to know as well. */
	for (unsigned i = 1; i < g->running; i++)
		loop_post(g->member[i].loop, &g->member[i].stop);
	for (unsigned i = 1; i < g->running; i++)
		pthread_join(g->member[i].thread, NULL);
	for (unsigned i = 0; i < g->running; i++)
		end_second(&g->member[i]);
	g->running = 0;
}

void loop_group_free(struct loop_group *g)
{
	if (!g)
		return;
	loop_set_lock(g->member[0].loop, NULL);
	for (unsigned i = 1; i < g->n; i++)
		loop_free(g->member[i].loop);
	pthread_mutex_destroy(&g->lock);
	free(g);
}
