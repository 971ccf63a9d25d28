/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Whether and how the pages of a migration are made small (xen/copy/pagecodec.h): what the user
 * wants, what the two ends agree on in their greetings, and how the save helper is told.
 *
 * In its HELLO the receiver says `codec`, the version of the records it knows, and `cache`, the
 * bytes that it would spend on a delta cache at most. One that says no codec gets the plain stream.
 */
#ifndef XEN_COMPRESSION_H
#define XEN_COMPRESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/buf.h"

/* What --compress and --delta-cache say. */
struct compression {
	bool off;
	int level;	      /* 1 to 9; 0: as measured */
	bool cache_given;     /* else a share of what is free here and there */
	uint64_t cache_bytes; /* when given */
};

/* "auto", "off" or "1" to "9" into *c; -EINVAL. */
int compression_parse(const char *text, struct compression *c);

/* What was agreed on; all zero: the plain stream. */
struct compression_plan {
	bool on;
	int level; /* 0: as measured */
	uint64_t cache_bytes;
};

/* Memory that a dom0 could spend on a cache at most: half of what is free. Bytes. */
uint64_t compression_cache_max(void);
/* The fields for the receiver's HELLO. */
void compression_offer(struct buf *b, uint64_t cache_max);
/*
 * The sender, by what the receiver's HELLO says (checked by message_check()). guest_bytes bounds
 * the cache. 0; -EOPNOTSUPP or -ENOMEM when that which the user insists on cannot be had, with the
 * reason in why.
 */
int compression_agree(const struct compression *c, uint64_t cache_max, uint64_t guest_bytes,
		      const uint8_t *hello, size_t n, struct compression_plan *plan, char *why,
		      size_t why_size);

/* What has come of it so far, as the save helper reports it. All zero: nothing was compressed. */
struct compression_report {
	uint64_t zero, whole, delta, same; /* pages, by how they were sent */
	uint64_t left_out;		   /* pages left to the next round */
	uint64_t bytes_in, bytes_out;	   /* of the records of pages, before and after */
	uint64_t pack_ns;		   /* in the compressor */
	int level;			   /* now; PAGECODEC_LEVEL_NONE: it does not pay */
	uint64_t cache_bytes;
};
void compression_report_print(const struct compression_report *r, char *out, size_t size);
int compression_report_parse(const char *text, struct compression_report *r); /* -EINVAL */

/* The plan, as passed to the save helper (save_helper_set()). */
#define COMPRESSION_ENV "VSTOR_COMPRESS"
void compression_print(const struct compression_plan *plan, char *out, size_t size);
/* The plain stream for NULL and for what is not of ours. */
void compression_plan_parse(const char *text, struct compression_plan *plan);

#endif
