/* SPDX-License-Identifier: BSD-2-Clause */
#include "xen/copy/pagecache.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

struct slot {
	uint64_t key;	/* its pfn + 1; 0: empty */
	uint64_t round; /* when it was sent last */
};

struct pagecache {
	uint64_t slots, round;
	struct slot *slot;
	uint8_t *pages; /* one a slot */
	size_t mapped;
};

struct pagecache *pagecache_new(uint64_t bytes)
{
	struct pagecache *c = calloc(1, sizeof(*c));
	void *map;

	if (!c)
		return NULL;
	c->slots = bytes / (PAGECACHE_PAGE + sizeof(*c->slot));
	if (!c->slots)
		return c;
	c->mapped = c->slots * (PAGECACHE_PAGE + sizeof(*c->slot));
	map = mmap(NULL, c->mapped, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (map == MAP_FAILED) {
		free(c);
		return NULL;
	}
	c->pages = map;
	c->slot = (struct slot *)(c->pages + c->slots * PAGECACHE_PAGE);
	return c;
}

void pagecache_free(struct pagecache *c)
{
	if (!c)
		return;
	if (c->slots)
		munmap(c->pages, c->mapped);
	free(c);
}

static uint8_t *page_of(struct pagecache *c, const struct slot *s)
{
	return c->pages + (uint64_t)(s - c->slot) * PAGECACHE_PAGE;
}

uint8_t *pagecache_find(struct pagecache *c, uint64_t pfn)
{
	struct slot *s;

	if (!c->slots)
		return NULL;
	s = &c->slot[pfn % c->slots];
	return s->key == pfn + 1 ? page_of(c, s) : NULL;
}

/* May the page in this slot give way to another one? */
static int yields(const struct pagecache *c, const struct slot *s)
{
	return !s->key ||
	       (s->round < c->round && (s->round == 0 || c->round - s->round > PAGECACHE_ROUNDS));
}

void pagecache_put(struct pagecache *c, uint64_t pfn, const uint8_t *page)
{
	struct slot *s;

	if (!c->slots)
		return;
	s = &c->slot[pfn % c->slots];
	if (s->key != pfn + 1 && !yields(c, s))
		return;
	*s = (struct slot){.key = pfn + 1, .round = c->round};
	memcpy(page_of(c, s), page, PAGECACHE_PAGE);
}

void pagecache_touch(struct pagecache *c, uint64_t pfn)
{
	c->slot[pfn % c->slots].round = c->round;
}

void pagecache_drop(struct pagecache *c, uint64_t pfn)
{
	if (c->slots && c->slot[pfn % c->slots].key == pfn + 1)
		c->slot[pfn % c->slots].key = 0;
}

void pagecache_round(struct pagecache *c)
{
	c->round++;
}
