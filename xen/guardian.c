/* SPDX-License-Identifier: BSD-2-Clause */
#include "xen/guardian.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/log.h"

/* A note is preceded by one byte, so that the last word is told from a note. */
enum { WORD_NOTE = 'n', WORD_DISMISSED = 'd' };

static void close_all_but(int a, int b)
{
	int low = a < b ? a : b, high = a < b ? b : a;

	if (low > 3)
		syscall(SYS_close_range, 3u, (unsigned)low - 1, 0u);
	if (high > low + 1)
		syscall(SYS_close_range, (unsigned)(low < 3 ? 3 : low + 1), (unsigned)high - 1, 0u);
	syscall(SYS_close_range, (unsigned)high + 1, ~0u, 0u);
}

static void detach(int fd, int keep_fd)
{
	int null = open("/dev/null", O_RDWR);

	setsid();
	for (int i = 0; i < 3; i++)
		dup2(null, i);
	log_close();
	close_all_but(fd, keep_fd);
	for (int s = 1; s < SIGSYS; s++)
		signal(s, SIG_DFL);
	/* Whoever stops the parent in an orderly way has it dismiss us. */
	signal(SIGPIPE, SIG_IGN);
	signal(SIGTERM, SIG_IGN);
	signal(SIGINT, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	sigprocmask(SIG_SETMASK, &(sigset_t){0}, NULL);
	log_set_destination("syslog");
}

static void watch(int fd, void (*orphaned)(void *arg, const void *note, size_t n), void *arg)
{
	char message[PIPE_BUF], note[PIPE_BUF];
	size_t len = 0;
	ssize_t n;

	for (;;) {
		n = read(fd, message, sizeof(message));
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		if (message[0] == WORD_DISMISSED)
			return;
		len = (size_t)n - 1;
		memcpy(note, message + 1, len);
	}
	orphaned(arg, note, len);
}

int guardian_start(struct guardian *g, int keep_fd,
		   void (*orphaned)(void *arg, const void *note, size_t n), void *arg)
{
	sigset_t all, before;
	int p[2];

	g->fd = -1;
	/* Packets: each read gives one message, however late it comes. */
	if (pipe2(p, O_CLOEXEC | O_DIRECT))
		return -errno;
	/* Until it has chosen which signals to heed, it heeds none. */
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &before);
	g->pid = fork();
	if (g->pid < 0) {
		int rc = -errno;

		sigprocmask(SIG_SETMASK, &before, NULL);
		close(p[0]);
		close(p[1]);
		return rc;
	}
	if (g->pid == 0) {
		close(p[1]);
		detach(p[0], keep_fd);
		watch(p[0], orphaned, arg);
		_exit(0);
	}
	sigprocmask(SIG_SETMASK, &before, NULL);
	close(p[0]);
	g->fd = p[1];
	return 0;
}

static void tell(struct guardian *g, char word, const void *note, size_t n)
{
	char message[PIPE_BUF];

	if (g->fd < 0 || n >= sizeof(message))
		return;
	message[0] = word;
	if (n)
		memcpy(message + 1, note, n);
	if (write(g->fd, message, n + 1) < 0)
		log_debug("the guardian process is gone: %s", strerror(errno));
}

void guardian_note(struct guardian *g, const void *note, size_t n)
{
	tell(g, WORD_NOTE, note, n);
}

void guardian_dismiss(struct guardian *g)
{
	if (g->fd < 0)
		return;
	tell(g, WORD_DISMISSED, NULL, 0);
	close(g->fd);
	g->fd = -1;
	while (waitpid(g->pid, NULL, 0) < 0 && errno == EINTR)
		;
}
