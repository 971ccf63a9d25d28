/* SPDX-License-Identifier: BSD-2-Clause */
#include "xen/copy/precopy_report.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "core/bytes.h"
#include "core/loop.h"

static const struct precopy_limits defaults = {.max_downtime_ns = 300 * MS_NS};

void precopy_limits_print(const struct precopy_limits *l, char *out, size_t size)
{
	snprintf(out, size,
		 "downtime=%" PRIu64 " fixed=%" PRIu64 " late=%" PRIu64 " stop=%" PRIu64
		 " force=%d patient=%d throttle=%d",
		 l->max_downtime_ns, l->fixed_ns, l->late_pages, l->stop_at, l->force, l->patient,
		 l->throttle);
}

int precopy_limits_parse(const char *text, struct precopy_limits *l)
{
	struct precopy_limits p;
	unsigned force, patient, throttle;

	*l = defaults;
	if (!text)
		return 0;
	if (sscanf(text,
		   "downtime=%" SCNu64 " fixed=%" SCNu64 " late=%" SCNu64 " stop=%" SCNu64
		   " force=%u patient=%u throttle=%u",
		   &p.max_downtime_ns, &p.fixed_ns, &p.late_pages, &p.stop_at, &force, &patient,
		   &throttle) != 7 ||
	    force > 1 || patient > 1 || throttle > 1)
		return -EINVAL;
	p.force = force;
	p.patient = patient;
	p.throttle = throttle;
	*l = p;
	return 0;
}

static const char *const whats[] = {
	[PRECOPY_ROUND] = "round",	   [PRECOPY_LOOK] = "look",
	[PRECOPY_ROUND_END] = "round-end", [PRECOPY_SUSPEND] = "suspend",
	[PRECOPY_SUSPENDED] = "suspended",
};

void precopy_report_fill(struct precopy_report *r, enum precopy_what what, uint64_t at,
			 const struct precopy *p)
{
	*r = (struct precopy_report){
		.what = what,
		.at = at,
		.round = p->round,
		.pages = p->pages,
		.sent = p->sent_pages,
		.bytes = p->sent_bytes,
		.dirty = p->curve.n ? (uint64_t)p->curve.at[p->curve.n - 1].pages : 0,
		.predicted_ns = p->predicted_ns,
		.speed = p->speed,
	};
	if (p->why && what == PRECOPY_ROUND_END)
		snprintf(r->why, sizeof(r->why), "%s", p->why);
}

void precopy_report_print(const struct precopy_report *r, char *out, size_t size)
{
	snprintf(out, size,
		 "%s at=%" PRIu64 " round=%u pages=%" PRIu64 " sent=%" PRIu64 " bytes=%" PRIu64
		 " dirty=%" PRIu64 " predicted=%" PRIu64 " speed=%u verdict=%d why=%s",
		 whats[r->what], r->at, r->round, r->pages, r->sent, r->bytes, r->dirty,
		 r->predicted_ns, r->speed, (int)r->verdict, r->why[0] ? r->why : "-");
}

int precopy_report_parse(const char *text, struct precopy_report *r)
{
	char what[16];
	unsigned v;

	memset(r, 0, sizeof(*r));
	if (sscanf(text,
		   "%15s at=%" SCNu64 " round=%u pages=%" SCNu64 " sent=%" SCNu64 " bytes=%" SCNu64
		   " dirty=%" SCNu64 " predicted=%" SCNu64 " speed=%u verdict=%u why=%15s",
		   what, &r->at, &r->round, &r->pages, &r->sent, &r->bytes, &r->dirty,
		   &r->predicted_ns, &r->speed, &v, r->why) != 11 ||
	    v > PRECOPY_ABORT || r->speed < 1 || r->speed > 100)
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
