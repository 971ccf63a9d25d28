/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the loads print. For people: a line a second and a summary, on stdout. For programs
 * (--json): one object on one line at the end, on stdout, while the lines go to stderr.
 */
#ifndef CMD_BENCH_CONSOLE_H
#define CMD_BENCH_CONSOLE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "core/hist.h"
#include "core/json.h"

/* A span of a load as it is kept for the JSON object; times in ns. */
struct console_row {
	uint64_t from_ns, to_ns;
	uint64_t sent, ops, bytes; /* sent: by ping only */
	uint64_t p50_ns, p99_ns, max_ns;
	double mean_ns;
};

struct console {
	bool json;
	FILE *lines;
	uint64_t started_ms; /* wall clock, since 1970 */
	struct console_row *row;
	size_t rows, cap;
};

void console_init(struct console *c, bool json);
void console_free(struct console *c);

/* The latencies of h into *row, which is kept if memory allows. */
void console_add_row(struct console *c, struct console_row row, const struct hist *h);
/* "mean 0.12  p50 0.10  p99 0.40  max 3.20 ms", or nothing when h is empty. */
void console_latency(FILE *f, const struct hist *h);
/* Begins the object with what every load says of itself; ended by console_json_end(). */
void console_json_begin(struct console *c, struct json *j, const char *bench, double seconds,
			bool interrupted);
/* {"mean":..,"p50":..,"p99":..,"p999":..,"max":..} in ms. */
void console_json_latency(struct json *j, const char *key, const struct hist *h);
void console_json_end(struct console *c, struct json *j);

#endif
