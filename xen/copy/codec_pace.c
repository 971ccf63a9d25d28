/* SPDX-License-Identifier: BSD-2-Clause */
#include "xen/copy/codec_pace.h"

#include "core/bytes.h"
#include "xen/copy/pagecodec.h"

#define WINDOW_BYTES (1u << 20) /* less says little, as what lies between has room for as much */
/* Pipes and sockets take so much before the link is seen behind them; but no longer than for so
 * much that goes in. */
#define HIDDEN_BYTES (8u << 20)
#define HIDDEN_IN    (32u << 20)
#define TRY_BLOCKS   16u /* of so many that are not compressed, one is, to measure */
#define WEIGHT	     0.3 /* of a new measurement against all earlier ones */
#define RATIO_MIN    0.01
#define FASTER	     0.7  /* how much a link that is not the limit may be faster than was seen */
#define GAIN	     0.97 /* another level must be better by this to be taken */

/*
 * ns a byte in and bytes out a byte in, in blocks of 32 pages: the pages of an idle Linux guest but
 * the zeros, zstd 1.5.4, one core of 2026's servers. Only their proportions matter.
 */
static const struct level {
	int level;
	double ns, ratio;
} levels[] = {
	{PAGECODEC_LEVEL_NONE, 0.1, 1.0},
	{-50, 0.38, 0.56},
	{-20, 0.64, 0.43},
	{-7, 0.95, 0.34},
	{-1, 1.25, 0.245},
	{1, 1.5, 0.219},
	{3, 2.5, 0.209},
	{6, 9, 0.195},
	{9, 16, 0.19},
};
enum { NONE, FASTEST, FIRST = 4 };

void codec_pace_init(struct codec_pace *p, int level, unsigned cpus)
{
	*p = (struct codec_pace){
		.fixed = level, .shared = cpus < 2, .choice = FIRST, .slowness = 1, .density = 1};
}

int codec_pace_now(const struct codec_pace *p)
{
	return p->fixed ? p->fixed : levels[p->choice].level;
}

int codec_pace_level(struct codec_pace *p)
{
	if (!p->fixed && p->choice == NONE && ++p->blocks % TRY_BLOCKS == 0)
		return levels[FASTEST].level;
	return codec_pace_now(p);
}

static void learn(double *old, double new)
{
	*old += WEIGHT * (new - *old);
}

/* ns that a byte takes in all at this level. */
static double total_ns(const struct codec_pace *p, const struct level *l)
{
	double ratio = MAX(1 - p->density * (1 - l->ratio), RATIO_MIN);
	double here = p->other_ns + p->slowness * l->ns;

	if (p->shared)
		return here + ratio * p->link_ns;
	return MAX(here + ratio * p->write_ns, ratio * p->link_ns);
}

static void choose(struct codec_pace *p)
{
	double best = total_ns(p, &levels[p->choice]) * GAIN;

	for (unsigned i = 0; i < ARRAY_SIZE(levels); i++) {
		double ns = total_ns(p, &levels[i]);

		if (ns < best) {
			best = ns;
			p->choice = i;
		}
	}
}

static void end_window(struct codec_pace *p, uint64_t now, uint64_t cpu)
{
	double span = (double)(now - p->began), writing = (double)p->writing_ns;
	double own = (double)(cpu - p->cpu_began), seen;
	double other = (p->shared ? own : span - writing) - (double)p->packing_ns;

	learn(&p->other_ns, MAX(other, 0) / (double)p->in);
	if (p->shared) {
		/* The CPU is somebody else's for as long as it is not ours, and what we do comes on
		 * top: those who carry the bytes on, or nobody, while the link is full. Guests have
		 * their part of all that is done, and fewer bytes do not make it less. */
		learn(&p->link_ns, MAX(span * (1 - p->stolen) - own, 0) / (double)p->out);
	} else if (2 * p->full >= p->writes) {
		learn(&p->link_ns, span / (double)p->out);
	} else {
		/* It took all that came, and may be faster than that: step by step. */
		seen = span / (double)p->out;
		learn(&p->write_ns, writing / (double)p->out);
		p->link_ns = FASTER * (p->link_ns > 0 ? MIN(p->link_ns, seen) : seen);
	}
	p->sent += p->out;
	p->taken += p->in;
	p->seen = p->seen || 2 * p->full >= p->writes || p->sent >= HIDDEN_BYTES ||
		  p->taken >= HIDDEN_IN;
	codec_pace_pause(p);
	if (p->seen)
		choose(p);
}

void codec_pace_coded(struct codec_pace *p, uint64_t now, uint64_t cpu, int level, size_t in,
		      size_t out, uint64_t ns)
{
	if (p->fixed)
		return;
	for (unsigned i = FASTEST; i < ARRAY_SIZE(levels); i++) {
		if (levels[i].level != level)
			continue;
		learn(&p->slowness, (double)ns / (double)in / levels[i].ns);
		learn(&p->density, (1 - (double)out / (double)in) / (1 - levels[i].ratio));
	}
	if (!p->began) {
		/* The first block of a window only begins it. */
		p->began = now;
		p->cpu_began = cpu;
		return;
	}
	p->in += in;
	p->packing_ns += ns;
	if (p->in >= WINDOW_BYTES && p->out)
		end_window(p, now, cpu);
}

void codec_pace_written(struct codec_pace *p, size_t n, uint64_t ns, bool full)
{
	if (!p->began)
		return;
	p->out += n;
	p->writing_ns += ns;
	p->writes++;
	p->full += full;
}

void codec_pace_stolen(struct codec_pace *p, uint64_t now, uint64_t ns)
{
	if (p->stolen_at && now > p->stolen_at && ns >= p->stolen_ns)
		learn(&p->stolen,
		      MIN((double)(ns - p->stolen_ns) / (double)(now - p->stolen_at), 1));
	p->stolen_at = now;
	p->stolen_ns = ns;
}

void codec_pace_pause(struct codec_pace *p)
{
	p->began = p->in = p->out = p->packing_ns = p->writing_ns = 0;
	p->writes = p->full = 0;
}
