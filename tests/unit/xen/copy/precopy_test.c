/* SPDX-License-Identifier: BSD-2-Clause */
#include "xen/copy/precopy.h"

#include <string.h>

#include "core/bytes.h"
#include "core/loop.h"
#include "tests/unit/check.h"
#include "xen/copy/precopy_report.h"
#include "xen/copy/price.h"

/* At 1 GiB/s a page takes 3815 ns, at 100 Mbit/s some 333 us. */
#define FAST_NS 3815ull
#define SLOW_NS 333000ull
#define BATCH	1024u

static const struct precopy_limits limits = {.max_downtime_ns = 300 * MS_NS, .throttle = true};

/* One round of `pages` at page_ns each; `dirty` are dirty again at its end. */
static enum precopy_verdict round_of(struct precopy *p, uint64_t *now, unsigned round,
				     uint64_t pages, uint64_t page_ns, uint64_t dirty)
{
	uint64_t sent = 0;

	precopy_before(p, *now, round, pages);
	while (sent < pages) {
		uint64_t n = pages - sent < BATCH ? pages - sent : BATCH;

		*now += n * page_ns;
		sent += n;
		precopy_sent(p, *now, n, n, n * PRECOPY_PAGE);
	}
	return precopy_after(p, *now, dirty, 0);
}

/* A guest that leaves dirty[i] pages after round i - 1, and has dirty[0]. */
static enum precopy_verdict play(struct precopy *p, const uint64_t *dirty, unsigned n,
				 uint64_t page_ns, unsigned *rounds)
{
	enum precopy_verdict v = PRECOPY_GO_ON;
	uint64_t now = 1;

	for (unsigned i = 0; i + 1 < n && v == PRECOPY_GO_ON; i++) {
		v = round_of(p, &now, i, dirty[i], page_ns, dirty[i + 1]);
		*rounds = i + 1;
	}
	return v;
}

static void test_idle_guest_stops_soon(void)
{
	const uint64_t dirty[] = {262144, 400, 20};
	struct precopy p;
	unsigned rounds;

	precopy_init(&p, &limits, 0);
	CHECK_EQ(play(&p, dirty, 3, FAST_NS, &rounds), PRECOPY_STOP);
	CHECK_EQ(rounds, 1);
	CHECK_STR(p.why, "fits");
	CHECK_EQ(p.speed, 100);
}

static void test_slow_link_goes_on_until_it_fits(void)
{
	const uint64_t dirty[] = {262144, 9000, 5000, 2000, 800, 300, 100};
	struct precopy p;
	unsigned rounds;

	precopy_init(&p, &limits, 0);
	CHECK_EQ(play(&p, dirty, 7, SLOW_NS, &rounds), PRECOPY_STOP);
	CHECK(rounds >= 4);
	CHECK(p.predicted_ns <= limits.max_downtime_ns);
}

/* It could stop, but another guest is stopped: it has its own speed meanwhile, and what it writes
 * then does not count against it. */
static void test_waits_for_its_turn(void)
{
	struct precopy p;
	uint64_t now = 1;

	precopy_init(&p, &limits, 0);
	CHECK_EQ(round_of(&p, &now, 0, 262144, SLOW_NS, 9000), PRECOPY_GO_ON);
	CHECK_EQ(round_of(&p, &now, 1, 9000, SLOW_NS, 8900), PRECOPY_GO_ON);
	CHECK(p.speed < 100);
	CHECK_EQ(round_of(&p, &now, 2, 8900, SLOW_NS, 300), PRECOPY_STOP);
	precopy_wait(&p, now);
	CHECK_EQ(p.speed, 100);
	CHECK_STR(p.why, "turn");
	now += 30 * SEC_NS;
	precopy_waited(&p, now);
	precopy_before(&p, now += 1000, 3, 9000);
	CHECK(p.overhead_ns < (double)SEC_NS);
	CHECK_EQ(round_of(&p, &now, 3, 9000, SLOW_NS, 400), PRECOPY_STOP);
}

/* The bound rises with the rounds: what could be shorter after one round more is not taken at once,
 * what cannot is. */
static void test_rising_bound(void)
{
	const uint64_t shrinks[] = {262144, 700, 80}, stays[] = {262144, 700, 700};
	struct precopy p;
	unsigned rounds;

	precopy_init(&p, &limits, 0);
	CHECK_EQ(play(&p, shrinks, 3, SLOW_NS, &rounds), PRECOPY_STOP);
	CHECK_EQ(rounds, 2);
	precopy_init(&p, &limits, 0);
	CHECK_EQ(play(&p, stays, 3, SLOW_NS, &rounds), PRECOPY_STOP);
	CHECK_EQ(rounds, 2);
	CHECK_STR(p.why, "least");
}

/* What a pause costs besides comes off what the last copy may take, down to half. */
static void test_fixed_part(void)
{
	struct precopy_limits l = limits;
	const uint64_t dirty[] = {262144, 100000, 600, 600};
	struct precopy p;
	unsigned rounds;

	l.fixed_ns = 50 * MS_NS;
	precopy_init(&p, &l, 0);
	play(&p, dirty, 3, SLOW_NS, &rounds);
	CHECK(p.predicted_ns > 200 * MS_NS + l.fixed_ns / 2);
	l.fixed_ns = SEC_NS;
	precopy_init(&p, &l, 0);
	/* 600 pages take 200 ms, half of the bound is 150 */
	CHECK_EQ(play(&p, dirty, 4, SLOW_NS, &rounds), PRECOPY_GO_ON);
}

static void test_busy_guest(void)
{
	uint64_t dirty[PRECOPY_MAX_ROUNDS + 10] = {262144};
	struct precopy_limits l = {.max_downtime_ns = 300 * MS_NS};
	const unsigned n = ARRAY_SIZE(dirty);
	struct precopy p;
	unsigned rounds;

	for (unsigned i = 1; i < n; i++)
		dirty[i] = 100000;
	precopy_init(&p, &l, 0);
	CHECK_EQ(play(&p, dirty, n, SLOW_NS, &rounds), PRECOPY_ABORT);
	CHECK_STR(p.why, "stalled");
	CHECK(rounds < 8); /* not for ever */
	CHECK_EQ(p.speed, 100);
	l.force = true;
	precopy_init(&p, &l, 0);
	CHECK_EQ(play(&p, dirty, n, SLOW_NS, &rounds), PRECOPY_STOP);
	CHECK_STR(p.why, "stalled");
	/* Somebody else's time limit ends it, and that is what decides. */
	l = (struct precopy_limits){.max_downtime_ns = 300 * MS_NS, .patient = true};
	precopy_init(&p, &l, 0);
	CHECK_EQ(play(&p, dirty, n, SLOW_NS, &rounds), PRECOPY_GO_ON);
	l.stop_at = 200 * SEC_NS;
	precopy_init(&p, &l, 0);
	CHECK_EQ(play(&p, dirty, n, SLOW_NS, &rounds), PRECOPY_STOP);
	CHECK_STR(p.why, "time");
	/* one that shrinks, but too slowly: 60 rounds do it no good */
	for (unsigned i = 1; i < n; i++)
		dirty[i] = dirty[i - 1] * 96 / 100;
	l = (struct precopy_limits){.max_downtime_ns = 300 * MS_NS};
	precopy_init(&p, &l, 0);
	p.limits.max_downtime_ns = 1 * MS_NS;
	CHECK_EQ(play(&p, dirty, n, SLOW_NS, &rounds), PRECOPY_ABORT);
}

/* Stopped at any price, it is so at a low of the dirty set, if there is one. */
static void test_forced_at_a_low(void)
{
	const uint64_t dirty[] = {262144, 50000, 99000, 99000, 99000, 99000, 52000, 99000, 99000};
	struct precopy_limits l = {.max_downtime_ns = 300 * MS_NS, .force = true};
	struct precopy p;
	unsigned rounds;

	precopy_init(&p, &l, 0);
	CHECK_EQ(play(&p, dirty, 9, SLOW_NS, &rounds), PRECOPY_GO_ON);
	CHECK(p.least_dirty == 50000);
	precopy_init(&p, &l, 0);
	p.limits.force = true;
	CHECK_EQ(play(&p, dirty, 4, SLOW_NS, &rounds), PRECOPY_GO_ON);
}

/* A guest that writes 5000 pages in a tenth of the round, over and over. */
static void test_slows_a_busy_guest(void)
{
	struct precopy p;
	uint64_t now = 1;

	precopy_init(&p, &limits, 65536);
	precopy_before(&p, now, 0, 65536);
	precopy_sent(&p, now += 65536 * SLOW_NS / 2, 32768, 32768, 32768 * PRECOPY_PAGE);
	precopy_sent(&p, now += 65536 * SLOW_NS / 2, 32768, 32768, 32768 * PRECOPY_PAGE);
	precopy_after(&p, now, 5000, 0);
	CHECK_EQ(p.speed, 100); /* nothing is known of how it grows */

	precopy_before(&p, now, 1, 5000);
	precopy_look(&p, now += 150 * MS_NS, 4999);
	precopy_sent(&p, now += 1500 * MS_NS, 5000, 5000, 5000 * PRECOPY_PAGE);
	CHECK_EQ(precopy_after(&p, now, 5000, 0), PRECOPY_GO_ON);
	CHECK_STR(p.why, "slowed");
	CHECK(p.speed <= 5);

	/* In the middle of a round: more than hoped for, so slower still. */
	p.speed = 50;
	precopy_before(&p, now, 2, 5000);
	precopy_look(&p, now += 400 * MS_NS, 1500);
	CHECK_EQ(p.speed, 35);
	precopy_look(&p, now += 150 * MS_NS, 2000);
	CHECK_EQ(p.speed, 35); /* not before it can have had an effect */
	precopy_look(&p, now += 200 * MS_NS, 2600);
	CHECK_EQ(p.speed, 25);
	/* --no-throttle */
	p.limits.throttle = false;
	p.speed = 100;
	precopy_after(&p, now + 1, 5000, 0);
	CHECK_EQ(p.speed, 100);
}

/* Round 0 of a PVH guest claims a million pages, of which it has 32768; the batches of holes take
 * time of their own. */
static void test_holes_do_not_count(void)
{
	struct precopy p;
	uint64_t now = 1;

	precopy_init(&p, &limits, 32768);
	precopy_before(&p, now, 0, 1048576);
	CHECK_EQ(p.pages, 32768);
	for (unsigned i = 0; i < 16; i++)
		precopy_sent(&p, now += BATCH * SLOW_NS, BATCH, BATCH, BATCH * PRECOPY_PAGE);
	for (unsigned i = 0; i < 1000; i++)
		precopy_sent(&p, now += 5 * MS_NS, BATCH, 0, 8 * BATCH);
	for (unsigned i = 0; i < 16; i++)
		precopy_sent(&p, now += BATCH * SLOW_NS, BATCH, BATCH, BATCH * PRECOPY_PAGE);
	precopy_after(&p, now, 10000, 0);
	CHECK(p.page_ns > SLOW_NS * 0.99 && p.page_ns < SLOW_NS * 1.01);
	/* A round that fits into the buffers tells nothing of the link. */
	precopy_before(&p, now, 1, 400);
	precopy_sent(&p, now += 1 * MS_NS, 400, 400, 400 * PRECOPY_PAGE);
	precopy_after(&p, now, 900, 0);
	CHECK(p.predicted_ns > 850 * SLOW_NS && p.predicted_ns < 950 * SLOW_NS);
	/* What is still in the buffers has to go first. */
	precopy_after(&p, now, 900, 100 * PRECOPY_PAGE);
	CHECK(p.predicted_ns > 950 * SLOW_NS && p.predicted_ns < 1050 * SLOW_NS);
}

/* Pages that the guest has written may cost more than the bulk. */
static void test_cost_of_dirty_pages(void)
{
	struct precopy p;
	uint64_t now = 1;

	precopy_init(&p, &limits, 0);
	precopy_before(&p, now, 0, 65536);
	for (unsigned i = 0; i < 64; i++) /* four to one */
		precopy_sent(&p, now += BATCH * SLOW_NS / 4, BATCH, BATCH,
			     BATCH * PRECOPY_PAGE / 4);
	precopy_after(&p, now, 10000, 0);
	CHECK(p.predicted_ns < 10000 * SLOW_NS / 3);
	round_of(&p, &now, 1, 10000, SLOW_NS, 10000);
	CHECK(p.predicted_ns > 9900 * SLOW_NS && p.predicted_ns < 10100 * SLOW_NS);
}

/* A host that is busy lets 64 pages take a tenth of a second: that is the round's, not the pages'.
 */
static void test_rounds_of_few_pages(void)
{
	struct precopy p;
	uint64_t now = 1;
	double before;

	precopy_init(&p, &limits, 0);
	precopy_before(&p, now, 0, 65536);
	for (unsigned i = 0; i < 64; i++)
		precopy_sent(&p, now += BATCH * SLOW_NS, BATCH, BATCH, BATCH * PRECOPY_PAGE);
	precopy_after(&p, now, 2000, 0);
	round_of(&p, &now, 1, 2000, SLOW_NS, 270);
	before = p.page_ns;
	for (unsigned round = 2; round < 5; round++) {
		precopy_before(&p, now, round, 270);
		precopy_left_out(&p, 206);
		precopy_sent(&p, now += 100 * MS_NS, 270, 64, 64 * PRECOPY_PAGE);
		CHECK_EQ(precopy_after(&p, now, 270, 0), PRECOPY_STOP);
	}
	CHECK(p.page_ns < 2 * before);
}

static void test_no_time_no_division(void)
{
	struct precopy p;

	precopy_init(&p, &limits, 0);
	precopy_before(&p, 5, 0, 0);
	CHECK_EQ(precopy_after(&p, 5, 0, 0), PRECOPY_GO_ON);
	precopy_before(&p, 5, 1, 1000);
	precopy_look(&p, 5, 7);
	precopy_sent(&p, 5, 0, 0, 0);
	CHECK_EQ(precopy_after(&p, 5, UINT64_MAX, 0), PRECOPY_GO_ON);
	CHECK(p.predicted_ns == UINT64_MAX);
}

static void test_words(void)
{
	const struct precopy_report want = {.what = PRECOPY_SUSPENDED,
					    .at = 123456789012345,
					    .round = 7,
					    .pages = 100,
					    .sent = 98,
					    .bytes = 12345,
					    .dirty = 99,
					    .predicted_ns = UINT64_MAX,
					    .speed = 12,
					    .verdict = PRECOPY_ABORT,
					    .why = "stalled"};
	struct precopy_report r;
	struct precopy_limits l;
	char text[320];

	precopy_report_print(&want, text, sizeof(text));
	CHECK_EQ(precopy_report_parse(text, &r), 0);
	CHECK_EQ(memcmp(&r, &want, sizeof(r)), 0);
	CHECK(precopy_report_parse("", &r) < 0);
	CHECK(precopy_report_parse("round at=1", &r) < 0);
#define REST "at=1 round=1 pages=1 sent=1 bytes=1 dirty=1 predicted=1 "
	CHECK_EQ(precopy_report_parse("look " REST "speed=1 verdict=0 why=-", &r), 0);
	CHECK(precopy_report_parse("other " REST "speed=1 verdict=0 why=-", &r) < 0);
	CHECK(precopy_report_parse("look " REST "speed=1 verdict=9 why=-", &r) < 0);
	CHECK(precopy_report_parse("look " REST "speed=0 verdict=0 why=-", &r) < 0);
	CHECK(precopy_report_parse("look " REST "speed=101 verdict=0 why=-", &r) < 0);

	precopy_limits_print(&(struct precopy_limits){.max_downtime_ns = 5,
						      .fixed_ns = 6,
						      .late_pages = 8,
						      .stop_at = 7,
						      .patient = true,
						      .throttle = true},
			     text, sizeof(text));
	CHECK_EQ(precopy_limits_parse(text, &l), 0);
	CHECK_EQ(l.max_downtime_ns, 5);
	CHECK_EQ(l.fixed_ns, 6);
	CHECK_EQ(l.late_pages, 8);
	CHECK_EQ(l.stop_at, 7);
	CHECK(!l.force && l.patient && l.throttle);
	CHECK_EQ(precopy_limits_parse(NULL, &l), 0);
	CHECK_EQ(l.max_downtime_ns, 300 * MS_NS);
	CHECK(precopy_limits_parse("rubbish", &l) < 0);
	CHECK(!l.throttle);
}

static void test_price(void)
{
	struct precopy_report r = {.what = PRECOPY_LOOK, .speed = 100};
	struct price p = {0};

	price_report(&p, &r); /* before any round */
	CHECK_EQ(p.n, 0);
	CHECK(price_predicted(&p) == UINT64_MAX);
	r = (struct precopy_report){.what = PRECOPY_ROUND, .at = 1000, .pages = 500, .speed = 100};
	price_report(&p, &r);
	r = (struct precopy_report){.what = PRECOPY_ROUND_END,
				    .at = 3000,
				    .sent = 400,
				    .bytes = 5000,
				    .dirty = 100,
				    .predicted_ns = 77,
				    .speed = 50,
				    .why = "fits"};
	price_report(&p, &r);
	CHECK_EQ(p.n, 1);
	CHECK_EQ(p.round[0].pages, 500);
	CHECK_EQ(p.round[0].ns, 2000);
	CHECK(price_ratio(&p.round[0]) == 0.25);
	CHECK_EQ(price_predicted(&p), 77);
	r.what = PRECOPY_SUSPEND;
	price_report(&p, &r);
	r = (struct precopy_report){.what = PRECOPY_SUSPENDED, .at = 4000, .speed = 100};
	price_report(&p, &r);
	r = (struct precopy_report){.what = PRECOPY_LOOK, .at = 4500, .sent = 90, .speed = 50};
	price_report(&p, &r);
	CHECK_EQ(p.n, 2);
	CHECK_EQ(p.round[1].sent, 90);
	CHECK_STR(p.round[1].why, "last");
	CHECK_EQ(price_predicted(&p), 77);
	CHECK_EQ(price_late_pages(&p), 0); /* fewer than were dirty then */
	p.round[1].sent = 130;
	CHECK_EQ(price_late_pages(&p), 30);
	CHECK_EQ(price_faults(&p), 100 * PRICE_FAULT_NS);
}

/* As when a guest waits for its turn, or --timeout makes it patient. */
static void test_price_of_many_rounds(void)
{
	struct precopy_report r = {.speed = 100};
	struct price p = {0};

	for (unsigned i = 1; i <= 3 * PRECOPY_MAX_ROUNDS; i++) {
		r.what = PRECOPY_ROUND;
		price_report(&p, &r);
		r.what = PRECOPY_ROUND_END;
		r.dirty = i;
		r.predicted_ns = 1000 + i;
		price_report(&p, &r);
	}
	CHECK_EQ(p.n, PRECOPY_MAX_ROUNDS);
	CHECK_EQ(p.round[0].dirty, 1);
	CHECK_EQ(price_predicted(&p), 1000 + 3 * PRECOPY_MAX_ROUNDS);
	r = (struct precopy_report){.what = PRECOPY_SUSPENDED, .speed = 100};
	price_report(&p, &r);
	r = (struct precopy_report){.what = PRECOPY_LOOK, .sent = 3 * PRECOPY_MAX_ROUNDS + 7};
	price_report(&p, &r);
	CHECK_EQ(p.n, PRECOPY_MAX_ROUNDS + 1);
	CHECK_STR(p.round[PRECOPY_MAX_ROUNDS].why, "last");
	CHECK_EQ(price_predicted(&p), 1000 + 3 * PRECOPY_MAX_ROUNDS);
	CHECK_EQ(price_late_pages(&p), 7);
	/* However often a helper tells of it. */
	r.what = PRECOPY_SUSPENDED;
	price_report(&p, &r);
	CHECK_EQ(p.n, PRECOPY_MAX_ROUNDS + 1);
}

int main(void)
{
	CHECK_RUN(test_idle_guest_stops_soon);
	CHECK_RUN(test_slow_link_goes_on_until_it_fits);
	CHECK_RUN(test_waits_for_its_turn);
	CHECK_RUN(test_rising_bound);
	CHECK_RUN(test_fixed_part);
	CHECK_RUN(test_busy_guest);
	CHECK_RUN(test_forced_at_a_low);
	CHECK_RUN(test_slows_a_busy_guest);
	CHECK_RUN(test_holes_do_not_count);
	CHECK_RUN(test_cost_of_dirty_pages);
	CHECK_RUN(test_rounds_of_few_pages);
	CHECK_RUN(test_no_time_no_division);
	CHECK_RUN(test_words);
	CHECK_RUN(test_price);
	CHECK_RUN(test_price_of_many_rounds);
	return CHECK_DONE();
}
