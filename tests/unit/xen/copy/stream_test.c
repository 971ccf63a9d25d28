/* SPDX-License-Identifier: BSD-2-Clause */
#include "xen/copy/stream.h"

#include <errno.h>
#include <stdlib.h>

#include "tests/unit/check.h"
#include "tests/unit/xen/copy/stream_bytes.h"
#include "xen/copy/pagecodec.h"

static void record(struct buf *b, uint32_t type, uint32_t len)
{
	le32(b, type);
	le32(b, len);
}

static void libxl_header(struct buf *b)
{
	buf_put(b, "LibxlFmt", 8);
	buf_put_be32(b, 2);
	buf_put_be32(b, 0);
}

static void libxc_header(struct buf *b)
{
	buf_put_be64(b, UINT64_MAX);
	buf_put_be32(b, 0x58454e46);
	buf_put_be32(b, 3);
	zeros(b, 8);
	le32(b, 2);
	le32(b, 12);
	le32(b, 4);
	le32(b, 17);
}

/* Of n pages, those of odd index have no contents. */
static void page_data(struct buf *b, uint32_t n)
{
	uint32_t full = (n + 1) / 2;

	record(b, 1, 8 + n * 8 + full * 4096);
	le32(b, n);
	le32(b, 0);
	for (uint32_t i = 0; i < n; i++) {
		le32(b, i);
		le32(b, i % 2 ? 0xf0000000u : 0);
	}
	zeros(b, (size_t)full * 4096);
}

static struct buf good(void)
{
	struct buf b = {0};

	libxl_header(&b);
	record(&b, 1, 0);
	libxc_header(&b);
	record(&b, 0x11, 5); /* padded to 8 */
	zeros(&b, 8);
	record(&b, 0x10, 0);
	page_data(&b, 5);
	page_data(&b, 1024);
	record(&b, 0x80000123u, 24); /* optional */
	zeros(&b, 24);
	record(&b, 0, 0);
	record(&b, 2, 16);
	zeros(&b, 16);
	record(&b, 0, 0);
	return b;
}

static int feed_in_pieces(struct stream *s, const struct buf *b, size_t piece)
{
	int rc = 0;

	stream_init(s);
	for (size_t at = 0; at < b->len && rc == 0; at += piece)
		rc = stream_feed(s, b->data + at, MIN(piece, b->len - at));
	return rc;
}

static void test_cut_anywhere(void)
{
	static const size_t pieces[] = {1, 2, 3, 7, 8, 9, 24, 25, 4095, 4096, 65536, 1 << 24};
	struct buf b = good();
	struct stream s;

	for (size_t i = 0; i < ARRAY_SIZE(pieces); i++) {
		CHECK_EQ(feed_in_pieces(&s, &b, pieces[i]), 0);
		CHECK(s.ended);
		CHECK_EQ(s.pages, 3 + 512);
		CHECK_EQ(s.bytes, b.len);
		CHECK_EQ(s.records, 9);
	}
	CHECK_EQ(stream_feed(&s, "x", 1), -EPROTO);
	CHECK_EQ(stream_feed(&s, "", 0), -EPROTO);
	buf_free(&b);
}

static void test_not_ended_before_its_end(void)
{
	struct buf b = good();
	struct stream s;

	stream_init(&s);
	CHECK_EQ(stream_feed(&s, b.data, b.len - 1), 0);
	CHECK(!s.ended);
	buf_free(&b);
}

/* A bit of a magic number, a version or an order of bytes turned is refused; of anything else, at
 * least never read outside. */
static bool matters(size_t byte)
{
	return byte < 12 || (byte >= 16 && byte < 40) || (byte >= 48 && byte < 54);
}

static void test_turned_bits(void)
{
	struct buf b = good();
	struct stream s;

	for (size_t i = 0; i < 160; i++) {
		for (int bit = 0; bit < 8; bit++) {
			bool refused;

			b.data[i] ^= (uint8_t)(1 << bit);
			refused = feed_in_pieces(&s, &b, 4096) || !s.ended;
			/* version 2 of libxc's stream is as good as 3 */
			if (matters(i) && !(i == 39 && bit == 0))
				if (!CHECK(refused))
					printf("# byte %zu bit %d\n", i, bit);
			b.data[i] ^= (uint8_t)(1 << bit);
		}
	}
	buf_free(&b);
}

static void test_noise(void)
{
	uint8_t noise[4096];
	struct stream s;

	srand(7);
	for (int k = 0; k < 2000; k++) {
		struct buf b = {0};
		size_t keep = (size_t)rand() % 80;

		libxl_header(&b);
		record(&b, 1, 0);
		libxc_header(&b);
		b.len = MIN(b.len, keep);
		for (size_t i = 0; i < sizeof(noise); i++)
			noise[i] = (uint8_t)rand();
		buf_put(&b, noise, sizeof(noise));
		feed_in_pieces(&s, &b, 1 + (size_t)rand() % 300);
		CHECK(!s.ended);
		buf_free(&b);
	}
}

static void refuses(const char *what, struct buf *b)
{
	struct stream s;

	if (feed_in_pieces(&s, b, 13) != -EPROTO || !s.error)
		CHECK_STR(what, "was refused");
	buf_free(b);
}

static void test_refusals(void)
{
	struct buf b = {0};

	buf_put(&b, "GET / HTTP/1.0\r\n", 16);
	refuses("another protocol", &b);

	libxl_header(&b);
	record(&b, 0, 0);
	refuses("a stream without a guest", &b);

	libxl_header(&b);
	record(&b, 1, 0);
	libxc_header(&b);
	record(&b, 1, 0xffffffff);
	refuses("a record too long", &b);

	libxl_header(&b);
	record(&b, 1, 0);
	libxc_header(&b);
	record(&b, 1, 16);
	le32(&b, 1025);
	le32(&b, 0);
	refuses("too many pages", &b);

	libxl_header(&b);
	record(&b, 1, 0);
	libxc_header(&b);
	record(&b, 1, 8 + 8 + 4096 + 8);
	le32(&b, 1);
	zeros(&b, 12);
	refuses("pages and length that differ", &b);

	libxl_header(&b);
	record(&b, 1, 0);
	libxc_header(&b);
	record(&b, 0x13, 0);
	refuses("an unknown mandatory record", &b);

	libxl_header(&b);
	record(&b, 1, 0);
	libxc_header(&b);
	record(&b, 0, 0);
	record(&b, 1, 0);
	refuses("a second guest", &b);
}

/* Records of compressed pages: from BEGIN on, with a delta cache of so many bytes. */
static struct buf packed(uint32_t cache)
{
	struct buf b = {0};

	libxl_header(&b);
	record(&b, 1, 0);
	libxc_header(&b);
	record(&b, PAGECODEC_BEGIN, 16);
	le32(&b, PAGECODEC_VERSION);
	le32(&b, 0);
	le32(&b, cache);
	le32(&b, 0);
	record(&b, PAGECODEC_PAGES, 11);
	le32(&b, 5);
	le32(&b, 3);
	zeros(&b, 8);
	record(&b, PAGECODEC_BLOCK, 17);
	zeros(&b, 24);
	record(&b, 0, 0);
	record(&b, 0, 0);
	return b;
}

static int feed_packed(struct stream *s, struct buf b, size_t piece, bool agreed)
{
	int rc = 0;

	stream_init(s);
	if (agreed)
		stream_allow_packed(s, 1 << 20);
	for (size_t at = 0; at < b.len && rc == 0; at += piece)
		rc = stream_feed(s, b.data + at, MIN(piece, b.len - at));
	buf_free(&b);
	return rc;
}

static void test_compressed_pages(void)
{
	struct buf b = {0};
	struct stream s;

	for (size_t piece = 1; piece < 200; piece += 9) {
		CHECK_EQ(feed_packed(&s, packed(1 << 20), piece, true), 0);
		CHECK(s.ended);
		CHECK_EQ(s.pages, 3);
	}
	CHECK_EQ(feed_packed(&s, packed(1 << 20), 7, false), -EPROTO);
	CHECK_STR(s.error, "compressed pages that were not agreed on");
	CHECK_EQ(feed_packed(&s, packed((1 << 20) + 1), 7, true), -EPROTO);
	CHECK_STR(s.error, "delta cache larger than agreed on");

	libxl_header(&b);
	record(&b, 1, 0);
	libxc_header(&b);
	record(&b, PAGECODEC_BLOCK, PAGECODEC_BODY_MAX + 1);
	CHECK_EQ(feed_packed(&s, b, 7, true), -EPROTO);
	CHECK_STR(s.error, "record of compressed pages longer than allowed");

	b = packed(0);
	b.data[16 + 8 + 24 + 16 + 4] = 8; /* the length of BEGIN */
	CHECK_EQ(feed_packed(&s, b, 7, true), -EPROTO);
	CHECK_STR(s.error, "truncated record of compressed pages");
	b = packed(0);
	b.data[16 + 8 + 24 + 16 + 8]++; /* its version */
	CHECK_EQ(feed_packed(&s, b, 7, true), -EPROTO);
	CHECK_STR(s.error, "unknown version of the compressed pages");
}

int main(void)
{
	CHECK_RUN(test_cut_anywhere);
	CHECK_RUN(test_not_ended_before_its_end);
	CHECK_RUN(test_turned_bits);
	CHECK_RUN(test_noise);
	CHECK_RUN(test_refusals);
	CHECK_RUN(test_compressed_pages);
	return CHECK_DONE();
}
