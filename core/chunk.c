/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/chunk.h"

#include <stdlib.h>

/* What is kept for the next use; the rest goes back to the system, so that idle means small. */
static const struct {
	uint32_t size;
	unsigned keep;
} classes[] = {{CHUNK_SMALL, 4}, {CHUNK_LARGE, 6}};
#define CLASSES (sizeof(classes) / sizeof(classes[0]))

struct chunk_pool {
	struct chunk *free[CLASSES];
	unsigned n[CLASSES];
};

struct chunk_pool *chunk_pool_new(void)
{
	return calloc(1, sizeof(struct chunk_pool));
}

static void release(struct chunk *c)
{
	free(c->data);
	free(c);
}

void chunk_pool_free(struct chunk_pool *p)
{
	if (!p)
		return;
	for (unsigned i = 0; i < CLASSES; i++) {
		while (p->free[i]) {
			struct chunk *c = p->free[i];
			p->free[i] = c->next;
			release(c);
		}
	}
	free(p);
}

struct chunk *chunk_get(struct chunk_pool *p, uint32_t size)
{
	struct chunk *c;
	for (unsigned i = 0; i < CLASSES; i++) {
		if (size > classes[i].size)
			continue;
		size = classes[i].size;
		c = p->free[i];
		if (!c)
			break;
		p->free[i] = c->next;
		p->n[i]--;
		c->refs = 1;
		c->used = 0;
		return c;
	}
	c = malloc(sizeof(*c));
	if (!c)
		return NULL;
	*c = (struct chunk){.refs = 1, .size = size, .pool = p, .data = malloc(size)};
	if (!c->data) {
		free(c);
		return NULL;
	}
	return c;
}

struct chunk *chunk_ref(struct chunk *c)
{
	c->refs++;
	return c;
}

void chunk_unref(struct chunk *c)
{
	struct chunk_pool *p;
	if (!c || --c->refs)
		return;
	if (c->gone)
		c->gone(c);
	c->gone = NULL;
	p = c->pool;
	for (unsigned i = 0; i < CLASSES; i++) {
		if (c->size != classes[i].size || p->n[i] >= classes[i].keep)
			continue;
		c->next = p->free[i];
		p->free[i] = c;
		p->n[i]++;
		return;
	}
	release(c);
}
