/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The guardian: a child that does nothing but wait for its parent's end. When the parent ends
 * without having dismissed it (kill -9, out of memory, a crash), it puts in order what cannot be
 * left lying: a suspended guest at the source, a half-made one at the destination.
 */
#ifndef XEN_GUARDIAN_H
#define XEN_GUARDIAN_H

#include <limits.h>
#include <stddef.h>
#include <sys/types.h>

struct guardian {
	int fd; /* our end of its pipe; -1: none */
	pid_t pid;
};

/*
 * Forks it. In it, all descriptors but keep_fd (-1: none) are closed and logs go to syslog; when it
 * is orphaned, orphaned(arg, note, n) is called there with the last note, and it exits. That may
 * open a loop and a toolstack of its own. 0 or -errno.
 */
int guardian_start(struct guardian *g, int keep_fd,
		   void (*orphaned)(void *arg, const void *note, size_t n), void *arg);
/* What it should know from now on; n at most PIPE_BUF, always the same. */
void guardian_note(struct guardian *g, const void *note, size_t n);
/* Lets it go. Harmless when there is none (fd -1). */
void guardian_dismiss(struct guardian *g);

#endif
