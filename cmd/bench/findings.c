/* SPDX-License-Identifier: BSD-2-Clause */
#include "cmd/bench/findings.h"

#include <errno.h>
#include <float.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "core/bytes.h"

/* What the founding study measured while it moved its guest, and the figure that shows it; THESIS:
 * its section 4.2. */
static const struct study {
	int test;
	const char *series;
	bool latency;
	const char *change, *figure;
} study[] = {
	{1, "disk", false, "-55 % at its lowest", "4.2"},
	{1, "dbench", false, "-55 % at its lowest", "4.2"},
	{1, "disk", true, "high and erratic", "4.3"},
	{1, "dbench", true, "high and erratic", "4.3"},
	{2, "cpu", false, "-16 %", "4.4"},
	{2, "sysbench", false, "-16 %", "4.4"},
	{3, "memory", false, "none", "4.5"},
	{3, "sysbench-memory", false, "none", "4.5"},
	{4, "ping", true, "barely up", "4.6"},
	{5, "disk", false, "as in test 1", "4.7 to 4.10"},
	{5, "cpu", false, NULL, "4.7 to 4.10"},
	{5, "memory", false, NULL, "4.7 to 4.10"},
	{5, "ping", true, NULL, "4.7 to 4.10"},
	{6, "ping", true, "29 s unreachable", "4.11"},
	{7, "ping", true, "70 s unreachable", "4.12"},
};

static const struct study *study_of(double test, const char *series, bool latency)
{
	for (size_t i = 0; i < ARRAY_SIZE(study); i++)
		if (study[i].test == test && study[i].latency == latency &&
		    strcmp(study[i].series, series) == 0)
			return &study[i];
	return NULL;
}

static bool same_test(double a, double b)
{
	return a == b || (isnan(a) && isnan(b));
}

static int add_line(struct findings *f, const struct run *r, const struct series *s, bool latency)
{
	struct metric *m = NULL, *metrics;
	struct metric_line *lines;

	for (size_t i = 0; i < f->n && !m; i++)
		if (strcmp(f->metric[i].series, s->name) == 0 && f->metric[i].latency == latency &&
		    same_test(f->metric[i].test, r->test))
			m = &f->metric[i];
	if (!m) {
		metrics = realloc(f->metric, (f->n + 1) * sizeof(*metrics));
		if (!metrics)
			return -ENOMEM;
		f->metric = metrics;
		m = &f->metric[f->n++];
		*m = (struct metric){.test = r->test,
				     .latency = latency,
				     .low_is_bad = !latency && strcmp(s->unit, "% busy") != 0,
				     .series = s->name};
		if (latency)
			snprintf(m->title, sizeof(m->title), "%s, %s, ms", s->name,
				 strcmp(s->name, "ping") == 0 ? "round trip" : "latency");
		else
			snprintf(m->title, sizeof(m->title), "%s, %s", s->name, s->unit);
	}
	lines = realloc(m->line, (m->n + 1) * sizeof(*lines));
	if (!lines)
		return -ENOMEM;
	m->line = lines;
	m->line[m->n++] = (struct metric_line){.run = r, .s = s};
	return 0;
}

int findings_make(struct findings *f, struct run *run, size_t runs)
{
	int err = 0;

	*f = (struct findings){.run = run, .runs = runs};
	for (size_t i = 0; i < runs; i++)
		for (size_t k = 0; k < run[i].n; k++) {
			const struct series *s = &run[i].series[k];

			if (!err && s->unit[0] && s->n)
				err = add_line(f, &run[i], s, false);
			if (!err && s->latency)
				err = add_line(f, &run[i], s, true);
		}
	return err;
}

void findings_free(struct findings *f)
{
	for (size_t i = 0; i < f->n; i++)
		free(f->metric[i].line);
	free(f->metric);
	*f = (struct findings){0};
}

const char *metric_figure(const struct metric *m)
{
	const struct study *found = study_of(m->test, m->series, m->latency);

	return found ? found->figure : NULL;
}

double metric_value(const struct metric *m, const struct point *p)
{
	return m->latency ? p->mean : p->rate;
}

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* The median; x is sorted. NAN: there are none. */
static double median(double *x, size_t n)
{
	qsort(x, n, sizeof(*x), by_size);
	return n == 0 ? NAN : n % 2 ? x[n / 2] : (x[n / 2 - 1] + x[n / 2]) / 2;
}

struct span_stats metric_span(const struct metric *m, const struct series *s, double from,
			      double to)
{
	struct span_stats r = {
		.mean = NAN, .median = NAN, .min = NAN, .max = NAN, .worst = NAN, .worst_at = NAN};
	double sum = 0, time = 0, *x = malloc((s->n + 1) * sizeof(*x));

	for (size_t i = 0; x && i < s->n; i++) {
		const struct point *p = &s->p[i];
		double v = metric_value(m, p), length = p->to - p->from, bad;

		if (p->warmup || p->from < from || p->to > to || isnan(v))
			continue;
		bad = m->latency ? p->max : v;
		sum += v * length;
		time += length;
		x[r.n++] = v;
		r.min = fmin(r.min, v);
		r.max = fmax(r.max, v);
		if (isnan(r.worst) || (m->low_is_bad ? bad < r.worst : bad > r.worst)) {
			r.worst = bad;
			r.worst_at = p->from;
		}
	}
	if (time > 0)
		r.mean = sum / time;
	if (x)
		r.median = median(x, r.n);
	free(x);
	return r;
}

struct metric_row metric_compare(const struct metric *m, const struct metric_line *l)
{
	const struct run *r = l->run;
	const struct study *found = study_of(r->test, m->series, m->latency);
	bool known = r->moves && !isnan(r->from);
	double to = isnan(r->to) ? DBL_MAX : r->to;
	struct metric_row row = {
		.before = metric_span(m, l->s, -DBL_MAX, known ? r->from : DBL_MAX),
		/* With the samples that it shares with what comes before and after. */
		.during = metric_span(m, l->s, known ? r->from - 1 : DBL_MAX, to + 1),
		.after = metric_span(m, l->s, known ? to : DBL_MAX, DBL_MAX),
	};

	row.change = row.during.mean / row.before.mean - 1;
	row.worst_change = row.during.worst / row.before.mean - 1;
	if (r->moves && found)
		row.study = found->change;
	return row;
}

/* ---- words ---- */

struct saying {
	void (*say)(void *arg, const char *text);
	void *arg;
};

__attribute__((format(printf, 2, 3))) static void say(const struct saying *to, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	to->say(to->arg, text);
}

static void say_migration(const struct saying *to, const struct run *r)
{
	yajl_val m = r->migration;
	const char *result = run_text(m, "result"), *cause = run_text(m, "cause");
	double downtime = run_number(m, "downtime_ms"), predicted = run_number(m, "predicted_ms");
	double brownout = run_number(m, "brownout_s");

	if (r->moves && !isnan(r->from) && !isnan(r->to))
		say(to, "The migration by %s took %.1f s.", r->tool ? r->tool : "?",
		    r->to - r->from);
	else if (r->moves)
		say(to, "The migration did not come to its end.");
	if (!m) {
		if (r->moves)
			say(to, "What its tool measured itself is missing.");
		return;
	}
	say(to, "Its result: %s%s%s.", result ? result : "missing", cause ? ": " : "",
	    cause ? cause : "");
	if (!isnan(downtime))
		say(to, "The guest stood still for %.0f ms by the tool's own clock (blackout).",
		    downtime);
	if (!isnan(downtime) && !isnan(predicted))
		say(to, "%.0f ms had been predicted; it was %.0f ms %s.", predicted,
		    fabs(downtime - predicted), downtime > predicted ? "longer" : "shorter");
	if (!isnan(brownout))
		say(to, "Slowed down, it lost work worth %.2f s (brownout).", brownout);
}

static void say_change(const struct saying *to, const struct metric *m, const struct metric_line *l)
{
	struct metric_row row = metric_compare(m, l);
	double back = row.after.mean / row.before.mean;
	bool load = strcmp(l->s->unit, "% busy") == 0 && !m->latency; /* of a host, not the guest */

	if (isnan(row.before.mean))
		return;
	if (isnan(row.during.mean)) {
		if (l->run->moves)
			say(to, "%s: nothing was measured during the migration.", m->title);
		return;
	}
	if (load)
		say(to,
		    "%s: %.3g before; during the migration %.3g on average, %.3g at worst; %.3g "
		    "after it.",
		    m->title, row.before.mean, row.during.mean, row.during.worst, row.after.mean);
	else
		say(to,
		    "%s: %.4g before; during the migration %.4g on average (%+.0f %%), %.4g at "
		    "worst.",
		    m->title, row.before.mean, row.during.mean, round(100 * row.change) + 0.0,
		    row.during.worst);
	if (load && !isnan(back))
		return;
	if (isnan(back))
		say(to, "%s: nothing was measured after it.", m->title);
	else if (m->low_is_bad ? back < 0.9 : back > 1.1)
		say(to, "%s: after it %.4g, %+.0f %%: it has not come back.", m->title,
		    row.after.mean, 100 * (back - 1));
}

/*
 * Samples outside of the migration that lie far from the others: five times the median distance
 * from the median, and a fifth of it at least.
 */
static void say_outliers(const struct saying *to, const struct metric *m,
			 const struct metric_line *l)
{
	const struct run *r = l->run;
	struct span_stats all = metric_span(m, l->s, -DBL_MAX, r->moves ? r->from : DBL_MAX);
	double *away = malloc((l->s->n + 1) * sizeof(*away)), limit;
	size_t n = 0, far = 0;
	char text[256] = "";

	if (!away || all.n < 5)
		goto out;
	for (size_t i = 0; i < l->s->n; i++) {
		double v = metric_value(m, &l->s->p[i]);

		if (!isnan(v) && !l->s->p[i].warmup)
			away[n++] = fabs(v - all.median);
	}
	all.n = n;
	limit = fmax(5 * median(away, n), 0.2 * fabs(all.median));
	for (size_t i = 0; i < l->s->n; i++) {
		const struct point *p = &l->s->p[i];
		double v = metric_value(m, p);
		size_t used = strlen(text);

		if (isnan(v) || p->warmup || fabs(v - all.median) <= limit ||
		    (r->moves && p->to > r->from - 1 && !(p->from > r->to)))
			continue;
		if (far++ < 4)
			snprintf(text + used, sizeof(text) - used, "%s%.4g at %.1f s",
				 used ? ", " : "", v, p->from);
	}
	if (10 * far > all.n)
		say(to, "%s: %zu of %zu samples lie far from the others: there is no usual value.",
		    m->title, far, all.n);
	else if (far)
		say(to, "%s: %zu outlier%s apart from the migration: %s%s.", m->title, far,
		    far == 1 ? "" : "s", text, far > 4 ? ", ..." : "");
out:
	free(away);
}

static void say_missing(const struct saying *to, const struct run *r)
{
	yajl_val missing = run_get(r->tree, "missing");

	if (run_true(r->tree, "interrupted"))
		say(to, "The run was cut off: this is what had been measured by then.");
	for (size_t i = 0; YAJL_IS_ARRAY(missing) && i < YAJL_GET_ARRAY(missing)->len; i++) {
		const char *text = YAJL_GET_STRING(YAJL_GET_ARRAY(missing)->values[i]);

		if (text)
			say(to, "Missing: %s.", text);
	}
}

void findings_words(const struct findings *f, const struct run *r,
		    void (*fn)(void *arg, const char *text), void *arg)
{
	const struct saying to = {fn, arg};

	say_missing(&to, r);
	say_migration(&to, r);
	if (!isnan(r->silent_for))
		say(&to, "Pinged, the guest was silent for %.0f ms at most, from %.1f s on.",
		    1000 * r->silent_for, r->silent);
	for (size_t i = 0; i < f->n; i++)
		for (size_t k = 0; k < f->metric[i].n; k++) {
			const struct metric_line *l = &f->metric[i].line[k];

			if (l->run != r)
				continue;
			if (r->moves)
				say_change(&to, &f->metric[i], l);
			say_outliers(&to, &f->metric[i], l);
		}
}
