/* SPDX-License-Identifier: BSD-2-Clause */
#include "xen/copy/pagecache.h"

#include <string.h>

#include "tests/unit/check.h"

#define SLOTS 4u
#define BYTES (SLOTS * (PAGECACHE_PAGE + 16))

static uint8_t page[PAGECACHE_PAGE];

static const uint8_t *filled(uint8_t v)
{
	memset(page, v, sizeof(page));
	return page;
}

static bool holds(struct pagecache *c, uint64_t pfn, uint8_t v)
{
	const uint8_t *p = pagecache_find(c, pfn);

	return p && p[0] == v && p[PAGECACHE_PAGE - 1] == v;
}

static void test_keeps_the_last_version(void)
{
	struct pagecache *c = pagecache_new(BYTES);

	CHECK(!pagecache_find(c, 0));
	pagecache_put(c, 0, filled(1));
	pagecache_put(c, 3, filled(2));
	pagecache_put(c, 0, filled(3));
	CHECK(holds(c, 0, 3));
	CHECK(holds(c, 3, 2));
	CHECK(!pagecache_find(c, SLOTS)); /* the same slot, another page */
	pagecache_drop(c, SLOTS);
	CHECK(holds(c, 0, 3));
	pagecache_drop(c, 0);
	CHECK(!pagecache_find(c, 0));
	pagecache_free(c);
}

static void test_first_round_gives_way(void)
{
	struct pagecache *c = pagecache_new(BYTES);

	pagecache_put(c, 0, filled(1));
	pagecache_put(c, SLOTS, filled(2)); /* as new as the other one */
	CHECK(holds(c, 0, 1));
	pagecache_round(c);
	pagecache_put(c, SLOTS, filled(3));
	CHECK(holds(c, SLOTS, 3));
	CHECK(!pagecache_find(c, 0));
	pagecache_free(c);
}

static void test_pages_sent_again_stay(void)
{
	struct pagecache *c = pagecache_new(BYTES);

	pagecache_round(c);
	pagecache_put(c, 0, filled(1));
	for (unsigned i = 0; i < PAGECACHE_ROUNDS; i++) {
		pagecache_round(c);
		pagecache_put(c, SLOTS, filled(2));
		CHECK(holds(c, 0, 1));
	}
	pagecache_touch(c, 0);
	pagecache_round(c);
	pagecache_put(c, SLOTS, filled(2));
	CHECK(holds(c, 0, 1));
	for (unsigned i = 0; i < PAGECACHE_ROUNDS; i++)
		pagecache_round(c);
	pagecache_put(c, SLOTS, filled(2));
	CHECK(holds(c, SLOTS, 2));
	pagecache_free(c);
}

static void test_nothing_fits(void)
{
	struct pagecache *c = pagecache_new(PAGECACHE_PAGE);

	pagecache_round(c);
	pagecache_put(c, 0, filled(1));
	CHECK(!pagecache_find(c, 0));
	pagecache_drop(c, 0);
	pagecache_free(c);
	pagecache_free(NULL);
	CHECK(!pagecache_new(UINT64_MAX));
}

int main(void)
{
	CHECK_RUN(test_keeps_the_last_version);
	CHECK_RUN(test_first_round_gives_way);
	CHECK_RUN(test_pages_sent_again_stay);
	CHECK_RUN(test_nothing_fits);
	return CHECK_DONE();
}
