/* SPDX-License-Identifier: BSD-2-Clause */
#include "xen/copy/price.h"

#include <math.h>
#include <stdio.h>

#include "core/bytes.h"

void price_report(struct price *p, const struct precopy_report *r)
{
	struct price_round *now = p->n ? &p->round[p->n - 1] : NULL;

	if (r->what == PRECOPY_SUSPEND)
		return;
	if (r->what == PRECOPY_ROUND || r->what == PRECOPY_SUSPENDED) {
		p->last = r->what == PRECOPY_SUSPENDED;
		/* More than there is room for, as when a guest waits for its turn: the newest tells
		 * most, and the last copy has a place of its own. */
		if (p->n >= PRECOPY_MAX_ROUNDS && !p->last)
			p->n = PRECOPY_MAX_ROUNDS - 1;
		else if (p->n == ARRAY_SIZE(p->round))
			p->n--;
		now = &p->round[p->n++];
		*now = (struct price_round){.began = r->at, .pages = r->pages};
	}
	if (!now)
		return;
	now->ns = r->at - now->began;
	now->sent = r->sent;
	now->bytes = r->bytes;
	now->dirty = r->dirty;
	now->predicted_ns = p->last ? UINT64_MAX : r->predicted_ns;
	now->speed = p->last ? 100 : r->speed;
	snprintf(now->why, sizeof(now->why), "%s", p->last ? "last" : r->why);
}

double price_ratio(const struct price_round *r)
{
	return r->sent ? (double)r->dirty / (double)r->sent : NAN;
}

uint64_t price_predicted(const struct price *p)
{
	unsigned live = p->n - (p->last ? 1 : 0);

	return p->n && live ? p->round[live - 1].predicted_ns : UINT64_MAX;
}

uint64_t price_late_pages(const struct price *p)
{
	const struct price_round *last = p->n ? &p->round[p->n - 1] : NULL;

	return p->last && p->n > 1 && last->sent > last[-1].dirty ? last->sent - last[-1].dirty : 0;
}

uint64_t price_faults(const struct price *p)
{
	uint64_t pages = 0;

	for (unsigned i = 0; i < p->n; i++)
		pages += p->round[i].dirty;
	return pages * PRICE_FAULT_NS;
}
