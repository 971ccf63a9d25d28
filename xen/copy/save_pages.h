/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * In the save helper: takes the records that libxc writes, by --wrap of writev_exact() and
 * write_exact() at link time, and sends those of pages through the encoder (xen/copy/pagecodec.h).
 * The pages are mapped there: what need not be sent is never copied. Records that hold nothing but
 * holes are left out where they mean nothing.
 */
#ifndef XEN_SAVE_PAGES_H
#define XEN_SAVE_PAGES_H

#include <stdbool.h>
#include <stdint.h>

#include "xen/copy/compression.h"

/* A PAGE_DATA record of libxc's on its way. */
struct save_pages_batch {
	uint64_t pfns;	   /* in the record as it was sent */
	uint64_t pages;	   /* of them, with contents */
	uint64_t left_out; /* pages that were not sent: see save_pages_filter() */
	uint64_t bytes;	   /* as it goes over the wire */
};

/* What libxc writes to fd from now on; sent() is told of each batch after it. What there is no
 * memory for is left out of the plan, down to the plain stream; say() gets a line about that. */
void save_pages_start(int fd, const struct compression_plan *plan,
		      void (*sent)(int fd, const struct save_pages_batch *b),
		      void (*say)(const char *text));

/*
 * While the guest runs: look(arg, pfns) before each record, of which pfns - 1 is the highest page,
 * then written(arg, pfn) for those of its pages that have contents: true leaves the page out, as it
 * is going to be sent in the next round. look() returns false when that is not known.
 */
struct save_pages_filter {
	bool (*look)(void *arg, uint64_t pfns);
	bool (*written)(void *arg, uint64_t pfn);
	void *arg;
};
/* NULL: every page is sent from now on. */
void save_pages_filter(const struct save_pages_filter *f);

/* What has come of the plan so far. False for the plain stream. */
bool save_pages_report(struct compression_report *r);
/* Between rounds: what is still kept back goes out. 0 or -1 with errno. */
int save_pages_flush(void);
/* libxl has called the save off: every write to the stream is going to fail. */
bool save_pages_called_off(void);

#endif
