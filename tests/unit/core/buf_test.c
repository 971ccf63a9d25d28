/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/buf.h"

#include <stdint.h>
#include <stdlib.h>

#include "core/bytes.h"
#include "tests/unit/check.h"

static void test_writes_what_was_put(void)
{
	static const uint8_t want[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 'x', 'y'};
	struct buf b = {0};

	buf_put_u8(&b, 1);
	buf_put_be16(&b, 0x0203);
	buf_put_be32(&b, 0x04050607);
	buf_put_be64(&b, 0x08090a0b0c0d0e0full);
	buf_put(&b, "xy", 2);
	CHECK(!b.failed);
	CHECK_EQ(b.len, sizeof(want));
	CHECK_MEM(b.data, want, sizeof(want));
	buf_free(&b);
	CHECK(!b.data && !b.len && !b.cap);
}

static void test_grows_and_keeps_its_content(void)
{
	struct buf b = {0};

	for (uint32_t i = 0; i < 100000; i++)
		buf_put_be32(&b, i);
	CHECK_EQ(b.len, 400000);
	for (uint32_t i = 0; i < 100000; i += 997)
		CHECK_EQ(get_be32(b.data + 4 * i), i);
	buf_free(&b);
}

static void test_reserve_does_not_move_the_length(void)
{
	struct buf b = {0};
	uint8_t *p = buf_reserve(&b, 1000);

	if (!CHECK(p != NULL))
		return;
	CHECK_EQ(b.len, 0);
	memset(p, 7, 1000);
	b.len = 1000;
	p = buf_reserve(&b, 100000);
	CHECK(p == b.data + 1000);
	CHECK_EQ(b.data[999], 7);
	CHECK(buf_reserve(&b, 0) != NULL);
	buf_free(&b);
	/* Nothing at all still is a place. */
	CHECK(buf_reserve(&b, 0) != NULL);
	buf_free(&b);
}

static void test_impossible_sizes_fail_for_good(void)
{
	struct buf b = {0};

	buf_put_u8(&b, 1);
	CHECK(buf_reserve(&b, SIZE_MAX) == NULL);
	CHECK(b.failed);
	CHECK_EQ(b.len, 1);
	CHECK(buf_reserve(&b, 1) == NULL);
	buf_put_be64(&b, 1);
	buf_printf(&b, "%d", 1);
	CHECK_EQ(b.len, 1);
	buf_free(&b);
	CHECK(!b.failed);
}

static void test_put_of_nothing(void)
{
	struct buf b = {0};

	buf_put(&b, NULL, 0);
	CHECK_EQ(b.len, 0);
	CHECK(!b.failed);
	buf_free(&b);
}

static void test_printf_appends_without_nul(void)
{
	struct buf b = {0};
	char *big = malloc(10001);

	memset(big, 'z', 10000);
	big[10000] = '\0';
	buf_printf(&b, "%s=%d", "a", 12);
	CHECK_EQ(b.len, 4);
	buf_printf(&b, "%s", "");
	CHECK_EQ(b.len, 4);
	buf_printf(&b, "%s", big);
	CHECK_EQ(b.len, 10004);
	CHECK_MEM(b.data, "a=12zzzz", 8);
	buf_free(&b);
	free(big);
}

static void test_drop(void)
{
	struct buf b = {0};

	buf_drop(&b, 5); /* of an empty one */
	buf_put(&b, "abcdef", 6);
	buf_drop(&b, 0);
	CHECK_EQ(b.len, 6);
	buf_drop(&b, 2);
	CHECK_EQ(b.len, 4);
	CHECK_MEM(b.data, "cdef", 4);
	buf_drop(&b, 100);
	CHECK_EQ(b.len, 0);
	buf_put(&b, "gh", 2);
	CHECK_MEM(b.data, "gh", 2);
	buf_free(&b);
}

static void test_reader_reads_in_order(void)
{
	static const uint8_t in[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};
	struct reader r = reader_of(in, sizeof(in));

	CHECK_EQ(read_u8(&r), 1);
	CHECK_EQ(read_be16(&r), 0x0203);
	CHECK_EQ(read_be32(&r), 0x04050607);
	CHECK_EQ(read_be64(&r), 0x08090a0b0c0d0e0fll);
	CHECK(read_bytes(&r, 1) == in + 15);
	CHECK_EQ(r.left, 0);
	CHECK(read_bytes(&r, 0) == in + 16);
	CHECK(!r.failed);
}

static void test_reader_stops_at_the_end(void)
{
	static const uint8_t in[] = {1, 2, 3};
	struct reader r = reader_of(in, sizeof(in));

	CHECK_EQ(read_be32(&r), 0);
	CHECK(r.failed);
	/* Also what would fit: the place is not known any more. */
	CHECK_EQ(read_u8(&r), 0);
	CHECK(read_bytes(&r, 1) == NULL);
	CHECK(read_bytes(&r, 0) == NULL);

	r = reader_of(in, sizeof(in));
	CHECK(read_bytes(&r, SIZE_MAX) == NULL);
	CHECK(r.failed);

	r = reader_of(NULL, 0);
	CHECK(!r.failed);
	CHECK_EQ(read_u8(&r), 0);
	CHECK(r.failed);
}

static void test_bytes_at_any_alignment(void)
{
	uint8_t b[24];

	for (unsigned i = 0; i < 8; i++) {
		put_be16(b + i, 0x1234);
		CHECK_EQ(get_be16(b + i), 0x1234);
		put_be24(b + i, 0x123456);
		CHECK_EQ(get_be24(b + i), 0x123456);
		CHECK_EQ(b[i], 0x12);
		put_be32(b + i, 0x89abcdef);
		CHECK_EQ(get_be32(b + i), 0x89abcdef);
		put_be64(b + i, 0x0123456789abcdefull);
		CHECK_EQ(get_be64(b + i), 0x0123456789abcdefll);
		CHECK_EQ(b[i + 7], 0xef);
	}
}

int main(void)
{
	CHECK_RUN(test_writes_what_was_put);
	CHECK_RUN(test_grows_and_keeps_its_content);
	CHECK_RUN(test_reserve_does_not_move_the_length);
	CHECK_RUN(test_impossible_sizes_fail_for_good);
	CHECK_RUN(test_put_of_nothing);
	CHECK_RUN(test_printf_appends_without_nul);
	CHECK_RUN(test_drop);
	CHECK_RUN(test_reader_reads_in_order);
	CHECK_RUN(test_reader_stops_at_the_end);
	CHECK_RUN(test_bytes_at_any_alignment);
	return CHECK_DONE();
}
