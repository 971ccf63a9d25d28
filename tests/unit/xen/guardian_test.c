/* SPDX-License-Identifier: BSD-2-Clause */
#include "xen/guardian.h"

#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/check.h"

#define LIMIT_MS 10000

/* In the guardian: tells the test, by the descriptor that it was allowed to keep. */
static void tell(void *arg, const void *note, size_t n)
{
	(void)!write(*(int *)arg, note, n);
}

/* A parent that gives notes and then ends in some way; what its guardian said, "" for nothing. */
static void parent_that(void (*ends)(struct guardian *g), char *said, size_t size)
{
	int p[2], keep;
	size_t have = 0;
	ssize_t n;
	pid_t pid;

	said[0] = 0;
	if (pipe(p))
		return;
	keep = p[1];
	pid = fork();
	if (pid == 0) {
		struct guardian g;

		close(p[0]);
		if (guardian_start(&g, keep, tell, &keep))
			_exit(1);
		guardian_note(&g, "first", 5);
		guardian_note(&g, "second", 6);
		ends(&g);
		_exit(0);
	}
	close(p[1]);
	/* The end of file comes when parent and guardian are both gone. */
	while (poll(&(struct pollfd){.fd = p[0], .events = POLLIN}, 1, LIMIT_MS) == 1) {
		n = read(p[0], said + have, size - 1 - have);
		if (n <= 0)
			break;
		have += (size_t)n;
		said[have] = 0;
	}
	if (have == 0 && poll(&(struct pollfd){.fd = p[0]}, 1, 0) == 0)
		CHECK_STR("the guardian", "ended");
	close(p[0]);
	waitpid(pid, NULL, 0);
}

static void killed(struct guardian *g)
{
	(void)g;
	raise(SIGKILL);
}

static void dismisses(struct guardian *g)
{
	guardian_dismiss(g);
	guardian_dismiss(g);
}

static void terminated(struct guardian *g)
{
	/* as when a whole session is told to stop */
	kill(g->pid, SIGTERM);
	raise(SIGKILL);
}

static void test_orphaned(void)
{
	char said[32];

	parent_that(killed, said, sizeof(said));
	CHECK_STR(said, "second");
	parent_that(terminated, said, sizeof(said));
	CHECK_STR(said, "second");
}

static void test_dismissed(void)
{
	char said[32];

	parent_that(dismisses, said, sizeof(said));
	CHECK_STR(said, "");
}

int main(void)
{
	CHECK_RUN(test_orphaned);
	CHECK_RUN(test_dismissed);
	return CHECK_DONE();
}
