/* SPDX-License-Identifier: BSD-2-Clause */
#include "net/iscsi/keeper_control.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/log.h"
#include "core/self.h"
#include "net/iscsi/keeper.h"

#define PATIENCE 2 /* seconds */

void keeper_control_name(uint32_t sid, struct sockaddr_un *a)
{
	memset(a, 0, sizeof(*a));
	a->sun_family = AF_UNIX;
	snprintf(a->sun_path, sizeof(a->sun_path), KEEPER_DIR "/keeper-%u", sid);
}

/* A connection to the session's keeper; -ENOENT when there is none. */
static int control_connect(uint32_t sid)
{
	const struct timeval patience = {.tv_sec = PATIENCE};
	struct sockaddr_un a;
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	keeper_control_name(sid, &a);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	if (connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0) {
		close(fd);
		return -ENOENT;
	}
	return fd;
}

void keeper_release(uint32_t sid)
{
	char end;
	int fd = control_connect(sid);

	if (fd < 0)
		return;
	/* The keeper ends, and its end of the connection with it. */
	if (send(fd, "release", 7, MSG_NOSIGNAL) == 7)
		while (recv(fd, &end, 1, 0) > 0)
			;
	close(fd);
}

int keeper_status(uint32_t sid, struct keeper_status *st)
{
	int fd = control_connect(sid);
	ssize_t n = -1;

	if (fd < 0)
		return fd;
	if (send(fd, "status", 6, MSG_NOSIGNAL) == 6)
		n = recv(fd, st, sizeof(*st), 0);
	close(fd);
	return n == sizeof(*st) ? 0 : -ENOENT;
}

int keeper_start(const struct iscsi_session *s)
{
	char sid[16];
	const char *const argv[] = {"vstor", "keeper", sid, NULL};
	int fd, status, rc;
	pid_t pid;

	if (!keeper_owns(s))
		return 0;
	fd = control_connect(s->sid);
	if (fd >= 0) {
		close(fd);
		return 0;
	}
	snprintf(sid, sizeof(sid), "%u", s->sid);
	/* Who started us may wait for the end of our standard output. */
	rc = self_spawn(argv, SELF_NULL, SELF_NULL, &pid);
	if (!rc) {
		while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
			;
		rc = WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -ECHILD;
	}
	if (rc)
		log_warn("session %u %s: no keeper (%s): it will not come back by itself when the "
			 "connection is lost; run `vstor attach --resume`",
			 s->sid, s->target, strerror(-rc));
	return rc;
}
