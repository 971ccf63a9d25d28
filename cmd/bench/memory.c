/* SPDX-License-Identifier: BSD-2-Clause */
#include "cmd/bench/loads.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "core/bytes.h"
#include "core/log.h"
#include "core/opts.h"

#define LANES 4 /* independent generators: the multiplier's latency must not be the limit */

struct memory_thread {
	uint64_t *at, *start, *end;
	uint64_t lane[LANES];
};

struct memory_load {
	uint64_t threads, size, block, rate;
	void *map;
	struct memory_thread thread[];
};

/* Writes one block with words that never repeat, so that no page stays the same or compresses. */
static int64_t write_block(void *arg, unsigned thread)
{
	struct memory_load *m = arg;
	struct memory_thread *t = &m->thread[thread];
	uint64_t a = t->lane[0], b = t->lane[1], c = t->lane[2], d = t->lane[3];
	uint64_t *p = t->at;

	/* Knuth's MMIX generator. */
	for (const uint64_t *end = p + m->block / sizeof(*p); p < end; p += LANES) {
		p[0] = a = a * 6364136223846793005u + 1442695040888963407u;
		p[1] = b = b * 6364136223846793005u + 1442695040888963407u;
		p[2] = c = c * 6364136223846793005u + 1442695040888963407u;
		p[3] = d = d * 6364136223846793005u + 1442695040888963407u;
	}
	t->lane[0] = a, t->lane[1] = b, t->lane[2] = c, t->lane[3] = d;
	t->at = p < t->end ? p : t->start;
	return (int64_t)m->block;
}

static void describe(void *arg, struct json *j)
{
	const struct memory_load *m = arg;

	json_u64(j, "threads", m->threads);
	json_u64(j, "size", m->size);
	json_u64(j, "block_size", m->block);
	json_u64(j, "rate", m->rate);
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

		t->at = t->start = (uint64_t *)((char *)m->map + i * part);
		t->end = t->start + part / sizeof(*t->start);
		for (unsigned k = 0; k < LANES; k++)
			t->lane[k] = load_seed(i * LANES + k);
	}
	return m;
}

static bool open_memory(int argc, char **argv, struct load_spec *spec, bool *json, int *status)
{
	struct memory_load c = {.threads = load_cpus(), .size = 64 << 20, .block = 64 << 10}, *m;
	uint64_t duration = 10 * SEC_NS;
	const struct opt table[] = {
		{"size", OPT_SIZE, &c.size, "SIZE",
		 "memory that is written, all threads (default 64M)", 4096, 0},
		{"block-size", OPT_SIZE, &c.block, "SIZE",
		 "bytes an operation, a multiple of 32 (default 64k)", 32, 1 << 30},
		{"threads", OPT_U64, &c.threads, "N", "how many at once (default: one a CPU)", 1,
		 LOAD_MAX_THREADS},
		{"rate", OPT_SIZE, &c.rate, "SIZE",
		 "at most so many bytes a second, all threads (default: no limit)", 1, 0},
		{"duration", OPT_SECONDS, &duration, "S", "0: until interrupted (default 10)", 0,
		 0},
		{0},
	};
	const struct opts o = {
		.name = "bench memory",
		.synopsis = "[options]",
		.description =
			"Writes memory over and over, every block different: bytes a second.\n"
			"With --rate it dirties memory at a known speed under a migration.",
		.table = table,
		.json = json,
	};
	int n = opts_parse(&o, argc, argv);

	if (n < 0) {
		*status = opts_exit(n);
		return false;
	}
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
				   .duration_ns = duration,
				   .rate = c.rate,
				   .op = write_block,
				   .describe = describe,
				   .close = close_memory,
				   .arg = m};
	return true;
}

const struct load_kind load_memory = {"memory", "write memory, or dirty it at a given rate",
				      open_memory};
