/* SPDX-License-Identifier: BSD-2-Clause */
#include "cmd/bench/plot.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/bench/table.h"
#include "core/bytes.h"

/* The frame of the axes, in the units of the drawing. */
#define LEFT   44
#define RIGHT  (PLOT_WIDTH - 8)
#define TOP    34
#define BOTTOM (PLOT_HEIGHT - 32)

#define COLUMNS (RIGHT - LEFT)
#define LOG_AT	40 /* from this ratio of greatest to median on, latencies are drawn by powers */
#define LETTER	(0.62 * PLOT_FONT) /* the widest that a letter of the labels is on average */

static double least(const struct metric *m, const struct point *p)
{
	return metric_value(m, p);
}

static double greatest(const struct metric *m, const struct point *p)
{
	return m->latency ? p->max : p->rate;
}

bool plot_scale(struct plot *p, const struct metric *m)
{
	double low = DBL_MAX, high = 0, middle = NAN;

	*p = (struct plot){.m = m, .from = DBL_MAX, .to = -DBL_MAX};
	for (size_t i = 0; i < m->n; i++) {
		const struct series *s = m->line[i].s;

		for (size_t k = 0; k < s->n; k++) {
			double v = least(m, &s->p[k]);

			p->from = fmin(p->from, s->p[k].from);
			p->to = fmax(p->to, s->p[k].to);
			if (v > 0)
				low = fmin(low, v);
			high = fmax(high, greatest(m, &s->p[k]));
		}
		if (i == 0)
			middle = metric_span(m, s, -DBL_MAX, DBL_MAX).median;
	}
	if (high <= 0 || !(p->to > p->from))
		return false;
	p->log = m->latency && low > 0 && high > LOG_AT * middle;
	p->low = p->log ? pow(10, floor(log10(low))) : 0;
	p->high = p->log ? pow(10, ceil(log10(high))) : 1.04 * high;
	return true;
}

static double x_of(const struct plot *p, double t)
{
	return LEFT +
	       (RIGHT - LEFT) * (fmin(fmax(t, p->from), p->to) - p->from) / (p->to - p->from);
}

static double y_of(const struct plot *p, double v)
{
	double share =
		p->log ? log10(fmax(v, p->low) / p->low) / log10(p->high / p->low) : v / p->high;

	return BOTTOM - (BOTTOM - TOP) * share;
}

/* ---- axes ---- */

/* 1, 2 or 5 times a power of ten, so that there are at most n of them. */
static double tick_step(double range, unsigned n)
{
	double power = pow(10, floor(log10(range / n)));

	for (int i = 0;; i++) {
		static const double by[] = {1, 2, 5, 10, 20};

		if (range / (by[i] * power) <= n || i == 4)
			return by[i] * power;
	}
}

static void text(FILE *f, double x, double y, const char *anchor, const char *s)
{
	fprintf(f, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">%s</text>\n", x, y, anchor, s);
}

static void number(double v, char out[24])
{
	static const char power[] = " kMGTPE";
	int n = 0;

	while (v >= (n ? 1e3 : 1e4) && power[n + 1]) {
		v /= 1e3;
		n++;
	}
	snprintf(out, 24, n ? "%g%c" : "%g", v, power[n]);
}

static void rule(FILE *f, const struct plot *p, double v)
{
	char label[24];
	double y = y_of(p, v);

	number(v, label);
	fprintf(f, "<path class=\"grid\" d=\"M%d %.1fH%d\"/>\n", LEFT, y, RIGHT);
	text(f, LEFT - 4, y + 4, "end", label);
}

static void axes(FILE *f, const struct plot *p)
{
	double step;
	char label[24];

	if (p->log) {
		for (double v = p->low; v <= p->high * 1.001; v *= 10)
			/* With many powers, every other one. */
			if (p->high / p->low < 1e5 || fmod(round(log10(v / p->low)), 2) < 0.5)
				rule(f, p, v);
	} else {
		step = tick_step(p->high, 5);
		for (double v = 0; v <= p->high * 1.001; v += step)
			rule(f, p, v);
	}
	step = tick_step(p->to - p->from, 5);
	for (double t = ceil(p->from / step) * step; t <= p->to; t += step) {
		double x = x_of(p, t);

		/* fabs: no "-0". */
		snprintf(label, sizeof(label), "%g", fabs(t) < step / 2 ? 0 : t);
		fprintf(f, "<path class=\"grid\" d=\"M%.1f %dv4\"/>\n", x, BOTTOM);
		if (x + (double)strlen(label) * LETTER / 2 < RIGHT + 8)
			text(f, x, BOTTOM + 15, "middle", label);
	}
	text(f, (LEFT + RIGHT) / 2.0, PLOT_HEIGHT - 4, "middle",
	     p->m->line[0].run->moves ? "seconds from the start of the migration" : "seconds");
	fprintf(f, "<path class=\"axis\" d=\"M%d %dV%dH%d\"/>\n", LEFT, TOP, BOTTOM, RIGHT);
}

/* Their names stand above, each where there is room for it: in two rows, by turns. */
static void spans(FILE *f, const struct plot *p)
{
	double free_from[2] = {LEFT - 8, LEFT - 8};

	for (size_t i = 0; i < p->spans; i++) {
		const struct plot_span *s = &p->span[i];
		double x = x_of(p, s->from), width = x_of(p, s->to) - x;
		double label = (double)strlen(s->name) * LETTER, at;

		if (!(s->to > p->from && s->from < p->to))
			continue;
		width = fmax(width, 1.5); /* to be seen at all */
		fprintf(f,
			"<rect class=\"%s\" x=\"%.1f\" y=\"%d\" width=\"%.1f\" "
			"height=\"%d\"><title>%s: %.2f to %.2f s</title></rect>\n",
			s->class_, x, TOP, width, BOTTOM - TOP, s->name, s->from, s->to);
		at = fmax(x + (width - label) / 2, LEFT - 8);
		at = fmin(at, PLOT_WIDTH - 2 - label);
		for (int row = 0; row < 2; row++) {
			if (at < free_from[row])
				continue;
			text(f, at, 12 + 14 * row, "start", s->name);
			free_from[row] = at + label + LETTER;
			break;
		}
	}
}

/* ---- lines ---- */

/* Samples that share a column of the drawing. */
struct column {
	double mean, weight, low, high, from, to;
};

static void draw_column(FILE *f, FILE *range, const struct plot *p, const struct column *c,
			double *pen)
{
	double y = y_of(p, c->mean / c->weight), x = x_of(p, c->from), to = x_of(p, c->to);

	/* A gap in the samples is one in the line. */
	fprintf(f, c->from - *pen > 1e-3 ? "M%.1f %.1f" : "L%.1f %.1f", x, y);
	fprintf(f, "H%.1f", to);
	if (range && c->high > c->low)
		fprintf(range, "M%.1f %.1fV%.1f", (x + to) / 2, y_of(p, c->low), y_of(p, c->high));
	*pen = c->to;
}

/* Draws the line to f; its ranges to `range`, unless that is NULL. */
static void draw(FILE *f, FILE *range, const struct plot *p, const struct series *s)
{
	double width = (p->to - p->from) / COLUMNS, pen = -DBL_MAX;
	struct column c = {0};

	for (size_t i = 0; i < s->n; i++) {
		const struct point *q = &s->p[i];
		double v = metric_value(p->m, q), length = fmax(q->to - q->from, 1e-9);

		if (isnan(v))
			continue;
		if (c.weight > 0 && (q->to - c.from > width || q->from - c.to > 1e-3)) {
			draw_column(f, range, p, &c, &pen);
			c.weight = 0;
		}
		if (c.weight <= 0)
			c = (struct column){.low = v, .high = v, .from = q->from};
		c.mean += v * length;
		c.weight += length;
		c.low = fmin(c.low, least(p->m, q));
		c.high = fmax(c.high, greatest(p->m, q));
		c.to = q->to;
	}
	if (c.weight > 0)
		draw_column(f, range, p, &c, &pen);
}

void plot_svg(FILE *f, const struct plot *p)
{
	char *path, *range;
	size_t n, m;

	fprintf(f, "<svg viewBox=\"0 0 %d %d\" font-size=\"%d\" role=\"img\" aria-label=\"",
		PLOT_WIDTH, PLOT_HEIGHT, PLOT_FONT);
	html_text(f, p->m->title);
	fputs(" over time\">\n", f);
	spans(f, p);
	axes(f, p);
	/* The first run is on top of the others. */
	for (size_t i = p->m->n; i-- > 0;) {
		FILE *line = open_memstream(&path, &n), *between = open_memstream(&range, &m);

		if (line && between)
			draw(line, i == 0 ? between : NULL, p, p->m->line[i].s);
		if (line)
			fclose(line);
		if (between)
			fclose(between);
		if (line && between) {
			if (m)
				fprintf(f, "<path class=\"range l%zu\" d=\"%s\"/>\n",
					i % PLOT_STYLES, range);
			fprintf(f, "<path class=\"line l%zu%s\" d=\"%s\"/>\n", i % PLOT_STYLES,
				i ? " thin" : "", path);
		}
		if (line)
			free(path);
		if (between)
			free(range);
	}
	fputs("</svg>\n", f);
}

void plot_text(FILE *f, const struct plot *p, const struct series *s, unsigned columns)
{
	static const char *const height[] = {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};

	for (unsigned i = 0; i < columns; i++) {
		double from = p->from + (p->to - p->from) * i / columns, worst = NAN;
		double to = p->from + (p->to - p->from) * (i + 1) / columns;

		for (size_t k = 0; k < s->n; k++) {
			double v = metric_value(p->m, &s->p[k]);

			if (s->p[k].to <= from || s->p[k].from >= to || isnan(v))
				continue;
			worst = p->m->low_is_bad ? fmin(v, worst)
						 : fmax(greatest(p->m, &s->p[k]), worst);
		}
		if (isnan(worst))
			putc(' ', f);
		else
			fputs(height[MIN((unsigned)(8 * (BOTTOM - y_of(p, worst)) / (BOTTOM - TOP)),
					 7u)],
			      f);
	}
}
