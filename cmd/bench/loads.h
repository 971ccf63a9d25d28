/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Loads: one operation done over and over by threads, each one timed, looked at in a fixed rhythm.
 * Every kind of load (disk.c, raw.c, cpu.c, memory.c) fills a struct load_spec from its options;
 * whoever runs it gets a sample each second, or as often as it asks. All functions belong to the
 * loop's thread.
 */
#ifndef CMD_BENCH_LOADS_H
#define CMD_BENCH_LOADS_H

#include <stdbool.h>
#include <stdint.h>

#include "cmd/bench/console.h"
#include "core/hist.h"
#include "core/json.h"
#include "core/loop.h"

#define LOAD_MAX_THREADS 1024

/* When a load is looked at and ended; ns. */
struct load_times {
	uint64_t duration; /* 0: until load_stop() */
	uint64_t warmup;   /* before it, not in the totals */
	uint64_t sample;
};
#define LOAD_TIMES                                                                                 \
	{                                                                                          \
		.duration = 10 * SEC_NS, .sample = SEC_NS                                          \
	}

/* Rows of an option table. */
#define LOAD_OPTIONS(t, c)                                                                         \
	{"duration",                                                                               \
	 OPT_SECONDS,                                                                              \
	 &(t).duration,                                                                            \
	 "S",                                                                                      \
	 "how long; 0: until interrupted (default 10)",                                            \
	 0,                                                                                        \
	 0},                                                                                       \
		{"warmup",                                                                         \
		 OPT_SECONDS,                                                                      \
		 &(t).warmup,                                                                      \
		 "S",                                                                              \
		 "run so long before that counts (default 0)",                                     \
		 0,                                                                                \
		 0},                                                                               \
		{"sample",                                                                         \
		 OPT_SECONDS,                                                                      \
		 &(t).sample,                                                                      \
		 "S",                                                                              \
		 "from one sample to the next, from 0.01 on (default 1)",                          \
		 10 * MS_NS,                                                                       \
		 3600 * SEC_NS},                                                                   \
		CONSOLE_OPTION(c)

/* What was done in a span of time; ns since the start of the load. */
struct load_sample {
	uint64_t from_ns, to_ns;
	bool warmup;
	uint64_t ops, bytes;
	const struct hist *latency; /* ns an operation; valid during the call */
};

struct load_spec {
	const char *name;
	const char *where; /* what it works on, for errors; NULL: nothing that has a name */
	unsigned threads;
	struct load_times times;
	uint64_t rate; /* bytes a second of all threads together; 0: as many as they can */
	/* One operation, in its thread (0..threads-1): the bytes it moved, or -errno, which ends
	 * the load. */
	int64_t (*op)(void *arg, unsigned thread);
	/* Writes what the operation is made of as members of an open object. */
	void (*describe)(void *arg, struct json *j);
	/* A line for the summary on what else there is to say, when there is; may be NULL. */
	void (*remark)(void *arg, const struct load_sample *total, FILE *f);
	void (*close)(void *arg); /* frees arg; called by load_spec_close() */
	void *arg;
};

struct load_events {
	void (*sample)(void *arg, const struct load_sample *s); /* each time, and for the rest */
	/* After the last sample. 0, or the -errno of an operation. */
	void (*finished)(void *arg, int error);
	void *arg;
};

/*
 * A kind of load. open() parses argv as of a subcommand and prepares *spec, for the caller to
 * close; otherwise it is false, with the exit status in *status (0 after --help) and the cause
 * logged.
 */
struct load_kind {
	const char *name, *summary;
	bool (*open)(int argc, char **argv, struct load_spec *spec, struct console *c, int *status);
};
extern const struct load_kind load_disk, load_raw, load_cpu, load_memory;

void load_spec_close(struct load_spec *spec);
/* The CPUs that are online. */
unsigned load_cpus(void);
/* The seed of a thread's random numbers, never 0; and the next number (xorshift64). */
uint64_t load_seed(unsigned thread);
static inline uint64_t load_random(uint64_t *x)
{
	*x ^= *x << 13;
	*x ^= *x >> 7;
	*x ^= *x << 17;
	return *x;
}

struct load;

/* Starts the threads. *spec and *ev are copied; spec->arg stays the caller's. 0 or -errno. */
int load_start(struct loop *l, const struct load_spec *spec, const struct load_events *ev,
	       struct load **out);
/* Ends it early, when the operations that are under way have returned. */
void load_stop(struct load *ld);
/* Everything since the warm-up's end. */
struct load_sample load_total(const struct load *ld);
/* After finished() only: threads that hang in an operation cannot be freed. */
void load_free(struct load *ld);

#endif
