/* SPDX-License-Identifier: BSD-2-Clause */
#include "cmd/bench/loads.h"

#include <errno.h>
#include <stdlib.h>

#include "core/log.h"
#include "core/opts.h"

struct cpu_load {
	uint64_t threads, prime;
};

/* Trial division up to the limit, as sysbench's cpu test does it: the same work each time. */
static unsigned count_primes(uint64_t limit)
{
	unsigned found = 0;

	for (uint64_t n = 3; n < limit; n++) {
		uint64_t d = 2;

		while (d * d <= n && n % d != 0)
			d++;
		found += d * d > n;
	}
	return found;
}

static int64_t event(void *arg, unsigned thread)
{
	const struct cpu_load *c = arg;
	unsigned found = count_primes(c->prime);

	(void)thread;
	/* Somebody has to want the result, or the compiler leaves the work out. */
	__asm__ volatile("" : : "r"(found));
	return 0;
}

static void describe(void *arg, struct json *j)
{
	const struct cpu_load *c = arg;

	json_u64(j, "threads", c->threads);
	json_u64(j, "prime", c->prime);
}

static bool open_cpu(int argc, char **argv, struct load_spec *spec, struct console *con,
		     int *status)
{
	struct cpu_load c = {.threads = load_cpus(), .prime = 10000}, *kept;
	struct load_times times = LOAD_TIMES;
	const struct opt table[] = {
		{"threads", OPT_U64, &c.threads, "N", "how many at once (default: one a CPU)", 1,
		 LOAD_MAX_THREADS},
		{"prime", OPT_U64, &c.prime, "N",
		 "an event: find the primes below N (default 10000)", 3, 100000000},
		LOAD_OPTIONS(times, *con),
		{0},
	};
	const struct opts o = {
		.name = "bench cpu",
		.synopsis = "[options]",
		.description = "Counts primes by trial division: events a second, time an event.",
		.table = table,
		.json = &con->json,
	};
	int n = opts_parse(&o, argc, argv);

	if (n < 0) {
		*status = opts_exit(n);
		return false;
	}
	kept = malloc(sizeof(*kept));
	if (!kept) {
		log_error("out of memory");
		*status = 1;
		return false;
	}
	*kept = c;
	*spec = (struct load_spec){.name = "cpu",
				   .threads = (unsigned)c.threads,
				   .times = times,
				   .op = event,
				   .describe = describe,
				   .close = free,
				   .arg = kept};
	return true;
}

const struct load_kind load_cpu = {"cpu", "integer work on the CPUs: events a second", open_cpu};
