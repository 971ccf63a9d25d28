/* SPDX-License-Identifier: BSD-2-Clause */
/* A process beside us: its stdout is kept, its stderr read line by line. */
#ifndef CMD_BENCH_CHILD_H
#define CMD_BENCH_CHILD_H

#include <stdbool.h>
#include <sys/types.h>

#include "core/loop.h"

struct child {
	struct loop *loop;
	bool running;
	pid_t pid;
	int status; /* as of waitpid(2), when it has ended */
	int out;    /* a memory file: what it has written */
	int err;
	char line[1024];
	size_t len;
	struct loop_fd watch;
	struct loop_child wait;
	void (*on_line)(void *arg, const char *line);
	void (*on_exit)(void *arg); /* after the last line */
	void *arg;
};

/*
 * Runs this program with the words of argv ("vstor" first, NULL last), or, when argv is NULL, a
 * shell command: in a process group of its own, which a Ctrl-C does not reach, and
 * with the usual priority, whatever ours is. on_line, on_exit and
 * arg are set by the caller, the rest is all zero. 0 or -errno.
 */
int child_start(struct loop *l, struct child *c, const char *const *argv, const char *command);
void child_signal(struct child *c, int signo);
/* What it has written, with a NUL behind it, the caller's to free; NULL: no memory. */
char *child_output(const struct child *c, size_t *n);
/* Kills it if it still runs. Harmless when all zero. */
void child_close(struct child *c);

#endif
