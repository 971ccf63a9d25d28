/* SPDX-License-Identifier: BSD-2-Clause */
#include "cmd/migrate_progress.h"

#include <stdarg.h>
#include <stdio.h>

#include "core/bytes.h"
#include "core/loop.h"

#define MIB (1024.0 * 1024.0)

struct text {
	char *at;
	size_t left;
};

__attribute__((format(printf, 2, 3))) static void put(struct text *t, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(t->at, t->left, fmt, ap);
	va_end(ap);
	n = (int)MIN((size_t)MAX(n, 0), t->left - 1);
	t->at += n;
	t->left -= (size_t)n;
}

static double seconds(const struct migration_progress *from, const struct migration_progress *to)
{
	return (double)(to->elapsed_ns - from->elapsed_ns) / SEC_NS;
}

/* The share of the round that is done, and how long the rest will take. */
static void put_round(struct text *t, const struct migrate_progress *mp,
		      const struct migration_progress *p)
{
	double done = (double)p->round_sent - (double)mp->round.round_sent;
	double s = seconds(&mp->round, p);

	put(t, " (%.0f %%", 100.0 * (double)p->round_sent / (double)p->round_bytes);
	if (done > 0 && s > 0)
		put(t, ", %.0f s left", (double)(p->round_bytes - p->round_sent) * s / done);
	put(t, ")");
}

void migrate_progress_line(struct migrate_progress *mp, const char *domain,
			   const struct migration_progress *p, char *line, size_t size)
{
	struct text t = {.at = line, .left = size};
	double dt = seconds(&mp->last, p);
	double rate = dt > 0 ? (double)(p->sent - mp->last.sent) / dt : 0;

	/* A round's number may be seen before its share is set back. */
	if (p->round != mp->round.round || p->round_sent < mp->round.round_sent)
		mp->round = *p;
	mp->last = *p;
	put(&t, "%s: %s", domain, sender_state_name(p->state));
	if (p->round) {
		put(&t, ", round %u", p->round);
		/* Before what a narrow terminal cuts off. */
		if (p->state == S_COPY && p->round_bytes > p->round_sent)
			put_round(&t, mp, p);
		put(&t, ", %.1f MB sent, %.1f MB/s", (double)p->sent / MIB, rate / MIB);
	}
	if (p->dirty)
		put(&t, ", %.1f MB dirty", (double)p->dirty / MIB);
	if (p->speed && p->speed < 100)
		put(&t, ", slowed to %u %%", p->speed);
}
