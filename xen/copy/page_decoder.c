/* SPDX-License-Identifier: BSD-2-Clause */
#include "xen/copy/pagecodec_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <zstd.h>

#include "core/bytes.h"
#include "core/crc32c.h"
#include "xen/copy/pagecache.h"

#define DATA_MAX (PAGECODEC_BLOCK_MAX * PAGECODEC_PAGE)

struct page_decoder {
	struct pagecache *cache; /* from BEGIN on */
	ZSTD_DCtx *zstd;
	bool any; /* a PAGES record has come */
	uint64_t last_pfn;

	/* The record in hand. */
	uint32_t count, n_pages, done; /* done: of n_pages */
	uint32_t at;		       /* the pfn that comes next */
	uint64_t pfns[PAGECODEC_PFNS_MAX];
	uint8_t *out;
	_Alignas(uint64_t) uint8_t data[DATA_MAX];
};

struct page_decoder *page_decoder_new(void)
{
	struct page_decoder *d = calloc(1, sizeof(*d));

	if (d)
		d->zstd = ZSTD_createDCtx();
	if (d && !d->zstd) {
		free(d);
		return NULL;
	}
	return d;
}

void page_decoder_free(struct page_decoder *d)
{
	if (!d)
		return;
	pagecache_free(d->cache);
	ZSTD_freeDCtx(d->zstd);
	free(d);
}

int page_decoder_begin(struct page_decoder *d, const void *body, size_t n)
{
	const uint8_t *p = body;

	if (d->cache || n != BEGIN_SIZE || get_le32(p) != PAGECODEC_VERSION || get_le32(p + 4))
		return -EPROTO;
	d->cache = pagecache_new(get_le64(p + 8));
	return d->cache ? 0 : -ENOMEM;
}

/* False at the end of the bytes, or when it does not fit into 64 bits. */
static bool get_varint(const uint8_t **p, const uint8_t *end, uint64_t *v)
{
	*v = 0;
	for (unsigned shift = 0; *p < end && shift < 64; shift += 7) {
		uint8_t byte = *(*p)++;

		if (shift == 63 && byte > 1)
			return false;
		*v |= (uint64_t)(byte & 0x7f) << shift;
		if (!(byte & 0x80))
			return true;
	}
	return false;
}

static int get_pfns(struct page_decoder *d, const uint8_t *p, const uint8_t *end)
{
	uint64_t expected = 0, run, distance, first;
	uint32_t have = 0, contents = 0;

	while (have < d->count) {
		if (!get_varint(&p, end, &run) || !get_varint(&p, end, &distance))
			return -EPROTO;
		first = expected + (uint64_t)unzigzag(distance);
		if (run >> 4 >= d->count - have || first > PFN_MASK - (run >> 4))
			return -EPROTO;
		expected = first + (run >> 4) + 1;
		for (; first < expected; first++)
			d->pfns[have++] = first | (run & 0xf) << TYPE_SHIFT;
		if (pagecodec_has_contents(d->pfns[have - 1]))
			contents += (uint32_t)(run >> 4) + 1;
	}
	return p == end && contents == d->n_pages ? 0 : -EPROTO;
}

int page_decoder_pages(struct page_decoder *d, const void *body, size_t n)
{
	const uint8_t *p = body;
	int rc;

	if (!d->cache || page_decoder_wants(d) || n < PAGES_HEADER)
		return -EPROTO;
	d->count = get_le32(p);
	d->n_pages = get_le32(p + 4);
	d->done = d->at = 0;
	d->out = NULL;
	if (d->count < 1 || d->count > PAGECODEC_PFNS_MAX || d->n_pages > d->count)
		return -EPROTO;
	rc = get_pfns(d, p + PAGES_HEADER, p + n);
	if (rc)
		return rc;
	if (d->any && (d->pfns[0] & PFN_MASK) <= d->last_pfn)
		pagecache_round(d->cache);
	d->any = true;
	d->last_pfn = d->pfns[d->count - 1] & PFN_MASK;
	return 0;
}

uint32_t page_decoder_length(const struct page_decoder *d)
{
	return PAGE_DATA_HEADER + d->count * 8 + d->n_pages * PAGECODEC_PAGE;
}

void page_decoder_into(struct page_decoder *d, void *out)
{
	uint8_t *p = out;

	put_le32(p, d->count);
	put_le32(p + 4, 0);
	memcpy(p + PAGE_DATA_HEADER, d->pfns, d->count * sizeof(d->pfns[0]));
	d->out = p + PAGE_DATA_HEADER + d->count * sizeof(d->pfns[0]);
}

bool page_decoder_wants(const struct page_decoder *d)
{
	return d->done < d->n_pages;
}

/* ---- blocks ---- */

/* How many pages of a block's kinds have data; -EPROTO unless they are as many as it says. */
static int literals(const uint8_t *p, const uint8_t *end, uint32_t pages)
{
	uint64_t run;
	uint32_t n = 0;

	while (p < end) {
		if (!get_varint(&p, end, &run) || run >> 2 >= pages)
			return -EPROTO;
		pages -= (uint32_t)(run >> 2) + 1;
		if ((run & 3) == PAGE_WHOLE || (run & 3) == PAGE_DELTA)
			n += (uint32_t)(run >> 2) + 1;
	}
	return pages || n > PAGECODEC_BLOCK_MAX ? -EPROTO : (int)n;
}

static int unpack(struct page_decoder *d, const uint8_t *p, uint32_t size, size_t expected)
{
	if (size & PAGECODEC_STORED) {
		if ((size & ~PAGECODEC_STORED) != expected)
			return -EPROTO;
		memcpy(d->data, p, expected);
		return 0;
	}
	/* An error is a number larger than any size. */
	if (expected && ZSTD_decompressDCtx(d->zstd, d->data, expected, p, size) != expected)
		return -EPROTO;
	return expected || !size ? 0 : -EPROTO;
}

static void xor_page(uint8_t *to, const uint8_t *a, const uint8_t *b)
{
	for (size_t i = 0; i < PAGECODEC_PAGE; i += 8) {
		uint64_t x, y;

		memcpy(&x, a + i, 8);
		memcpy(&y, b + i, 8);
		x ^= y;
		memcpy(to + i, &x, 8);
	}
}

/* One page with contents, to d->out; data is what has come of it, if anything has. */
static int put_page(struct page_decoder *d, uint64_t pfn, unsigned kind, const uint8_t *data,
		    uint32_t *crc)
{
	const uint8_t *old = pagecache_find(d->cache, pfn);
	uint8_t *out = d->out;

	if (kind == PAGE_ZERO) {
		memset(out, 0, PAGECODEC_PAGE);
		pagecache_drop(d->cache, pfn);
		return 0;
	}
	if (kind != PAGE_WHOLE && !old)
		return -EPROTO;
	switch (kind) {
	case PAGE_WHOLE: memcpy(out, data, PAGECODEC_PAGE); break;
	case PAGE_DELTA: xor_page(out, old, data); break;
	default: memcpy(out, old, PAGECODEC_PAGE); break;
	}
	if (kind != PAGE_WHOLE)
		*crc = crc32c(*crc, out, PAGECODEC_PAGE);
	pagecache_put(d->cache, pfn, out);
	return 0;
}

static int put_pages(struct page_decoder *d, const uint8_t *p, const uint8_t *end, uint32_t *crc)
{
	const uint8_t *data = d->data;
	uint64_t run;

	while (p < end && get_varint(&p, end, &run)) {
		for (uint64_t n = (run >> 2) + 1; n; n--) {
			while (!pagecodec_has_contents(d->pfns[d->at]))
				d->at++;
			if (put_page(d, d->pfns[d->at++] & PFN_MASK, run & 3, data, crc))
				return -EPROTO;
			if ((run & 3) == PAGE_WHOLE || (run & 3) == PAGE_DELTA)
				data += PAGECODEC_PAGE;
			d->out += PAGECODEC_PAGE;
			d->done++;
		}
	}
	return 0;
}

int page_decoder_block(struct page_decoder *d, const void *body, size_t n)
{
	const uint8_t *p = body, *kinds = p + BLOCK_HEADER;
	uint32_t pages, kinds_len, size, crc = 0;
	int k;

	if (!d->out || n < BLOCK_HEADER)
		return -EPROTO;
	pages = get_le32(p);
	kinds_len = get_le32(p + 4);
	size = get_le32(p + 8);
	if (pages < 1 || pages > d->n_pages - d->done || kinds_len > n - BLOCK_HEADER ||
	    (size & ~PAGECODEC_STORED) != n - BLOCK_HEADER - kinds_len)
		return -EPROTO;
	k = literals(kinds, kinds + kinds_len, pages);
	if (k < 0 || unpack(d, kinds + kinds_len, size, (size_t)k * PAGECODEC_PAGE) ||
	    put_pages(d, kinds, kinds + kinds_len, &crc) || crc != get_le32(p + 12))
		return -EPROTO;
	return 0;
}
