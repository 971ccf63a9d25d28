/* SPDX-License-Identifier: BSD-2-Clause */
#include "xen/copy/kept_memory.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <xencall.h>

#include "core/bytes.h"

struct block {
	void *p;
	size_t size;
	bool used;
};

struct pool {
	pthread_mutex_t lock;
	unsigned count;
	struct block blocks[KEPT_BLOCKS];
};

static bool keeping;
static struct pool arrays = {.lock = PTHREAD_MUTEX_INITIALIZER};
static struct pool buffers = {.lock = PTHREAD_MUTEX_INITIALIZER};

void *__real_xencall_alloc_buffer(xencall_handle *xcall, size_t n);
void *__wrap_xencall_alloc_buffer(xencall_handle *xcall, size_t n);
void __real_xencall_free_buffer(xencall_handle *xcall, void *p);
void __wrap_xencall_free_buffer(xencall_handle *xcall, void *p);

void kept_memory_start(void)
{
	keeping = true;
}

static bool worth_keeping(size_t n)
{
	return keeping && n > KEPT_MIN && n <= KEPT_MAX;
}

/* Sizes are powers of two, so that the arrays of a short batch fit where a full one's were. */
static size_t rounded(size_t n)
{
	size_t size = 2 * KEPT_MIN;

	while (size < n)
		size *= 2;
	return size;
}

/* A block that is free, or NULL. */
static void *take(struct pool *pool, size_t size)
{
	void *p = NULL;

	pthread_mutex_lock(&pool->lock);
	for (unsigned i = 0; i < pool->count && !p; i++) {
		struct block *b = &pool->blocks[i];

		if (!b->used && b->size == size) {
			b->used = true;
			p = b->p;
		}
	}
	pthread_mutex_unlock(&pool->lock);
	return p;
}

/* A new block, in use; when there are enough of them it stays its allocator's. */
static void *adopt(struct pool *pool, void *p, size_t size)
{
	pthread_mutex_lock(&pool->lock);
	if (p && pool->count < KEPT_BLOCKS)
		pool->blocks[pool->count++] = (struct block){p, size, true};
	pthread_mutex_unlock(&pool->lock);
	return p;
}

/* The size of a block of the pool, 0 when it is none. */
static size_t find(struct pool *pool, const void *p, bool give_back)
{
	size_t size = 0;

	pthread_mutex_lock(&pool->lock);
	for (unsigned i = 0; i < pool->count && !size; i++) {
		struct block *b = &pool->blocks[i];

		if (b->p == p) {
			b->used = !give_back;
			size = b->size;
		}
	}
	pthread_mutex_unlock(&pool->lock);
	return size;
}

void *kept_malloc(size_t n)
{
	void *p;

	if (!worth_keeping(n))
		return malloc(n);
	p = take(&arrays, rounded(n));
	return p ? p : adopt(&arrays, malloc(rounded(n)), rounded(n));
}

void *kept_calloc(size_t n, size_t size)
{
	void *p;

	/* Two factors below the largest product that matters cannot overflow. */
	if (n > KEPT_MAX || size > KEPT_MAX || !worth_keeping(n * size))
		return calloc(n, size);
	p = kept_malloc(n * size);
	if (p)
		memset(p, 0, n * size);
	return p;
}

void *kept_realloc(void *p, size_t n)
{
	size_t size = p ? find(&arrays, p, false) : 0;
	void *q;

	if (!size)
		return realloc(p, n);
	if (n && n <= size)
		return p;
	q = kept_malloc(n);
	if (q) {
		memcpy(q, p, MIN(n, size));
		kept_free(p);
	}
	return q;
}

void kept_free(void *p)
{
	if (p && !find(&arrays, p, true))
		free(p);
}

/* ---- hypercall buffers: locked pages, which begin as zeroes ---- */

void *__wrap_xencall_alloc_buffer(xencall_handle *xcall, size_t n)
{
	void *p;

	if (!worth_keeping(n))
		return __real_xencall_alloc_buffer(xcall, n);
	p = take(&buffers, rounded(n));
	if (p)
		return memset(p, 0, n);
	return adopt(&buffers, __real_xencall_alloc_buffer(xcall, rounded(n)), rounded(n));
}

void __wrap_xencall_free_buffer(xencall_handle *xcall, void *p)
{
	if (p && !find(&buffers, p, true))
		__real_xencall_free_buffer(xcall, p);
}
