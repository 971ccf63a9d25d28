/* SPDX-License-Identifier: BSD-2-Clause */
/* What a report says of its runs: the metrics to plot, before, during and after, words. */
#ifndef CMD_BENCH_FINDINGS_H
#define CMD_BENCH_FINDINGS_H

#include <stdio.h>

#include "cmd/bench/run_file.h"

/* One quantity, in as many runs of one test as have it. */
struct metric {
	char title[96]; /* "disk, MB/s" */
	double test;	/* NAN: of none */
	bool latency;	/* of the series, not its rate */
	bool low_is_bad;
	const char *series;
	struct metric_line {
		const struct run *run;
		const struct series *s;
	} * line;
	size_t n;
};

struct findings {
	struct run *run;
	size_t runs;
	struct metric *metric;
	size_t n;
};

/* Sorts the series of the runs, which stay the caller's. 0 or -ENOMEM. findings_free() in any
 * case. */
int findings_make(struct findings *f, struct run *run, size_t runs);
void findings_free(struct findings *f);

/* The founding study's figure that shows the same; NULL: there is none. */
const char *metric_figure(const struct metric *m);
double metric_value(const struct metric *m, const struct point *p);

/* Of the samples that lie wholly in a span; the warm-up's are left out. NAN: there are none. */
struct span_stats {
	size_t n;
	double mean, median, min, max;
	double worst, worst_at; /* lowest rate, or highest latency */
};
struct span_stats metric_span(const struct metric *m, const struct series *s, double from,
			      double to);

/* A row of the table of a run; values are NAN where there is nothing. A run without a migration has
 * all of it in `before`. */
struct metric_row {
	struct span_stats before, during, after;
	double change;	     /* during by before, less 1 */
	double worst_change; /* the worst sample by before, less 1 */
	const char *study;   /* the founding study's change; NULL: it has none */
};
struct metric_row metric_compare(const struct metric *m, const struct metric_line *l);

/* Sentences on a run, each by say(arg, text). */
void findings_words(const struct findings *f, const struct run *r,
		    void (*say)(void *arg, const char *text), void *arg);

#endif
