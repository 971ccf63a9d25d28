/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reference-counted pieces of memory for data on its way between a socket and a disk, kept for
 * reuse. A chunk is filled from its start (`used`); each user of a part of it holds a reference.
 * A pool belongs to one loop.
 */
#ifndef CORE_CHUNK_H
#define CORE_CHUNK_H

#include <stddef.h>
#include <stdint.h>

#define CHUNK_SMALL (256u << 10)
#define CHUNK_LARGE (1088u << 10) /* 1 MiB of data with its headers */

struct chunk_pool;

struct chunk {
	unsigned refs;
	uint32_t used, size; /* bytes */
	struct chunk_pool *pool;
	struct chunk *next;
	/* Who wants to know: called once, when the last reference is dropped. NULL: nobody. */
	void (*gone)(struct chunk *c);
	void *owner;
	uint8_t *data;
};

struct chunk_pool *chunk_pool_new(void);
/* All chunks must have been given back. */
void chunk_pool_free(struct chunk_pool *p);

/* A chunk of at least `size` bytes with one reference; NULL when out of memory. */
struct chunk *chunk_get(struct chunk_pool *p, uint32_t size);
struct chunk *chunk_ref(struct chunk *c);
/* Drops a reference (NULL is fine); the last one gives the chunk back to its pool. */
void chunk_unref(struct chunk *c);

#endif
