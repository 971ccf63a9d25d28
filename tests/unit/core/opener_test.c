/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/opener.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/log.h"
#include "tests/unit/check.h"

/* A pipe that the child keeps: it tells of its end, and its closing tells that the child is gone.
 */
static int said[2];

/* "both": the two ends of a pipe; "none"; a number: that error. */
static int open_some(void *arg, unsigned what, const char *name, int *fds)
{
	CHECK_STR(arg, "argument");
	CHECK_EQ(what, 7);
	if (strcmp(name, "both") == 0)
		return pipe(fds) == 0 ? 2 : -errno;
	if (strcmp(name, "term") == 0)
		raise(SIGTERM);
	return -atoi(name);
}

static void end(void *arg)
{
	(void)arg;
}

/* Standard output stands in for a file that it removes at its end. */
static void end_telling(void *arg)
{
	(void)arg;
	(void)!write(STDOUT_FILENO, "end", 3);
}

static struct opener_duty duty = {.open = open_some, .end = end, .arg = "argument"};

/* The log's socket may lie where the child puts its own. */
static void test_beside_the_syslog(void)
{
	struct opener *o;
	int fds[FDS_MAX];
	close(STDERR_FILENO + 1);
	log_set_destination("syslog");
	if (CHECK_EQ(opener_start(&o, &duty), 0)) {
		CHECK_EQ(opener_ask(o, 7, "2", fds), -2);
		opener_end(o);
	}
	log_close();
	log_set_destination("stderr");
}

static void test_it_opens_or_says_why_not(void)
{
	struct opener *o;
	int fds[FDS_MAX];
	char b[8], large[OPENER_NAME_MAX + 1];
	if (!CHECK_EQ(opener_start(&o, &duty), 0))
		return;
	for (unsigned i = 0; i < 3; i++) {
		CHECK_EQ(opener_ask(o, 7, "both", fds), 2);
		CHECK_EQ(write(fds[1], "x", 1), 1);
		close(fds[1]);
		CHECK_EQ(read(fds[0], b, sizeof(b)), 1);
		CHECK_EQ(read(fds[0], b, sizeof(b)), 0); /* the child has none left */
		close(fds[0]);
	}
	CHECK_EQ(opener_ask(o, 7, "13", fds), -EACCES);
	CHECK_EQ(opener_ask(o, 7, "none", fds), 0);
	CHECK_EQ(opener_ask(o, 7, "term", fds), 0); /* what ends others does not end it */
	CHECK_EQ(opener_ask(o, 7, "", fds), -ENOENT);
	memset(large, 'x', OPENER_NAME_MAX);
	large[OPENER_NAME_MAX] = '\0';
	CHECK_EQ(opener_ask(o, 7, large, fds), -ENAMETOOLONG);
	large[OPENER_NAME_MAX - 1] = '\0';
	large[0] = '2';
	large[1] = ' ';
	CHECK_EQ(opener_ask(o, 7, large, fds), -2);
	opener_end(o);
}

static void *ask_often(void *arg)
{
	int fds[FDS_MAX];
	for (unsigned i = 0; i < 200; i++) {
		CHECK_EQ(opener_ask(arg, 7, "both", fds), 2);
		close(fds[0]);
		close(fds[1]);
		CHECK_EQ(opener_ask(arg, 7, "5", fds), -EIO);
	}
	return NULL;
}

static void test_several_threads_ask(void)
{
	struct opener *o;
	pthread_t t[4];
	if (!CHECK_EQ(opener_start(&o, &duty), 0))
		return;
	for (unsigned i = 0; i < 4; i++)
		CHECK_EQ(pthread_create(&t[i], NULL, ask_often, o), 0);
	for (unsigned i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
	opener_end(o);
}

/* What comes through `said` until nobody can write to it any more; NULL: that does not come. */
static const char *heard(void)
{
	static char b[16];
	size_t n = 0;
	struct pollfd p = {.fd = said[0], .events = POLLIN};
	ssize_t r = 1;
	while (r > 0 && n < sizeof(b) - 1) {
		if (poll(&p, 1, 20000) != 1)
			return NULL;
		r = read(said[0], b + n, sizeof(b) - 1 - n);
		n += r > 0 ? (size_t)r : 0;
	}
	b[n] = '\0';
	return b;
}

/* A parent of its own, that `fn` ends. */
static void in_a_parent(void (*fn)(struct opener *o), const char *expected)
{
	pid_t pid;
	CHECK_EQ(pipe2(said, O_CLOEXEC), 0);
	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		struct opener *o;
		dup2(said[1], STDOUT_FILENO);
		duty.end = end_telling;
		if (opener_start(&o, &duty) == 0)
			fn(o);
		_exit(0);
	}
	close(said[1]);
	CHECK_STR(heard(), expected);
	close(said[0]);
	CHECK_EQ(waitpid(pid, NULL, 0), pid);
}

static void killed(struct opener *o)
{
	(void)o;
	kill(getpid(), SIGKILL);
}

static void ended(struct opener *o)
{
	opener_end(o);
	(void)!write(STDOUT_FILENO, ".", 1); /* after all that the child has said */
}

static void test_it_ends_with_its_parent(void)
{
	in_a_parent(killed, "end");
	in_a_parent(ended, "end.");
}

static void test_a_child_that_is_gone(void)
{
	struct opener *o;
	int fds[FDS_MAX];
	pid_t pid = -1;
	char line[64];
	FILE *f;
	if (!CHECK_EQ(opener_start(&o, &duty), 0))
		return;
	snprintf(line, sizeof(line), "/proc/self/task/%d/children", (int)getpid());
	f = fopen(line, "re");
	if (f && fgets(line, sizeof(line), f))
		pid = atoi(line);
	if (f)
		fclose(f);
	if (CHECK(pid > 0)) {
		kill(pid, SIGKILL);
		CHECK_EQ(opener_ask(o, 7, "both", fds), -EPIPE);
		CHECK_EQ(opener_ask(o, 7, "both", fds), -EPIPE);
	}
	opener_end(o);
}

int main(void)
{
	CHECK_RUN(test_beside_the_syslog);
	CHECK_RUN(test_it_opens_or_says_why_not);
	CHECK_RUN(test_several_threads_ask);
	CHECK_RUN(test_it_ends_with_its_parent);
	CHECK_RUN(test_a_child_that_is_gone);
	return CHECK_DONE();
}
