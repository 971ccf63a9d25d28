/* SPDX-License-Identifier: BSD-2-Clause */
#include "xen/quiesce.h"

#include <errno.h>

#include "tests/unit/check.h"
#include "tests/unit/fake/xen.h"

static void test_counts_what_has_no_answer(void)
{
	fake_reset();
	CHECK_EQ(quiesce_inflight(3), 0); /* no disk */
	fake.rings[0] = (struct fake_ring){3, "51712", -1, .req = 7, .rsp = 5};
	fake.rings[1] = (struct fake_ring){31, "51712", -1, .req = 9, .rsp = 0};
	CHECK_EQ(quiesce_inflight(3), 2);
	CHECK_EQ(quiesce_inflight(31), 9);
	CHECK_EQ(quiesce_inflight(1), 0);
	/* The counters wrap around. */
	fake.rings[0].req = 1;
	fake.rings[0].rsp = UINT32_MAX;
	CHECK_EQ(quiesce_inflight(3), 2);
	/* One disk with two queues. */
	fake.rings[2] = (struct fake_ring){4, "51728", 0, .req = 4, .rsp = 4};
	fake.rings[3] = (struct fake_ring){4, "51728", 1, .req = 4, .rsp = 1};
	CHECK_EQ(quiesce_inflight(4), 3);
	CHECK_EQ(fake.open, 0);
}

/* A disk that cannot be seen is not a quiet one. */
static void test_unknown_is_not_quiet(void)
{
	fake_reset();
	fake.rings[0] = (struct fake_ring){3, "51712", -1, .unreadable = true};
	fake.rings[1] = (struct fake_ring){3, "51728", -1, .req = 1, .rsp = 1};
	CHECK(quiesce_inflight(3) < 0);
	CHECK_EQ(fake.open, 0);
}

struct waiting {
	struct loop *loop;
	struct loop_timer timer;
	int err;
	bool done;
};

static void on_done(void *arg, int err)
{
	struct waiting *w = arg;

	w->err = err;
	w->done = true;
	loop_stop(w->loop, 0);
}

static void answer(void *arg)
{
	(void)arg;
	fake.rings[0].rsp = fake.rings[0].req;
}

static void test_waits(void)
{
	struct waiting w = {.loop = loop_new()};
	struct quiesce q = {0};

	fake_reset();
	fake.rings[0] = (struct fake_ring){3, "51712", -1, .req = 7, .rsp = 5};
	quiesce_stop(&q);
	quiesce_start(&q, w.loop, 3, 20 * MS_NS, on_done, &w);
	CHECK(!w.done);
	loop_run(w.loop);
	CHECK_EQ(w.err, -ETIMEDOUT);

	w.done = false;
	loop_timer_set(w.loop, &w.timer, 20 * MS_NS, answer, NULL);
	quiesce_start(&q, w.loop, 3, 10 * SEC_NS, on_done, &w);
	loop_run(w.loop);
	CHECK(w.done);
	CHECK_EQ(w.err, 0);

	fake.rings[0].unreadable = true;
	quiesce_start(&q, w.loop, 3, 20 * MS_NS, on_done, &w);
	loop_run(w.loop);
	CHECK_EQ(w.err, -EINVAL);
	quiesce_stop(&q);
	loop_free(w.loop);
}

int main(void)
{
	CHECK_RUN(test_counts_what_has_no_answer);
	CHECK_RUN(test_unknown_is_not_quiet);
	CHECK_RUN(test_waits);
	return CHECK_DONE();
}
