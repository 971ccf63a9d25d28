/* SPDX-License-Identifier: BSD-2-Clause */
/* An agent of this program's own, on the loopback: the test's main() is `vstor`, too. */
#ifndef TESTS_UNIT_CMD_BENCH_AGENT_RIG_H
#define TESTS_UNIT_CMD_BENCH_AGENT_RIG_H

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/check.h"

static char dir[] = "/tmp/vstor-experiment-XXXXXX";
static char key[64], where[64]; /* of the agent that was started last */
static pid_t agent_pid;

static inline void write_key(const char *name, const char *text)
{
	int fd;

	snprintf(key, sizeof(key), "%s/%s", dir, name);
	fd = open(key, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		abort();
	close(fd);
}

static inline void agent_start(void)
{
	char fd[16], text[16] = "";
	int p[2];

	if (pipe(p) < 0)
		abort();
	fflush(NULL);
	agent_pid = fork();
	if (agent_pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		snprintf(fd, sizeof(fd), "%d", p[1]);
		close(p[0]);
		execl("/proc/self/exe", "vstor", "bench", "agent", "--listen", "127.0.0.1:0",
		      "--key-file", key, "--ready-fd", fd, NULL);
		_exit(127);
	}
	close(p[1]);
	CHECK(read(p[0], text, sizeof(text) - 1) > 1);
	close(p[0]);
	snprintf(where, sizeof(where), "127.0.0.1:%d", atoi(text));
}

static inline void agent_stop(void)
{
	int status;

	kill(agent_pid, SIGTERM);
	waitpid(agent_pid, &status, 0);
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static inline void rig_open(void)
{
	if (!mkdtemp(dir))
		abort();
	write_key("key", "a secret of at least 16 bytes...");
}

static inline int rig_close(void)
{
	return check_remove(dir);
}

#endif
