/* SPDX-License-Identifier: BSD-2-Clause */
/* Signals and child processes of the loop. */
#include "core/loop.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/check.h"
#include "tests/unit/core/loop_rig.h"

/* ---- signals ---- */

static struct loop_signal first, second, third;

static void on_signal(void *arg, int signo)
{
	note(*(char *)arg);
	if (signo == SIGUSR2)
		loop_stop(l, 0);
}

static void test_signals_reach_all_their_watchers(void)
{
	static char a[] = "a", b[] = "b", z[] = "z";

	begin();
	CHECK_EQ(loop_signal_add(l, &first, SIGUSR1, on_signal, a), 0);
	CHECK_EQ(loop_signal_add(l, &second, SIGUSR1, on_signal, b), 0);
	CHECK_EQ(loop_signal_add(l, &third, SIGUSR2, on_signal, z), 0);
	raise(SIGUSR1);
	raise(SIGUSR2);
	run();
	CHECK_EQ(strlen(order), 3);
	CHECK(strchr(order, 'a') && strchr(order, 'b'));
	CHECK_EQ(order[2], 'z');
	/* One of two watchers gone: the other one stays. */
	loop_signal_del(l, &second);
	order[0] = '\0';
	raise(SIGUSR1);
	raise(SIGUSR2);
	run();
	CHECK_STR(order, "az");
	end();
	/* The end gave the signal back its default. */
	CHECK(signal(SIGUSR1, SIG_DFL) == SIG_DFL);
}

static void remove_others(void *arg, int signo)
{
	(void)arg, (void)signo;
	note('r');
	loop_signal_del(l, &first);
	loop_signal_del(l, &second);
	loop_signal_del(l, &third);
	/* as an owner that is freed would leave them */
	memset(&first, 0xa5, sizeof(first));
	memset(&second, 0xa5, sizeof(second));
	memset(&third, 0xa5, sizeof(third));
	loop_stop(l, 0);
}

static void test_signal_callback_removes_all_watchers(void)
{
	begin();
	loop_signal_add(l, &first, SIGUSR1, remove_others, NULL);
	loop_signal_add(l, &second, SIGUSR1, remove_others, NULL);
	loop_signal_add(l, &third, SIGUSR1, remove_others, NULL);
	raise(SIGUSR1);
	run();
	CHECK_STR(order, "r");
	end();
	memset(&first, 0, sizeof(first));
	memset(&second, 0, sizeof(second));
	memset(&third, 0, sizeof(third));
}

static void test_flood_of_one_signal_does_not_hide_another(void)
{
	static char a[] = "a", z[] = "z";

	begin();
	loop_signal_add(l, &first, SIGUSR1, on_signal, a);
	loop_signal_add(l, &third, SIGUSR2, on_signal, z);
	for (int i = 0; i < 100000; i++) /* more than a pipe holds */
		raise(SIGUSR1);
	raise(SIGUSR2);
	run();
	CHECK_STR(order, "az");
	end();
}

/* ---- children ---- */

static int child_status;

static void on_child(void *arg, int status)
{
	(void)arg;
	child_status = status;
	note('c');
	loop_stop(l, 0);
}

static pid_t child(int status)
{
	pid_t pid = fork();

	if (pid == 0)
		_exit(status);
	return pid;
}

static void test_child_that_ends_is_reaped(void)
{
	struct loop_child c = {0};

	begin();
	CHECK_EQ(loop_child_add(l, &c, child(3), on_child, NULL), 0);
	run();
	CHECK_STR(order, "c");
	CHECK(WIFEXITED(child_status));
	CHECK_EQ(WEXITSTATUS(child_status), 3);
	CHECK_EQ(waitpid(-1, NULL, WNOHANG), -1);
	end();
}

static void test_child_that_ended_before_it_was_watched(void)
{
	struct loop_child c = {0};
	siginfo_t si;
	pid_t pid;

	begin();
	pid = child(4);
	waitid(P_PID, (id_t)pid, &si, WEXITED | WNOWAIT);
	loop_child_add(l, &c, pid, on_child, NULL);
	run();
	CHECK_EQ(WEXITSTATUS(child_status), 4);
	end();
}

static void test_child_of_others_is_left_alone(void)
{
	struct loop_child c = {0};
	siginfo_t si;
	pid_t theirs;

	begin();
	theirs = child(5);
	waitid(P_PID, (id_t)theirs, &si, WEXITED | WNOWAIT);
	loop_child_add(l, &c, child(0), on_child, NULL);
	run();
	CHECK_EQ(waitpid(theirs, &child_status, WNOHANG), theirs);
	CHECK_EQ(WEXITSTATUS(child_status), 5);
	end();
}

static void test_child_killed_and_child_reaped_by_another(void)
{
	struct loop_child c = {0};
	pid_t pid;

	begin();
	pid = fork();
	if (pid == 0)
		for (;;)
			pause();
	loop_child_add(l, &c, pid, on_child, NULL);
	kill(pid, SIGKILL);
	run();
	CHECK(WIFSIGNALED(child_status) && WTERMSIG(child_status) == SIGKILL);
	pid = child(0);
	waitpid(pid, NULL, 0);
	loop_child_add(l, &c, pid, on_child, NULL);
	run();
	CHECK_EQ(WEXITSTATUS(child_status), 255);
	CHECK_STR(order, "cc");
	end();
}

static struct loop_child children[3];
static unsigned children_left;

static void one_less(void *arg, int status)
{
	(void)arg, (void)status;
	if (--children_left == 0)
		loop_stop(l, 0);
}

static void test_many_children_end_at_once(void)
{
	begin();
	children_left = 3;
	for (unsigned i = 0; i < 3; i++)
		loop_child_add(l, &children[i], child(0), one_less, NULL);
	run();
	CHECK_EQ(children_left, 0);
	CHECK_STR(order, "");
	end();
}

int main(void)
{
	CHECK_RUN(test_signals_reach_all_their_watchers);
	CHECK_RUN(test_signal_callback_removes_all_watchers);
	CHECK_RUN(test_flood_of_one_signal_does_not_hide_another);
	CHECK_RUN(test_child_that_ends_is_reaped);
	CHECK_RUN(test_child_that_ended_before_it_was_watched);
	CHECK_RUN(test_child_of_others_is_left_alone);
	CHECK_RUN(test_child_killed_and_child_reaped_by_another);
	CHECK_RUN(test_many_children_end_at_once);
	return CHECK_DONE();
}
