/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/loop_group.h"

#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/bytes.h"
#include "tests/unit/check.h"
#include "tests/unit/core/loop_rig.h"

#define LOOPS 4
#define HOPS  20000

static struct loop_group *g;
static unsigned loops;

static struct loop *nth(unsigned i)
{
	return loop_group_get(g, i % loops);
}

static void begin_group(unsigned n)
{
	begin();
	loops = n;
	g = loop_group_new(l, n);
	if (!g)
		abort();
}

static int run_group(void)
{
	int rc;
	CHECK_EQ(loop_group_start(g), 0);
	rc = run();
	loop_group_stop(g);
	return rc;
}

static void end_group(void)
{
	loop_group_free(g);
	end();
}

/* ---- what one loop leaves to another ---- */

static struct loop_task hop_task[LOOPS];
static unsigned hops, inside, overlaps;
static pthread_t thread_of[LOOPS];
static bool strayed;

/* Each loop hands on to the next one, which by then waits. */
static void hop(void *arg)
{
	unsigned i = (unsigned)((struct loop_task *)arg - hop_task);

	if (inside++)
		overlaps++;
	if (!thread_of[i])
		thread_of[i] = pthread_self();
	strayed |= !pthread_equal(thread_of[i], pthread_self());
	if (++hops == HOPS)
		loop_stop(l, 3);
	else
		loop_defer(nth(i + 1), &hop_task[(i + 1) % loops]);
	inside--;
}

static void start_hops(void)
{
	memset(thread_of, 0, sizeof(thread_of));
	hops = inside = overlaps = 0;
	strayed = false;
	for (unsigned i = 0; i < loops; i++)
		hop_task[i] = (struct loop_task){.fn = hop, .arg = &hop_task[i]};
}

static void test_a_task_deferred_to_a_waiting_loop_wakes_it(void)
{
	begin_group(LOOPS);
	start_hops();
	loop_defer(nth(1), &hop_task[1]); /* before it runs */
	CHECK_EQ(run_group(), 3);
	CHECK_EQ(hops, HOPS);
	CHECK_EQ(overlaps, 0);
	CHECK(!strayed);
	for (unsigned i = 0; i < loops; i++)
		for (unsigned j = 0; j < i; j++)
			CHECK(!pthread_equal(thread_of[i], thread_of[j]));
	end_group();
}

static void test_a_group_of_one_is_that_loop(void)
{
	begin_group(1);
	start_hops();
	CHECK(nth(0) == l);
	loop_defer(l, &hop_task[0]);
	CHECK_EQ(run_group(), 3);
	CHECK(pthread_equal(thread_of[0], pthread_self()));
	end_group();
}

/* All loops at once: what each does has the state to itself, though it takes a while. */
static struct loop_timer busy_timer[LOOPS];
static unsigned busy_left;

static void busy(void *arg)
{
	struct loop_timer *t = arg;

	overlaps += inside;
	inside++;
	for (volatile unsigned spin = 0; spin < 200; spin++)
		;
	inside--;
	if (busy_left == 0 || --busy_left == 0) {
		loop_stop(l, 4); /* l's own timer, too: it may not have run before */
		return;
	}
	loop_timer_set(nth((unsigned)(t - busy_timer)), t, 0, busy, t);
}

static void test_callbacks_never_overlap(void)
{
	begin_group(LOOPS);
	inside = overlaps = 0;
	busy_left = HOPS;
	for (unsigned i = 0; i < loops; i++)
		loop_timer_set(nth(i), &busy_timer[i], 0, busy, &busy_timer[i]);
	CHECK_EQ(run_group(), 4);
	CHECK_EQ(overlaps, 0);
	for (unsigned i = 0; i < loops; i++)
		loop_timer_del(nth(i), &busy_timer[i]);
	end_group();
}

/* Without the lock they run side by side: each waits there until the other has come. */
static pthread_barrier_t both;
static unsigned met;

static void meet(void *arg)
{
	loop_unlock(arg);
	pthread_barrier_wait(&both);
	loop_lock(arg);
	if (++met == 2)
		loop_stop(l, 5);
}

static void test_unlocked_callbacks_run_side_by_side(void)
{
	struct loop_task t[2];

	begin_group(2);
	pthread_barrier_init(&both, NULL, 2);
	met = 0;
	for (unsigned i = 0; i < 2; i++) {
		t[i] = (struct loop_task){.fn = meet, .arg = nth(i)};
		loop_defer(nth(i), &t[i]);
	}
	CHECK_EQ(run_group(), 5);
	CHECK_EQ(met, 2);
	pthread_barrier_destroy(&both);
	end_group();
}

/* ---- timers and fds of another loop ---- */

static struct loop_timer far, soon, gone;

static void missed(void *arg)
{
	(void)arg;
	note('x');
}

static void stop_all(void *arg)
{
	(void)arg;
	note('s');
	loop_stop(l, 6); /* which waits for its guard */
}

static void set_timers(void *arg)
{
	(void)arg;
	loop_timer_set(nth(1), &soon, 2 * MS_NS, stop_all, NULL);
	loop_timer_set(nth(1), &gone, MS_NS, missed, NULL);
	loop_timer_del(nth(1), &gone);
}

static void test_a_timer_set_for_a_waiting_loop_fires(void)
{
	struct loop_timer t = {0};

	begin_group(2);
	loop_timer_set(nth(1), &far, LIMIT, missed, NULL);
	/* By now the other one waits, most likely. */
	loop_timer_set(l, &t, 3 * MS_NS, set_timers, NULL);
	CHECK_EQ(run_group(), 6);
	CHECK_STR(order, "s");
	loop_timer_del(nth(1), &far);
	end_group();
}

static struct loop_fd watch;
static int fds[2];

static void readable(void *arg, unsigned events)
{
	char c;
	(void)arg;
	CHECK_EQ(events, LOOP_READ);
	CHECK_EQ(read(fds[0], &c, 1), 1);
	CHECK(!pthread_equal(thread_of[0], pthread_self()));
	loop_fd_del(nth(1), &watch);
	loop_stop(l, 7);
}

static void add_fd(void *arg)
{
	(void)arg;
	thread_of[0] = pthread_self();
	CHECK_EQ(write(fds[1], "x", 1), 1);
	CHECK_EQ(loop_fd_add(nth(1), &watch, fds[0], LOOP_READ, readable, NULL), 0);
}

static void test_an_fd_added_to_a_waiting_loop_is_watched(void)
{
	struct loop_task t = {.fn = add_fd};

	begin_group(2);
	CHECK_EQ(pipe(fds), 0);
	loop_defer(l, &t);
	CHECK_EQ(run_group(), 7);
	close(fds[0]);
	close(fds[1]);
	end_group();
}

/* ---- what hangs ---- */

/* Two tasks write; the first hangs until the loop, run by another thread, has come to the second,
 * and to a timer. */
static int hung[2];
static pthread_t first_thread, second_thread;
static struct loop_timer go_on, poll_timer;
static struct loop_task risky, ended_late;
static unsigned risks;

static void until_written(void *arg)
{
	char c;
	(void)arg;
	CHECK_EQ(read(hung[0], &c, 1), 1);
}

static void late(void *arg)
{
	(void)arg;
	note('l');
	CHECK(pthread_equal(second_thread, pthread_self()));
	loop_stop(l, 10);
}

static void release(void *arg)
{
	(void)arg;
	note('t');
	second_thread = pthread_self();
	CHECK(!pthread_equal(first_thread, second_thread));
	/* Nobody stands by while he hangs. */
	CHECK(!loop_has_standby(l));
	CHECK_EQ(write(hung[1], "x", 1), 1);
}

static void hang(void *arg)
{
	(void)arg;
	if (risks++) {
		note('2');
		loop_timer_set(l, &go_on, 0, release, NULL);
		return;
	}
	note('1');
	first_thread = pthread_self();
	if (loop_risk(l, until_written, NULL, &ended_late))
		note('!');
}

/* As soon as somebody stands by. */
static void hang_when_ready(void *arg)
{
	(void)arg;
	if (loop_has_standby(l))
		loop_defer(l, &risky);
	else
		loop_timer_set(l, &poll_timer, MS_NS, hang_when_ready, NULL);
}

static void hang_once(unsigned n)
{
	begin_group(n);
	CHECK_EQ(pipe(hung), 0);
	risks = 0;
	risky = (struct loop_task){.fn = hang};
	ended_late = (struct loop_task){.fn = late};
	loop_timer_set(l, &poll_timer, 0, hang_when_ready, NULL);
	CHECK_EQ(run_group(), 10);
	CHECK_STR(order, "12tl");
	close(hung[0]);
	close(hung[1]);
	end_group();
}

static void test_another_thread_goes_on_with_a_loop_that_hangs(void)
{
	hang_once(1);
	hang_once(2);
}

/* It hangs, and again when the threads have changed places, and the loop ends however they stand.
 */
static void late_again(void *arg);
static unsigned rounds;

static void hang_again(void *arg)
{
	(void)arg;
	if (risks++) {
		loop_timer_set(l, &go_on, 0, release, NULL);
		return;
	}
	if (loop_risk(l, until_written, NULL, &ended_late))
		note('!');
}

static void again_when_ready(void *arg)
{
	(void)arg;
	risks = 0;
	first_thread = pthread_self();
	if (loop_has_standby(l))
		loop_defer(l, &risky);
	else
		loop_timer_set(l, &poll_timer, MS_NS, again_when_ready, NULL);
}

static void late_again(void *arg)
{
	(void)arg;
	if (--rounds)
		again_when_ready(NULL);
	else
		loop_stop(l, 11);
}

static void test_threads_change_places_again_and_again(void)
{
	for (unsigned n = 1; n <= 3; n++) {
		begin_group(1);
		CHECK_EQ(pipe(hung), 0);
		rounds = n;
		risky = (struct loop_task){.fn = hang_again};
		ended_late = (struct loop_task){.fn = late_again};
		loop_timer_set(l, &poll_timer, 0, again_when_ready, NULL);
		CHECK_EQ(run_group(), 11);
		CHECK_EQ(rounds, 0);
		close(hung[0]);
		close(hung[1]);
		end_group();
	}
}

/* What does not hang is told of at once, with somebody who stands by and without. */
static unsigned done_at_once;

static void count(void *arg)
{
	++*(unsigned *)arg;
}

static void short_risk(void *arg)
{
	for (unsigned i = 0; i < 1000; i++)
		if (!CHECK(loop_risk(l, count, &done_at_once, NULL)))
			break;
	if (loop_has_standby(l) || !arg)
		loop_stop(l, 12);
	else
		loop_defer(l, &risky);
}

static void test_what_does_not_hang_stays_with_its_thread(void)
{
	begin_group(1);
	done_at_once = 0;
	risky = (struct loop_task){.fn = short_risk, .arg = &risky};
	loop_defer(l, &risky);
	CHECK_EQ(run_group(), 12);
	CHECK(done_at_once >= 1000);
	risky.arg = NULL;
	loop_defer(l, &risky);
	CHECK_EQ(run(), 12); /* nobody stands by */
	end_group();
}

/* ---- beginning and end ---- */

static void stop_first(void *arg)
{
	loop_stop(arg, 8);
}

static void test_it_ends_however_soon(void)
{
	for (unsigned i = 0; i < 50; i++) {
		struct loop_task t = {.fn = stop_first};

		begin_group(LOOPS);
		t.arg = l;
		loop_defer(l, &t);
		CHECK_EQ(run_group(), 8);
		end_group();
	}
}

static void test_it_may_never_have_run(void)
{
	begin_group(LOOPS);
	loop_group_stop(g);
	end_group();
	loop_group_free(NULL);
}

static sigset_t mask;

static void stop_itself(void *arg)
{
	loop_stop(arg, 9);
}

static void get_mask(void *arg)
{
	pthread_sigmask(SIG_SETMASK, NULL, &mask);
	loop_defer(l, arg); /* it may not have begun to run */
}

static void test_signals_are_the_first_loops(void)
{
	struct loop_task end = {.fn = stop_itself};
	struct loop_task t = {.fn = get_mask, .arg = &end};
	sigset_t mine;

	begin_group(2);
	end.arg = l;
	loop_defer(nth(1), &t);
	CHECK_EQ(run_group(), 9);
	pthread_sigmask(SIG_SETMASK, NULL, &mine);
	CHECK(sigismember(&mask, SIGTERM) && sigismember(&mask, SIGCHLD));
	CHECK(!sigismember(&mine, SIGTERM));
	end_group();
}

int main(void)
{
	CHECK_RUN(test_a_task_deferred_to_a_waiting_loop_wakes_it);
	CHECK_RUN(test_a_group_of_one_is_that_loop);
	CHECK_RUN(test_callbacks_never_overlap);
	CHECK_RUN(test_unlocked_callbacks_run_side_by_side);
	CHECK_RUN(test_a_timer_set_for_a_waiting_loop_fires);
	CHECK_RUN(test_an_fd_added_to_a_waiting_loop_is_watched);
	CHECK_RUN(test_another_thread_goes_on_with_a_loop_that_hangs);
	CHECK_RUN(test_threads_change_places_again_and_again);
	CHECK_RUN(test_what_does_not_hang_stays_with_its_thread);
	CHECK_RUN(test_it_ends_however_soon);
	CHECK_RUN(test_it_may_never_have_run);
	CHECK_RUN(test_signals_are_the_first_loops);
	return CHECK_DONE();
}
