/* SPDX-License-Identifier: BSD-2-Clause */
#include "xen/copy/pagecodec_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <zstd.h>

#include "core/bytes.h"
#include "core/crc32c.h"
#include "core/loop.h"
#include "xen/copy/pagecache.h"

#define WORDS	    (PAGECODEC_PAGE / 8)
#define FLUSH_BYTES (64u << 10)
/* A run of kinds takes at most two bytes, as a block has no more than 1024 pages. */
#define KINDS_MAX (2 * PAGECODEC_PFNS_MAX)
#define DATA_MAX  (PAGECODEC_BLOCK_MAX * PAGECODEC_PAGE)
/* A delta pays while most of the page is as it was. */
#define DELTA_WORDS (WORDS / 2)

/* The block that is being filled. */
struct block {
	uint32_t pages, literals; /* literals: those with data */
	uint32_t crc;
	enum page_kind kind; /* of the run at its end, and how long that is */
	uint32_t run;
	uint32_t kinds_len;
	uint8_t kinds[KINDS_MAX];
	_Alignas(uint64_t) uint8_t data[DATA_MAX];
};

struct page_encoder {
	const struct page_encoder_ops *ops;
	void *arg;
	struct pagecache *cache;
	uint64_t cache_bytes;
	ZSTD_CCtx *zstd;
	bool begun;
	uint64_t last_pfn;
	struct page_encoder_stats stats;
	struct block block;
	size_t len;
	uint8_t out[FLUSH_BYTES + 2 * PAGECODEC_BODY_MAX];
};

struct page_encoder *page_encoder_new(uint64_t cache_bytes, const struct page_encoder_ops *ops,
				      void *arg)
{
	struct page_encoder *e = calloc(1, sizeof(*e));

	if (!e)
		return NULL;
	e->ops = ops;
	e->arg = arg;
	e->cache_bytes = cache_bytes;
	e->cache = pagecache_new(cache_bytes);
	e->zstd = ZSTD_createCCtx();
	if (!e->cache || !e->zstd) {
		page_encoder_free(e);
		return NULL;
	}
	return e;
}

void page_encoder_free(struct page_encoder *e)
{
	if (!e)
		return;
	pagecache_free(e->cache);
	ZSTD_freeCCtx(e->zstd);
	free(e);
}

const struct page_encoder_stats *page_encoder_stats(const struct page_encoder *e)
{
	return &e->stats;
}

int page_encoder_flush(struct page_encoder *e)
{
	size_t n = e->len;

	e->len = 0;
	return n ? e->ops->write(e->arg, e->out, n) : 0;
}

/* ---- records ---- */

/* Room for a record; its body is written by the caller, then record_end(). */
static uint8_t *record_body(struct page_encoder *e)
{
	return e->out + e->len + PAGECODEC_HEADER;
}

static int record_end(struct page_encoder *e, uint32_t type, uint32_t length)
{
	uint8_t *p = e->out + e->len;
	uint32_t padded = pagecodec_padded(length);

	put_le32(p, type);
	put_le32(p + 4, length);
	memset(p + PAGECODEC_HEADER + length, 0, padded - length);
	e->len += PAGECODEC_HEADER + padded;
	e->stats.bytes_out += PAGECODEC_HEADER + padded;
	return e->len >= FLUSH_BYTES ? page_encoder_flush(e) : 0;
}

static uint8_t *put_varint(uint8_t *p, uint64_t v)
{
	for (; v >= 0x80; v >>= 7)
		*p++ = (uint8_t)(v | 0x80);
	*p++ = (uint8_t)v;
	return p;
}

static int put_begin(struct page_encoder *e)
{
	uint8_t *p = record_body(e);

	put_le32(p, PAGECODEC_VERSION);
	put_le32(p + 4, 0);
	put_le64(p + 8, e->cache_bytes);
	return record_end(e, PAGECODEC_BEGIN, BEGIN_SIZE);
}

static int put_pages(struct page_encoder *e, const uint64_t *pfns, uint32_t count, uint32_t n_pages)
{
	uint8_t *body = record_body(e), *p = body + PAGES_HEADER;
	uint64_t expected = 0;

	put_le32(body, count);
	put_le32(body + 4, n_pages);
	for (uint32_t i = 0, n; i < count; i += n) {
		uint64_t first = pfns[i] & PFN_MASK;

		for (n = 1; i + n < count && pfns[i + n] == pfns[i] + n; n++)
			;
		p = put_varint(p, (uint64_t)(n - 1) << 4 | pfns[i] >> TYPE_SHIFT);
		p = put_varint(p, zigzag((int64_t)(first - expected)));
		expected = first + n;
	}
	return record_end(e, PAGECODEC_PAGES, (uint32_t)(p - body));
}

/* ---- blocks ---- */

static void end_run(struct block *b)
{
	if (b->run)
		b->kinds_len = (uint32_t)(put_varint(b->kinds + b->kinds_len,
						     (uint64_t)(b->run - 1) << 2 | b->kind) -
					  b->kinds);
	b->run = 0;
}

static void add_kind(struct block *b, enum page_kind kind)
{
	if (b->kind != kind)
		end_run(b);
	b->kind = kind;
	b->run++;
	b->pages++;
}

/* CPU time of this process. */
static uint64_t cpu_ns(void)
{
	struct timespec t = {0};

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * SEC_NS + (uint64_t)t.tv_nsec;
}

/* The block's data into out, compressed if that pays; returns the field that tells its size. */
static uint32_t pack(struct page_encoder *e, uint8_t *out)
{
	const struct block *b = &e->block;
	size_t in = b->literals * (size_t)PAGECODEC_PAGE, n = in;
	int level = e->ops->level(e->arg);
	uint64_t began = cpu_ns(), ended;

	if (level != PAGECODEC_LEVEL_NONE)
		n = ZSTD_compressCCtx(e->zstd, out, in, b->data, in, level);
	if (ZSTD_isError(n) || n >= in) {
		memcpy(out, b->data, in);
		n = in;
	}
	ended = cpu_ns();
	e->stats.packed_in += in;
	e->stats.packed_out += n;
	e->stats.pack_ns += ended - began;
	e->ops->coded(e->arg, level, in, n, began, ended);
	return (uint32_t)n | (n == in ? PAGECODEC_STORED : 0);
}

static int put_block(struct page_encoder *e)
{
	struct block *b = &e->block;
	uint8_t *p = record_body(e);
	uint32_t size = 0;

	end_run(b);
	memcpy(p + BLOCK_HEADER, b->kinds, b->kinds_len);
	if (b->literals)
		size = pack(e, p + BLOCK_HEADER + b->kinds_len);
	put_le32(p, b->pages);
	put_le32(p + 4, b->kinds_len);
	put_le32(p + 8, size);
	put_le32(p + 12, b->crc);
	size = BLOCK_HEADER + b->kinds_len + (size & ~PAGECODEC_STORED);
	b->pages = b->literals = b->crc = b->kinds_len = 0;
	return record_end(e, PAGECODEC_BLOCK, size);
}

/* ---- pages ---- */

static bool is_zero(const uint64_t *p)
{
	for (unsigned i = 0; i < WORDS; i++)
		if (p[i])
			return false;
	return true;
}

/* page ^= old, old = page as it was: returns in how many words they differ. */
static unsigned differ(uint64_t *page, uint64_t *old)
{
	unsigned n = 0;

	for (unsigned i = 0; i < WORDS; i++) {
		uint64_t word = page[i];

		page[i] ^= old[i];
		n += page[i] != 0;
		old[i] = word;
	}
	return n;
}

/* Puts the page at `to` into the cache, and in its place what is to be sent of it. */
static enum page_kind against_cache(struct page_encoder *e, uint64_t pfn, uint8_t *to)
{
	uint8_t *old = pagecache_find(e->cache, pfn);
	unsigned n;

	if (!old) {
		pagecache_put(e->cache, pfn, to);
		return PAGE_WHOLE;
	}
	n = differ((uint64_t *)to, (uint64_t *)old);
	pagecache_touch(e->cache, pfn);
	if (n > DELTA_WORDS) {
		memcpy(to, old, PAGECODEC_PAGE);
		return PAGE_WHOLE;
	}
	e->block.crc = crc32c(e->block.crc, old, PAGECODEC_PAGE);
	return n ? PAGE_DELTA : PAGE_SAME;
}

static void add_page(struct page_encoder *e, uint64_t pfn, const void *page)
{
	struct block *b = &e->block;
	uint8_t *to = b->data + b->literals * (size_t)PAGECODEC_PAGE;
	enum page_kind kind = PAGE_ZERO;

	if (is_zero(page)) {
		pagecache_drop(e->cache, pfn);
	} else {
		/* The guest goes on writing into it: everything after this sees one version. */
		memcpy(to, page, PAGECODEC_PAGE);
		kind = against_cache(e, pfn, to);
		if (kind == PAGE_WHOLE || kind == PAGE_DELTA)
			b->literals++;
	}
	e->stats.pages[kind]++;
	add_kind(b, kind);
}

/* Every pfn must be one that a run can express, and have contents if and only if it says so. */
static bool encodable(const uint64_t *pfns, uint32_t count, uint32_t n_pages)
{
	if (count < 1 || count > PAGECODEC_PFNS_MAX)
		return false;
	for (uint32_t i = 0; i < count; i++) {
		if (pfns[i] & ~PFN_MASK & ~(0xfull << TYPE_SHIFT))
			return false;
		if (pagecodec_has_contents(pfns[i]) && n_pages-- == 0)
			return false;
	}
	return n_pages == 0;
}

int page_encoder_record(struct page_encoder *e, const uint64_t *pfns, uint32_t count,
			const void *const *pages, uint32_t n_pages)
{
	int rc = 0;

	if (!encodable(pfns, count, n_pages))
		return -EINVAL;
	if (!e->begun)
		rc = put_begin(e);
	else if ((pfns[0] & PFN_MASK) <= e->last_pfn)
		pagecache_round(e->cache);
	e->begun = true;
	e->last_pfn = pfns[count - 1] & PFN_MASK;
	e->stats.bytes_in += PAGECODEC_HEADER + PAGE_DATA_HEADER + 8ull * count +
			     (uint64_t)n_pages * PAGECODEC_PAGE;
	if (!rc)
		rc = put_pages(e, pfns, count, n_pages);
	for (uint32_t i = 0; i < count && !rc; i++) {
		if (!pagecodec_has_contents(pfns[i]))
			continue;
		add_page(e, pfns[i] & PFN_MASK, *pages++);
		if (e->block.literals == PAGECODEC_BLOCK_MAX)
			rc = put_block(e);
	}
	if (!rc && e->block.pages)
		rc = put_block(e);
	return rc;
}
