/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which level of compression is the fastest in total, from what is measured on the way: how fast
 * the CPU compresses, how well the pages do, how fast the link takes them. A faster level on a
 * faster link, none when even the fastest would hold the link up; then some blocks are still tried.
 */
#ifndef XEN_CODEC_PACE_H
#define XEN_CODEC_PACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct codec_pace {
	int fixed;   /* the level asked for; 0: as measured */
	bool shared; /* one CPU: what compresses does not send meanwhile */
	unsigned choice, blocks;
	uint64_t taken, sent; /* bytes, in all */
	bool seen;	      /* the link, behind the buffers before it */
	double slowness;      /* of this CPU, against that which the table of levels was made on */
	double density;	      /* how much better or worse these pages compress than those */
	double other_ns;      /* ns a byte before compression, for all else that is done */
	double write_ns;      /* ns a byte after it, to write it where there is room */
	double link_ns;	      /* ns a byte after it, until the link has taken it */
	double stolen;	      /* of the time, when others had the CPU that this host wanted */
	uint64_t stolen_at, stolen_ns;

	/* since the window began */
	uint64_t began, cpu_began, in, out, packing_ns, writing_ns;
	unsigned writes, full;
};

/* level: 1 to 9, 0 for measuring. cpus: that this host has. */
void codec_pace_init(struct codec_pace *p, int level, unsigned cpus);
/* The level for the next block, as page_encoder_ops.level gives it. */
int codec_pace_level(struct codec_pace *p);
/* The level that is in use, but for those blocks that only measure. */
int codec_pace_now(const struct codec_pace *p);
/* A block of `in` bytes took ns of CPU time and became `out`; `now` is the time after that, `cpu`
 * the CPU time that this process has had by then. */
void codec_pace_coded(struct codec_pace *p, uint64_t now, uint64_t cpu, int level, size_t in,
		      size_t out, uint64_t ns);
/* Bytes were written, which took ns. full: what lies between us and the link was so full that the
 * link is the limit. */
void codec_pace_written(struct codec_pace *p, size_t n, uint64_t ns, bool full);
/* With one CPU: ns is host_stolen_ns() at the time `now`; some times a second. */
void codec_pace_stolen(struct codec_pace *p, uint64_t now, uint64_t ns);
/* Something else is going on: the time until the next block says nothing. */
void codec_pace_pause(struct codec_pace *p);

#endif
