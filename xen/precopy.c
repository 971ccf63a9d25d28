/* SPDX-License-Identifier: BSD-2-Clause */
#include "xen/precopy.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "core/bytes.h"
#include "core/loop.h"

#define STALLED_ROUNDS 3u

static const struct precopy_limits defaults = {
	.max_downtime_ns = 300 * MS_NS,
	.max_rounds = PRECOPY_MAX_ROUNDS,
};

void precopy_init(struct precopy *p, const struct precopy_limits *limits, uint64_t guest_pages)
{
	*p = (struct precopy){
		.limits = *limits, .guest_pages = guest_pages, .predicted_ns = UINT64_MAX};
}

static enum precopy_verdict verdict(struct precopy *p, enum precopy_verdict v, const char *why)
{
	p->why = why;
	return v;
}

/* The guest writes as fast as the link carries: more rounds would only cost. */
static enum precopy_verdict hopeless(struct precopy *p, const char *why)
{
	return verdict(p, p->limits.strict ? PRECOPY_ABORT : PRECOPY_STOP, why);
}

enum precopy_verdict precopy_before(struct precopy *p, uint64_t now, unsigned round, uint64_t dirty)
{
	p->round_began = now;
	p->round_pages = dirty;
	if (round == 0) {
		if (p->guest_pages)
			p->round_pages = MIN(dirty, p->guest_pages);
		p->last_dirty = p->round_pages;
		return verdict(p, PRECOPY_GO_ON, "first");
	}

	p->stalled = dirty * 10 >= p->last_dirty * 9 ? p->stalled + 1 : 0;
	p->last_dirty = dirty;
	p->predicted_ns = UINT64_MAX;
	if (p->rate)
		p->predicted_ns =
			(uint64_t)((double)dirty * PRECOPY_PAGE * SEC_NS / (double)p->rate);
	if (dirty < PRECOPY_FEW_PAGES)
		return verdict(p, PRECOPY_STOP, "few");
	if (p->predicted_ns <= p->limits.max_downtime_ns)
		return verdict(p, PRECOPY_STOP, "fits");
	if (p->stalled >= STALLED_ROUNDS)
		return hopeless(p, "stalled");
	if (round >= p->limits.max_rounds)
		return hopeless(p, "rounds");
	return verdict(p, PRECOPY_GO_ON, "converging");
}

void precopy_after(struct precopy *p, uint64_t now)
{
	if (p->round_pages < PRECOPY_MEASURE_PAGES && p->rate)
		return;
	if (now > p->round_began)
		p->rate = (uint64_t)((double)p->round_pages * PRECOPY_PAGE * SEC_NS /
				     (double)(now - p->round_began));
}

/* ---- words between the two processes ---- */

void precopy_limits_print(const struct precopy_limits *l, char *out, size_t size)
{
	snprintf(out, size, "downtime=%" PRIu64 " strict=%d rounds=%u", l->max_downtime_ns,
		 l->strict, l->max_rounds);
}

int precopy_limits_parse(const char *text, struct precopy_limits *l)
{
	struct precopy_limits p;
	unsigned strict;

	*l = defaults;
	if (!text)
		return 0;
	if (sscanf(text, "downtime=%" SCNu64 " strict=%u rounds=%u", &p.max_downtime_ns, &strict,
		   &p.max_rounds) != 3 ||
	    strict > 1)
		return -EINVAL;
	p.strict = strict;
	*l = p;
	return 0;
}

static const char *const whats[] = {
	[PRECOPY_ROUND] = "round",
	[PRECOPY_SUSPEND] = "suspend",
	[PRECOPY_SUSPENDED] = "suspended",
};

void precopy_report_print(const struct precopy_report *r, char *out, size_t size)
{
	snprintf(out, size,
		 "%s at=%" PRIu64 " round=%u dirty=%" PRIu64 " rate=%" PRIu64 " predicted=%" PRIu64
		 " verdict=%d",
		 whats[r->what], r->at, r->round, r->dirty, r->rate, r->predicted_ns,
		 (int)r->verdict);
}

int precopy_report_parse(const char *text, struct precopy_report *r)
{
	char what[16];
	unsigned v;

	memset(r, 0, sizeof(*r));
	if (sscanf(text,
		   "%15s at=%" SCNu64 " round=%u dirty=%" SCNu64 " rate=%" SCNu64
		   " predicted=%" SCNu64 " verdict=%u",
		   what, &r->at, &r->round, &r->dirty, &r->rate, &r->predicted_ns, &v) != 7 ||
	    v > PRECOPY_ABORT)
		return -EINVAL;
	r->verdict = v;
	for (size_t i = 0; i < ARRAY_SIZE(whats); i++) {
		if (strcmp(what, whats[i]) == 0) {
			r->what = i;
			return 0;
		}
	}
	return -EINVAL;
}
