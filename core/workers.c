/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/workers.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

struct workers {
	pthread_mutex_t lock;
	pthread_cond_t work;
	struct job *head, **tail;
	bool ending;
	unsigned n;
	pthread_t thread[];
};

static void post_done(void *arg)
{
	struct job *j = arg;
	j->done(j);
}

static void *worker(void *arg)
{
	struct workers *w = arg;
	pthread_mutex_lock(&w->lock);
	for (;;) {
		struct job *j = w->head;
		if (!j) {
			if (w->ending)
				break;
			pthread_cond_wait(&w->work, &w->lock);
			continue;
		}
		w->head = j->next;
		if (!w->head)
			w->tail = &w->head;
		pthread_mutex_unlock(&w->lock);
		j->run(j);
		loop_post(j->loop, &j->task);
		pthread_mutex_lock(&w->lock);
	}
	pthread_mutex_unlock(&w->lock);
	return NULL;
}

struct workers *workers_new(unsigned n)
{
	struct workers *w = calloc(1, sizeof(*w) + n * sizeof(w->thread[0]));
	sigset_t all, old;
	int rc = 0;
	if (!w)
		return NULL;
	pthread_mutex_init(&w->lock, NULL);
	pthread_cond_init(&w->work, NULL);
	w->tail = &w->head;
	/* Signals are the loop's thread's. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	while (w->n < n && (rc = pthread_create(&w->thread[w->n], NULL, worker, w)) == 0)
		w->n++;
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (rc) {
		workers_free(w);
		errno = rc;
		return NULL;
	}
	return w;
}

void workers_free(struct workers *w)
{
	if (!w)
		return;
	pthread_mutex_lock(&w->lock);
	w->ending = true;
	pthread_cond_broadcast(&w->work);
	pthread_mutex_unlock(&w->lock);
	for (unsigned i = 0; i < w->n; i++)
		pthread_join(w->thread[i], NULL);
	pthread_mutex_destroy(&w->lock);
	pthread_cond_destroy(&w->work);
	free(w);
}

void workers_submit(struct workers *w, struct job *j)
{
	j->next = NULL;
	j->task = (struct loop_task){.fn = post_done, .arg = j};
	pthread_mutex_lock(&w->lock);
	*w->tail = j;
	w->tail = &j->next;
	pthread_cond_signal(&w->work);
	pthread_mutex_unlock(&w->lock);
}
