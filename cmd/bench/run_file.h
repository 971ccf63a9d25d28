/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A run as `vstor bench LOAD --json`, `vstor bench migrate` and `vstor migrate --json` leave it:
 * the samples as series on one time line, which has its zero where the run or its migration begins,
 * and what is known of that. What is not in the file
 * is NAN, or NULL: nothing is made up.
 */
#ifndef CMD_BENCH_RUN_FILE_H
#define CMD_BENCH_RUN_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <yajl/yajl_tree.h>

/* Seconds on the run's time line; a rate in the series' unit; latencies in ms. */
struct point {
	double from, to;
	bool warmup;
	double rate;
	double mean, max; /* NAN: nothing was finished, no reply came */
};

struct series {
	char name[64]; /* "disk", "ping", ... */
	char unit[24]; /* of the rates; "": they say nothing */
	bool latency;  /* has some */
	struct point *p;
	size_t n;
	yajl_val load; /* the object that it comes from */
};

#define RUN_GAPS 4
extern const char *const run_gap_names[RUN_GAPS]; /* "tool", ... as in the file */

struct run {
	const char *path;
	char title[96];
	yajl_val tree;
	struct series *series;
	size_t n;
	bool moves;		   /* there was a migration on this time line */
	double from, to;	   /* of it: 0 and its length; NAN: not known */
	double silent, silent_for; /* the longest time without a reply to a ping */
	yajl_val migration;	   /* vstor migrate's object; NULL: none, or another tool's */
	double test;		   /* of the study; NAN: of none */
	const char *tool;
	double gap[RUN_GAPS]; /* ms */
	double first_reply;   /* ms from the end of the downtime, as the tool has it; NAN */
};

/* 0, or -errno after an error line that names the file. run_free() in any case. path stays. */
int run_read(struct run *r, const char *path);
void run_free(struct run *r);

/* Members of an object; NULL objects have none. */
yajl_val run_get(yajl_val object, const char *key);
double run_number(yajl_val object, const char *key);
const char *run_text(yajl_val object, const char *key);
bool run_true(yajl_val object, const char *key);

#endif
