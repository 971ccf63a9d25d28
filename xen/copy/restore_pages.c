/* SPDX-License-Identifier: BSD-2-Clause */
#include "xen/copy/restore_pages.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "xen/copy/pagecodec.h"

#define LIBXC_HEADERS	2 /* of the image and of the domain, each read in one piece */
#define LIBXC_PAGE_DATA 1u

int __real_read_exact(int fd, void *data, size_t size);
int __wrap_read_exact(int fd, void *data, size_t size);

struct record {
	uint32_t type, length; /* little-endian, as this host */
};

static struct input {
	int fd; /* -1: none */
	unsigned headers;
	uint32_t body; /* padded bytes of libxc's record whose header has been read */
	bool pages;    /* it is one of ours */
	struct page_decoder *decoder;
	uint8_t *buf; /* PAGECODEC_BODY_MAX */
	void (*complain)(const char *text);
} in = {.fd = -1};

void restore_pages_start(int fd, void (*complain)(const char *text))
{
	page_decoder_free(in.decoder);
	free(in.buf);
	in = (struct input){.fd = fd, .complain = complain};
}

static int damaged(int rc, const char *text)
{
	in.complain(text);
	errno = -rc;
	return -1;
}

static bool is_ours(uint32_t type)
{
	return type == PAGECODEC_BEGIN || type == PAGECODEC_PAGES || type == PAGECODEC_BLOCK;
}

/* The body of a record of ours, and what the decoder says to it. */
static int take(const struct record *r)
{
	int rc;

	if (r->length > PAGECODEC_BODY_MAX)
		return damaged(-EPROTO, "a record of compressed pages is longer than allowed");
	if (!in.decoder) {
		in.decoder = page_decoder_new();
		in.buf = malloc(pagecodec_padded(PAGECODEC_BODY_MAX));
		if (!in.decoder || !in.buf)
			return damaged(-ENOMEM, "no memory to decompress pages");
	}
	if (__real_read_exact(in.fd, in.buf, pagecodec_padded(r->length)))
		return -1;
	switch (r->type) {
	case PAGECODEC_BEGIN: rc = page_decoder_begin(in.decoder, in.buf, r->length); break;
	case PAGECODEC_PAGES: rc = page_decoder_pages(in.decoder, in.buf, r->length); break;
	default: rc = page_decoder_block(in.decoder, in.buf, r->length); break;
	}
	if (rc == -ENOMEM)
		return damaged(rc, "no memory for the delta cache: give a smaller --delta-cache");
	return rc ? damaged(rc, "a record of compressed pages is damaged") : 0;
}

/* A header as libxc knows it; ours go no further than this. */
static int read_header(struct record *r)
{
	for (;;) {
		if (__real_read_exact(in.fd, r, sizeof(*r)))
			return -1;
		in.pages = r->type == PAGECODEC_PAGES;
		if (is_ours(r->type)) {
			if (take(r))
				return -1;
			if (!in.pages)
				continue;
			r->type = LIBXC_PAGE_DATA;
			r->length = page_decoder_length(in.decoder);
		}
		in.body = pagecodec_padded(r->length);
		return 0;
	}
}

static int read_pages(void *data)
{
	struct record r;

	page_decoder_into(in.decoder, data);
	while (page_decoder_wants(in.decoder)) {
		if (__real_read_exact(in.fd, &r, sizeof(r)))
			return -1;
		if (r.type != PAGECODEC_BLOCK)
			return damaged(-EPROTO, "compressed pages are missing");
		if (take(&r))
			return -1;
	}
	return 0;
}

int __wrap_read_exact(int fd, void *data, size_t size)
{
	if (fd != in.fd)
		return __real_read_exact(fd, data, size);
	if (in.headers < LIBXC_HEADERS) {
		in.headers++;
		return __real_read_exact(fd, data, size);
	}
	if (!in.body && size == sizeof(struct record))
		return read_header(data);
	/* libxc reads a record's body in one piece (xg_sr_common.c, read_record()). */
	if (size != in.body)
		return damaged(-EPROTO, "libxc reads the stream in another way than is known");
	in.body = 0;
	return in.pages ? read_pages(data) : __real_read_exact(fd, data, size);
}
