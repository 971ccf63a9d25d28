/* SPDX-License-Identifier: BSD-2-Clause */
#include "cmd/bench/loads.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "core/bytes.h"
#include "core/log.h"
#include "core/opts.h"

#define LANES  4 /* independent generators: the multiplier's latency must not be the limit */
#define PAGE   4096
#define VISITS 1024 /* of --tlb, in an operation */

struct memory_thread {
	uint64_t *at, *start, *end;
	uint64_t lane[LANES], random, sum;
};

struct memory_load {
	uint64_t threads, size, block, rate;
	bool read, random, tlb;
	void *map;
	struct memory_thread thread[];
};

/* The block that comes next. */
static uint64_t *choose(const struct memory_load *m, struct memory_thread *t)
{
	uint64_t words = m->block / sizeof(*t->at), blocks = (uint64_t)(t->end - t->start) / words;
	uint64_t *p = t->at;

	if (m->random)
		return t->start + load_random(&t->random) % blocks * words;
	t->at = p + words < t->end ? p + words : t->start;
	return p;
}

/* Words that never repeat, so that no page stays the same or compresses. */
static int64_t write_block(void *arg, unsigned thread)
{
	const struct memory_load *m = arg;
	struct memory_thread *t = &((struct memory_load *)arg)->thread[thread];
	uint64_t a = t->lane[0], b = t->lane[1], c = t->lane[2], d = t->lane[3];
	uint64_t *p = choose(m, t);

	/* Knuth's MMIX generator. */
	for (const uint64_t *end = p + m->block / sizeof(*p); p < end; p += LANES) {
		p[0] = a = a * 6364136223846793005u + 1442695040888963407u;
		p[1] = b = b * 6364136223846793005u + 1442695040888963407u;
		p[2] = c = c * 6364136223846793005u + 1442695040888963407u;
		p[3] = d = d * 6364136223846793005u + 1442695040888963407u;
	}
	t->lane[0] = a, t->lane[1] = b, t->lane[2] = c, t->lane[3] = d;
	return (int64_t)m->block;
}

static int64_t read_block(void *arg, unsigned thread)
{
	const struct memory_load *m = arg;
	struct memory_thread *t = &((struct memory_load *)arg)->thread[thread];
	uint64_t a = 0, b = 0, c = 0, d = 0;
	const uint64_t *p = choose(m, t);

	for (const uint64_t *end = p + m->block / sizeof(*p); p < end; p += LANES)
		a += p[0], b += p[1], c += p[2], d += p[3];
	t->sum += a + b + c + d;
	return (int64_t)m->block;
}

/* One word each of pages anywhere: what it costs is to find the page (the TLB misses). */
static int64_t visit_pages(void *arg, unsigned thread)
{
	const struct memory_load *m = arg;
	struct memory_thread *t = &((struct memory_load *)arg)->thread[thread];
	uint64_t words = PAGE / sizeof(*t->at), pages = (uint64_t)(t->end - t->start) / words;

	for (unsigned i = 0; i < VISITS; i++) {
		uint64_t r = load_random(&t->random);
		uint64_t *p = t->start + r % pages * words + (r >> 55);

		if (m->read)
			t->sum += *p;
		else
			*p = r;
	}
	return VISITS * sizeof(uint64_t);
}

static void remark(void *arg, const struct load_sample *total, FILE *f)
{
	const struct memory_load *m = arg;
	double s = (double)(total->to_ns - total->from_ns) / (double)SEC_NS;

	if (m->rate && (double)total->bytes < 0.95 * s * (double)m->rate)
		fprintf(f, "        slower than --rate: %.2f MB/s were asked for\n",
			(double)m->rate / 1e6);
}

static void describe(void *arg, struct json *j)
{
	const struct memory_load *m = arg;

	json_u64(j, "threads", m->threads);
	json_u64(j, "size", m->size);
	json_u64(j, "block_size", m->block);
	json_u64(j, "rate", m->rate);
	json_bool(j, "read", m->read);
	json_bool(j, "random", m->random);
	json_bool(j, "tlb", m->tlb);
}

static void close_memory(void *arg)
{
	struct memory_load *m = arg;

	if (!m)
		return;
	munmap(m->map, m->size);
	free(m);
}

/* Gives each thread its part of the memory, all of it touched once. */
static struct memory_load *prepare(const struct memory_load *c)
{
	struct memory_load *m = malloc(sizeof(*m) + c->threads * sizeof(m->thread[0]));
	uint64_t part = c->size / c->threads / c->block * c->block;

	if (!m)
		return NULL;
	*m = *c;
	m->map = mmap(NULL, m->size, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (m->map == MAP_FAILED) {
		free(m);
		return NULL;
	}
	for (unsigned i = 0; i < m->threads; i++) {
		struct memory_thread *t = &m->thread[i];

		*t = (struct memory_thread){.random = load_seed(i)};
		t->at = t->start = (uint64_t *)((char *)m->map + i * part);
		t->end = t->start + part / sizeof(*t->start);
		for (unsigned k = 0; k < LANES; k++)
			t->lane[k] = load_seed(i * LANES + k);
	}
	return m;
}

static bool open_memory(int argc, char **argv, struct load_spec *spec, struct console *con,
			int *status)
{
	struct memory_load c = {.threads = load_cpus(), .size = 64 << 20, .block = 64 << 10}, *m;
	struct load_times times = LOAD_TIMES;
	const struct opt table[] = {
		{"size", OPT_SIZE, &c.size, "SIZE",
		 "memory that is used, all threads (default 64M)", PAGE, 0},
		{"read", OPT_FLAG, &c.read, NULL, "read (default: write)", 0, 0},
		{"random", OPT_FLAG, &c.random, NULL, "blocks anywhere (default: in order)", 0, 0},
		{"tlb", OPT_FLAG, &c.tlb, NULL,
		 "a word each of 1024 pages anywhere, an operation, instead of blocks", 0, 0},
		{"block-size", OPT_SIZE, &c.block, "SIZE",
		 "bytes an operation, a multiple of 32 (default 64k)", 32, 1 << 30},
		{"threads", OPT_U64, &c.threads, "N", "how many at once (default: one a CPU)", 1,
		 LOAD_MAX_THREADS},
		{"rate", OPT_SIZE, &c.rate, "SIZE",
		 "at most so many bytes a second, all threads (default: no limit)", 1, 0},
		LOAD_OPTIONS(times, *con),
		{0},
	};
	const struct opts o = {
		.name = "bench memory",
		.synopsis = "[options]",
		.description =
			"Writes memory over and over, every block different, or reads it: bytes a "
			"second.\n"
			"With --rate it dirties memory at a known speed under a migration.",
		.table = table,
		.json = &con->json,
	};
	int n = opts_parse(&o, argc, argv);

	if (n < 0) {
		*status = opts_exit(n);
		return false;
	}
	if (c.tlb && (c.size / c.threads < PAGE || c.random)) {
		log_error("--tlb is --random already, and needs a page of 4096 bytes for each "
			  "thread");
		*status = 2;
		return false;
	}
	if (c.tlb)
		c.block = PAGE;
	if (c.block % (LANES * sizeof(uint64_t)) || c.size / c.threads < c.block) {
		log_error("blocks of %llu bytes do not fit: --block-size must be a multiple"
			  " of 32 and at most --size by --threads",
			  (unsigned long long)c.block);
		*status = 2;
		return false;
	}
	m = prepare(&c);
	if (!m) {
		log_error("cannot have %llu bytes: %s; give a smaller --size",
			  (unsigned long long)c.size, strerror(errno));
		*status = 1;
		return false;
	}
	*spec = (struct load_spec){.name = "memory",
				   .threads = (unsigned)c.threads,
				   .times = times,
				   .rate = c.rate,
				   .op = c.tlb	  ? visit_pages
					 : c.read ? read_block
						  : write_block,
				   .describe = describe,
				   .remark = remark,
				   .close = close_memory,
				   .arg = m};
	return true;
}

const struct load_kind load_memory = {"memory", "write or read memory, or dirty it at a given rate",
				      open_memory};
