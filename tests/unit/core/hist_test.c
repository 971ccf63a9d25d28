/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/hist.h"

#include <math.h>

#include "tests/unit/check.h"

static struct hist h, other;

/* The resolution that hist.h promises. */
static bool near(uint64_t got, uint64_t want)
{
	return fabs((double)got - (double)want) <= 0.016 * (double)want + 0.5;
}

static void test_empty(void)
{
	hist_reset(&h);
	CHECK_EQ(h.n, 0);
	CHECK_EQ(hist_quantile(&h, 0.5), 0);
	CHECK(hist_mean(&h) == 0);
	hist_merge(&h, &h);
	CHECK_EQ(h.max, 0);
}

static void test_single_value_of_every_size(void)
{
	for (unsigned shift = 0; shift < 64; shift++)
		for (int64_t off = -1; off <= 1; off++) {
			uint64_t v = (1ull << shift) + (uint64_t)off;

			hist_reset(&h);
			hist_add(&h, v);
			/* exact: never below min nor above max */
			CHECK(hist_quantile(&h, 0) == v);
			CHECK(hist_quantile(&h, 0.5) == v);
			CHECK(hist_quantile(&h, 1) == v);
			CHECK(h.min == v && h.max == v);
		}
}

static void test_extremes_of_the_range(void)
{
	hist_reset(&h);
	hist_add(&h, 0);
	hist_add(&h, UINT64_MAX);
	CHECK_EQ(hist_quantile(&h, 0.5), 0);
	CHECK(hist_quantile(&h, 1) == UINT64_MAX);
	CHECK_EQ(h.min, 0);
}

static void test_quantiles_against_sorted_values(void)
{
	static uint64_t v[20001];
	size_t n = sizeof(v) / sizeof(v[0]);

	/* ascending by construction: each a little more than the one before, over nine decades */
	double at = 10;

	hist_reset(&h);
	for (size_t i = 0; i < n; i++) {
		at *= 1.001;
		v[i] = (uint64_t)at;
	}
	/* The order they come in does not matter. */
	for (size_t i = 0; i < n; i++)
		hist_add(&h, v[(i * 7919) % n]);
	CHECK_EQ(h.n, n);
	for (double q = 0.01; q < 1; q += 0.01)
		CHECK(near(hist_quantile(&h, q), v[(size_t)(q * (double)n)]));
	CHECK(near(hist_quantile(&h, 0.999), v[(size_t)(0.999 * (double)n)]));
	CHECK(hist_quantile(&h, 1) == v[n - 1]);
}

static void test_quantile_out_of_range(void)
{
	hist_reset(&h);
	hist_add(&h, 5);
	hist_add(&h, 10);
	CHECK_EQ(hist_quantile(&h, 2), 10);
	CHECK_EQ(hist_quantile(&h, 0), 5);
}

static void test_mean_is_exact(void)
{
	hist_reset(&h);
	for (uint64_t i = 1; i <= 1000; i++)
		hist_add(&h, i * 1000);
	CHECK(hist_mean(&h) == 500500);
}

static void test_merge_equals_adding_all(void)
{
	static struct hist all;

	hist_reset(&h);
	hist_reset(&other);
	hist_reset(&all);
	for (uint64_t i = 0; i < 5000; i++) {
		hist_add(i % 3 ? &h : &other, i * i);
		hist_add(&all, i * i);
	}
	hist_merge(&h, &other);
	CHECK_MEM(&h, &all, sizeof(h));
	/* into an empty one: its min is not 0 */
	hist_reset(&other);
	hist_reset(&h);
	hist_add(&other, 77);
	hist_merge(&h, &other);
	CHECK_EQ(h.min, 77);
	hist_reset(&other);
	hist_merge(&h, &other);
	CHECK_EQ(h.min, 77);
	CHECK_EQ(h.n, 1);
}

static void test_more_values_than_32_bits_count(void)
{
	hist_reset(&h);
	hist_reset(&other);
	hist_add(&h, 10);
	hist_add(&other, 1000);
	/* doubling: 2^33 of them */
	for (int i = 0; i < 33; i++) {
		static struct hist twin;

		twin = h;
		hist_merge(&h, &twin);
	}
	hist_merge(&h, &other);
	CHECK_EQ(h.n, (1ll << 33) + 1);
	CHECK_EQ(hist_quantile(&h, 0.99), 10);
	CHECK_EQ(hist_quantile(&h, 1), 1000);
}

static void test_many_of_one_value_and_cumulation(void)
{
	static const uint64_t edge[] = {5, 10, 1000, 1000000, UINT64_MAX};
	uint64_t below[5];

	hist_reset(&h);
	hist_reset(&other);
	for (int i = 0; i < 7; i++)
		hist_add(&h, 10);
	hist_add_n(&other, 10, 7);
	CHECK_MEM(&h, &other, sizeof(h));
	hist_add_n(&h, 900, 3);
	hist_add(&h, UINT64_MAX);
	hist_cumulate(&h, edge, 5, below);
	CHECK_EQ(below[0], 0);
	CHECK_EQ(below[1], 7);
	CHECK_EQ(below[2], 10);
	CHECK_EQ(below[3], 10);
	CHECK_EQ(below[4], 11);
}

int main(void)
{
	CHECK_RUN(test_empty);
	CHECK_RUN(test_single_value_of_every_size);
	CHECK_RUN(test_extremes_of_the_range);
	CHECK_RUN(test_quantiles_against_sorted_values);
	CHECK_RUN(test_quantile_out_of_range);
	CHECK_RUN(test_mean_is_exact);
	CHECK_RUN(test_merge_equals_adding_all);
	CHECK_RUN(test_more_values_than_32_bits_count);
	CHECK_RUN(test_many_of_one_value_and_cumulation);
	return CHECK_DONE();
}
