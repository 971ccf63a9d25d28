/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A time-series plot: as SVG for a page, and as a line of text. Samples are drawn as they are: a
 * step over the span that each is of, nothing between spans that do not touch. Where there are more
 * than fit, a column shows their mean, and a thin line from the least to the greatest.
 */
#ifndef CMD_BENCH_PLOT_H
#define CMD_BENCH_PLOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "cmd/bench/findings.h"

#define PLOT_WIDTH  360
#define PLOT_HEIGHT 230
#define PLOT_FONT   11
#define PLOT_STYLES 8 /* lines that can be told apart; class l0 to l7 in the page's style sheet */

struct plot_span {
	double from, to;
	const char *name;
	const char *class_; /* of the rectangle */
};

struct plot {
	const struct metric *m;
	const struct plot_span *span; /* shaded */
	size_t spans;
	double from, to; /* of the time axis */
	bool log;
	double low, high; /* of the other axis */
};

/* Chooses the axes for all lines of the metric; false: there is nothing to draw. */
bool plot_scale(struct plot *p, const struct metric *m);
void plot_svg(FILE *f, const struct plot *p);
/* `columns` characters of eight heights, the worst sample of each column; blanks where there is
 * none. */
void plot_text(FILE *f, const struct plot *p, const struct series *s, unsigned columns);

#endif
