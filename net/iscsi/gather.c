/* SPDX-License-Identifier: BSD-2-Clause */
#include "net/iscsi/gather.h"

#include <stdlib.h>
#include <string.h>

#include "core/bytes.h"

void gather_init(struct gather *g)
{
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

bool gather_add(struct gather *g, struct target_server *s, const uint8_t *data, uint32_t len,
		struct chunk *chunk, bool asked)
{
	struct iovec *last = g->n ? &g->iov[g->n - 1] : NULL;
	if (!len)
		return true;
	g->len += len;
	if (!asked) {
		g->unasked += len;
		s->out_bytes += len;
	}
	if (last && g->chunk[g->n - 1] == chunk &&
	    (const uint8_t *)last->iov_base + last->iov_len == data) {
		last->iov_len += len;
		return true;
	}
	if (g->n == g->cap && !grow(g))
		return false;
	g->chunk[g->n] = chunk_ref(chunk);
	g->iov[g->n++] = (struct iovec){(uint8_t *)data, len};
	return true;
}

void gather_fini(struct gather *g, struct target_server *s)
{
	s->out_bytes -= g->unasked;
	for (unsigned i = 0; i < g->n; i++)
		chunk_unref(g->chunk[i]);
	free_lists(g);
}
