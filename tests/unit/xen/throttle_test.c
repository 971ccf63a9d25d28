/* SPDX-License-Identifier: BSD-2-Clause */
#include "xen/throttle.h"

#include <errno.h>

#include "tests/unit/check.h"
#include "tests/unit/fake/xen.h"

static struct loop *loop;
static struct toolstack *t;
static struct fake_domain *guest;
static struct throttle th;
static char why[160];

static void begin(void)
{
	fake_reset();
	loop = loop_new();
	CHECK_EQ(toolstack_open(loop, &t), 0);
	guest = fake_domain_new(5, "guest");
	guest->vcpus = 4;
}

static void end(void)
{
	toolstack_close(t);
	loop_free(loop);
}

static void test_schedulers(void)
{
	begin();
	CHECK_EQ(throttle_init(&th, t, 5, why, sizeof(why)), 0);
	guest->scheduler = LIBXL_SCHEDULER_CREDIT;
	CHECK_EQ(throttle_init(&th, t, 5, why, sizeof(why)), 0);
	guest->scheduler = LIBXL_SCHEDULER_RTDS;
	CHECK_EQ(throttle_init(&th, t, 5, why, sizeof(why)), -ENOTSUP);
	CHECK(strstr(why, "rtds") != NULL);
	CHECK_EQ(throttle_init(&th, t, 6, why, sizeof(why)), -EIO);
	CHECK_STR(fake.did, ""); /* it only looks */
	end();
}

/* A guest of four vCPUs that uses one of them: half its speed is half a CPU. */
static void test_what_it_used(void)
{
	uint64_t now;

	begin();
	throttle_init(&th, t, 5, why, sizeof(why));
	now = th.cpu_at;
	guest->cpu_ns += SEC_NS;
	throttle_watch(&th, now += 10 * MS_NS); /* too soon to tell */
	CHECK_EQ(th.used, 400);
	throttle_watch(&th, now += 990 * MS_NS);
	CHECK_EQ(th.used, 101);
	throttle_set(&th, now, 50);
	CHECK_EQ(guest->cap, 50);
	/* What it uses while slowed tells nothing. */
	throttle_watch(&th, now += 10 * SEC_NS);
	CHECK_EQ(th.used, 101);
	throttle_set(&th, now, 1);
	CHECK_EQ(guest->cap, 1);
	throttle_set(&th, now, 100);
	CHECK_EQ(guest->cap, 0);
	guest->cpu_ns += 20 * SEC_NS;
	throttle_watch(&th, now += SEC_NS);
	CHECK_EQ(th.used, 101);
	guest->cpu_ns += 3 * SEC_NS;
	throttle_watch(&th, now += SEC_NS);
	CHECK_EQ(th.used, 301);
	end();
}

static void test_its_own_cap(void)
{
	CHECK_EQ(throttle_cap(400, 0, 100), 0);
	CHECK_EQ(throttle_cap(400, 80, 100), 80);
	CHECK_EQ(throttle_cap(400, 80, 50), 40);
	CHECK_EQ(throttle_cap(60, 80, 50), 30);
	CHECK_EQ(throttle_cap(0, 0, 50), 1);
}

static void test_lost(void)
{
	uint64_t now = SEC_NS;

	begin();
	throttle_init(&th, t, 5, why, sizeof(why));
	CHECK_EQ(throttle_lost(&th, now), 0);
	throttle_set(&th, now, 25);
	CHECK_EQ(throttle_lost(&th, now + 4 * SEC_NS), 3 * SEC_NS);
	throttle_set(&th, now += 4 * SEC_NS, 50);
	throttle_set(&th, now += 4 * SEC_NS, 100);
	CHECK_EQ(throttle_lost(&th, now + 9 * SEC_NS), 5 * SEC_NS);
	end();
}

/* A guest that has overdrawn its account is let run, and keeps its cap. */
static void test_woken(void)
{
	uint64_t now = SEC_NS;

	begin();
	throttle_init(&th, t, 5, why, sizeof(why));
	throttle_wake(&th, now += SEC_NS, 200 * MS_NS); /* it is not slowed */
	CHECK_STR(fake.did, "");
	throttle_set(&th, now += SEC_NS, 3);
	CHECK_STR(fake.did, "cap 5, ");
	for (int i = 0; i < 20; i++) {
		guest->cpu_ns += MS_NS;
		throttle_wake(&th, now += 150 * MS_NS, 200 * MS_NS);
	}
	CHECK_STR(fake.did, "cap 5, "); /* it runs, now and then */
	throttle_wake(&th, now += 150 * MS_NS, 200 * MS_NS);
	CHECK_STR(fake.did, "cap 5, ");
	throttle_wake(&th, now += 50 * MS_NS, 200 * MS_NS);
	CHECK_STR(fake.did, "cap 5, cap 5, cap 5, ");
	CHECK_EQ(guest->cap, 12);
	/* Again only when it has stood still for as long again. */
	throttle_wake(&th, now += 150 * MS_NS, 200 * MS_NS);
	CHECK_STR(fake.did, "cap 5, cap 5, cap 5, ");
	throttle_wake(&th, now += 50 * MS_NS, 200 * MS_NS);
	CHECK_STR(fake.did, "cap 5, cap 5, cap 5, cap 5, cap 5, ");
	/* A slower pace does not count as having run. */
	throttle_wake(&th, now += 150 * MS_NS, 200 * MS_NS);
	throttle_set(&th, now, 1);
	throttle_wake(&th, now += 50 * MS_NS, 200 * MS_NS);
	CHECK_STR(fake.did, "cap 5, cap 5, cap 5, cap 5, cap 5, cap 5, cap 5, cap 5, ");
	CHECK_EQ(guest->cap, 4);
	end();
}

/* It cannot be given its cap again: it keeps what it has then, and gets its own in the end. */
static void test_waking_fails(void)
{
	begin();
	guest->cap = 200;
	throttle_init(&th, t, 5, why, sizeof(why));
	throttle_set(&th, SEC_NS, 25);
	CHECK_EQ(guest->cap, 50);
	fake.fails = "cap";
	throttle_wake(&th, 2 * SEC_NS, 200 * MS_NS);
	throttle_wake(&th, 3 * SEC_NS, 200 * MS_NS);
	CHECK_STR(fake.did, "cap 5, cap 5, ");
	throttle_set(&th, 3 * SEC_NS, 100);
	CHECK_EQ(guest->cap, 200);
	end();
}

/* A cap that cannot be set is tried once; but what was set is put back. */
static void test_fails(void)
{
	begin();
	throttle_init(&th, t, 5, why, sizeof(why));
	throttle_set(&th, SEC_NS, 50);
	fake.fails = "cap";
	throttle_set(&th, SEC_NS, 25);
	CHECK_EQ(guest->cap, 200);
	throttle_set(&th, SEC_NS, 12);
	CHECK_EQ(guest->cap, 200);
	throttle_set(&th, SEC_NS, 100);
	CHECK_EQ(guest->cap, 0);
	CHECK_STR(fake.did, "cap 5, cap 5, cap 5, ");
	end();
}

int main(void)
{
	CHECK_RUN(test_schedulers);
	CHECK_RUN(test_what_it_used);
	CHECK_RUN(test_its_own_cap);
	CHECK_RUN(test_lost);
	CHECK_RUN(test_woken);
	CHECK_RUN(test_waking_fails);
	CHECK_RUN(test_fails);
	return CHECK_DONE();
}
