/* SPDX-License-Identifier: BSD-2-Clause */
/* The report for a terminal, and the samples for other programs. */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "cmd/bench/report.h"
#include "core/log.h"

#define COLUMNS 64

static void line(void *arg, const char *text)
{
	fprintf(arg, "  %s\n", text);
}

static void give(FILE *f, struct table *t, const char *caption)
{
	if (t->n) {
		fprintf(f, "\n%s\n", caption);
		table_text(f, t);
	}
	table_free(t);
}

/* Where the spans lie, under the plots: a letter a column. */
static void ruler(FILE *f, const struct plot *p)
{
	char row[COLUMNS + 1];

	memset(row, '.', COLUMNS);
	row[COLUMNS] = '\0';
	for (size_t i = 0; i < p->spans; i++)
		for (int k = 0; k < COLUMNS; k++) {
			double from = p->from + (p->to - p->from) * k / COLUMNS;
			double to = p->from + (p->to - p->from) * (k + 1) / COLUMNS;

			if (p->span[i].to > from && p->span[i].from < to)
				row[k] = p->span[i].name[0];
		}
	fprintf(f, "    %s  %.0f to %.0f s", row, round(p->from) + 0.0, p->to);
	for (size_t i = 0; i < p->spans; i++)
		fprintf(f, "%s%c %s", i ? ", " : "; ", p->span[i].name[0], p->span[i].name);
	putc('\n', f);
}

static void plots(FILE *f, const struct metric *m)
{
	struct plot_span span[REPORT_SPANS];
	struct plot p;

	putc('\n', f);
	if (!isnan(m->test))
		fprintf(f, "test %g: ", m->test);
	fprintf(f, "%s, %s of each column", m->title, m->low_is_bad ? "the least" : "the greatest");
	if (metric_figure(m))
		fprintf(f, " (the study's figure %s)", metric_figure(m));
	putc('\n', f);
	if (!plot_scale(&p, m)) {
		fputs("  nothing was measured, or only zeros\n", f);
		return;
	}
	for (size_t i = 0; i < m->n; i++) {
		fputs("    ", f);
		plot_text(f, &p, m->line[i].s, COLUMNS);
		fprintf(f, "  %s, %g to %g%s\n", m->line[i].run->title, p.low, p.high,
			p.log ? " (logarithmic)" : "");
		p.spans = report_spans(m->line[i].run, span);
		p.span = span;
		ruler(f, &p);
	}
}

void report_text(FILE *f, const struct findings *all)
{
	struct table t = {0};

	report_compare(&t, all);
	give(f, &t, "Means; the worst sample during the migration");
	report_gaps(&t, all);
	give(f, &t, "How long the guest was gone, ms, as each saw it");
	for (size_t i = 0; i < all->n; i++)
		plots(f, &all->metric[i]);
	for (size_t i = 0; i < all->runs; i++) {
		const struct run *r = &all->run[i];

		fprintf(f, "\n%s (%s)\n", r->title, r->path);
		findings_words(all, r, line, f);
		report_storage(&t, r);
		give(f, &t, "Local against remote; medians");
		report_downtime(&t, r);
		give(f, &t, "What the downtime was spent on");
		report_part_line(f, r);
		report_rounds(&t, r);
		give(f, &t, "Rounds of the copy");
		report_environment(&t, r);
		give(f, &t, "Environment");
	}
}

/* Empty where nothing was measured. */
static void number(FILE *f, double v, char end)
{
	if (!isnan(v))
		fprintf(f, "%.6g", v);
	putc(end, f);
}

/* RFC 4180: a quote is doubled. */
static void quoted(FILE *f, const char *s)
{
	putc('"', f);
	for (; *s; s++) {
		if (*s == '"')
			putc('"', f);
		putc(*s, f);
	}
	fputs("\",", f);
}

void report_csv(FILE *f, const struct findings *all)
{
	fputs("run,series,unit,from_s,to_s,warmup,rate,mean_ms,max_ms\n", f);
	for (size_t i = 0; i < all->runs; i++)
		for (size_t k = 0; k < all->run[i].n; k++) {
			const struct series *s = &all->run[i].series[k];

			for (const struct point *p = s->p; p < s->p + s->n; p++) {
				quoted(f, all->run[i].path);
				quoted(f, s->name);
				quoted(f, s->unit);
				fprintf(f, "%.3f,%.3f,%d,", p->from, p->to, p->warmup);
				number(f, p->rate, ',');
				number(f, p->mean, ',');
				number(f, p->max, '\n');
			}
		}
}

/* The same bytes: written anew, the object would have other times in it. */
static int copy(FILE *to, const char *path)
{
	char part[4096];
	FILE *from = fopen(path, "re");
	int err = from ? 0 : -errno;
	size_t n;

	while (!err && (n = fread(part, 1, sizeof(part), from)))
		fwrite(part, 1, n, to);
	if (from && ferror(from))
		err = -EIO;
	if (from)
		fclose(from);
	fflush(to);
	if (err)
		log_error("%s: cannot be read again: %s", path, strerror(-err));
	return err;
}

int report_written(FILE *f, const char *path, bool json)
{
	struct findings all = {0};
	struct run r;
	int err;

	if (json)
		return copy(f, path);
	err = run_read(&r, path);
	if (!err)
		err = findings_make(&all, &r, 1);
	if (!err)
		report_text(f, &all);
	findings_free(&all);
	run_free(&r);
	return err;
}
