/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/self.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static int place(posix_spawn_file_actions_t *fa, int at, int fd)
{
	if (fd == SELF_KEEPS)
		return 0;
	if (fd == SELF_NULL)
		return posix_spawn_file_actions_addopen(fa, at, "/dev/null", O_RDWR, 0);
	return posix_spawn_file_actions_adddup2(fa, fd, at);
}

int self_spawn(const char *const *argv, int out, int err, pid_t *pid)
{
	posix_spawn_file_actions_t fa;
	int rc = posix_spawn_file_actions_init(&fa);

	if (rc)
		return -rc;
	rc = place(&fa, 0, SELF_NULL);
	if (!rc)
		rc = place(&fa, 1, out);
	if (!rc)
		rc = place(&fa, 2, err);
	if (!rc)
		rc = posix_spawn(pid, "/proc/self/exe", &fa, NULL, (char *const *)argv, environ);
	posix_spawn_file_actions_destroy(&fa);
	return -rc;
}

int self_leave(const char *const *argv, int out, int err)
{
	pid_t pid = fork(), theirs;
	int status;

	if (pid < 0)
		return -errno;
	if (pid == 0) {
		setsid();
		_exit(self_spawn(argv, out, err, &theirs) ? 1 : 0);
	}
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return status ? -ECHILD : 0;
}
