/* SPDX-License-Identifier: BSD-2-Clause */
#include "xen/migration/plan.h"

#include "core/bytes.h"
#include "tests/unit/check.h"

#define MIB(n) ((uint64_t)(n) << 10) /* in KiB */
#define ANY    UINT64_MAX

static struct plan_step steps[PLAN_GUESTS_MAX];
static enum plan_why why[PLAN_GUESTS_MAX];

/* Every step, taken in turn, finds the memory that it needs, and says rightly what there was. */
static void check_steps(const struct plan_guest *guests, const struct plan_host *hosts, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		uint64_t free_kib = hosts[steps[i].host].free_kib;
		double load = hosts[steps[i].host].load;

		for (unsigned j = 0; j < i; j++) {
			CHECK(steps[j].guest != steps[i].guest);
			if (steps[j].host == steps[i].host) {
				free_kib -= guests[steps[j].guest].kib;
				load += guests[steps[j].guest].load;
			}
		}
		load += guests[steps[i].guest].load;
		CHECK_EQ(steps[i].free_kib, free_kib);
		CHECK(guests[steps[i].guest].kib <= free_kib);
		CHECK(guests[steps[i].guest].accepted >> steps[i].host & 1);
		CHECK(steps[i].load > load - 0.001 && steps[i].load < load + 0.001);
		CHECK_EQ(steps[i].crowded, load > hosts[steps[i].host].cpus);
	}
}

static void test_evacuate_the_largest_first(void)
{
	/* In the order given the small ones would take the room that only the large one needs. */
	const struct plan_guest guests[] = {
		{"a", MIB(300), 0.1, ANY}, {"b", MIB(300), 0.1, ANY}, {"c", MIB(900), 0.1, ANY}};
	const struct plan_host hosts[] = {{"x", MIB(1000), MIB(2000), 2, 0},
					  {"y", MIB(700), MIB(2000), 2, 0}};
	unsigned n = plan_evacuate(guests, 3, hosts, 2, steps, why);

	CHECK_EQ(n, 3);
	check_steps(guests, hosts, n);
	CHECK_EQ(steps[0].guest, 2);
	CHECK_EQ(steps[0].host, 0);
	CHECK_EQ(steps[1].host, 1);
	CHECK_EQ(steps[2].host, 1);
}

static void test_evacuate_says_why_not(void)
{
	const struct plan_guest guests[] = {{"large", MIB(5000), 0, ANY},
					    {"refused", MIB(10), 0, 0},
					    {"fits", MIB(10), 0, 1},
					    {"elsewhere", MIB(1200), 0, 1}};
	const struct plan_host hosts[] = {{"x", MIB(1000), MIB(2000), 1, 0},
					  {"y", MIB(4000), MIB(4000), 1, 0}};
	unsigned n = plan_evacuate(guests, 4, hosts, 2, steps, why);

	CHECK_EQ(n, 1);
	check_steps(guests, hosts, n);
	CHECK_EQ(steps[0].guest, 2);
	CHECK_EQ(why[0], PLAN_NO_MEMORY);
	CHECK_EQ(why[1], PLAN_NOT_ACCEPTED);
	CHECK_EQ(why[2], PLAN_PLACED);
	CHECK_EQ(why[3], PLAN_NO_MEMORY); /* y has the memory, but does not accept it */
}

static void test_evacuate_minds_the_cpus(void)
{
	/* x has more memory, but no CPU to spare; the last one goes there all the same. */
	const struct plan_guest guests[] = {{"a", MIB(500), 1, ANY}, {"b", MIB(400), 1.5, ANY}};
	const struct plan_host hosts[] = {{"x", MIB(9000), MIB(9000), 2, 1.9},
					  {"y", MIB(1000), MIB(9000), 2, 0.5}};
	unsigned n = plan_evacuate(guests, 2, hosts, 2, steps, why);

	CHECK_EQ(n, 2);
	check_steps(guests, hosts, n);
	CHECK_EQ(steps[0].host, 1);
	CHECK(!steps[0].crowded);
	CHECK(steps[1].crowded);
}

static void test_evacuate_shares_out(void)
{
	struct plan_guest guests[40];
	struct plan_host hosts[4];
	unsigned n, got[4] = {0};

	for (unsigned i = 0; i < ARRAY_SIZE(guests); i++)
		guests[i] = (struct plan_guest){"g", MIB(100), 0.05, ANY};
	for (unsigned i = 0; i < ARRAY_SIZE(hosts); i++)
		hosts[i] = (struct plan_host){"h", MIB(1100), MIB(1100), 4, 0};
	n = plan_evacuate(guests, 40, hosts, 4, steps, why);
	CHECK_EQ(n, 40);
	check_steps(guests, hosts, n);
	for (unsigned i = 0; i < n; i++)
		got[steps[i].host]++;
	for (unsigned i = 0; i < 4; i++)
		CHECK_EQ(got[i], 10);
}

static void test_balance_leaves_what_is_even(void)
{
	const struct plan_guest guests[] = {{"a", MIB(500), 0.5, ANY}, {"b", MIB(500), 0.5, ANY}};
	const struct plan_host hosts[] = {{"here", MIB(1000), MIB(2000), 2, 1},
					  {"there", MIB(1000), MIB(2000), 2, 1}};

	CHECK_EQ(plan_balance(guests, 2, hosts, 2, 0, steps), 0);
}

static void test_balance_by_memory_and_by_cpu(void)
{
	const struct plan_guest guests[] = {{"a", MIB(400), 0.1, ANY}, {"b", MIB(500), 0.1, ANY}};
	const struct plan_host full[] = {{"here", MIB(100), MIB(2000), 4, 0.2},
					 {"there", MIB(1900), MIB(2000), 4, 0.1}};
	const struct plan_guest busy_guests[] = {{"idle", MIB(100), 0, ANY},
						 {"busy", MIB(100), 1, ANY},
						 {"busy too", MIB(100), 1, ANY}};
	const struct plan_host busy[] = {{"here", MIB(1500), MIB(2000), 2, 2},
					 {"there", MIB(1500), MIB(2000), 2, 0.1}};
	unsigned n = plan_balance(guests, 2, full, 2, 0, steps);

	/* 95 % against 5 %: with b it is 70 to 30, with both 50 to 50. */
	CHECK_EQ(n, 2);
	check_steps(guests, full, n);
	n = plan_balance(busy_guests, 3, busy, 2, 0, steps);
	CHECK_EQ(n, 1);
	CHECK(steps[0].guest != 0);
}

static void test_balance_never_overfills_nor_swaps(void)
{
	/* Moving it would only make the other one the full one. */
	const struct plan_guest one[] = {{"a", MIB(1800), 0.1, ANY}};
	const struct plan_host two[] = {{"here", MIB(200), MIB(2000), 4, 0.1},
					{"there", MIB(2000), MIB(2000), 4, 0}};
	const struct plan_guest refused[] = {{"a", MIB(900), 0.1, 0}};

	CHECK_EQ(plan_balance(one, 1, two, 2, 0, steps), 0);
	CHECK_EQ(plan_balance(refused, 1, two, 2, 0, steps), 0);
	CHECK_EQ(plan_balance(one, 0, two, 2, 0, steps), 0);
}

int main(void)
{
	CHECK_RUN(test_evacuate_the_largest_first);
	CHECK_RUN(test_evacuate_says_why_not);
	CHECK_RUN(test_evacuate_minds_the_cpus);
	CHECK_RUN(test_evacuate_shares_out);
	CHECK_RUN(test_balance_leaves_what_is_even);
	CHECK_RUN(test_balance_by_memory_and_by_cpu);
	CHECK_RUN(test_balance_never_overfills_nor_swaps);
	return CHECK_DONE();
}
