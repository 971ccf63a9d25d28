/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/loop.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "tests/unit/check.h"
#include "tests/unit/core/loop_rig.h"

static void stop(void *arg)
{
	(void)arg;
	loop_stop(l, 7);
}

/* ---- timers ---- */

static struct loop_task restless;

static void once_more(void *arg)
{
	loop_defer(arg, &restless);
}

static void test_a_task_that_goes_on_keeps_no_timer_from_its_turn(void)
{
	struct loop_timer t = {0};

	begin();
	restless = (struct loop_task){.fn = once_more, .arg = l};
	loop_defer(l, &restless);
	loop_timer_set(l, &t, 3 * MS_NS, stop, NULL);
	CHECK_EQ(run(), 7);
	end();
}

static void letter(void *arg)
{
	note(*(char *)arg);
}

static void test_timers_fire_in_order_of_time(void)
{
	static char name[] = "edcba";
	struct loop_timer t[5] = {0}, last = {0};

	begin();
	for (unsigned i = 0; i < 5; i++)
		loop_timer_set(l, &t[i], (5 - i) * MS_NS, letter, &name[i]);
	loop_timer_set(l, &last, 10 * MS_NS, stop, NULL);
	CHECK_EQ(run(), 7);
	CHECK_STR(order, "abcde");
	end();
}

static void test_timer_does_not_fire_early(void)
{
	struct loop_timer t = {0};
	uint64_t start;

	begin();
	start = clock_ns();
	loop_timer_set(l, &t, 3 * MS_NS, stop, NULL);
	run();
	CHECK(clock_ns() - start >= 3 * MS_NS);
	CHECK(loop_now(l) - start >= 3 * MS_NS);
	end();
}

static void test_timer_moved_and_deleted(void)
{
	static char a[] = "a", b[] = "b";
	struct loop_timer t = {0}, u = {0}, last = {0};

	begin();
	loop_timer_set(l, &t, 1 * MS_NS, letter, a);
	loop_timer_set(l, &t, 6 * MS_NS, letter, b); /* moves it: fires once, as b */
	loop_timer_set(l, &u, 2 * MS_NS, letter, a);
	loop_timer_del(l, &u);
	loop_timer_del(l, &u);
	loop_timer_set(l, &last, 9 * MS_NS, stop, NULL);
	run();
	CHECK_STR(order, "b");
	CHECK_EQ(t.pos, 0);
	end();
}

static struct loop_timer many[2000];
static uint64_t last_due;
static unsigned fired;

static void in_order(void *arg)
{
	struct loop_timer *t = arg;

	if (t->due < last_due)
		note('x');
	last_due = t->due;
	fired++;
	/* Each takes a neighbour away from inside the callback. */
	loop_timer_del(l, &many[(size_t)(t - many) ^ 1]);
}

static void test_heap_of_many_timers(void)
{
	uint64_t x = 88172645463325252ull;
	struct loop_timer last = {0};
	unsigned n = sizeof(many) / sizeof(many[0]);

	begin();
	last_due = fired = 0;
	for (unsigned i = 0; i < n; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		loop_timer_set(l, &many[i], x % (20 * MS_NS), in_order, &many[i]);
	}
	/* Deleting from the middle of the heap keeps its order. */
	for (unsigned i = 0; i < n; i += 16)
		loop_timer_del(l, &many[i]);
	loop_timer_set(l, &last, 40 * MS_NS, stop, NULL);
	run();
	CHECK_STR(order, "");
	CHECK_EQ(fired, n / 2);
	for (unsigned i = 0; i < n; i++)
		CHECK_EQ(many[i].pos, 0);
	end();
}

static void again(void *arg)
{
	struct loop_timer *t = arg;

	note('a');
	if (strlen(order) < 5)
		loop_timer_set(l, t, 0, again, t);
	else
		loop_stop(l, 0);
}

static void test_timer_set_from_its_own_callback(void)
{
	struct loop_timer t = {0};

	begin();
	loop_timer_set(l, &t, 0, again, &t);
	run();
	CHECK_STR(order, "aaaaa");
	end();
}

/* ---- file descriptors ---- */

struct end {
	struct loop_fd w;
	int fd, peer;
	char name;
	struct end *victim; /* whom it removes when it is called */
};

static void pair(struct end *e, char name)
{
	int sv[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, sv) < 0)
		abort();
	*e = (struct end){.fd = sv[0], .peer = sv[1], .name = name};
}

static void unpair(struct end *e)
{
	loop_fd_del(l, &e->w);
	close(e->fd);
	if (e->peer >= 0)
		close(e->peer);
}

static void got(void *arg, unsigned events)
{
	struct end *e = arg;
	char c;

	note(e->name);
	note(events == LOOP_READ ? 'r' : events == LOOP_WRITE ? 'w' : '+');
	if (events & LOOP_READ && read(e->fd, &c, 1) == 0) {
		note('0');
		loop_fd_del(l, &e->w);
	}
	if (e->victim)
		loop_fd_del(l, &e->victim->w);
	loop_stop(l, 0);
}

static void test_readable_writable_and_end_of_file(void)
{
	struct end a;

	begin();
	pair(&a, 'a');
	CHECK_EQ(loop_fd_add(l, &a.w, a.fd, LOOP_READ, got, &a), 0);
	CHECK_EQ(loop_fd_add(l, &(struct loop_fd){0}, a.fd, LOOP_READ, got, &a), -EEXIST);
	(void)!write(a.peer, "xy", 2);
	run();
	CHECK_STR(order, "ar");
	/* level-triggered: a byte is left */
	run();
	CHECK_STR(order, "arar");
	CHECK_EQ(loop_fd_mod(l, &a.w, LOOP_WRITE), 0);
	run();
	CHECK_STR(order, "araraw");
	CHECK_EQ(loop_fd_mod(l, &a.w, LOOP_READ), 0);
	close(a.peer);
	a.peer = -1;
	order[0] = '\0';
	run();
	CHECK(order[0] == 'a' && order[2] == '0');
	unpair(&a);
	end();
}

static void test_errors_come_without_being_asked_for(void)
{
	struct end a;

	begin();
	pair(&a, 'a');
	CHECK_EQ(loop_fd_add(l, &a.w, a.fd, 0, got, &a), 0);
	close(a.peer);
	a.peer = -1;
	run();
	CHECK_EQ(order[0], 'a');
	unpair(&a);
	end();
}

static void test_regular_file_is_refused(void)
{
	struct loop_fd w = {0};
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);

	begin();
	CHECK_EQ(loop_fd_add(l, &w, fd, LOOP_READ, got, NULL), -EPERM);
	loop_fd_del(l, &w); /* harmless */
	close(fd);
	end();
}

static void test_watch_removed_by_another_one_of_the_same_round(void)
{
	struct end a, b;

	begin();
	pair(&a, 'a');
	pair(&b, 'b');
	a.victim = &b;
	b.victim = &a;
	loop_fd_add(l, &a.w, a.fd, LOOP_READ, got, &a);
	loop_fd_add(l, &b.w, b.fd, LOOP_READ, got, &b);
	(void)!write(a.peer, "x", 1);
	(void)!write(b.peer, "x", 1);
	run();
	/* Both were ready; whoever came first has taken the other one away. */
	CHECK_EQ(strlen(order), 2);
	unpair(&a);
	unpair(&b);
	end();
}

/* ---- tasks ---- */

static void defer_b(void *arg)
{
	note('a');
	loop_defer(l, arg);
}

static void task_b(void *arg)
{
	(void)arg;
	note('b');
}

static void test_deferred_tasks_run_once_in_order(void)
{
	static char c[] = "c";
	struct loop_task b = {.fn = task_b}, a = {.fn = defer_b, .arg = &b};
	struct loop_task other = {.fn = letter, .arg = c}, gone = {.fn = letter, .arg = c};
	struct loop_timer t = {0};

	begin();
	loop_defer(l, &a);
	loop_defer(l, &gone);
	loop_defer(l, &other);
	loop_defer(l, &other);
	loop_defer_cancel(l, &gone);
	loop_defer_cancel(l, &gone);
	loop_timer_set(l, &t, 0, stop, NULL);
	run();
	CHECK_STR(order, "acb");
	/* The last one of the queue taken back: the queue goes on. */
	order[0] = '\0';
	loop_defer(l, &other);
	loop_defer(l, &gone);
	loop_defer_cancel(l, &gone);
	loop_defer(l, &b);
	loop_timer_set(l, &t, 0, stop, NULL);
	run();
	CHECK_STR(order, "cb");
	end();
}

#define POSTERS 4
#define POSTS	5000

struct posted {
	struct loop_task task;
	unsigned *left;
};

static void count_down(void *arg)
{
	struct posted *p = arg;

	if (--*p->left == 0)
		loop_stop(l, 0);
}

static void *poster(void *arg)
{
	struct posted *p = arg;

	for (unsigned i = 0; i < POSTS; i++)
		loop_post(l, &p[i].task);
	return NULL;
}

static void test_posts_from_threads_all_arrive(void)
{
	static struct posted p[POSTERS][POSTS];
	pthread_t thread[POSTERS];
	unsigned left = POSTERS * POSTS;

	begin();
	for (unsigned i = 0; i < POSTERS; i++) {
		for (unsigned k = 0; k < POSTS; k++)
			p[i][k] = (struct posted){{.fn = count_down, .arg = &p[i][k]}, &left};
		pthread_create(&thread[i], NULL, poster, p[i]);
	}
	run();
	CHECK_EQ(left, 0);
	CHECK_STR(order, "");
	for (unsigned i = 0; i < POSTERS; i++)
		pthread_join(thread[i], NULL);
	end();
}

/* ---- the loop ---- */

static void test_status_and_second_run(void)
{
	struct loop_timer t = {0};

	begin();
	for (int i = 0; i < 3; i++) {
		loop_timer_set(l, &t, 0, stop, NULL);
		CHECK_EQ(run(), 7);
	}
	end();
	loop_free(NULL);
}

/* ---- spinning ---- */

static struct loop_fd echo_watch;
static unsigned echoes;

static void echoed(void *arg, unsigned events)
{
	int *fd = arg;
	char c;
	CHECK_EQ(events, LOOP_READ);
	CHECK_EQ(read(fd[0], &c, 1), 1);
	if (++echoes == 1000)
		loop_stop(l, 5);
	else
		CHECK_EQ(write(fd[0], &c, 1), 1);
}

static void *echo(void *arg)
{
	int *fd = arg;
	char c = 'e';
	while (write(fd[1], &c, 1) == 1 && read(fd[1], &c, 1) == 1)
		;
	return NULL;
}

static void test_spinning_finds_what_comes(void)
{
	int fd[2];
	pthread_t other;
	begin();
	loop_set_spin(l, MS_NS);
	echoes = 0;
	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, fd), 0);
	CHECK_EQ(loop_fd_add(l, &echo_watch, fd[0], LOOP_READ, echoed, fd), 0);
	CHECK_EQ(pthread_create(&other, NULL, echo, fd), 0);
	CHECK_EQ(run(), 5);
	loop_fd_del(l, &echo_watch);
	shutdown(fd[0], SHUT_RDWR);
	signal(SIGPIPE, SIG_IGN);
	pthread_join(other, NULL);
	close(fd[0]);
	close(fd[1]);
	end();
}

static uint64_t cpu_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * SEC_NS + (uint64_t)t.tv_nsec;
}

static unsigned ticks;

static void tick(void *arg)
{
	if (++ticks == 100)
		loop_stop(l, 6);
	else
		loop_timer_set(l, arg, 4 * MS_NS, tick, arg);
}

/* Nothing comes within the time: it is given up, and the loop sleeps. (All of the waiting is worth
 * a spin here, so that without giving up it would never sleep.) */
static void test_vain_spinning_ends(void)
{
	struct loop_timer t = {0};
	uint64_t cpu, wall;
	begin();
	loop_set_spin(l, 4 * MS_NS);
	ticks = 0;
	wall = clock_ns();
	cpu = cpu_ns();
	loop_timer_set(l, &t, 0, tick, &t);
	CHECK_EQ(run(), 6);
	cpu = cpu_ns() - cpu;
	wall = clock_ns() - wall;
	CHECK(wall >= 99 * 4 * MS_NS);
	CHECK(cpu < wall / 4);
	end();
}

int main(void)
{
	CHECK_RUN(test_a_task_that_goes_on_keeps_no_timer_from_its_turn);
	CHECK_RUN(test_timers_fire_in_order_of_time);
	CHECK_RUN(test_timer_does_not_fire_early);
	CHECK_RUN(test_timer_moved_and_deleted);
	CHECK_RUN(test_heap_of_many_timers);
	CHECK_RUN(test_timer_set_from_its_own_callback);
	CHECK_RUN(test_readable_writable_and_end_of_file);
	CHECK_RUN(test_errors_come_without_being_asked_for);
	CHECK_RUN(test_regular_file_is_refused);
	CHECK_RUN(test_watch_removed_by_another_one_of_the_same_round);
	CHECK_RUN(test_deferred_tasks_run_once_in_order);
	CHECK_RUN(test_posts_from_threads_all_arrive);
	CHECK_RUN(test_status_and_second_run);
	CHECK_RUN(test_spinning_finds_what_comes);
	CHECK_RUN(test_vain_spinning_ends);
	return CHECK_DONE();
}
