/* SPDX-License-Identifier: BSD-2-Clause */
/* A histogram of 64-bit values (latencies in ns): constant memory, 1.6 % resolution. */
#ifndef CORE_HIST_H
#define CORE_HIST_H

#include <stdint.h>

#define HIST_SUB     64 /* buckets in each power of two */
#define HIST_BUCKETS (59 * HIST_SUB)

struct hist {
	uint64_t n, sum, min, max;
	uint64_t count[HIST_BUCKETS];
};

void hist_reset(struct hist *h);
void hist_add(struct hist *h, uint64_t v);
void hist_add_n(struct hist *h, uint64_t v, uint64_t n); /* n times v */
void hist_merge(struct hist *to, const struct hist *from);
/* The value below which the share q (0..1) of all values lies; 0 when empty; never above max. */
uint64_t hist_quantile(const struct hist *h, double q);
/* below[i]: how many values lie at or below edge[i], to the resolution of the buckets. The n edges
 * ascend. */
void hist_cumulate(const struct hist *h, const uint64_t *edge, unsigned n, uint64_t *below);
double hist_mean(const struct hist *h);

#endif
