/* SPDX-License-Identifier: BSD-2-Clause */
#include "xen/copy/share.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/bytes.h"
#include "core/loop.h"
#include "tests/unit/check.h"

static char dir[] = "/tmp/vstor-share-XXXXXX";

static void disk(const char *name, const char *file, const char *text)
{
	char path[128];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	mkdir(path, 0700);
	snprintf(path, sizeof(path), "%s/%s/statistics", dir, name);
	mkdir(path, 0700);
	snprintf(path, sizeof(path), "%s/%s/statistics/%s", dir, name, file);
	f = fopen(path, "w");
	fputs(text, f);
	fclose(f);
}

static void test_requests(void)
{
	share_backends = "/nonexistent";
	CHECK_EQ(share_requests(5), 0);
	share_backends = dir;
	CHECK_EQ(share_requests(5), 0);
	disk("vbd-5-51712", "rd_req", "7\n");
	disk("vbd-5-51712", "wr_req", "30\n");
	disk("vbd-5-51712", "f_req", "1000\n"); /* flushes carry nothing */
	disk("vbd-5-51728", "wr_req", "500\n");
	disk("vbd-5-51744", "wr_req", "rubbish\n");
	disk("vbd-55-51712", "wr_req", "9000\n"); /* another guest's */
	disk("vif-5-0", "wr_req", "9000\n");
	CHECK_EQ(share_requests(5), 537);
}

/* ---- the decision ---- */

#define LINK  12e6 /* bytes/s */
#define BLOCK 20e3 /* bytes of a request on it */

/* A host whose disks would do `alone` requests/s if there were nothing else. */
struct model {
	double alone;
	double part; /* of the CPU, that a stream takes which does not yield */
	double cpu;  /* bytes/s that its CPU could send if it did nothing else; 0: that never lacks
		      */
	double requests, bytes;
	uint64_t now;
	struct share_choice choice;
	bool yields;
	bool slow; /* its source, so that it waits for that */
};

/* The stream and the disks share the link or the CPU. */
static void look(struct model *m)
{
	double wanted = m->alone * BLOCK, stream, disk;
	struct share_count now;

	if (m->cpu > 0) {
		stream = m->yields ? m->cpu / 8 : m->cpu * m->part;
		disk = m->alone * (1 - stream / m->cpu);
	} else {
		stream = m->yields ? MAX(LINK - wanted, LINK / 4) : 0.9 * LINK;
		stream = m->alone > 0 ? stream : LINK;
		disk = MIN(m->alone, (LINK - stream) / BLOCK);
	}
	m->now += SHARE_LOOK_NS;
	m->requests += disk * SHARE_LOOK_NS / SEC_NS;
	m->bytes += stream * SHARE_LOOK_NS / SEC_NS;
	now = (struct share_count){m->now, (uint64_t)m->requests, (uint64_t)m->bytes, !m->slow};
	m->yields = share_choose(&m->choice, &now);
}

/* Of so many seconds, the part in which the stream yields. */
static double part(struct model *m, unsigned seconds)
{
	unsigned yields = 0, looks = (unsigned)(seconds * SEC_NS / SHARE_LOOK_NS);

	for (unsigned i = 0; i < looks; i++) {
		look(m);
		yields += m->yields;
	}
	return (double)yields / looks;
}

static struct model model(double alone, double cpu)
{
	return (struct model){
		.now = 1, .alone = alone, .cpu = cpu, .part = 0.5, .choice = {.most = alone}};
}

static void test_yields_where_the_link_is_shared(void)
{
	struct model m = model(300, 0);

	part(&m, 4); /* both ways are tried first */
	CHECK(part(&m, 50) == 1);
	/* It is not believed for good; and not given up either. */
	CHECK(part(&m, 600) > 0.9);
	CHECK(part(&m, 600) < 1);
}

/* They want all of the link, and do not get it; but more than beside a stream that takes it. */
static void test_yields_to_disks_that_want_the_link(void)
{
	struct model m = model(900, 0);

	CHECK(part(&m, 60) > 0.8);
}

/* Both share the CPU, by halves: what the one gains the other loses. */
static void test_gives_up_where_nothing_is_gained(void)
{
	struct model m = model(200, 8e6);
	double first = part(&m, 15), later;

	CHECK(first > 0.05 && first < 0.2);
	later = part(&m, 60);
	CHECK(later > 0.01 && later < 0.12);
	CHECK(part(&m, 600) < 0.03); /* less and less often */
	/* Later the link is what is short, and that is found out. */
	m.cpu = 0;
	m.alone = 300;
	part(&m, SHARE_TAKE_MOST_NS / SEC_NS + 10);
	CHECK(part(&m, 60) > 0.8);
}

/* Hardly fairer, but seven times as long. */
static void test_gives_up_where_it_takes_too_long(void)
{
	struct model m = model(200, 8e6);

	m.part = 0.88;
	CHECK(part(&m, 60) < 0.2);
}

/* Its source gave less when it was not to yield: that is no gain of the disks. */
static void test_uneven_source(void)
{
	struct model m = model(200, 8e6);

	m.part = 0.05;
	CHECK(part(&m, 60) < 0.2);
}

/* Slower because of it, and so below what else counts as busy. */
static void test_starved_disks(void)
{
	struct model m = model(60, 8e6);

	CHECK(part(&m, 15) > 0.05);
	/* What they can do may have been seen only by yielding. */
	m = model(110, 8e6);
	m.choice.most = 0;
	CHECK(part(&m, 15) < 0.2);
	m.alone = 60;
	CHECK(part(&m, 60) > 0.01);
}

static void test_idle_disks(void)
{
	struct model m = model(10, 0);

	CHECK(part(&m, 60) == 0);
	/* Busy, and idle again before both ways have been tried: the trial begins anew. */
	m.alone = 300;
	CHECK(part(&m, 1) > 0);
	CHECK(m.yields);
	m.alone = 0;
	look(&m);
	CHECK(!m.yields);
	CHECK(part(&m, 10) == 0);
	m.alone = 300;
	part(&m, 4);
	CHECK(part(&m, 10) == 1);
	/* So also while it yields for good, which a moment without a request does not end. */
	m.alone = 0;
	CHECK(part(&m, 10) == 0);
	m.alone = 300;
	look(&m);
	CHECK_EQ(m.choice.does, SHARE_YIELDS);
	CHECK(m.yields);
}

/* The guest's pages have all been sent for now: nothing is learnt from that, nor given up for it.
 */
static void test_nothing_is_sent(void)
{
	struct model m = model(300, 0);

	for (unsigned i = 0; i < 60; i++) {
		look(&m);
		m.bytes = 0;
		CHECK(i == 0 || m.choice.does == SHARE_TRIES_YIELDING);
	}
	part(&m, 4);
	CHECK_EQ(m.choice.does, SHARE_YIELDS);
}

/* As for the pages at first that are all zero. */
static void test_its_source_is_slow(void)
{
	struct model m = model(300, 0);

	m.slow = true;
	CHECK(part(&m, 60) == 0);
	m.slow = false;
	part(&m, 4);
	CHECK_EQ(m.choice.does, SHARE_YIELDS);
	CHECK_EQ(m.choice.take_ns, 0); /* at the first try */
}

int main(void)
{
	if (!mkdtemp(dir))
		return 1;
	CHECK_RUN(test_requests);
	CHECK_RUN(test_yields_where_the_link_is_shared);
	CHECK_RUN(test_yields_to_disks_that_want_the_link);
	CHECK_RUN(test_gives_up_where_nothing_is_gained);
	CHECK_RUN(test_gives_up_where_it_takes_too_long);
	CHECK_RUN(test_uneven_source);
	CHECK_RUN(test_starved_disks);
	CHECK_RUN(test_idle_disks);
	CHECK_RUN(test_nothing_is_sent);
	CHECK_RUN(test_its_source_is_slow);
	CHECK_EQ(check_remove(dir), 0);
	return CHECK_DONE();
}
