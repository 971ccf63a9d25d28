/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/workers.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

#include "core/bytes.h"
#include "tests/unit/check.h"

#define LIMIT (20 * SEC_NS)
#define JOBS  2000

static struct loop *l;
static struct loop_timer guard;
static bool late;
static unsigned left;

struct work {
	struct job job;
	unsigned runs, dones;
	pthread_t ran_in;
};

static void too_late(void *arg)
{
	(void)arg;
	late = true;
	loop_stop(l, -1);
}

static void begin(void)
{
	l = loop_new();
	if (!l)
		abort();
	late = false;
	loop_timer_set(l, &guard, LIMIT, too_late, NULL);
}

static void end(void)
{
	CHECK(!late);
	loop_timer_del(l, &guard);
	loop_free(l);
}

static void work(struct job *j)
{
	struct work *w = container_of(j, struct work, job);

	w->runs++;
	w->ran_in = pthread_self();
}

static void done(struct job *j)
{
	container_of(j, struct work, job)->dones++;
	if (--left == 0)
		loop_stop(l, 0);
}

static void test_each_job_runs_once_and_is_done_in_the_loop(void)
{
	static struct work w[JOBS];
	struct workers *ws;

	begin();
	ws = workers_new(4);
	left = JOBS;
	for (unsigned i = 0; i < JOBS; i++) {
		memset(&w[i], 0, sizeof(w[i]));
		/* What is not the caller's to set may hold anything. */
		memset(&w[i].job, 0xff, sizeof(w[i].job));
		w[i].job.run = work;
		w[i].job.done = done;
		w[i].job.loop = l;
		workers_submit(ws, &w[i].job);
	}
	loop_run(l);
	CHECK_EQ(left, 0);
	for (unsigned i = 0; i < JOBS; i++) {
		CHECK_EQ(w[i].runs, 1);
		CHECK_EQ(w[i].dones, 1);
		CHECK(!pthread_equal(w[i].ran_in, pthread_self()));
	}
	workers_free(ws);
	end();
}

static struct workers *ring;
static unsigned rounds;

static void submit_again(struct job *j)
{
	if (++rounds == 500)
		loop_stop(l, 0);
	else
		workers_submit(ring, j);
}

static void test_job_submitted_again_from_done(void)
{
	struct work w = {.job = {.run = work, .done = submit_again}};

	begin();
	ring = workers_new(2);
	rounds = 0;
	w.job.loop = l;
	workers_submit(ring, &w.job);
	loop_run(l);
	CHECK_EQ(w.runs, 500);
	workers_free(ring);
	end();
}

static void test_free_waits_for_what_is_queued(void)
{
	static struct work w[100];
	struct workers *ws;

	begin();
	ws = workers_new(1);
	left = 100;
	for (unsigned i = 0; i < 100; i++) {
		w[i] = (struct work){.job = {.run = work, .done = done, .loop = l}};
		workers_submit(ws, &w[i].job);
	}
	workers_free(ws);
	for (unsigned i = 0; i < 100; i++)
		CHECK_EQ(w[i].runs, 1);
	/* their callbacks have been posted by then */
	loop_run(l);
	CHECK_EQ(left, 0);
	end();
}

static pthread_barrier_t meeting;

static void meet(struct job *j)
{
	(void)j;
	pthread_barrier_wait(&meeting);
}

static void test_jobs_run_side_by_side(void)
{
	static struct work w[3];
	struct workers *ws;

	begin();
	ws = workers_new(3);
	left = 3;
	pthread_barrier_init(&meeting, NULL, 3);
	for (unsigned i = 0; i < 3; i++) {
		w[i] = (struct work){.job = {.run = meet, .done = done, .loop = l}};
		workers_submit(ws, &w[i].job);
	}
	/* With fewer threads they would wait for each other for ever. */
	loop_run(l);
	CHECK_EQ(left, 0);
	if (late)
		exit(1);
	workers_free(ws);
	pthread_barrier_destroy(&meeting);
	end();
}

static void blocked_signals(struct job *j)
{
	struct work *w = container_of(j, struct work, job);
	sigset_t set;

	pthread_sigmask(SIG_BLOCK, NULL, &set);
	w->runs = sigismember(&set, SIGTERM) && sigismember(&set, SIGCHLD);
}

static void test_signals_stay_with_the_loop(void)
{
	struct work w = {.job = {.run = blocked_signals, .done = done}};
	struct workers *ws;
	sigset_t set;

	begin();
	ws = workers_new(1);
	left = 1;
	w.job.loop = l;
	workers_submit(ws, &w.job);
	loop_run(l);
	CHECK_EQ(w.runs, 1);
	/* and the caller's mask is as it was */
	pthread_sigmask(SIG_BLOCK, NULL, &set);
	CHECK(!sigismember(&set, SIGTERM));
	workers_free(ws);
	workers_free(NULL);
	end();
}

int main(void)
{
	CHECK_RUN(test_each_job_runs_once_and_is_done_in_the_loop);
	CHECK_RUN(test_job_submitted_again_from_done);
	CHECK_RUN(test_free_waits_for_what_is_queued);
	CHECK_RUN(test_jobs_run_side_by_side);
	CHECK_RUN(test_signals_stay_with_the_loop);
	return CHECK_DONE();
}
