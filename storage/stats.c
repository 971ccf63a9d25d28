/* SPDX-License-Identifier: BSD-2-Clause */
#include "storage/stats.h"

#include <stdlib.h>

void stats_settle(struct stats *s)
{
	uint64_t now = s->pending_n ? clock_ns() : 0;
	for (unsigned i = 0; i < s->pending_n; i++) {
		struct stats_pending *p = &s->pending[i];
		struct stats_count *c = &s->of[p->kind];
		if (!c->latency) /* out of memory: the counters alone */
			c->latency = calloc(1, sizeof(*c->latency));
		if (c->latency)
			hist_add_n(c->latency, now - p->began, p->n);
	}
	s->pending_n = 0;
}

static void settle(void *arg)
{
	stats_settle(arg);
}

void stats_fini(struct stats *s)
{
	if (s->loop)
		loop_defer_cancel(s->loop, &s->settle);
	for (unsigned i = 0; i < STATS_KINDS; i++)
		free(s->of[i].latency);
}

void stats_begin(struct stats *s, struct loop *l, enum stats_kind kind, uint64_t began)
{
	if (s->pending_n == STATS_PENDING)
		stats_settle(s);
	s->pending[s->pending_n++] = (struct stats_pending){.began = began, .kind = kind};
	if (s->settle.queued) /* perhaps in another loop: one will do */
		return;
	s->loop = l;
	s->settle.fn = settle;
	s->settle.arg = s;
	loop_defer(l, &s->settle);
}
