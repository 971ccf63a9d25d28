/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a disk has done: operations, bytes, errors, and how long they took. Cheap enough for every
 * command: those that end in one turn of the loop share one look at the clock, at its end, which is
 * when their answers leave.
 */
#ifndef STORAGE_STATS_H
#define STORAGE_STATS_H

#include <stdbool.h>
#include <stdint.h>

#include "core/hist.h"
#include "core/loop.h"

enum stats_kind { STATS_READ, STATS_WRITE, STATS_FLUSH, STATS_KINDS };

#define STATS_PENDING 8

struct stats {
	struct loop *loop;
	struct stats_count {
		uint64_t ops, bytes, errors;
		struct hist *latency; /* ns; NULL before the first */
	} of[STATS_KINDS];

	/* ended in this turn of the loop, by the time they began */
	struct stats_pending {
		uint64_t began;
		enum stats_kind kind;
		unsigned n;
	} pending[STATS_PENDING];
	unsigned pending_n;
	struct loop_task settle;
};

/* All zero is a good beginning. */
void stats_fini(struct stats *s);
/* Operations of another kind or beginning than the last one's; for stats_add(). */
void stats_begin(struct stats *s, struct loop *l, enum stats_kind kind, uint64_t began);

/* An operation that began at `began` (loop_now() of then) ends now, in this loop. */
static inline void stats_add(struct stats *s, struct loop *l, enum stats_kind kind, uint64_t began,
			     uint64_t bytes, bool ok)
{
	struct stats_count *c = &s->of[kind];
	c->ops++;
	c->bytes += bytes;
	c->errors += !ok;
	if (!s->pending_n || s->pending[s->pending_n - 1].began != began ||
	    s->pending[s->pending_n - 1].kind != kind)
		stats_begin(s, l, kind, began);
	s->pending[s->pending_n - 1].n++;
}

/* Brings the histograms up to date, for who reads them. */
void stats_settle(struct stats *s);

#endif
