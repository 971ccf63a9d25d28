/* SPDX-License-Identifier: BSD-2-Clause */
#include "xen/copy/stream.h"

#include <errno.h>
#include <string.h>

#include "core/bytes.h"
#include "xen/copy/pagecodec.h"

/* Headers of both layers are big-endian up to and with their options; what follows is
 * little-endian, like the hosts. */
#define LIBXL_IDENT	 0x4c6962786c466d74ull /* "LibxlFmt" */
#define LIBXL_VERSION_2	 2u
#define LIBXL_BIG_ENDIAN 1u
#define LIBXL_LEGACY	 2u
#define LIBXC_MARKER	 UINT64_MAX
#define LIBXC_ID	 0x58454e46u /* "XENF" */
#define LIBXC_OLDEST	 2u
#define LIBXC_NEWEST	 3u
#define LIBXC_BIG_ENDIAN 1u
#define OPTIONAL	 0x80000000u
#define LIBXC_RECORD_MAX (128u << 20)
#define PAGE_SIZE	 4096u
#define PAGES_MAX	 1024u

enum { LIBXL_END, LIBXL_LIBXC_CONTEXT, LIBXL_XENSTORE, LIBXL_EMULATOR, LIBXL_LAST = 5 };
enum { LIBXC_END, LIBXC_PAGE_DATA, LIBXC_LAST = 0x12 };

enum {
	AT_LIBXL_HEADER,
	AT_LIBXL_RECORD,
	AT_LIBXC_IMAGE,
	AT_LIBXC_DOMAIN,
	AT_LIBXC_RECORD,
	AT_PAGE_DATA,
	AT_PFN,
	AT_CODEC_BEGIN,
	AT_CODEC_PAGES,
	AT_END,
};

static const size_t header_size[] = {
	[AT_LIBXL_HEADER] = 16, [AT_LIBXL_RECORD] = 8, [AT_LIBXC_IMAGE] = 24,
	[AT_LIBXC_DOMAIN] = 16, [AT_LIBXC_RECORD] = 8, [AT_PAGE_DATA] = 8,
	[AT_PFN] = 8,		[AT_CODEC_BEGIN] = 16, [AT_CODEC_PAGES] = 8,
};

static uint64_t padded(uint32_t length)
{
	return ((uint64_t)length + 7) & ~7ull;
}

void stream_init(struct stream *s)
{
	memset(s, 0, sizeof(*s));
	s->want = header_size[AT_LIBXL_HEADER];
}

void stream_allow_packed(struct stream *s, uint64_t cache_max)
{
	s->packed = true;
	s->cache_max = cache_max;
}

static int bad(struct stream *s, const char *why)
{
	s->error = why;
	return -EPROTO;
}

static int go(struct stream *s, int state)
{
	s->state = state;
	s->have = 0;
	s->want = state == AT_END ? 0 : header_size[state];
	return 0;
}

static int libxl_header(struct stream *s)
{
	uint32_t options = get_be32(s->small + 12);

	if (get_be64(s->small) != LIBXL_IDENT)
		return bad(s, "not a libxl migration stream");
	if (get_be32(s->small + 8) != LIBXL_VERSION_2)
		return bad(s, "unknown version of the libxl stream");
	if (options & (LIBXL_BIG_ENDIAN | LIBXL_LEGACY))
		return bad(s, "big-endian or legacy libxl stream");
	return go(s, AT_LIBXL_RECORD);
}

static int libxl_record(struct stream *s)
{
	uint32_t type = get_le32(s->small), length = get_le32(s->small + 4);

	s->records++;
	if (!s->context_seen && type != LIBXL_LIBXC_CONTEXT)
		return bad(s, "a stream that does not begin with the guest");
	switch (type) {
	case LIBXL_END:
		if (length)
			return bad(s, "libxl END with contents");
		s->ended = true;
		return go(s, AT_END);
	case LIBXL_LIBXC_CONTEXT:
		if (length || s->context_seen)
			return bad(s, "misplaced libxc context");
		s->context_seen = true;
		return go(s, AT_LIBXC_IMAGE);
	default:
		if ((type & ~OPTIONAL) > LIBXL_LAST && !(type & OPTIONAL))
			return bad(s, "unknown mandatory libxl record");
		s->skip = padded(length);
		return go(s, AT_LIBXL_RECORD);
	}
}

static int libxc_image(struct stream *s)
{
	uint32_t version = get_be32(s->small + 12);

	if (get_be64(s->small) != LIBXC_MARKER || get_be32(s->small + 8) != LIBXC_ID)
		return bad(s, "not a libxc migration stream");
	if (version < LIBXC_OLDEST || version > LIBXC_NEWEST)
		return bad(s, "unknown version of the libxc stream");
	if (get_be16(s->small + 16) & LIBXC_BIG_ENDIAN)
		return bad(s, "big-endian libxc stream");
	return go(s, AT_LIBXC_DOMAIN);
}

static int libxc_domain(struct stream *s)
{
	uint32_t type = get_le32(s->small);

	if (type != 1 && type != 2)
		return bad(s, "unknown type of guest");
	if ((s->small[4] | s->small[5] << 8) != 12)
		return bad(s, "unknown page size");
	return go(s, AT_LIBXC_RECORD);
}

/* Records that the restore helper decodes (xen/copy/pagecodec.h), which checks what is in them. */
static int codec_record(struct stream *s, uint32_t type, uint32_t length)
{
	if (!s->packed)
		return bad(s, "compressed pages that were not agreed on");
	if (length > PAGECODEC_BODY_MAX)
		return bad(s, "record of compressed pages longer than allowed");
	s->pages_size = pagecodec_padded(length);
	if (type == PAGECODEC_BEGIN && length == header_size[AT_CODEC_BEGIN])
		return go(s, AT_CODEC_BEGIN);
	if (type == PAGECODEC_PAGES && length >= header_size[AT_CODEC_PAGES])
		return go(s, AT_CODEC_PAGES);
	if (type != PAGECODEC_BLOCK)
		return bad(s, "truncated record of compressed pages");
	s->skip = s->pages_size;
	return go(s, AT_LIBXC_RECORD);
}

static int codec_begin(struct stream *s)
{
	if (get_le32(s->small) != PAGECODEC_VERSION)
		return bad(s, "unknown version of the compressed pages");
	if ((get_le32(s->small + 8) | (uint64_t)get_le32(s->small + 12) << 32) > s->cache_max)
		return bad(s, "delta cache larger than agreed on");
	return go(s, AT_LIBXC_RECORD);
}

static int codec_pages(struct stream *s)
{
	s->pages += get_le32(s->small + 4);
	s->skip = s->pages_size - header_size[AT_CODEC_PAGES];
	return go(s, AT_LIBXC_RECORD);
}

static int libxc_record(struct stream *s)
{
	uint32_t type = get_le32(s->small), length = get_le32(s->small + 4);

	s->records++;
	if (type >= PAGECODEC_BEGIN && type <= PAGECODEC_BLOCK)
		return codec_record(s, type, length);
	if (length > LIBXC_RECORD_MAX)
		return bad(s, "libxc record longer than allowed");
	if ((type & ~OPTIONAL) > LIBXC_LAST && !(type & OPTIONAL))
		return bad(s, "unknown mandatory libxc record");
	if (type == LIBXC_END) {
		s->skip = padded(length);
		return go(s, AT_LIBXL_RECORD);
	}
	if (type == LIBXC_PAGE_DATA) {
		if (length < header_size[AT_PAGE_DATA])
			return bad(s, "truncated PAGE_DATA");
		s->pages_size = length - (uint32_t)header_size[AT_PAGE_DATA];
		return go(s, AT_PAGE_DATA);
	}
	s->skip = padded(length);
	return go(s, AT_LIBXC_RECORD);
}

static int page_data(struct stream *s)
{
	s->pfns_left = get_le32(s->small);
	s->pages_seen = 0;
	if (s->pfns_left < 1 || s->pfns_left > PAGES_MAX || s->pages_size < s->pfns_left * 8)
		return bad(s, "PAGE_DATA with an impossible number of pages");
	s->pages_size -= s->pfns_left * 8;
	return go(s, AT_PFN);
}

static int pfn(struct stream *s)
{
	unsigned type = s->small[7] >> 4;

	/* 0xd: broken, 0xe: to be allocated, 0xf: not there: no contents follow. */
	if (type < 0xd)
		s->pages_seen++;
	if (--s->pfns_left)
		return go(s, AT_PFN);
	if (s->pages_size != s->pages_seen * PAGE_SIZE)
		return bad(s, "PAGE_DATA whose length does not fit its pages");
	s->pages += s->pages_seen;
	s->skip = s->pages_size;
	return go(s, AT_LIBXC_RECORD);
}

static int header(struct stream *s)
{
	switch (s->state) {
	case AT_LIBXL_HEADER: return libxl_header(s);
	case AT_LIBXL_RECORD: return libxl_record(s);
	case AT_LIBXC_IMAGE: return libxc_image(s);
	case AT_LIBXC_DOMAIN: return libxc_domain(s);
	case AT_LIBXC_RECORD: return libxc_record(s);
	case AT_PAGE_DATA: return page_data(s);
	case AT_CODEC_BEGIN: return codec_begin(s);
	case AT_CODEC_PAGES: return codec_pages(s);
	default: return pfn(s);
	}
}

int stream_feed(struct stream *s, const void *data, size_t n)
{
	const uint8_t *p = data;
	int rc;

	if (s->error)
		return -EPROTO;
	s->bytes += n;
	while (n) {
		size_t k;

		if (s->state == AT_END)
			return bad(s, "bytes behind the end of the stream");
		if (s->skip) {
			k = MIN(s->skip, n);
			s->skip -= k;
		} else {
			k = MIN(s->want - s->have, n);
			memcpy(s->small + s->have, p, k);
			s->have += k;
			if (s->have == s->want) {
				rc = header(s);
				if (rc)
					return rc;
			}
		}
		p += k;
		n -= k;
	}
	return 0;
}
