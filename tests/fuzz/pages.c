/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fuzzes the decoder of compressed pages (xen/copy/pagecodec.h): the input is a run of its records,
 * after a check by xen/copy/stream.c as the receiver makes it.
 */
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "core/bytes.h"
#include "xen/copy/pagecodec.h"
#include "xen/copy/stream.h"

#define CACHE_MAX (64u << 10)

/* libxl's and libxc's headers, as in front of every stream. */
static const uint8_t head[] = {
	'L', 'i', 'b', 'x', 'l', 'F', 'm', 't', 0,    0,    0,	  2,	0,    0,    0,	  0,
	1,   0,	  0,   0,   0,	 0,   0,   0,	0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
	'X', 'E', 'N', 'F', 0,	 0,   0,   3,	0,    0,    0,	  0,	0,    0,    0,	  0,
	2,   0,	  0,   0,   12,	 0,   0,   0,	4,    0,    0,	  0,	17,   0,    0,	  0,
};

static uint32_t le32(const uint8_t *p)
{
	return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

/* One record of ours. */
static int take(struct page_decoder *d, uint32_t type, const uint8_t *body, uint32_t length)
{
	uint8_t *exact = malloc(length ? length : 1); /* for the sanitizer to see its ends */
	int rc;

	memcpy(exact, body, length);
	switch (type) {
	case PAGECODEC_BEGIN: rc = page_decoder_begin(d, exact, length); break;
	case PAGECODEC_PAGES: rc = page_decoder_pages(d, exact, length); break;
	default: rc = page_decoder_block(d, exact, length); break;
	}
	free(exact);
	return rc;
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct page_decoder *d = page_decoder_new();
	uint8_t *out = NULL;
	struct stream s;

	stream_init(&s);
	stream_allow_packed(&s, CACHE_MAX);
	if (!d || stream_feed(&s, head, sizeof(head)))
		abort();
	while (n >= PAGECODEC_HEADER) {
		uint32_t type = le32(p), length = le32(p + 4);
		size_t whole = PAGECODEC_HEADER + (size_t)pagecodec_padded(length);

		if (type < PAGECODEC_BEGIN || type > PAGECODEC_BLOCK || length > n || whole > n ||
		    stream_feed(&s, p, whole) || take(d, type, p + PAGECODEC_HEADER, length))
			break;
		if (type == PAGECODEC_PAGES) {
			free(out);
			out = malloc(page_decoder_length(d));
			page_decoder_into(d, out);
		}
		p += whole;
		n -= whole;
	}
	free(out);
	page_decoder_free(d);
	return 0;
}
