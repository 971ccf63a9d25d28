/* SPDX-License-Identifier: BSD-2-Clause */
#include "xen/copy/dirty_peek.h"

#include <stdlib.h>

#include "xen/release.h"

#define PAGE_BITS (4096u * 8)
#define WORD_BITS (8 * sizeof(unsigned long))

struct dirty_peek {
	xc_interface *xch;
	uint32_t domid;
	uint64_t pages; /* of the bitmap itself */
	xc_hypercall_buffer_t bitmap;
};

static void release(struct dirty_peek *p)
{
	xc_hypercall_buffer_t *b = &p->bitmap;
	DECLARE_HYPERCALL_BUFFER_SHADOW(unsigned long, bitmap, b);

	if (p->pages)
		xc_hypercall_buffer_free_pages(p->xch, bitmap, (int)p->pages);
	p->pages = 0;
}

/* Room for so many pfns. */
static bool grow(struct dirty_peek *p, uint64_t pfns)
{
	uint64_t pages = (pfns + PAGE_BITS - 1) / PAGE_BITS;
	xc_hypercall_buffer_t *b = &p->bitmap;
	DECLARE_HYPERCALL_BUFFER_SHADOW(unsigned long, bitmap, b);

	if (pages <= p->pages)
		return true;
	release(p);
	bitmap = xc_hypercall_buffer_alloc_pages(p->xch, bitmap, (int)pages);
	p->pages = bitmap ? pages : 0;
	return bitmap;
}

struct dirty_peek *dirty_peek_new(uint32_t domid)
{
	struct dirty_peek *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	p->domid = domid;
	p->xch = xc_interface_open(NULL, NULL, 0);
	if (!p->xch) {
		free(p);
		return NULL;
	}
	return p;
}

void dirty_peek_free(struct dirty_peek *p)
{
	if (!p)
		return;
	release(p);
	xc_interface_close(p->xch);
	free(p);
}

bool dirty_peek_look(struct dirty_peek *p, uint64_t pfns)
{
	xc_shadow_op_stats_t stats;

	return grow(p, pfns) &&
	       release_peek(p->xch, p->domid, &p->bitmap, pfns, &stats) == (long long)pfns;
}

bool dirty_peek_written(const struct dirty_peek *p, uint64_t pfn)
{
	const unsigned long *word = p->bitmap.hbuf;

	return word[pfn / WORD_BITS] >> pfn % WORD_BITS & 1;
}
