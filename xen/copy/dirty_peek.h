/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which pages a guest has written since the round began, while the round still runs: Xen's
 * log-dirty bitmap, looked at without clearing it (XEN_DOMCTL_SHADOW_OP_PEEK). The save helper
 * leaves out what the next round sends anyway.
 */
#ifndef XEN_DIRTY_PEEK_H
#define XEN_DIRTY_PEEK_H

#include <stdbool.h>
#include <stdint.h>

struct dirty_peek;

/* NULL with errno: Xen cannot be talked to. */
struct dirty_peek *dirty_peek_new(uint32_t domid);
void dirty_peek_free(struct dirty_peek *p);
/* Looks at pages 0 to pfns - 1; false when that fails: then no page counts as written. */
bool dirty_peek_look(struct dirty_peek *p, uint64_t pfns);
/* As of the last look, which must have included it. */
bool dirty_peek_written(const struct dirty_peek *p, uint64_t pfn);

#endif
