/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An opener: a child process that keeps the rights which its parent is about to give up, and opens
 * for it what it finds fit, and nothing else. It ends with its parent, or by opener_end().
 */
#ifndef CORE_OPENER_H
#define CORE_OPENER_H

#include "core/fds.h"

struct opener;

struct opener_duty {
	/* In the child: opens what the parent asks for, if that is its due; fds[] gets at most
	 * FDS_MAX descriptors, which are sent to the parent. Their number, or -errno. */
	int (*open)(void *arg, unsigned what, const char *name, int *fds);
	/* In the child: the parent has ended, however it did. */
	void (*end)(void *arg);
	void *arg; /* as it was when the child began */
};

#define OPENER_NAME_MAX 4608 /* a path (PATH_MAX), or an address; with its NUL */

/* Starts the child; before there are threads. It has no descriptor of the parent's but 0 to 2. 0 or
 * -errno. */
int opener_start(struct opener **out, const struct opener_duty *duty);
/* Asks for `name`, and waits. The number of descriptors in fds[], the caller's by then, or -errno:
 * what open() gave, or -EPIPE: the child is gone. Any thread may ask. */
int opener_ask(struct opener *o, unsigned what, const char *name, int fds[FDS_MAX]);
/* Waits until the child has ended. NULL is fine. */
void opener_end(struct opener *o);

#endif
