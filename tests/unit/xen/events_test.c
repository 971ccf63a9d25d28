/* SPDX-License-Identifier: BSD-2-Clause */
#include "xen/events.h"

#include "tests/unit/check.h"

static struct events q;
static struct loop *loop;
static unsigned taken;

static void run(void *arg)
{
	unsigned e, last = 0;

	(void)arg;
	for (; events_take(&q, &e); taken++) {
		CHECK(!taken || e == last + 1);
		last = e;
	}
	loop_stop(loop, 0);
}

/* Every kind has room, in the order in which they came, however often one comes. */
static void test_none_is_dropped(void)
{
	loop = loop_new();
	events_fini(&q);
	events_init(&q, loop, run, NULL);
	for (int i = 0; i < 100; i++)
		events_raise(&q, 0);
	for (unsigned e = 0; e < EVENTS_KINDS; e++)
		events_raise(&q, e);
	events_raise(&q, 7);
	CHECK_EQ(taken, 0);
	loop_run(loop);
	CHECK_EQ(taken, EVENTS_KINDS);
	events_raise(&q, 7); /* one that has been taken may come again */
	CHECK_EQ(q.n, 1);
	events_fini(&q);
	loop_free(loop);
}

static void test_the_first_cause_counts(void)
{
	char cause[16] = "";

	because(cause, "disk %d is full, and more", 1);
	because(cause, "gone");
	CHECK_STR(cause, "disk 1 is full,");
}

int main(void)
{
	CHECK_RUN(test_none_is_dropped);
	CHECK_RUN(test_the_first_cause_counts);
	return CHECK_DONE();
}
