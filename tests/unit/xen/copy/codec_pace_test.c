/* SPDX-License-Identifier: BSD-2-Clause */
#include "xen/copy/codec_pace.h"

#include "core/bytes.h"
#include "tests/unit/check.h"
#include "xen/copy/pagecodec.h"

#define BLOCK	 131072.0
#define PAGES_NS 0.5 /* a byte: mapping, looking for zeros */
/* Nothing is known of the link before the buffers on the way are full. */
#define UNSEEN_NS 40e6
#define COPY_NS	  0.2 /* a byte into the pipe */

/* As zstd does with a guest's pages, measured; ns a byte in, bytes out a byte in. */
static const struct {
	int level;
	double ns, ratio;
} zstd[] = {
	{PAGECODEC_LEVEL_NONE, 0.1, 1},
	{-50, 0.40, 0.59},
	{-20, 0.62, 0.46},
	{-7, 0.9, 0.33},
	{-1, 1.3, 0.26},
	{1, 1.5, 0.22},
	{2, 1.8, 0.215},
	{3, 2.3, 0.212},
	{4, 4, 0.208},
	{5, 8, 0.205},
	{6, 10, 0.20},
	{7, 12, 0.197},
	{8, 15, 0.19},
	{9, 17, 0.187},
};

/* A host and its link: the link drains a pipe; with one CPU, draining takes that CPU as well. */
struct world {
	double cpu;   /* slowness */
	double link;  /* ns a byte */
	double drain; /* ns of CPU a byte, where one CPU does all */
	double density;
	double guest; /* of the CPU where there is one: a guest has that while it is wanted here */
	unsigned cpus;
	double buffers; /* bytes, from the helper to the link */
};

static void cost(const struct world *w, int level, double *ns, double *out)
{
	for (size_t i = 0; i < ARRAY_SIZE(zstd); i++) {
		if (zstd[i].level != level)
			continue;
		*ns = zstd[i].ns * w->cpu * BLOCK;
		*out = MIN(MAX(1 - w->density * (1 - zstd[i].ratio), 0.01), 1) * BLOCK;
	}
}

/* ns for so many blocks; level: as --compress, or PAGECODEC_LEVEL_NONE. */
static double run(const struct world *w, int level, unsigned blocks)
{
	struct codec_pace p;
	double now = 1e9, cpu = 0, pipe = 0, drained = now, ns = 0, out = 0, stolen = 0;
	double more = w->cpus == 1 ? w->guest / (1 - w->guest) : 0; /* of any time of the CPU */

	codec_pace_init(&p, level == PAGECODEC_LEVEL_NONE ? 0 : level, w->cpus);
	while (blocks--) {
		int l = level == PAGECODEC_LEVEL_NONE ? level : codec_pace_level(&p);
		double waited = 0, work;
		bool full;

		cost(w, l, &ns, &out);
		work = PAGES_NS * w->cpu * BLOCK + ns;
		now += work * (1 + more);
		stolen += work * more;
		cpu += work;
		codec_pace_stolen(&p, (uint64_t)now, (uint64_t)stolen);
		codec_pace_coded(&p, (uint64_t)now, (uint64_t)cpu, l, (size_t)BLOCK, (size_t)out,
				 (uint64_t)ns);
		work = COPY_NS * w->cpu * out;
		now += work * (1 + more);
		stolen += (work + (w->cpus == 1 ? w->drain * out : 0)) * more;
		cpu += work;
		pipe = MAX(pipe - (now - drained) / w->link, 0);
		full = pipe > w->buffers / 2;
		pipe += out;
		if (w->cpus == 1)
			waited += w->drain * out * (1 + more);
		if (pipe > w->buffers)
			waited = MAX(waited, (pipe - w->buffers) * w->link);
		pipe = MAX(pipe - waited / w->link, 0);
		now += waited;
		drained = now;
		codec_pace_written(&p, (size_t)out, (uint64_t)(waited + COPY_NS * w->cpu * out),
				   full);
	}
	return now + pipe * w->link - 1e9;
}

static void test_never_slower(void)
{
	static const double links[] = {80, 8, 0.8, 0.1}; /* 100 Mbit/s, 1 Gbit/s, 10 Gbit/s, none */
	static const double cpus[] = {0.5, 1, 4, 20};
	static const double densities[] = {0, 0.3, 0.7, 1, 1.1};

	for (unsigned i = 0; i < 4 * 4 * 5 * 2 * 2 * 3; i++) {
		struct world w = {.link = links[i % 4],
				  .cpu = cpus[i / 4 % 4],
				  .density = densities[i / 16 % 5],
				  .cpus = 1 + i / 80 % 2,
				  .buffers = i / 160 % 2 ? 6 << 20 : 1 << 20,
				  .guest = 0.3 * (i / 320),
				  .drain = 1.5 * cpus[i / 4 % 4]};
		double plain = run(&w, PAGECODEC_LEVEL_NONE, 1600), best = plain;
		double measured = run(&w, 0, 1600);

		for (int level = 1; level <= PAGECODEC_LEVEL_MAX; level++)
			best = MIN(best, run(&w, level, 1600));
		if (!CHECK(measured < plain * 1.05 + UNSEEN_NS * w.cpu) ||
		    !CHECK(measured < best * (w.cpus == 1 ? 1.6 : 1.3)))
			printf("# link %.1f cpu %.1f x%u guest %.1f density %.1f: %.0f ms, plain "
			       "%.0f, best %.0f\n",
			       w.link, w.cpu, w.cpus, w.guest, w.density, measured / 1e6,
			       plain / 1e6, best / 1e6);
	}
}

static void test_gain(void)
{
	struct world slow = {.link = 80, .cpu = 1, .density = 1, .cpus = 2, .buffers = 1 << 20};
	struct world gbit = {.link = 8, .cpu = 1, .density = 1, .cpus = 2, .buffers = 1 << 20};

	CHECK(run(&slow, 0, 800) < 0.23 * run(&slow, PAGECODEC_LEVEL_NONE, 800));
	CHECK(run(&gbit, 0, 800) < 0.35 * run(&gbit, PAGECODEC_LEVEL_NONE, 800));
}

static void test_fixed(void)
{
	struct codec_pace p;

	codec_pace_init(&p, 7, 1);
	for (unsigned i = 0; i < 1000; i++) {
		CHECK_EQ(codec_pace_level(&p), 7);
		codec_pace_coded(&p, 1000 * i, 1000 * i, 7, 100000, 100000, 1000);
		codec_pace_written(&p, 100000, 0, false);
	}
}

/* The link becomes a hundred times as fast, and slow again. */
static void test_follows(void)
{
	struct codec_pace p;
	uint64_t now = 1;
	int level[3];

	codec_pace_init(&p, 0, 2);
	for (unsigned phase = 0; phase < 3; phase++) {
		uint64_t wait = phase == 1 ? 0 : 2000000;

		for (unsigned i = 0; i < 1000; i++) {
			level[phase] = codec_pace_level(&p);
			now += 200000;
			codec_pace_coded(&p, now, now / 2, level[phase], 131072,
					 level[phase] == PAGECODEC_LEVEL_NONE ? 131072 : 40000,
					 150000);
			now += wait;
			codec_pace_written(&p, 40000, wait, wait);
			if (i % 100 == 0)
				codec_pace_pause(&p);
		}
	}
	CHECK(level[0] > 1);
	CHECK(level[1] == PAGECODEC_LEVEL_NONE || level[1] == -50);
	CHECK(level[2] > 1);
}

int main(void)
{
	CHECK_RUN(test_never_slower);
	CHECK_RUN(test_gain);
	CHECK_RUN(test_fixed);
	CHECK_RUN(test_follows);
	return CHECK_DONE();
}
