/* SPDX-License-Identifier: BSD-2-Clause */
#include <math.h>
#include <string.h>

#include "cmd/bench/report.h"
#include "core/bytes.h"

#define SAMPLE_ROWS 240

static void heading(struct table *t, unsigned n, const char *const *name)
{
	t->columns = n;
	for (unsigned i = 0; i < n; i++)
		table_add(t, "%s", name[i]);
}
#define HEADING(t, ...)                                                                            \
	heading(t, ARRAY_SIZE(((const char *const[]){__VA_ARGS__})),                               \
		(const char *const[]){__VA_ARGS__})

/* As many digits as tell something: four in all. */
static void figure(struct table *t, double v)
{
	double size = fabs(v);

	table_number(t, v, size >= 1000 ? 0 : size >= 100 ? 1 : size >= 10 ? 2 : 3);
}

void report_compare(struct table *t, const struct findings *all)
{
	for (size_t i = 0; i < all->n; i++)
		for (size_t k = 0; k < all->metric[i].n; k++) {
			const struct metric *m = &all->metric[i];
			struct metric_row row = metric_compare(m, &m->line[k]);

			if (t->n == 0)
				HEADING(t, "run", "metric", "before", "during", "worst", "after",
					"change", "worst change", "the study's");
			table_add(t, "%s", m->line[k].run->title);
			table_add(t, "%s", m->title);
			figure(t, row.before.mean);
			figure(t, row.during.mean);
			figure(t, m->line[k].run->moves ? row.during.worst : row.before.worst);
			figure(t, row.after.mean);
			table_percent(t, row.change);
			table_percent(t, row.worst_change);
			table_add(t, "%s", row.study ? row.study : TABLE_MISSING);
		}
}

void report_gaps(struct table *t, const struct findings *all)
{
	for (size_t i = 0; i < all->runs; i++) {
		const struct run *r = &all->run[i];
		double predicted = run_number(r->migration, "predicted_ms");

		if (!r->moves && !r->migration)
			continue;
		if (t->n == 0)
			HEADING(t, "run", "predicted", "the tool's", "the guest's clock",
				"longest ping gap", "longest disk step", "took s", "brownout s");
		table_add(t, "%s", r->title);
		table_number(t, predicted, 0);
		for (int k = 0; k < RUN_GAPS; k++)
			table_number(t, r->gap[k], 0);
		table_number(t, r->moves ? r->to - r->from : run_number(r->migration, "total_s"),
			     1);
		table_number(t, run_number(r->migration, "brownout_s"), 2);
	}
}

void report_downtime(struct table *t, const struct run *r)
{
	struct report_part part[REPORT_PARTS];
	size_t n = report_parts(r, part);

	if (!n)
		return;
	HEADING(t, "part", "ms", "what");
	for (size_t i = 0; i < n; i++) {
		/* All but the last are the downtime. */
		if (i == n - 1) {
			table_add(t, "all");
			table_number(t, run_number(r->migration, "downtime_ms"), 1);
			table_add(t, "the downtime, by the tool's clock");
		}
		table_add(t, "%zu %s", i + 1, part[i].name);
		table_number(t, part[i].ms, 1);
		table_add(t, "%s", part[i].what);
	}
}

void report_rounds(struct table *t, const struct run *r)
{
	yajl_val rounds = run_get(r->migration, "each_round");

	if (!YAJL_IS_ARRAY(rounds) || YAJL_GET_ARRAY(rounds)->len == 0)
		return;
	HEADING(t, "round", "s", "pages", "sent", "MB", "dirtied", "dirty MiB/s", "sent MiB/s",
		"ratio", "speed %", "predicted ms", "then");
	for (size_t i = 0; i < YAJL_GET_ARRAY(rounds)->len; i++) {
		yajl_val v = YAJL_GET_ARRAY(rounds)->values[i];
		const char *then = run_text(v, "then");

		table_add(t, "%zu", i + 1);
		table_number(t, run_number(v, "seconds"), 2);
		table_number(t, run_number(v, "pages"), 0);
		table_number(t, run_number(v, "pages_sent"), 0);
		table_number(t, run_number(v, "bytes") / 1e6, 2);
		table_number(t, run_number(v, "pages_dirtied"), 0);
		table_number(t, run_number(v, "dirty_rate_mb_s"), 2);
		table_number(t, run_number(v, "send_rate_mb_s"), 2);
		table_number(t, run_number(v, "ratio"), 2);
		table_number(t, run_number(v, "speed_percent"), 0);
		table_number(t, run_number(v, "predicted_ms"), 0);
		table_add(t, "%s", then ? then : TABLE_MISSING);
	}
}

void report_environment(struct table *t, const struct run *r)
{
	yajl_val e = run_get(r->tree, "environment");

	if (!YAJL_IS_OBJECT(e))
		return;
	HEADING(t, "where", "what");
	for (size_t i = 0; i < YAJL_GET_OBJECT(e)->len; i++) {
		yajl_val v = YAJL_GET_OBJECT(e)->values[i];

		table_add(t, "%s", YAJL_GET_OBJECT(e)->keys[i]);
		if (YAJL_IS_NUMBER(v))
			table_add(t, "%s", YAJL_GET_NUMBER(v));
		else
			table_add(t, "%s", YAJL_IS_STRING(v) ? YAJL_GET_STRING(v) : TABLE_MISSING);
	}
}

void report_storage(struct table *t, const struct run *r)
{
	yajl_val rows = run_get(r->tree, "rows");

	if (!YAJL_IS_ARRAY(rows))
		return;
	HEADING(t, "aspect", "unit", "local", "remote", "change", "the study's", "runs");
	for (size_t i = 0; i < YAJL_GET_ARRAY(rows)->len; i++) {
		yajl_val v = YAJL_GET_ARRAY(rows)->values[i];
		const char *study = run_text(v, "study");

		table_add(t, "%s", run_text(v, "aspect") ? run_text(v, "aspect") : TABLE_MISSING);
		table_add(t, "%s", run_text(v, "unit") ? run_text(v, "unit") : TABLE_MISSING);
		figure(t, run_number(v, "local"));
		figure(t, run_number(v, "remote"));
		table_percent(t, run_number(v, "change"));
		table_add(t, "%s", study ? study : TABLE_MISSING);
		table_number(t, run_number(v, "runs"), 0);
	}
}

/* The samples; where there are more than a table should have, each row is of several. */
void report_samples(struct table *t, const struct metric *m, const struct metric_line *l)
{
	size_t each = l->s->n / SAMPLE_ROWS + 1;

	HEADING(t, "from s", "to s", "mean", m->low_is_bad ? "least" : "greatest");
	for (size_t i = 0; i < l->s->n; i += each) {
		const struct point *first = &l->s->p[i];
		const struct point *last = &l->s->p[MIN(i + each, l->s->n) - 1];
		double sum = 0, time = 0, worst = NAN;

		for (const struct point *p = first; p <= last; p++) {
			double v = metric_value(m, p), length = fmax(p->to - p->from, 1e-9);

			if (isnan(v))
				continue;
			sum += v * length;
			time += length;
			worst = m->low_is_bad ? fmin(worst, v)
					      : fmax(worst, m->latency ? p->max : v);
		}
		table_number(t, first->from, 2);
		table_number(t, last->to, 2);
		figure(t, sum / time);
		figure(t, worst);
	}
}

size_t report_spans(const struct run *r, struct plot_span span[REPORT_SPANS])
{
	size_t n = 0;

	for (size_t i = 0; i < r->n; i++)
		for (size_t k = r->series[i].n; k-- > 0 && n == 0;)
			if (r->series[i].p[k].warmup)
				span[n++] = (struct plot_span){r->series[i].p[0].from,
							       r->series[i].p[k].to, "warm-up",
							       "warmup"};
	if (r->moves && !isnan(r->from))
		span[n++] = (struct plot_span){r->from, isnan(r->to) ? r->from : r->to, "migration",
					       "moving"};
	if (r->moves && !isnan(r->silent) && r->silent_for > 0)
		span[n++] = (struct plot_span){r->silent, r->silent + r->silent_for, "no reply",
					       "silent"};
	return n;
}
