/* SPDX-License-Identifier: BSD-2-Clause */
/* A table of short texts, for a page and for a terminal; and text for a page. */
#ifndef CMD_BENCH_TABLE_H
#define CMD_BENCH_TABLE_H

#include <stddef.h>
#include <stdio.h>

#define TABLE_CELL    160
#define TABLE_MISSING "\342\200\223" /* an en dash: nothing is known */

struct table {
	unsigned columns;
	char (*cell)[TABLE_CELL];
	size_t n, room;
};

/* A cell more, row by row; the first row is the heading. What does not fit into memory is left out;
 * so is what is longer than a cell. */
__attribute__((format(printf, 2, 3))) void table_add(struct table *t, const char *fmt, ...);
/* One with this many digits behind the point, or TABLE_MISSING when it is NAN. */
void table_number(struct table *t, double v, int digits);
/* With a sign and "%", from a share of 1; "N times" from ten times on. */
void table_percent(struct table *t, double share);
void table_html(FILE *f, const struct table *t, const char *caption);
void table_text(FILE *f, const struct table *t);
void table_free(struct table *t);

/* Text in a page: what is markup is escaped. */
void html_text(FILE *f, const char *s);

#endif
