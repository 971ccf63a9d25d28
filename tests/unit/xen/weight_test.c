/* SPDX-License-Identifier: BSD-2-Clause */
#include "xen/weight.h"

#include "tests/unit/check.h"
#include "tests/unit/fake/xen.h"

#define NOTE "/libxl/9/vstor-weight"

static struct loop *l;
static struct toolstack *t;
static struct fake_domain *d;
static libxl_domain_sched_params later;

static void begin(void)
{
	fake_reset();
	libxl_domain_sched_params_init(&later);
	d = fake_domain_new(9, "guest");
	l = loop_new();
	CHECK_EQ(toolstack_open(l, &t), 0);
}

static void end(void)
{
	toolstack_close(t);
	loop_free(l);
	CHECK_EQ(fake.open, 0);
}

static void test_lowered_and_restored(void)
{
	begin();
	d->weight = 512;
	d->cap = 70;
	weight_lower(t, 9, &later);
	CHECK_EQ(d->weight, 32);
	CHECK_STR(fake_node(NOTE), "512");
	weight_restore(t, 9);
	CHECK_EQ(d->weight, 512);
	CHECK(!fake_node(NOTE));
	d->weight = 100; /* somebody else's since */
	weight_restore(t, 9);
	CHECK_EQ(d->weight, 100);
	CHECK_EQ(d->cap, 70);
	end();
}

/* By the end of the stream it has what its configuration says, not what it was made with. */
static void test_its_own(void)
{
	begin();
	later.weight = 512;
	weight_lower(t, 9, &later);
	CHECK_EQ(later.weight, 32);
	d->weight = later.weight;
	weight_restore(t, 9);
	CHECK_EQ(d->weight, 512);
	end();
}

static void test_least(void)
{
	begin();
	d->weight = 3;
	weight_lower(t, 9, &later);
	CHECK_EQ(d->weight, 1);
	weight_restore(t, 9);
	CHECK_EQ(d->weight, 3);
	end();
}

static void test_scheduler_without_weights(void)
{
	begin();
	d->scheduler = LIBXL_SCHEDULER_NULL;
	weight_lower(t, 9, &later);
	CHECK_EQ(d->weight, 256);
	CHECK(!fake_node(NOTE));
	end();
}

static void test_cannot_be_set(void)
{
	begin();
	fake.fails = "weight";
	weight_lower(t, 9, &later);
	CHECK_EQ(d->weight, 256);
	CHECK_EQ(later.weight, LIBXL_DOMAIN_SCHED_PARAM_WEIGHT_DEFAULT);
	CHECK(!fake_node(NOTE)); /* or it would be put back over another's */
	end();
}

/* What is to be put back is still known. */
static void test_cannot_be_put_back(void)
{
	begin();
	weight_lower(t, 9, &later);
	fake.fails = "weight";
	weight_restore(t, 9);
	CHECK_EQ(d->weight, 16);
	fake.fails = NULL;
	weight_restore(t, 9);
	CHECK_EQ(d->weight, 256);
	end();
}

/* Only what is noted is done. */
static void test_cannot_be_noted(void)
{
	begin();
	fake.fails = "xs_write";
	weight_lower(t, 9, &later);
	CHECK_EQ(d->weight, 256);
	end();
}

int main(void)
{
	CHECK_RUN(test_lowered_and_restored);
	CHECK_RUN(test_its_own);
	CHECK_RUN(test_least);
	CHECK_RUN(test_scheduler_without_weights);
	CHECK_RUN(test_cannot_be_set);
	CHECK_RUN(test_cannot_be_put_back);
	CHECK_RUN(test_cannot_be_noted);
	return CHECK_DONE();
}
