/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Walks a migration stream, version 2, as it passes by: libxl's records with libxc's inside. Checks
 * every length and order that can be checked from outside, counts pages, and tells where the stream
 * ends, so that a broken or hostile stream is refused before it reaches the restore helper.
 * (Xen: docs/specs/libxl-migration-stream.pandoc, docs/specs/libxc-migration-stream.pandoc.)
 */
#ifndef XEN_STREAM_H
#define XEN_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * libxl's header and the record that opens libxc's part. Until libxl has these behind it and its
 * helper runs, it must see neither an error nor an abort: it would call a pointer that is not set
 * yet (Xen 4.17: libxl_stream_read.c and libxl_stream_write.c, check_all_finished()).
 */
#define STREAM_PREAMBLE 24

struct stream {
	int state;
	uint64_t skip;	     /* bytes of the current record that nobody looks at */
	uint32_t pfns_left;  /* of the current PAGE_DATA */
	uint32_t pages_size; /* its length behind the pfns, as its header claims */
	uint32_t pages_seen; /* its pages that have contents */
	uint8_t small[24];   /* a header that came in pieces */
	size_t have, want;
	bool context_seen; /* libxc's part has come: there is exactly one */
	bool packed;	   /* see stream_allow_packed() */
	uint64_t cache_max;

	/* what was seen */
	uint64_t bytes, records, pages;
	bool ended;	   /* the last record is complete */
	const char *error; /* what is wrong with it, for the log */
};

void stream_init(struct stream *s);
/* Pages may come compressed (xen/copy/pagecodec.h), with a delta cache of no more than so many
 * bytes. */
void stream_allow_packed(struct stream *s, uint64_t cache_max);
/* The next n bytes. 0, or -EPROTO with s->error from the first offence on. */
int stream_feed(struct stream *s, const void *p, size_t n);

#endif
