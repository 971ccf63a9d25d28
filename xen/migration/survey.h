/* SPDX-License-Identifier: BSD-2-Clause */
/* Asks another host's vstor receive what that host has: memory, CPUs, load. */
#ifndef XEN_SURVEY_H
#define XEN_SURVEY_H

#include "xen/host.h"
#include "xen/migration/inquiry.h"

struct survey {
	struct loop *loop;
	const struct migration_way *way;
	struct channel *c;
	struct loop_timer timer;
	struct host_facts facts;
	char cause[CHANNEL_TEXT_MAX]; /* why there are none */
	int err;		      /* why not even a channel could be opened */
	void (*done)(void *arg, int err);
	void *arg;
};

/*
 * Asks once; then done(arg, 0): facts are there, or done(arg, -errno): cause says why not, never
 * before it has returned and not later than limit_ns from now. way stays the caller's until then.
 */
void survey_start(struct survey *s, struct loop *l, const struct migration_way *way,
		  uint64_t limit_ns, void (*done)(void *arg, int err), void *arg);
/* Harmless when all zero. */
void survey_stop(struct survey *s);

#endif
