/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The policy against guests and links that are modelled, beside Xen's own (five rounds, or fewer
 * than 50 dirty pages). With an argument it prints what came of each: a table for who changes the
 * policy.
 */
#include "xen/copy/precopy.h"

#include <stdio.h>
#include <stdlib.h>

#include "core/bytes.h"
#include "core/loop.h"
#include "tests/unit/check.h"

#define BATCH  1024u
#define S(x)   ((x)*1e9)
#define MBIT   (1e6 / 8)
#define MAX_MS 300

enum writes { IDLE, IN_TURN, AT_RANDOM, IN_PHASES };

struct model {
	const char *name;
	uint64_t pages;
	enum writes writes;
	double set,
		rate; /* pages that it writes, and how many first writes a second at full speed */
	double busy_s, quiet_s; /* phases */
	double link;		/* bytes/s */
	double page_bytes;	/* coded */
	double page_ns;		/* of the CPU */
	double noise;		/* of each batch's time */
	uint64_t holes;
};

struct outcome {
	double total_s, pause_ms, predicted_ms, lost_s; /* lost: work, to the throttle */
	unsigned rounds;
	bool aborted;
};

struct world {
	const struct model *m;
	double now; /* ns */
	double set_dirty, other_dirty;
	unsigned speed;
	double lost;
	uint64_t seed;
};

static double random_unit(struct world *w)
{
	w->seed = w->seed * 6364136223846793005ull + 1442695040888963407ull;
	return (double)(w->seed >> 11) / 9007199254740992.0;
}

static bool busy(const struct world *w)
{
	const struct model *m = w->m;

	if (m->writes == IDLE)
		return false;
	if (m->writes != IN_PHASES)
		return true;
	return (uint64_t)(w->now / 1e6) % (uint64_t)((m->busy_s + m->quiet_s) * 1e3) <
	       (uint64_t)(m->busy_s * 1e3);
}

static void pass(struct world *w, double ns)
{
	const struct model *m = w->m;
	double step = 5e6;

	while (ns > 0) {
		double dt = MIN(ns, step), guest_s = dt / 1e9 * w->speed / 100;

		if (busy(w)) {
			if (m->writes == AT_RANDOM)
				w->set_dirty += (m->set - w->set_dirty) *
						MIN(m->rate * guest_s / m->set, 1);
			else
				w->set_dirty = MIN(m->set, w->set_dirty + m->rate * guest_s);
		}
		/* An idle guest keeps writing the same few pages. */
		w->other_dirty += (250 - w->other_dirty) * guest_s * 2;
		w->lost += dt / 1e9 * (100 - w->speed) / 100;
		w->now += dt;
		ns -= dt;
	}
}

static double dirty(const struct world *w)
{
	return w->set_dirty + w->other_dirty;
}

static double copy_time(struct world *w, double pages)
{
	double ns = MAX(pages * w->m->page_ns, pages * w->m->page_bytes / w->m->link * 1e9);

	return ns * (1 + w->m->noise * (2 * random_unit(w) - 1));
}

/* Sends what a round has to, telling the policy. */
static void send_round(struct world *w, struct precopy *p, double pages, uint64_t holes)
{
	double told = w->now;

	for (; holes >= BATCH; holes -= BATCH) {
		pass(w, 1e6);
		if (p)
			precopy_sent(p, (uint64_t)w->now, BATCH, 0, 8200);
	}
	while (pages >= 1) {
		double n = MIN(pages, BATCH);

		pass(w, copy_time(w, n));
		pages -= n;
		if (!p)
			continue;
		precopy_sent(p, (uint64_t)w->now, (uint64_t)n, (uint64_t)n,
			     (uint64_t)(n * w->m->page_bytes));
		if (w->now - told > S(0.1)) {
			precopy_look(p, (uint64_t)w->now, (uint64_t)dirty(w));
			told = w->now;
		}
		w->speed = p->speed;
	}
}

static double clean(struct world *w)
{
	double n = dirty(w);

	pass(w, S(0.02));
	w->set_dirty = w->other_dirty = 0;
	return n;
}

static struct outcome finish(struct world *w, unsigned rounds)
{
	struct outcome o = {.rounds = rounds, .lost_s = w->lost};
	double from;

	w->speed = 100;
	pass(w, S(0.01)); /* until it has frozen its processes */
	from = w->now;
	w->now += copy_time(w, dirty(w));
	o.pause_ms = (w->now - from) / 1e6;
	o.total_s = w->now / 1e9;
	return o;
}

static struct world world(const struct model *m, uint64_t seed)
{
	return (struct world){.m = m, .speed = 100, .seed = seed, .now = 1e9};
}

static struct outcome play_xl(const struct model *m, uint64_t seed)
{
	struct world w = world(m, seed);
	double n = (double)m->pages;
	unsigned i;

	for (i = 0;; i++) {
		send_round(&w, NULL, n, i ? 0 : m->holes);
		if (n < 50 || i >= 5)
			break;
		n = clean(&w);
	}
	return finish(&w, i + 2);
}

static struct outcome play(const struct model *m, const struct precopy_limits *l, uint64_t seed)
{
	struct world w = world(m, seed);
	double n = (double)m->pages;
	struct outcome o;
	struct precopy p;

	precopy_init(&p, l, m->pages);
	for (unsigned i = 0;; i++) {
		enum precopy_verdict v;

		precopy_before(&p, (uint64_t)w.now, i, i ? (uint64_t)n : m->pages + m->holes);
		send_round(&w, &p, n, i ? 0 : m->holes);
		v = precopy_after(&p, (uint64_t)w.now, (uint64_t)dirty(&w), 0);
		w.speed = p.speed;
		if (v == PRECOPY_ABORT)
			return (struct outcome){.aborted = true, .rounds = i + 1};
		if (v == PRECOPY_STOP) {
			o = finish(&w, i + 2);
			o.predicted_ms = (double)p.predicted_ns / 1e6;
			return o;
		}
		if (i > 2 * PRECOPY_MAX_ROUNDS)
			return (struct outcome){.aborted = true, .rounds = 999};
		n = clean(&w);
	}
}

#define GUEST(n, w, s, r) .name = n, .pages = 65536, .writes = w, .set = s, .rate = r
#define RAW(mbit)	  .link = mbit * MBIT, .page_bytes = 4100, .page_ns = 4000, .noise = 0.2
#define CODED(mbit)	  .link = mbit * MBIT, .page_bytes = 1500, .page_ns = 25000, .noise = 0.2

static const struct model models[] = {
	{GUEST("idle, 100 Mbit/s", IDLE, 0, 0), RAW(100), .holes = 983040},
	{GUEST("idle, 1 Gbit/s", IDLE, 0, 0), RAW(1000)},
	{GUEST("64 MB in turn, 100 Mbit/s", IN_TURN, 16384, 60000), RAW(100), .holes = 983040},
	{GUEST("64 MB in turn, 100 Mbit/s, coded", IN_TURN, 16384, 60000), CODED(100)},
	{GUEST("64 MB in turn, 1 Gbit/s", IN_TURN, 16384, 60000), RAW(1000)},
	{GUEST("8 MB in turn, 100 Mbit/s", IN_TURN, 2048, 60000), RAW(100)},
	{GUEST("64 MB at random, 100 Mbit/s", AT_RANDOM, 16384, 20000), RAW(100)},
	{GUEST("64 MB slowly, 100 Mbit/s", IN_TURN, 16384, 1500), RAW(100)},
	{GUEST("phases of 64 MB, 100 Mbit/s", IN_PHASES, 16384, 60000), .busy_s = 4, .quiet_s = 9,
	 RAW(100)},
	{GUEST("200 MB at random, 1 Gbit/s", AT_RANDOM, 50000, 100000), RAW(1000)},
};

static const struct precopy_limits normal = {
	.max_downtime_ns = MAX_MS * MS_NS, .fixed_ns = 100 * MS_NS, .throttle = true};

static bool talk;

static void tell(const struct model *m, const struct outcome *o, const struct outcome *xl)
{
	if (talk)
		printf("%-34s total %5.1f / %5.1f s, last copy %5.0f / %5.0f ms, rounds %2u / %u, "
		       "lost %.1f s, predicted %.0f ms%s\n",
		       m->name, o->total_s, xl->total_s, o->pause_ms, xl->pause_ms, o->rounds,
		       xl->rounds, o->lost_s, o->predicted_ms, o->aborted ? ", aborted" : "");
}

/* Whatever the guest does: the last copy keeps the bound, and not at the price of the total. */
static void test_bounded(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(models); i++)
		for (uint64_t seed = 1; seed <= 5; seed++) {
			struct outcome xl = play_xl(&models[i], seed);
			struct outcome o = play(&models[i], &normal, seed);

			if (seed == 1)
				tell(&models[i], &o, &xl);
			CHECK(!o.aborted);
			/* The noise of one batch, and what it writes until it has frozen. */
			CHECK(o.pause_ms <= MAX_MS * 1.5);
			CHECK(o.pause_ms <= MAX(xl.pause_ms * 1.1, MAX_MS - 100));
			CHECK(o.total_s <= xl.total_s * 1.1 + 1);
		}
}

int main(int argc, char **argv)
{
	(void)argv;
	talk = argc > 1;
	CHECK_RUN(test_bounded);
	return CHECK_DONE();
}
