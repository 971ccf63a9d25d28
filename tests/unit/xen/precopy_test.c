/* SPDX-License-Identifier: BSD-2-Clause */
#include "xen/precopy.h"

#include "core/loop.h"
#include "tests/unit/check.h"

/* 1 GiB/s makes a page 4096 ns long, near enough. */
#define PAGE_NS 3815ull

static const struct precopy_limits relaxed = {.max_downtime_ns = 300 * MS_NS, .max_rounds = 30};
static const struct precopy_limits strict = {
	.max_downtime_ns = 300 * MS_NS, .strict = true, .max_rounds = 30};

/* A guest that leaves dirty[i] pages after round i, at one page in page_ns. */
static enum precopy_verdict play(struct precopy *p, const uint64_t *dirty, unsigned int n,
				 uint64_t page_ns, unsigned int *rounds)
{
	enum precopy_verdict v = PRECOPY_GO_ON;
	uint64_t now = 1;

	for (unsigned int i = 0; i < n; i++) {
		v = precopy_before(p, now, i, dirty[i]);
		*rounds = i;
		if (v != PRECOPY_GO_ON)
			return v;
		now += p->round_pages * page_ns;
		precopy_after(p, now);
	}
	return v;
}

static void test_idle_guest_stops_soon(void)
{
	const uint64_t dirty[] = {262144, 400, 20};
	struct precopy p;
	unsigned int rounds;

	precopy_init(&p, &relaxed, 0);
	CHECK_EQ(play(&p, dirty, 3, PAGE_NS, &rounds), PRECOPY_STOP);
	CHECK_EQ(rounds, 1); /* 400 pages fit into 300 ms at 1 GiB/s */
	CHECK_STR(p.why, "fits");
}

static void test_slow_link_goes_on_until_it_fits(void)
{
	/* 12 MB/s: 300 ms carry some 900 pages */
	const uint64_t dirty[] = {262144, 9000, 5000, 2000, 800};
	struct precopy p;
	unsigned int rounds;

	precopy_init(&p, &relaxed, 0);
	CHECK_EQ(play(&p, dirty, 5, 333000, &rounds), PRECOPY_STOP);
	CHECK_EQ(rounds, 4);
	CHECK(p.predicted_ns <= relaxed.max_downtime_ns);
}

static void test_busy_guest(void)
{
	uint64_t dirty[40] = {262144};
	struct precopy p;
	unsigned int rounds;

	for (unsigned int i = 1; i < 40; i++)
		dirty[i] = 100000;
	precopy_init(&p, &relaxed, 0);
	CHECK_EQ(play(&p, dirty, 40, 333000, &rounds), PRECOPY_STOP);
	CHECK_STR(p.why, "stalled");
	CHECK(rounds < 8); /* not for ever */
	precopy_init(&p, &strict, 0);
	CHECK_EQ(play(&p, dirty, 40, 333000, &rounds), PRECOPY_ABORT);
	/* one that shrinks, but too slowly */
	for (unsigned int i = 1; i < 40; i++)
		dirty[i] = dirty[i - 1] * 88 / 100;
	precopy_init(&p, &strict, 0);
	p.limits.max_rounds = 5;
	CHECK_EQ(play(&p, dirty, 40, 333000, &rounds), PRECOPY_ABORT);
	CHECK_STR(p.why, "rounds");
	CHECK_EQ(rounds, 5);
}

/* Round 0 of a PVH guest claims a million pages, of which it has 32768. */
static void test_holes_do_not_count(void)
{
	struct precopy p;

	precopy_init(&p, &relaxed, 32768);
	CHECK_EQ(precopy_before(&p, 1, 0, 1048576), PRECOPY_GO_ON);
	precopy_after(&p, 1 + SEC_NS);
	CHECK_EQ(p.rate, 32768ull * PRECOPY_PAGE);
	/* A round that fits into the buffers tells nothing of the link. */
	precopy_before(&p, 2 * SEC_NS, 1, 100000);
	precopy_after(&p, 12 * SEC_NS);
	CHECK_EQ(p.rate, 10000ull * PRECOPY_PAGE);
	precopy_before(&p, 13 * SEC_NS, 2, 500);
	precopy_after(&p, 13 * SEC_NS + 1000);
	CHECK_EQ(p.rate, 10000ull * PRECOPY_PAGE);
}

static void test_no_time_no_division(void)
{
	struct precopy p;

	precopy_init(&p, &relaxed, 0);
	CHECK_EQ(precopy_before(&p, 5, 0, 0), PRECOPY_GO_ON);
	precopy_after(&p, 5);
	CHECK_EQ(p.rate, 0);
	CHECK_EQ(precopy_before(&p, 5, 1, 1000), PRECOPY_GO_ON);
	CHECK_EQ(p.predicted_ns, UINT64_MAX);
}

static void test_words(void)
{
	const struct precopy_report want = {.what = PRECOPY_SUSPENDED,
					    .at = 123456789012345,
					    .round = 7,
					    .dirty = 99,
					    .rate = 1,
					    .predicted_ns = UINT64_MAX,
					    .verdict = PRECOPY_ABORT};
	struct precopy_report r;
	struct precopy_limits l;
	char text[256];

	precopy_report_print(&want, text, sizeof(text));
	CHECK_EQ(precopy_report_parse(text, &r), 0);
	CHECK_EQ(r.what, want.what);
	CHECK_EQ(r.at, want.at);
	CHECK_EQ(r.round, want.round);
	CHECK_EQ(r.dirty, want.dirty);
	CHECK(r.predicted_ns == want.predicted_ns);
	CHECK_EQ(r.verdict, want.verdict);
	CHECK(precopy_report_parse("", &r) < 0);
	CHECK(precopy_report_parse("round at=1", &r) < 0);
	CHECK(precopy_report_parse("other at=1 round=1 dirty=1 rate=1 predicted=1 verdict=0", &r) <
	      0);
	CHECK(precopy_report_parse("round at=1 round=1 dirty=1 rate=1 predicted=1 verdict=9", &r) <
	      0);

	precopy_limits_print(&strict, text, sizeof(text));
	CHECK_EQ(precopy_limits_parse(text, &l), 0);
	CHECK_EQ(l.max_downtime_ns, strict.max_downtime_ns);
	CHECK(l.strict);
	CHECK_EQ(precopy_limits_parse(NULL, &l), 0);
	CHECK_EQ(l.max_downtime_ns, 300 * MS_NS);
	CHECK(precopy_limits_parse("rubbish", &l) < 0);
	CHECK_EQ(l.max_rounds, PRECOPY_MAX_ROUNDS);
}

int main(void)
{
	CHECK_RUN(test_idle_guest_stops_soon);
	CHECK_RUN(test_slow_link_goes_on_until_it_fits);
	CHECK_RUN(test_busy_guest);
	CHECK_RUN(test_holes_do_not_count);
	CHECK_RUN(test_no_time_no_division);
	CHECK_RUN(test_words);
	return CHECK_DONE();
}
