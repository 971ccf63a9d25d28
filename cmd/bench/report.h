/* SPDX-License-Identifier: BSD-2-Clause */
/* The forms of a report: a page, a terminal's text, and the samples as CSV. */
#ifndef CMD_BENCH_REPORT_H
#define CMD_BENCH_REPORT_H

#include "cmd/bench/findings.h"
#include "cmd/bench/plot.h"
#include "cmd/bench/table.h"

void report_html(FILE *f, const struct findings *all);
void report_text(FILE *f, const struct findings *all);
void report_csv(FILE *f, const struct findings *all);
/* A run that has just been written to `path`: the report as text, or (json) its object as it stands
 * there, one line. 0, or -errno after an error line. */
int report_written(FILE *f, const char *path, bool json);

/* What the forms have in common: tables of all runs, or of one. Nothing is added when there is
 * nothing to say. */
void report_compare(struct table *t, const struct findings *all);
void report_gaps(struct table *t, const struct findings *all);
void report_downtime(struct table *t, const struct run *r);
/* What the downtime was spent on, in order; the last part is the time to the first reply. How many:
 * 0 when the tool does not tell. */
#define REPORT_PARTS 7
struct report_part {
	const char *name, *what;
	double ms; /* NAN: not known */
};
size_t report_parts(const struct run *r, struct report_part part[REPORT_PARTS]);
void report_gap_bars(FILE *f, const struct run *r);  /* for a page */
void report_part_line(FILE *f, const struct run *r); /* for a terminal */
void report_rounds(struct table *t, const struct run *r);
void report_environment(struct table *t, const struct run *r);
void report_storage(struct table *t, const struct run *r);
void report_samples(struct table *t, const struct metric *m, const struct metric_line *l);
/* The spans of a run to be shaded; at most REPORT_SPANS. */
#define REPORT_SPANS 4
size_t report_spans(const struct run *r, struct plot_span span[REPORT_SPANS]);

#endif
