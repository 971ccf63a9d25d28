/* SPDX-License-Identifier: BSD-2-Clause */
#include "xen/copy/precopy.h"

#include <string.h>

#include "core/bytes.h"
#include "core/loop.h"

/* Fewer bytes fit into the buffers on the way, and tell nothing of its speed. */
#define WINDOW_BYTES (2ull << 20)
#define WINDOW_NS    (200 * MS_NS)
/* A round of fewer takes what a round takes: of that, a page of it is not to be charged with all.
 */
#define ROUND_PAGES 1024.0

/* The bound rises over so many rounds; a guest that is slowed does not wait for that. */
#define BOUND_STEPS 8u
#define STALLED	    3u	/* rounds without gain, until the next best is taken */
#define GAIN	    0.9 /* what is left of the dirty set has to be less than this for a gain */
/* More than this left after a round, and the rounds to come would take longer than this one: the
 * guest is slowed. */
#define SLOW_WHEN 0.5
#define SLOW_TO	  0.3		/* what a slowed round should leave */
#define SETTLE_NS (300 * MS_NS) /* until a change of speed can be seen */

static const unsigned speeds[] = {100, 70, 50, 35, 25, 18, 12, 8, 5, PRECOPY_SLOWEST};

void precopy_init(struct precopy *p, const struct precopy_limits *limits, uint64_t guest_pages)
{
	*p = (struct precopy){.limits = *limits,
			      .guest_pages = guest_pages,
			      .speed = 100,
			      .least_dirty = UINT64_MAX,
			      .predicted_ns = UINT64_MAX};
}

/* ---- how the dirty set grows ---- */

static void curve_add(struct precopy_curve *c, double ns, double pages)
{
	if (c->n == PRECOPY_CURVE) {
		c->n /= 2;
		for (unsigned i = 0; i < c->n; i++)
			c->at[i] = c->at[2 * i + 1];
	}
	c->at[c->n].ns = ns;
	c->at[c->n++].pages = pages;
}

/* After so long; beyond what was seen, it grows on as it did in the last quarter. */
static double curve_at(const struct precopy_curve *c, double ns)
{
	double ns0 = 0, pages0 = 0;
	unsigned i, from;

	if (!c->n)
		return 0;
	for (i = 0; i < c->n && c->at[i].ns < ns; i++) {
		ns0 = c->at[i].ns;
		pages0 = c->at[i].pages;
	}
	if (i == c->n) {
		from = c->n * 3 / 4;
		if (from == c->n - 1 && from)
			from--;
		ns0 = from ? c->at[from].ns : 0;
		pages0 = from ? c->at[from].pages : 0;
		i--;
	}
	if (c->at[i].ns <= ns0)
		return c->at[i].pages;
	return pages0 + (ns - ns0) * (c->at[i].pages - pages0) / (c->at[i].ns - ns0);
}

/* Dirty pages after a round of `ns` at this speed. */
static double dirty_after(const struct precopy *p, double ns, unsigned speed)
{
	double pages = curve_at(&p->curve, ns * speed / 100);

	return p->guest_pages ? MIN(pages, (double)p->guest_pages) : pages;
}

static void ran(struct precopy *p, uint64_t now)
{
	p->ran_ns += (double)(now - p->looked_at) * p->speed / 100;
	p->looked_at = now;
}

/* ---- what sending costs ---- */

/* A new figure counts by its weight against all before it. */
static void learn(double *known, double x, double weight)
{
	*known = *known > 0 ? *known + MIN(weight, 1) * (x - *known) : x;
}

static void window_close(struct precopy *p, uint64_t now)
{
	double ns = (double)(now - p->window.at);

	if (p->window.bytes >= WINDOW_BYTES && ns > 0)
		learn(&p->rate, (double)p->window.bytes * SEC_NS / ns, 0.5);
	/* Of the bulk in round 0 only until there are pages that the guest has written. */
	if (p->window.pages && p->round == 0 && p->window.bytes >= WINDOW_BYTES) {
		learn(&p->page_ns, ns / (double)p->window.pages, 0.5);
		learn(&p->page_bytes, (double)p->window.bytes / (double)p->window.pages, 0.5);
	}
	p->window = (struct precopy_window){.at = now};
}

void precopy_sent(struct precopy *p, uint64_t now, uint64_t pfns, uint64_t pages, uint64_t bytes)
{
	p->sent_pages += pages;
	p->sent_bytes += bytes;
	/* Holes cost time of their own, and are sent but once. */
	if (pages * 2 < pfns && p->round == 0) {
		p->window = (struct precopy_window){.at = now};
		return;
	}
	p->window.pages += pages;
	p->window.bytes += bytes;
	if (p->window.bytes >= WINDOW_BYTES && now - p->window.at >= WINDOW_NS)
		window_close(p, now);
}

void precopy_left_out(struct precopy *p, uint64_t pages)
{
	p->pages -= MIN(pages, p->pages);
}

static void round_close(struct precopy *p, uint64_t now)
{
	double weight = (double)p->sent_pages / ROUND_PAGES;

	window_close(p, now);
	if (p->round == 0 || !p->sent_pages)
		return;
	learn(&p->page_ns, (double)(now - p->began) / (double)p->sent_pages, weight);
	learn(&p->page_bytes, (double)p->sent_bytes / (double)p->sent_pages, weight);
}

/* A round of few pages fits into the buffers: then the way's speed tells more than the time. */
static double copy_ns(const struct precopy *p, double pages)
{
	double by_bytes = p->rate > 0 ? pages * p->page_bytes * SEC_NS / p->rate : 0;

	return MAX(pages * p->page_ns, by_bytes);
}

/* ---- the guest's speed ---- */

static void set_speed(struct precopy *p, uint64_t now, unsigned speed)
{
	if (speed == p->speed)
		return;
	p->speed = speed;
	p->speed_at = now;
	p->stalled = 0; /* what it did at another speed tells nothing */
}

static unsigned next_slower(unsigned speed)
{
	for (size_t i = 0; i < ARRAY_SIZE(speeds); i++)
		if (speeds[i] < speed)
			return speeds[i];
	return PRECOPY_SLOWEST;
}

/* The fastest at which a round of `ns` leaves what it should. */
static void choose_speed(struct precopy *p, uint64_t now, double ns)
{
	size_t i = 0;

	while (i + 1 < ARRAY_SIZE(speeds) && dirty_after(p, ns, speeds[i]) > p->aim)
		i++;
	set_speed(p, now, speeds[i]);
}

void precopy_look(struct precopy *p, uint64_t now, uint64_t dirty)
{
	double before = p->curve.n ? p->curve.at[p->curve.n - 1].pages : 0, left, slope;
	uint64_t last = p->looked_at;

	ran(p, now);
	curve_add(&p->curve, p->ran_ns, (double)dirty);
	if (p->limits.throttle && p->limits.stop_at && now >= p->limits.stop_at) {
		set_speed(p, now, PRECOPY_SLOWEST);
		return;
	}
	if (p->speed == 100 || now - p->speed_at < SETTLE_NS || now == last)
		return;
	left = p->pages > p->sent_pages ? copy_ns(p, (double)(p->pages - p->sent_pages)) : 0;
	slope = ((double)dirty - before) / (double)(now - last);
	if ((double)dirty + slope * left > p->aim * 1.3)
		set_speed(p, now, next_slower(p->speed));
}

/* ---- the verdict ---- */

void precopy_before(struct precopy *p, uint64_t now, unsigned round, uint64_t pages)
{
	if (round == 0 && p->guest_pages)
		pages = MIN(pages, p->guest_pages);
	if (round)
		p->overhead_ns = (double)(now - p->asked_at);
	p->round = round;
	p->began = p->looked_at = now;
	p->pages = pages;
	p->sent_pages = p->sent_bytes = 0;
	p->window = (struct precopy_window){.at = now};
	p->curve.n = 0;
	p->ran_ns = 0;
}

static enum precopy_verdict verdict(struct precopy *p, enum precopy_verdict v, const char *why)
{
	p->why = why;
	return v;
}

/* What the last copy may take. Where the fixed part leaves less than half, half: a bound that
 * nothing could meet would bound nothing. */
static double budget(const struct precopy *p)
{
	uint64_t max = p->limits.max_downtime_ns;

	return MAX((double)max - (double)p->limits.fixed_ns, (double)max / 2);
}

/* Rounds gain nothing, and the guest cannot be slowed further. */
static enum precopy_verdict hopeless(struct precopy *p, uint64_t dirty, const char *why)
{
	if (p->limits.patient)
		return verdict(p, PRECOPY_GO_ON, "waiting");
	if (!p->limits.force)
		return verdict(p, PRECOPY_ABORT, why);
	/* At a low of the dirty set, if one comes by. */
	if ((double)dirty > (double)p->least_dirty / GAIN && p->stalled < 2 * STALLED)
		return verdict(p, PRECOPY_GO_ON, "lower");
	return verdict(p, PRECOPY_STOP, why);
}

/* The last copy would take too long: on, and slower if that does not gain. */
static enum precopy_verdict go_on(struct precopy *p, uint64_t now, uint64_t dirty, double next_ns)
{
	bool slowest = !p->limits.throttle || p->speed == PRECOPY_SLOWEST;

	p->stalled =
		p->last_dirty && (double)dirty >= GAIN * (double)p->last_dirty ? p->stalled + 1 : 0;
	if (slowest && p->stalled >= STALLED)
		return hopeless(p, dirty, "stalled");
	if (p->round + 1 >= PRECOPY_MAX_ROUNDS)
		return hopeless(p, dirty, "rounds");
	if (!p->limits.throttle)
		return verdict(p, PRECOPY_GO_ON, "converging");
	p->aim = SLOW_TO * (double)dirty;
	if (p->speed < 100 || dirty_after(p, next_ns, 100) > SLOW_WHEN * (double)dirty)
		choose_speed(p, now, next_ns);
	return verdict(p, PRECOPY_GO_ON, p->speed < 100 ? "slowed" : "converging");
}

enum precopy_verdict precopy_after(struct precopy *p, uint64_t now, uint64_t dirty, uint64_t queued)
{
	double most = budget(p), last, next, level;
	enum precopy_verdict v;

	p->asked_at = now;
	ran(p, now);
	round_close(p, now);
	if (dirty == UINT64_MAX)
		dirty = (uint64_t)curve_at(&p->curve, p->ran_ns);
	else
		curve_add(&p->curve, p->ran_ns, (double)dirty);
	if (p->page_ns <= 0)
		return verdict(p, PRECOPY_GO_ON, "unmeasured");
	last = copy_ns(p, (double)dirty) + (p->rate > 0 ? (double)queued * SEC_NS / p->rate : 0);
	/* Rounds can do nothing about what it writes then: told, but not decided by. */
	p->predicted_ns =
		(uint64_t)(last + copy_ns(p, (double)p->limits.late_pages)) + p->limits.fixed_ns;
	next = copy_ns(p, (double)dirty) + p->overhead_ns;
	level = p->speed < 100 ? most : most * MIN(p->round + 1, BOUND_STEPS) / BOUND_STEPS;

	if (dirty < PRECOPY_FEW_PAGES)
		return verdict(p, PRECOPY_STOP, "few");
	if (last <= level)
		return verdict(p, PRECOPY_STOP, "fits");
	if (last <= most && dirty_after(p, next, p->speed) >= GAIN * (double)dirty)
		return verdict(p, PRECOPY_STOP, "least");
	if (p->limits.stop_at && now >= p->limits.stop_at)
		return verdict(p, PRECOPY_STOP, "time");
	v = last <= most ? verdict(p, PRECOPY_GO_ON, "shorter") : go_on(p, now, dirty, next);
	p->last_dirty = dirty;
	p->least_dirty = MIN(p->least_dirty, dirty);
	return v;
}

void precopy_wait(struct precopy *p, uint64_t now)
{
	set_speed(p, now, 100);
	p->why = "turn";
}

/* How long that took tells nothing of what a round costs or gains. */
void precopy_waited(struct precopy *p, uint64_t now)
{
	p->asked_at = now;
	p->last_dirty = 0;
	p->stalled = 0;
}
