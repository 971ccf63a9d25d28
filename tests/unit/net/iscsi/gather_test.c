/* SPDX-License-Identifier: BSD-2-Clause */
#include "net/iscsi/gather.h"

#include <stdlib.h>
#include <string.h>

#include "core/bytes.h"
#include "tests/unit/check.h"

static struct target_server server;
static struct conn conn = {.server = &server};
static unsigned given_back;

static void on_gone(struct chunk *c)
{
	(void)c;
	given_back++;
}

/* A chunk of 256 KiB, each byte of which tells its place. */
static struct chunk *filled(struct chunk_pool *pool)
{
	struct chunk *c = chunk_get(pool, CHUNK_SMALL);
	for (uint32_t i = 0; i < CHUNK_SMALL; i++)
		c->data[i] = (uint8_t)(i ^ i >> 8);
	c->gone = on_gone;
	given_back = 0;
	return c;
}

/* Is all of it what lay in the chunk from `at` on? */
static bool same(const struct gather *g, const struct chunk *c, uint32_t at)
{
	uint32_t n = 0;
	bool ok = true;
	for (unsigned i = 0; i < g->n; i++) {
		ok = ok && memcmp(g->iov[i].iov_base, c->data + at + n, g->iov[i].iov_len) == 0;
		n += (uint32_t)g->iov[i].iov_len;
	}
	return ok && n == g->len;
}

static void test_large_pieces_stay_where_they_are(void)
{
	struct chunk_pool *pool = chunk_pool_new();
	struct chunk *c = filled(pool);
	struct gather g = {0};
	gather_init(&g, 3 * 8192);
	CHECK(gather_add(&g, &conn, c->data, 8192, c, false));
	CHECK(gather_add(&g, &conn, c->data + 8192, 8192, c, true));
	CHECK_EQ(g.n, 1); /* one piece */
	CHECK(g.iov[0].iov_base == c->data && g.len == 16384);
	CHECK_EQ(server.out_bytes, 8192);
	chunk_unref(c);
	CHECK_EQ(given_back, 0);
	gather_fini(&g, &server);
	CHECK_EQ(given_back, 1);
	CHECK_EQ(server.out_bytes, 0);
	chunk_pool_free(pool);
}

/* A chunk is not kept for a few bytes of a command that waits for more. */
static void test_small_pieces_are_copied(void)
{
	static const uint32_t lens[] = {1, 7, 512, 4095, 3, 4000};
	struct chunk_pool *pool = chunk_pool_new();
	struct chunk *c = filled(pool);
	struct gather g = {0};
	uint32_t at = 100;
	gather_init(&g, 20000);
	for (unsigned i = 0; i < 12; i++) {
		uint32_t n = lens[i % ARRAY_SIZE(lens)];
		CHECK(gather_add(&g, &conn, c->data + at, n, c, false));
		at += n;
	}
	CHECK_EQ(g.len, at - 100);
	CHECK(g.n <= 4); /* what is one behind the other is one piece */
	CHECK(same(&g, c, 100));
	CHECK_EQ(c->refs, 1);
	CHECK(server.out_bytes >= g.len && server.out_bytes <= 20000);
	gather_fini(&g, &server);
	CHECK_EQ(server.out_bytes, 0);
	chunk_unref(c);
	CHECK_EQ(given_back, 1);
	chunk_pool_free(pool);
}

/* When much is kept already all is copied; pieces of both kinds go together. */
static void test_all_is_copied_under_pressure(void)
{
	struct chunk_pool *pool = chunk_pool_new();
	struct chunk *c = filled(pool);
	struct gather g = {0};
	gather_init(&g, 200000);
	CHECK(gather_add(&g, &conn, c->data, 8192, c, true));
	conn.pinned = CONN_PINNED_MAX;
	CHECK(gather_add(&g, &conn, c->data + 8192, 65536, c, true));
	conn.pinned = 0;
	server.pinned = SERVER_PINNED_MAX;
	CHECK(gather_add(&g, &conn, c->data + 73728, 65536, c, true));
	server.pinned = 0;
	CHECK_EQ(c->refs, 2);
	CHECK(gather_add(&g, &conn, c->data + 139264, 60736, c, true));
	CHECK_EQ(c->refs, 3);
	CHECK(g.len == 200000 && same(&g, c, 0));
	CHECK_EQ(server.out_bytes, 0); /* it was asked for */
	gather_fini(&g, &server);
	CHECK_EQ(c->refs, 1);
	chunk_unref(c);
	chunk_pool_free(pool);
}

static void test_too_much_that_was_not_asked_for(void)
{
	conn.tasks = 2;
	server.out_bytes = SERVER_OUT_LAST - 1;
	CHECK(!gather_full(&conn));
	server.out_bytes = SERVER_OUT_LAST;
	CHECK(gather_full(&conn));
	conn.tasks = 1; /* nobody is starved by others */
	CHECK(!gather_full(&conn));
	conn.tasks = 0;
	server.out_bytes = 0;
}

int main(void)
{
	CHECK_RUN(test_large_pieces_stay_where_they_are);
	CHECK_RUN(test_small_pieces_are_copied);
	CHECK_RUN(test_all_is_copied_under_pressure);
	CHECK_RUN(test_too_much_that_was_not_asked_for);
	return CHECK_DONE();
}
