/* SPDX-License-Identifier: BSD-2-Clause */
#include "net/iscsi/open_iscsi.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define MAX_ARGS 16

extern char **environ;

/* Reads all of fd, and keeps its first line. */
static void first_line(int fd, char *line, size_t size)
{
	char rest[512];
	size_t have = 0;
	ssize_t n;

	while (have < size - 1 && (n = read(fd, line + have, size - 1 - have)) > 0)
		have += (size_t)n;
	while (read(fd, rest, sizeof(rest)) > 0)
		;
	line[have] = '\0';
	line[strcspn(line, "\n")] = '\0';
}

/* Runs `iscsiadm -m node -T TARGET -p PORTAL` with further words. */
static int iscsiadm(const char *target, const char *portal, char *const more[], char *error,
		    size_t size)
{
	char *argv[MAX_ARGS] = {"iscsiadm",	"-m", "node",	     "-T",
				(char *)target, "-p", (char *)portal};
	char line[256] = "";
	posix_spawn_file_actions_t fa;
	int out[2], status, err;
	size_t n = 7;
	pid_t pid;

	while (*more && n < MAX_ARGS - 1)
		argv[n++] = *more++;
	if (pipe2(out, O_CLOEXEC) < 0)
		return -errno;
	err = posix_spawn_file_actions_init(&fa);
	if (!err) {
		posix_spawn_file_actions_addopen(&fa, 0, "/dev/null", O_RDONLY, 0);
		posix_spawn_file_actions_addopen(&fa, 1, "/dev/null", O_WRONLY, 0);
		posix_spawn_file_actions_adddup2(&fa, out[1], 2);
		err = posix_spawnp(&pid, "iscsiadm", &fa, NULL, argv, environ);
		posix_spawn_file_actions_destroy(&fa);
	}
	close(out[1]);
	if (err) {
		close(out[0]);
		snprintf(error, size, "iscsiadm: %s: install open-iscsi, or leave --via away",
			 strerror(err));
		return -err;
	}
	first_line(out[0], line, sizeof(line));
	close(out[0]);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	snprintf(error, size, "%s: iscsiadm failed: %s", target,
		 line[0] ? line : "see the log of iscsid");
	return -EIO;
}

static void portal_text(const char *host, uint16_t port, char out[SOCK_HOST_MAX + 16])
{
	snprintf(out, SOCK_HOST_MAX + 16, strchr(host, ':') ? "[%s]:%u" : "%s:%u", host, port);
}

int open_iscsi_login(const char *target, const char *host, uint16_t port, int replacement_timeout,
		     char *error, size_t size)
{
	char portal[SOCK_HOST_MAX + 16], seconds[16];
	char *const record[] = {"-o", "new", NULL};
	char *const timeout[] = {"-o", "update", "-n", "node.session.timeo.replacement_timeout",
				 "-v", seconds,	 NULL};
	char *const login[] = {"--login", NULL};
	int err;

	portal_text(host, port, portal);
	snprintf(seconds, sizeof(seconds), "%d", replacement_timeout);
	err = iscsiadm(target, portal, record, error, size);
	if (!err)
		err = iscsiadm(target, portal, timeout, error, size);
	if (!err)
		err = iscsiadm(target, portal, login, error, size);
	return err;
}

int open_iscsi_logout(const struct iscsi_session *s, char *error, size_t size)
{
	char portal[SOCK_HOST_MAX + 16];
	char *const logout[] = {"--logout", NULL};

	portal_text(s->address, s->port, portal);
	return iscsiadm(s->target, portal, logout, error, size);
}
