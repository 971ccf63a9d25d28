/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What was last sent of a guest's pages, for deltas against it: sender and receiver each keep one,
 * make the same calls in the same order, and so hold the same pages. Direct-mapped by pfn, with an
 * age, like QEMU's (migration/page_cache.c): which page stays depends on the calls alone. Memory is
 * taken as pages come, never more than was asked for.
 */
#ifndef XEN_PAGECACHE_H
#define XEN_PAGECACHE_H

#include <stddef.h>
#include <stdint.h>

#define PAGECACHE_PAGE 4096u

struct pagecache;

/* Of at most `bytes`; fewer than one page are a cache that holds nothing. NULL: out of memory. */
struct pagecache *pagecache_new(uint64_t bytes);
void pagecache_free(struct pagecache *c);

/* The page as it was put last; NULL when it is not held. Valid until the next put. */
uint8_t *pagecache_find(struct pagecache *c, uint64_t pfn);
/*
 * Keeps a copy, if there is room for it: a page of an earlier round gives way when it was sent only
 * once, in the first, or when it has not been sent for PAGECACHE_ROUNDS rounds. So a set of pages
 * larger than the cache leaves a part of itself in it, instead of pushing itself out.
 */
#define PAGECACHE_ROUNDS 2u
void pagecache_put(struct pagecache *c, uint64_t pfn, const uint8_t *page);
/* The page that pagecache_find() gave has been overwritten in place: as if put. */
void pagecache_touch(struct pagecache *c, uint64_t pfn);
/* Lets go of it. */
void pagecache_drop(struct pagecache *c, uint64_t pfn);
/* A new round of copying begins. */
void pagecache_round(struct pagecache *c);

#endif
