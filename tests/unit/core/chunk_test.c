/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/chunk.h"

#include "core/bytes.h"
#include "tests/unit/check.h"

static void test_used_again(void)
{
	struct chunk_pool *p = chunk_pool_new();
	struct chunk *a = chunk_get(p, 100), *b;
	CHECK_EQ(a->size, CHUNK_SMALL);
	a->used = 50;
	chunk_unref(chunk_ref(a));
	CHECK_EQ(a->refs, 1);
	chunk_unref(a);
	b = chunk_get(p, CHUNK_SMALL);
	CHECK(a == b); /* the same memory, as new */
	CHECK(b->used == 0 && b->refs == 1);
	chunk_unref(b);
	chunk_unref(NULL);
	chunk_pool_free(p);
}

static void test_sizes(void)
{
	struct chunk_pool *p = chunk_pool_new();
	static const uint32_t sizes[] = {1,	      CHUNK_SMALL,     CHUNK_SMALL + 1,
					 CHUNK_LARGE, CHUNK_LARGE + 1, 5u << 20};
	struct chunk *c[ARRAY_SIZE(sizes)];
	for (unsigned i = 0; i < ARRAY_SIZE(sizes); i++) {
		c[i] = chunk_get(p, sizes[i]);
		CHECK(c[i]->size >= sizes[i]);
		memset(c[i]->data, 1, sizes[i]);
	}
	for (unsigned i = 0; i < ARRAY_SIZE(sizes); i++)
		chunk_unref(c[i]);
	chunk_pool_free(p);
}

/* More than the pool keeps goes back to the system: the leak check would tell. */
static void test_many(void)
{
	struct chunk_pool *p = chunk_pool_new();
	struct chunk *c[64];
	for (unsigned round = 0; round < 3; round++) {
		for (unsigned i = 0; i < ARRAY_SIZE(c); i++)
			c[i] = chunk_get(p, i % 2 ? 10 : CHUNK_LARGE);
		for (unsigned i = 0; i < ARRAY_SIZE(c); i++)
			chunk_unref(c[i]);
	}
	chunk_pool_free(p);
}

int main(void)
{
	CHECK_RUN(test_used_again);
	CHECK_RUN(test_sizes);
	CHECK_RUN(test_many);
	return CHECK_DONE();
}
