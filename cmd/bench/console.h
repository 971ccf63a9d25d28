/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the loads print: a line for each sample and a summary, on stdout. With --json one object on
 * one line at the end, on stdout, while the lines go to stderr; with --csv the lines are comma-
 * separated values, and the summary goes to stderr.
 */
#ifndef CMD_BENCH_CONSOLE_H
#define CMD_BENCH_CONSOLE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "core/hist.h"
#include "core/json.h"

/* The row of an option table for --csv. */
#define CONSOLE_OPTION(c)                                                                          \
	{                                                                                          \
		"csv", OPT_FLAG, &(c).csv, NULL,                                                   \
			"the samples as comma-separated values, a heading first", 0, 0             \
	}

/* A span of a load as it is kept for the JSON object; times in ns. */
struct console_row {
	uint64_t from_ns, to_ns;
	bool warmup;
	uint64_t sent, ops, bytes; /* sent: by ping only */
	bool has_value; /* a figure that another program told, instead of ops and bytes */
	double value;
	uint64_t n; /* latencies */
	uint64_t p50_ns, p99_ns, p999_ns, max_ns;
	double mean_ns;
};

struct console {
	bool json, csv; /* set before console_start() */
	FILE *lines, *summary;
	uint64_t started_ms; /* wall clock, since 1970 */
	uint64_t started_ns; /* clock_ns() */
	struct console_row *row;
	size_t rows, cap;
};

/* The load starts now. */
void console_start(struct console *c);
void console_free(struct console *c);

/* Keeps the row for the JSON object, with the latencies of h (NULL: none), and prints it as CSV if
 * that is wanted. */
void console_add_row(struct console *c, struct console_row row, const struct hist *h);
/* "mean 0.12  p50 0.10  p99 0.40  p99.9 0.5  max 3.20 ms", or nothing when h is empty. */
void console_latency(FILE *f, const struct hist *h);
/* Begins the object with what every load says of itself; ended by console_json_end(). */
void console_json_begin(struct console *c, struct json *j, const char *bench, double seconds,
			bool interrupted);
/* {"mean":..,"p50":..,"p99":..,"p999":..,"max":..} in ms. */
void console_json_latency(struct json *j, const char *key, const struct hist *h);
void console_json_end(struct console *c, struct json *j);

#endif
