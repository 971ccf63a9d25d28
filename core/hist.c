/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/hist.h"

#include <string.h>

#include "core/bytes.h"

/* Values below 64 have a bucket each; above, the six bits after the leading one choose it. */
static unsigned bucket_of(uint64_t v)
{
	unsigned shift;
	if (v < HIST_SUB)
		return (unsigned)v;
	shift = 63u - (unsigned)__builtin_clzll(v) - 6;
	return (shift + 1) * HIST_SUB + (unsigned)(v >> shift) - HIST_SUB;
}

/* The greatest value that falls into bucket b. */
static uint64_t bucket_top(unsigned b)
{
	unsigned shift = b / HIST_SUB;
	if (shift == 0)
		return b;
	shift--;
	return (((uint64_t)(b % HIST_SUB) + HIST_SUB) << shift) + ((1ull << shift) - 1);
}

void hist_reset(struct hist *h)
{
	memset(h, 0, sizeof(*h));
}

void hist_add_n(struct hist *h, uint64_t v, uint64_t n)
{
	if (h->n == 0 || v < h->min)
		h->min = v;
	h->max = MAX(h->max, v);
	h->sum += v * n;
	h->n += n;
	h->count[bucket_of(v)] += n;
}

void hist_add(struct hist *h, uint64_t v)
{
	hist_add_n(h, v, 1);
}

void hist_merge(struct hist *to, const struct hist *from)
{
	if (from->n == 0)
		return;
	to->min = to->n ? MIN(to->min, from->min) : from->min;
	to->max = MAX(to->max, from->max);
	to->n += from->n;
	to->sum += from->sum;
	for (unsigned i = 0; i < HIST_BUCKETS; i++)
		to->count[i] += from->count[i];
}

uint64_t hist_quantile(const struct hist *h, double q)
{
	uint64_t rank = (uint64_t)(q * (double)h->n + 0.5), seen = 0;
	if (h->n == 0)
		return 0;
	rank = rank < 1 ? 1 : MIN(rank, h->n);
	for (unsigned i = 0; i < HIST_BUCKETS; i++) {
		seen += h->count[i];
		if (seen >= rank)
			return MAX(MIN(bucket_top(i), h->max), h->min);
	}
	return h->max;
}

void hist_cumulate(const struct hist *h, const uint64_t *edge, unsigned n, uint64_t *below)
{
	uint64_t seen = 0;
	unsigned b = 0;
	for (unsigned i = 0; i < n; i++) {
		while (b < HIST_BUCKETS && bucket_top(b) <= edge[i])
			seen += h->count[b++];
		below[i] = seen;
	}
}

double hist_mean(const struct hist *h)
{
	return h->n ? (double)h->sum / (double)h->n : 0;
}
