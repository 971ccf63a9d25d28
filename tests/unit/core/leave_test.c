/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/leave.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/check.h"

#define MEMORY (32 << 20)

/* As a helper ends: its status, and that its pipe has come to its end. */
static void test_ends(void)
{
	int fds[2], status = -1, others = 0;
	pid_t pid, ended;
	char c;

	CHECK_EQ(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
	CHECK_EQ(pipe(fds), 0);
	pid = fork();
	if (pid == 0) {
		void *p = malloc(MEMORY);

		leave_memory_behind();
		memset(p, 1, MEMORY);
		exit(7);
	}
	close(fds[1]);
	CHECK_EQ(read(fds[0], &c, 1), 0);
	close(fds[0]);
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK(WIFEXITED(status));
	CHECK_EQ(WEXITSTATUS(status), 7);

	/* The other one is ours to reap now; it needs nobody to end it. */
	while ((ended = waitpid(-1, NULL, __WALL)) > 0)
		others++;
	CHECK_EQ(errno, ECHILD);
	CHECK_EQ(others, 1);
}

int main(void)
{
	CHECK_RUN(test_ends);
	return CHECK_DONE();
}
