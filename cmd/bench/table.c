/* SPDX-License-Identifier: BSD-2-Clause */
#include "cmd/bench/table.h"

#include <ctype.h>
#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "core/bytes.h"

void html_text(FILE *f, const char *s)
{
	for (; *s; s++)
		switch (*s) {
		case '<': fputs("&lt;", f); break;
		case '>': fputs("&gt;", f); break;
		case '&': fputs("&amp;", f); break;
		case '"': fputs("&quot;", f); break;
		default: putc(*s, f);
		}
}

void table_add(struct table *t, const char *fmt, ...)
{
	va_list ap;

	if (t->n == t->room) {
		size_t room = t->room ? 2 * t->room : 64;
		void *grown = realloc(t->cell, room * sizeof(*t->cell));

		if (!grown)
			return;
		t->cell = grown;
		t->room = room;
	}
	va_start(ap, fmt);
	vsnprintf(t->cell[t->n++], TABLE_CELL, fmt, ap);
	va_end(ap);
}

void table_number(struct table *t, double v, int digits)
{
	if (isnan(v))
		table_add(t, "%s", TABLE_MISSING);
	else
		table_add(t, "%.*f", digits, v);
}

void table_percent(struct table *t, double share)
{
	if (!isfinite(share))
		table_add(t, "%s", TABLE_MISSING);
	else if (share >= 9.995)
		table_add(t, "%.0f times", 1 + share);
	else
		table_add(t, "%+.0f %%", fabs(share) < 0.005 ? 0 : 100 * share);
}

/* Of words, by its first row: they begin at the left, where figures end at the right. */
static bool column_of_words(const struct table *t, size_t column)
{
	return t->columns + column < t->n &&
	       isalpha((unsigned char)t->cell[t->columns + column][0]);
}

void table_html(FILE *f, const struct table *t, const char *caption)
{
	fputs("<div class=\"scroll\" tabindex=\"0\"><table>\n<caption>", f);
	html_text(f, caption);
	fputs("</caption>\n", f);
	for (size_t i = 0; i < t->n; i++) {
		const char *tag = i < t->columns ? "th" : "td";

		if (i % t->columns == 0)
			fputs("<tr>", f);
		fprintf(f, column_of_words(t, i % t->columns) ? "<%s class=\"w\">" : "<%s>", tag);
		html_text(f, t->cell[i]);
		fprintf(f, "</%s>", tag);
		if ((i + 1) % t->columns == 0)
			fputs("</tr>\n", f);
	}
	fputs("</table></div>\n", f);
}

/* How many characters a terminal shows of UTF-8. */
static int width_of(const char *s)
{
	int n = 0;

	for (; *s; s++)
		n += ((unsigned char)*s & 0xc0) != 0x80;
	return n;
}

void table_text(FILE *f, const struct table *t)
{
	int *width = calloc(t->columns, sizeof(*width));

	for (size_t i = 0; width && i < t->n; i++)
		width[i % t->columns] = MAX(width[i % t->columns], width_of(t->cell[i]));
	for (size_t i = 0; width && i < t->n; i++) {
		int pad = width[i % t->columns] - width_of(t->cell[i]);

		/* The first column to the left, the others to the right. */
		if (i % t->columns == 0)
			fprintf(f, "  %s%*s", t->cell[i], t->columns > 1 ? pad : 0, "");
		else
			fprintf(f, "  %*s%s", pad, "", t->cell[i]);
		if ((i + 1) % t->columns == 0)
			putc('\n', f);
	}
	free(width);
}

void table_free(struct table *t)
{
	free(t->cell);
	*t = (struct table){0};
}
