/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/opener.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/bytes.h"
#include "core/log.h"

#ifndef SYS_close_range
#define SYS_close_range 436 /* on all architectures */
#endif

struct opener {
	pthread_mutex_t lock; /* one question at a time */
	pid_t pid;
	int sock;
};

struct question {
	uint32_t what;
	char name[OPENER_NAME_MAX];
};

/* ---- the child ---- */

static void close_others(int *sock)
{
	log_close(); /* its socket may be what lies in that place */
	if (*sock != STDERR_FILENO + 1) {
		dup3(*sock, STDERR_FILENO + 1, O_CLOEXEC);
		*sock = STDERR_FILENO + 1;
	}
	if (syscall(SYS_close_range, *sock + 1, UINT32_MAX, 0) == 0)
		return;
	for (long fd = sysconf(_SC_OPEN_MAX); fd > *sock; fd--) /* before Linux 5.9 */
		close((int)fd);
}

static void answer(const struct opener_duty *d, int sock, struct question *q, size_t len)
{
	int fds[FDS_MAX];
	int32_t n = -EINVAL;
	if (len > offsetof(struct question, name) && len < sizeof(*q)) {
		((char *)q)[len] = '\0';
		n = d->open(d->arg, q->what, q->name, fds);
	}
	(void)fds_send(sock, &n, sizeof(n), fds, n > 0 ? (unsigned)n : 0);
	for (int32_t i = 0; i < n; i++)
		close(fds[i]);
}

__attribute__((noreturn)) static void serve(const struct opener_duty *d, int sock)
{
	/* A terminal or a service manager means the parent, which has to finish what it does. */
	static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE};
	struct question q;
	ssize_t n;
	for (unsigned i = 0; i < ARRAY_SIZE(signals); i++)
		signal(signals[i], SIG_IGN);
	prctl(PR_SET_NAME, "vstor-opener");
	close_others(&sock);
	/* The end comes with the parent's: nobody else has the other end of the socket. A signal at
	 * its death (PR_SET_PDEATHSIG) would leave no time for end(). */
	while ((n = recv(sock, &q, sizeof(q), 0)) > 0 || (n < 0 && errno == EINTR))
		if (n > 0)
			answer(d, sock, &q, (size_t)n);
	d->end(d->arg);
	_exit(0);
}

/* ---- the parent ---- */

int opener_start(struct opener **out, const struct opener_duty *duty)
{
	struct opener *o = calloc(1, sizeof(*o));
	int sv[2], rc;
	*out = NULL;
	if (!o)
		return -ENOMEM;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv) < 0) {
		rc = -errno;
		free(o);
		return rc;
	}
	o->pid = fork();
	if (o->pid == 0)
		serve(duty, sv[1]);
	rc = o->pid < 0 ? -errno : 0;
	close(sv[1]);
	if (rc) {
		close(sv[0]);
		free(o);
		return rc;
	}
	pthread_mutex_init(&o->lock, NULL);
	o->sock = sv[0];
	*out = o;
	return 0;
}

int opener_ask(struct opener *o, unsigned what, const char *name, int fds[FDS_MAX])
{
	struct question q = {.what = what};
	size_t len = strlen(name);
	unsigned count = FDS_MAX;
	int32_t n = 0;
	ssize_t r;

	if (!len || len >= sizeof(q.name))
		return len ? -ENAMETOOLONG : -ENOENT;
	memcpy(q.name, name, len);
	pthread_mutex_lock(&o->lock);
	r = fds_send(o->sock, &q, offsetof(struct question, name) + len, NULL, 0);
	if (r > 0)
		r = fds_receive(o->sock, &n, sizeof(n), 0, fds, &count);
	pthread_mutex_unlock(&o->lock);
	if (r != sizeof(n))
		return -EPIPE;
	if (n < 0 || (unsigned)n == count)
		return n;
	while (count) /* some found no place among our descriptors */
		close(fds[--count]);
	return -EMFILE;
}

void opener_end(struct opener *o)
{
	char nothing;
	if (!o)
		return;
	shutdown(o->sock, SHUT_WR);
	while (recv(o->sock, &nothing, 1, 0) < 0 && errno == EINTR)
		;
	close(o->sock);
	while (waitpid(o->pid, NULL, 0) < 0 && errno == EINTR)
		;
	pthread_mutex_destroy(&o->lock);
	free(o);
}
