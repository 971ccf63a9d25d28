/* SPDX-License-Identifier: BSD-2-Clause */
#include "net/iscsi/gather.h"

#include <stdlib.h>
#include <string.h>

#include "core/bytes.h"

#define COPY_BELOW  4096u
#define BLOCK_LEAST 4096u

struct gather_block {
	struct gather_block *next;
	uint32_t size, used;
	uint8_t data[];
};

bool gather_full(const struct conn *c)
{
	return c->server->out_bytes >= SERVER_OUT_LAST && c->tasks > 1;
}

void gather_init(struct gather *g, uint32_t total)
{
	g->total = total;
	g->iov = g->iov_inline;
	g->chunk = g->chunk_inline;
	g->cap = ARRAY_SIZE(g->iov_inline);
}

static void free_lists(struct gather *g)
{
	if (g->iov == g->iov_inline)
		return;
	free(g->iov);
	free(g->chunk);
}

static bool grow(struct gather *g)
{
	unsigned cap = g->cap * 4;
	struct iovec *iov = malloc(cap * sizeof(*iov));
	struct chunk **chunk = malloc(cap * sizeof(struct chunk *));
	if (!iov || !chunk) {
		free(iov);
		free(chunk);
		return false;
	}
	memcpy(iov, g->iov, g->n * sizeof(*iov));
	memcpy(chunk, g->chunk, g->n * sizeof(struct chunk *));
	free_lists(g);
	g->iov = iov;
	g->chunk = chunk;
	g->cap = cap;
	return true;
}

/* A place at the end of the list. NULL: out of memory. */
static struct iovec *append(struct gather *g, struct chunk *chunk)
{
	if (g->n == g->cap && !grow(g))
		return NULL;
	g->chunk[g->n] = chunk;
	return &g->iov[g->n++];
}

static void count(struct gather *g, struct target_server *s, uint32_t bytes)
{
	g->unasked += bytes;
	s->out_bytes += bytes;
}

static bool add_block(struct gather *g, uint32_t len)
{
	uint32_t size = MAX(len, g->blocks ? 2 * g->blocks->size : BLOCK_LEAST);
	struct gather_block *b;
	size = MIN(size, g->total - g->len);
	b = malloc(sizeof(*b) + size);
	if (!b)
		return false;
	*b = (struct gather_block){.next = g->blocks, .size = size};
	g->blocks = b;
	return true;
}

static bool copy(struct gather *g, struct target_server *s, const uint8_t *data, uint32_t len,
		 bool asked)
{
	while (len) {
		struct gather_block *b = g->blocks;
		struct iovec *last = g->n ? &g->iov[g->n - 1] : NULL;
		uint32_t n;
		if (!b || b->used == b->size) {
			if (!add_block(g, len))
				return false;
			b = g->blocks;
			if (!asked)
				count(g, s, b->size);
		}
		n = MIN(len, b->size - b->used);
		if (last && (uint8_t *)last->iov_base + last->iov_len == b->data + b->used) {
			last->iov_len += n; /* in this block, too */
		} else {
			last = append(g, NULL);
			if (!last)
				return false;
			*last = (struct iovec){b->data + b->used, n};
		}
		memcpy(b->data + b->used, data, n);
		b->used += n;
		g->len += n;
		data += n;
		len -= n;
	}
	return true;
}

bool gather_add(struct gather *g, const struct conn *c, const uint8_t *data, uint32_t len,
		struct chunk *chunk, bool asked)
{
	struct target_server *s = c->server;
	struct iovec *last = g->n ? &g->iov[g->n - 1] : NULL;
	if (!len)
		return true;
	/* A little that waits for more would keep a chunk. */
	if ((len < COPY_BELOW && g->len + len < g->total) || c->pinned >= CONN_PINNED_MAX ||
	    s->pinned >= SERVER_PINNED_MAX)
		return copy(g, s, data, len, asked);
	if (!asked)
		count(g, s, len);
	g->len += len;
	if (last && g->chunk[g->n - 1] == chunk &&
	    (const uint8_t *)last->iov_base + last->iov_len == data) {
		last->iov_len += len;
		return true;
	}
	last = append(g, chunk);
	if (!last)
		return false;
	*last = (struct iovec){(uint8_t *)data, len};
	chunk_ref(chunk);
	return true;
}

void gather_fini(struct gather *g, struct target_server *s)
{
	s->out_bytes -= g->unasked;
	for (unsigned i = 0; i < g->n; i++)
		chunk_unref(g->chunk[i]);
	while (g->blocks) {
		struct gather_block *b = g->blocks;
		g->blocks = b->next;
		free(b);
	}
	free_lists(g);
}
