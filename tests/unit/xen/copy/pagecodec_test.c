/* SPDX-License-Identifier: BSD-2-Clause */
#include "xen/copy/pagecodec.h"

#include <errno.h>
#include <stdlib.h>

#include "core/buf.h"
#include "core/bytes.h"
#include "tests/unit/check.h"

#define PAGES	    2048u
#define NOT_THERE   (0xfull << 60)
#define PAGE_TABLE  (0x1ull << 60)
#define CACHE_PAGE  (PAGECODEC_PAGE + 16)
#define RECORD_SIZE (8 + PAGECODEC_PFNS_MAX * (8 + PAGECODEC_PAGE))

static uint64_t seed = 88172645463325252u;
static _Alignas(8) uint8_t memory[PAGES][PAGECODEC_PAGE];

static uint32_t rnd(uint32_t below)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (uint32_t)(seed >> 33) % below;
}

static void noise(uint8_t *p)
{
	for (unsigned i = 0; i < PAGECODEC_PAGE; i++)
		p[i] = (uint8_t)rnd(256);
}

static void text(uint8_t *p)
{
	static const char *const words[] = {"page ",  "frame ", "guest ",
					    "dirty ", "round ", "bit "};

	for (unsigned n = 0; n < PAGECODEC_PAGE;) {
		const char *w = words[rnd(ARRAY_SIZE(words))];
		unsigned k = (unsigned)MIN(strlen(w), PAGECODEC_PAGE - n);

		memcpy(p + n, w, k);
		n += k;
	}
}

/* What the guest may have done to a page since it was sent. */
static void change(uint8_t *p)
{
	switch (rnd(6)) {
	case 0: memset(p, 0, PAGECODEC_PAGE); break;
	case 1: noise(p); break;
	case 2: text(p); break;
	case 3: break;
	default:
		for (unsigned n = rnd(40); n; n--)
			p[rnd(PAGECODEC_PAGE)] = (uint8_t)rnd(256);
	}
}

/* ---- the two ends, and a wire between them ---- */

struct ends {
	struct page_encoder *e;
	struct page_decoder *d;
	struct buf wire;
	int level;
	int write_fails; /* what write() returns; 0: it works */
	uint64_t coded_in;
};

static int on_write(void *arg, const void *p, size_t n)
{
	struct ends *x = arg;

	buf_put(&x->wire, p, n);
	return x->write_fails;
}

static int on_level(void *arg)
{
	return ((struct ends *)arg)->level;
}

static void on_coded(void *arg, int level, size_t in, size_t out, uint64_t began, uint64_t ended)
{
	struct ends *x = arg;

	CHECK(ended >= began);
	CHECK_EQ(level, x->level);
	CHECK(out <= in);
	x->coded_in += in;
}

static const struct page_encoder_ops ops = {on_write, on_level, on_coded};

static void ends_init(struct ends *x, uint64_t cache, int level)
{
	*x = (struct ends){.level = level};
	x->e = page_encoder_new(cache, &ops, x);
	x->d = page_decoder_new();
}

static void ends_fini(struct ends *x)
{
	page_encoder_free(x->e);
	page_decoder_free(x->d);
	buf_free(&x->wire);
}

static uint32_t le32(const uint8_t *p)
{
	return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

/* Gives the decoder one record off the wire: its type, or a negative errno. */
static int64_t decode_one(struct page_decoder *d, const uint8_t **p, size_t *left)
{
	uint32_t type, length;
	uint8_t *exact;
	int rc;

	if (*left < PAGECODEC_HEADER)
		return -ENODATA;
	type = le32(*p);
	length = le32(*p + 4);
	if (length > PAGECODEC_BODY_MAX || *left - PAGECODEC_HEADER < pagecodec_padded(length))
		return -ENODATA;
	exact = malloc(length ? length : 1); /* for the sanitizer to see its ends */
	memcpy(exact, *p + PAGECODEC_HEADER, length);
	switch (type) {
	case PAGECODEC_BEGIN: rc = page_decoder_begin(d, exact, length); break;
	case PAGECODEC_PAGES: rc = page_decoder_pages(d, exact, length); break;
	default: rc = page_decoder_block(d, exact, length); break;
	}
	free(exact);
	*p += PAGECODEC_HEADER + pagecodec_padded(length);
	*left -= PAGECODEC_HEADER + pagecodec_padded(length);
	return rc ? rc : (int64_t)type;
}

/* The next PAGE_DATA body off the wire: its length, or a negative errno. */
static int64_t decode(struct page_decoder *d, const uint8_t **p, size_t *left, uint8_t *out)
{
	int64_t type;

	do {
		type = decode_one(d, p, left);
	} while (type == PAGECODEC_BEGIN);
	if (type != PAGECODEC_PAGES)
		return type < 0 ? type : -EPROTO;
	page_decoder_into(d, out);
	while (page_decoder_wants(d)) {
		type = decode_one(d, p, left);
		if (type != PAGECODEC_BLOCK)
			return type < 0 ? type : -EPROTO;
	}
	return page_decoder_length(d);
}

/* The body of PAGE_DATA with these pfns, as libxc writes it. */
static size_t plain(const uint64_t *pfns, uint32_t count, uint8_t *out)
{
	uint8_t *p = out + 8 + 8 * (size_t)count;

	memcpy(out, &count, 4);
	memset(out + 4, 0, 4);
	memcpy(out + 8, pfns, 8 * (size_t)count);
	for (uint32_t i = 0; i < count; i++)
		if (pagecodec_has_contents(pfns[i])) {
			memcpy(p, memory[pfns[i] % PAGES], PAGECODEC_PAGE);
			p += PAGECODEC_PAGE;
		}
	return (size_t)(p - out);
}

static int encode(struct ends *x, const uint64_t *pfns, uint32_t count)
{
	const void *pages[PAGECODEC_PFNS_MAX];
	uint32_t n = 0;

	for (uint32_t i = 0; i < count; i++)
		if (pagecodec_has_contents(pfns[i]))
			pages[n++] = memory[pfns[i] % PAGES];
	return page_encoder_record(x->e, pfns, count, pages, n);
}

/* One record, there and back. */
static bool same_after(struct ends *x, const uint64_t *pfns, uint32_t count)
{
	uint8_t *want = malloc(RECORD_SIZE), *got = malloc(RECORD_SIZE);
	size_t n = plain(pfns, count, want), left;
	const uint8_t *p;
	bool good;

	good = CHECK_EQ(encode(x, pfns, count), 0) && CHECK_EQ(page_encoder_flush(x->e), 0);
	p = x->wire.data;
	left = x->wire.len;
	good = good && CHECK_EQ(decode(x->d, &p, &left, got), n) && CHECK_MEM(want, got, n) &&
	       CHECK_EQ(left, 0);
	x->wire.len = 0;
	free(want);
	free(got);
	return good;
}

/* ---- tests ---- */

/* A migration: all pages in order, then rounds of some of them, all kinds of pages and types. */
static void migrate(uint64_t cache, int level)
{
	uint64_t pfns[PAGECODEC_PFNS_MAX];
	struct ends x;

	ends_init(&x, cache, level);
	for (unsigned i = 0; i < PAGES; i++)
		change(memory[i]);
	for (unsigned round = 0; round < 6; round++) {
		uint32_t n = 0;

		for (uint64_t pfn = 0; pfn < PAGES; pfn++) {
			if (!round || !rnd(4)) {
				if (round)
					change(memory[pfn]);
				pfns[n] = pfn + (pfn > PAGES / 2 ? 1ull << 51 : 0);
				pfns[n++] |= rnd(50) ? 0 : rnd(2) ? NOT_THERE : PAGE_TABLE;
			}
			if (n == PAGECODEC_PFNS_MAX || (n && pfn + 1 == PAGES)) {
				if (!same_after(&x, pfns, n))
					goto out;
				n = 0;
			}
		}
	}
	for (unsigned i = 0; i < PAGE_KINDS; i++)
		CHECK(page_encoder_stats(x.e)->pages[i] > 0 || (!cache && i > PAGE_WHOLE));
	CHECK_EQ(page_encoder_stats(x.e)->packed_in, x.coded_in);
	CHECK(page_encoder_stats(x.e)->bytes_out < page_encoder_stats(x.e)->bytes_in);
out:
	ends_fini(&x);
}

static void test_every_page_comes_back(void)
{
	static const int levels[] = {PAGECODEC_LEVEL_NONE, PAGECODEC_LEVEL_MIN, -1, 1, 3, 9};

	for (unsigned i = 0; i < ARRAY_SIZE(levels); i++)
		migrate(PAGES * CACHE_PAGE, levels[i]);
	migrate(0, 1);
	migrate(PAGES / 3 * CACHE_PAGE, 1);
}

static size_t size_of(struct ends *x, const uint64_t *pfns, uint32_t n)
{
	uint64_t before = page_encoder_stats(x->e)->bytes_out;

	CHECK(same_after(x, pfns, n));
	return page_encoder_stats(x->e)->bytes_out - before;
}

static void test_sizes(void)
{
	uint64_t pfns[PAGECODEC_PFNS_MAX];
	struct ends x;
	size_t n;

	ends_init(&x, PAGES * CACHE_PAGE, 1);
	for (unsigned i = 0; i < PAGECODEC_PFNS_MAX; i++)
		pfns[i] = i | NOT_THERE;
	size_of(&x, pfns, 1); /* with BEGIN */
	CHECK(size_of(&x, pfns, PAGECODEC_PFNS_MAX) <= 32);
	for (unsigned i = 0; i < PAGECODEC_PFNS_MAX; i++) {
		pfns[i] = i;
		memset(memory[i], 0, PAGECODEC_PAGE);
	}
	CHECK(size_of(&x, pfns, PAGECODEC_PFNS_MAX) <= 64);
	for (unsigned i = 0; i < PAGECODEC_PFNS_MAX; i++)
		noise(memory[i]);
	n = PAGECODEC_PFNS_MAX * PAGECODEC_PAGE;
	CHECK(size_of(&x, pfns, PAGECODEC_PFNS_MAX) <= n + n / 1000);
	/* Incompressible, but sent before: as it was, and with a byte changed. */
	CHECK(size_of(&x, pfns, PAGECODEC_PFNS_MAX) <= 64);
	for (unsigned i = 0; i < PAGECODEC_PFNS_MAX; i++)
		memory[i][100] ^= 1;
	CHECK(size_of(&x, pfns, PAGECODEC_PFNS_MAX) <= n / 200);
	/* One that is new all over is not worth a delta. */
	noise(memory[0]);
	CHECK(size_of(&x, pfns, 1) <= PAGECODEC_PAGE + 64);
	CHECK_EQ(page_encoder_stats(x.e)->pages[PAGE_DELTA], PAGECODEC_PFNS_MAX);
	CHECK_EQ(page_encoder_stats(x.e)->pages[PAGE_SAME], PAGECODEC_PFNS_MAX);
	ends_fini(&x);
}

static void test_not_for_the_encoder(void)
{
	uint64_t pfns[2] = {1, 2};
	const void *pages[2] = {memory[1], memory[2]};
	struct ends x;

	ends_init(&x, 0, 1);
	CHECK_EQ(page_encoder_record(x.e, pfns, 0, pages, 0), -EINVAL);
	CHECK_EQ(page_encoder_record(x.e, pfns, PAGECODEC_PFNS_MAX + 1, pages, 2), -EINVAL);
	CHECK_EQ(page_encoder_record(x.e, pfns, 2, pages, 1), -EINVAL);
	CHECK_EQ(page_encoder_record(x.e, pfns, 1, pages, 2), -EINVAL);
	pfns[1] |= 1ull << 52; /* reserved */
	CHECK_EQ(page_encoder_record(x.e, pfns, 2, pages, 2), -EINVAL);
	CHECK_EQ(page_encoder_flush(x.e), 0);
	CHECK_EQ(x.wire.len, 0);
	x.write_fails = -1;
	pfns[1] = 2;
	CHECK_EQ(page_encoder_record(x.e, pfns, 2, pages, 2), 0);
	CHECK_EQ(page_encoder_flush(x.e), -1);
	ends_fini(&x);
}

/* A wire with two rounds on it. */
static void fill_wire(struct ends *x)
{
	uint64_t pfns[64];

	ends_init(x, PAGES * CACHE_PAGE, 1);
	for (unsigned round = 0; round < 2; round++) {
		for (unsigned i = 0; i < 64; i++) {
			pfns[i] = i * 3 | (i == 7 ? NOT_THERE : 0);
			if (round == 0)
				text(memory[i * 3]);
			if (i < 2)
				memset(memory[i * 3], 0, PAGECODEC_PAGE);
			if (round && i > 40)
				change(memory[i * 3]);
		}
		CHECK_EQ(encode(x, pfns, 64), 0);
	}
	CHECK_EQ(page_encoder_flush(x->e), 0);
}

/* How many records the decoder takes before it refuses. */
static unsigned accepted(const uint8_t *wire, size_t n)
{
	static uint8_t out[RECORD_SIZE];
	struct page_decoder *d = page_decoder_new();
	unsigned k = 0;

	while (decode(d, &wire, &n, out) > 0)
		k++;
	page_decoder_free(d);
	return k;
}

static void test_damage(void)
{
	struct ends x;
	uint8_t *copy;

	fill_wire(&x);
	CHECK_EQ(accepted(x.wire.data, x.wire.len), 2);
	copy = malloc(x.wire.len);
	for (size_t at = 0; at < x.wire.len; at += 1 + rnd(20)) {
		memcpy(copy, x.wire.data, x.wire.len);
		copy[at] ^= (uint8_t)(1 + rnd(255));
		CHECK(accepted(copy, x.wire.len) <= 2);
		CHECK(accepted(x.wire.data, at) <= 1);
	}
	free(copy);
	ends_fini(&x);
}

static int refuse(const void *pages, size_t n)
{
	static const uint8_t begin[16] = {PAGECODEC_VERSION};
	struct page_decoder *d = page_decoder_new();
	int rc;

	CHECK_EQ(page_decoder_pages(d, pages, n), -EPROTO); /* without BEGIN */
	CHECK_EQ(page_decoder_begin(d, begin, sizeof(begin)), 0);
	CHECK_EQ(page_decoder_begin(d, begin, sizeof(begin)), -EPROTO);
	CHECK_EQ(page_decoder_block(d, begin, sizeof(begin)), -EPROTO); /* without PAGES */
	rc = page_decoder_pages(d, pages, n);
	page_decoder_free(d);
	return rc;
}

static void test_refusals(void)
{
	static const uint8_t other_version[16] = {PAGECODEC_VERSION + 1};
	struct page_decoder *d = page_decoder_new();

	CHECK_EQ(page_decoder_begin(d, other_version, sizeof(other_version)), -EPROTO);
	page_decoder_free(d);
#define PAGES_BODY(...) ((const uint8_t[]){__VA_ARGS__}), sizeof((const uint8_t[]){__VA_ARGS__})
	CHECK_EQ(refuse(PAGES_BODY(1, 0, 0, 0, 1, 0, 0, 0, 0, 2)), 0);
	CHECK_EQ(refuse(PAGES_BODY(1, 0, 0, 0, 0, 0, 0, 0, 0xf, 2)), 0);
	CHECK_EQ(refuse(PAGES_BODY(1, 0, 0, 0, 1, 0, 0)), -EPROTO);
	CHECK_EQ(refuse(PAGES_BODY(0, 0, 0, 0, 0, 0, 0, 0)), -EPROTO);
	CHECK_EQ(refuse(PAGES_BODY(1, 4, 0, 0, 1, 4, 0, 0, 0xf0, 0x7f, 2)), -EPROTO);
	CHECK_EQ(refuse(PAGES_BODY(1, 0, 0, 0, 0, 0, 0, 0, 0, 2)), -EPROTO);	/* has contents */
	CHECK_EQ(refuse(PAGES_BODY(1, 0, 0, 0, 1, 0, 0, 0, 0xf, 2)), -EPROTO);	/* has none */
	CHECK_EQ(refuse(PAGES_BODY(1, 0, 0, 0, 1, 0, 0, 0, 0x10, 2)), -EPROTO); /* too many */
	CHECK_EQ(refuse(PAGES_BODY(2, 0, 0, 0, 2, 0, 0, 0, 0, 2)), -EPROTO);	/* too few */
	CHECK_EQ(refuse(PAGES_BODY(1, 0, 0, 0, 1, 0, 0, 0, 0, 2, 0)), -EPROTO); /* and more */
	CHECK_EQ(refuse(PAGES_BODY(1, 0, 0, 0, 1, 0, 0, 0, 0, 1)), -EPROTO);	/* pfn -1 */
	CHECK_EQ(refuse(PAGES_BODY(1, 0, 0, 0, 1, 0, 0, 0, 0, 0x80)), -EPROTO);
	CHECK_EQ(refuse(PAGES_BODY(1, 0, 0, 0, 1, 0, 0, 0, 0, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80,
				   0x80, 0x80, 0x80, 2)),
		 -EPROTO);
}

int main(void)
{
	CHECK_RUN(test_every_page_comes_back);
	CHECK_RUN(test_sizes);
	CHECK_RUN(test_not_for_the_encoder);
	CHECK_RUN(test_damage);
	CHECK_RUN(test_refusals);
	return CHECK_DONE();
}
