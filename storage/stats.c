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

void stats_add(struct stats *s, struct loop *l, enum stats_kind kind, uint64_t began,
	       uint64_t bytes, bool ok)
{
	struct stats_count *c = &s->of[kind];
	c->ops++;
	c->bytes += bytes;
	c->errors += !ok;
	if (s->pending_n) {
		struct stats_pending *last = &s->pending[s->pending_n - 1];
		if (last->began == began && last->kind == kind) {
			last->n++;
			return;
		}
	}
	if (s->pending_n == STATS_PENDING)
		stats_settle(s);
	s->pending[s->pending_n++] = (struct stats_pending){began, kind, 1};
	s->loop = l;
	s->settle.fn = settle;
	s->settle.arg = s;
	loop_defer(l, &s->settle);
}
