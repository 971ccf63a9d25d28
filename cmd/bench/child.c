/* SPDX-License-Identifier: BSD-2-Clause */
#include "cmd/bench/child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static void take_line(struct child *c)
{
	c->line[c->len] = '\0';
	c->len = 0;
	if (c->line[0])
		c->on_line(c->arg, c->line);
}

static void readable(void *arg, unsigned events)
{
	struct child *c = arg;
	char buf[4096];
	ssize_t n = read(c->err, buf, sizeof(buf));

	(void)events;
	for (ssize_t i = 0; i < n; i++) {
		if (buf[i] == '\n' || buf[i] == '\r')
			take_line(c);
		else if (c->len < sizeof(c->line) - 1)
			c->line[c->len++] = buf[i];
	}
	/* Its own children may hold the other end for longer than it lives. */
	if (n == 0 || (n < 0 && errno != EINTR && (errno != EAGAIN || !c->running))) {
		if (c->len)
			take_line(c);
		loop_fd_del(c->loop, &c->watch);
	}
}

static void exited(void *arg, int status)
{
	struct child *c = arg;

	c->running = false;
	c->status = status;
	while (c->watch.on)
		readable(c, 0);
	c->on_exit(c->arg);
}

static void become(const struct child *c, int err, const char *const *argv, const char *command)
{
	setpgid(0, 0);
	setpriority(PRIO_PROCESS, 0, 0);
	signal(SIGPIPE, SIG_DFL);
	dup2(c->out, STDOUT_FILENO);
	dup2(err, STDERR_FILENO);
	if (argv)
		execv("/proc/self/exe", (char *const *)argv);
	else
		execl("/bin/sh", "sh", "-c", command, (char *)NULL);
	_exit(127);
}

int child_start(struct loop *l, struct child *c, const char *const *argv, const char *command)
{
	int p[2], err;

	c->loop = l;
	c->out = memfd_create("vstor-bench", MFD_CLOEXEC);
	if (c->out < 0 || pipe2(p, O_CLOEXEC) < 0) {
		err = -errno;
		if (c->out >= 0)
			close(c->out);
		c->loop = NULL;
		return err;
	}
	c->pid = fork();
	if (c->pid == 0)
		become(c, p[1], argv, command);
	err = c->pid < 0 ? -errno : 0;
	close(p[1]);
	if (err) {
		close(p[0]);
		close(c->out);
		c->loop = NULL;
		return err;
	}
	c->err = p[0];
	fcntl(c->err, F_SETFL, O_NONBLOCK);
	c->running = true;
	loop_child_add(l, &c->wait, c->pid, exited, c);
	loop_fd_add(l, &c->watch, c->err, LOOP_READ, readable, c);
	return 0;
}

void child_signal(struct child *c, int signo)
{
	if (c->running)
		kill(c->pid, signo);
}

char *child_output(const struct child *c, size_t *n)
{
	struct stat st;
	char *text;
	ssize_t got;

	if (fstat(c->out, &st) < 0)
		return NULL;
	text = malloc((size_t)st.st_size + 1);
	if (!text)
		return NULL;
	got = pread(c->out, text, (size_t)st.st_size, 0);
	*n = got < 0 ? 0 : (size_t)got;
	text[*n] = '\0';
	return text;
}

void child_close(struct child *c)
{
	if (!c->loop)
		return;
	if (c->running) {
		loop_child_del(c->loop, &c->wait);
		kill(c->pid, SIGKILL);
		waitpid(c->pid, NULL, 0);
	}
	loop_fd_del(c->loop, &c->watch);
	close(c->out);
	close(c->err);
	*c = (struct child){0};
}
