/* SPDX-License-Identifier: BSD-2-Clause */
#include "cmd/bench/console.h"

#include <inttypes.h>
#include <stdlib.h>
#include <time.h>

#include "core/loop.h"

static double ms(double ns)
{
	return ns / (double)MS_NS;
}

static double seconds_of(uint64_t ns)
{
	return (double)ns / (double)SEC_NS;
}

void console_start(struct console *c)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	c->started_ms = (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / MS_NS;
	c->started_ns = clock_ns();
	c->lines = c->json ? stderr : stdout;
	c->summary = c->csv ? stderr : stdout;
	/* Whoever reads the lines through a pipe wants each at once. */
	setvbuf(c->lines, NULL, _IOLBF, BUFSIZ);
	if (c->csv)
		fputs("from_s,to_s,warmup,sent,ops,bytes,value,mean_ms,p50_ms,p99_ms,p999_ms,"
		      "max_ms\n",
		      c->lines);
}

void console_free(struct console *c)
{
	free(c->row);
	c->row = NULL;
}

static void print_csv(FILE *f, const struct console_row *r)
{
	fprintf(f, "%.3f,%.3f,%d,%" PRIu64 ",", seconds_of(r->from_ns), seconds_of(r->to_ns),
		r->warmup, r->sent);
	if (r->has_value)
		fprintf(f, ",,%g", r->value);
	else
		fprintf(f, "%" PRIu64 ",%" PRIu64 ",", r->ops, r->bytes);
	if (r->n)
		fprintf(f, ",%.3f,%.3f,%.3f,%.3f,%.3f\n", ms(r->mean_ns), ms((double)r->p50_ns),
			ms((double)r->p99_ns), ms((double)r->p999_ns), ms((double)r->max_ns));
	else
		fputs(",,,,,\n", f); /* nothing was finished in it: it has no latency */
}

void console_add_row(struct console *c, struct console_row row, const struct hist *h)
{
	if (h && h->n) {
		row.n = h->n;
		row.mean_ns = hist_mean(h);
		row.p50_ns = hist_quantile(h, 0.5);
		row.p99_ns = hist_quantile(h, 0.99);
		row.p999_ns = hist_quantile(h, 0.999);
		row.max_ns = h->max;
	}
	if (c->csv)
		print_csv(c->lines, &row);
	if (!c->json)
		return;
	if (c->rows == c->cap) {
		size_t cap = c->cap ? 2 * c->cap : 64;
		struct console_row *r = realloc(c->row, cap * sizeof(*r));

		if (!r)
			return; /* the totals do not depend on it */
		c->row = r;
		c->cap = cap;
	}
	c->row[c->rows++] = row;
}

void console_latency(FILE *f, const struct hist *h)
{
	if (h->n)
		fprintf(f, "mean %.3f  p50 %.3f  p99 %.3f  p99.9 %.3f  max %.3f ms",
			ms(hist_mean(h)), ms((double)hist_quantile(h, 0.5)),
			ms((double)hist_quantile(h, 0.99)), ms((double)hist_quantile(h, 0.999)),
			ms((double)h->max));
}

void console_json_begin(struct console *c, struct json *j, const char *bench, double seconds,
			bool interrupted)
{
	json_begin(j, stdout);
	json_object(j, NULL);
	json_string(j, "bench", bench);
	json_u64(j, "started_unix_ms", c->started_ms);
	json_u64(j, "started_monotonic_ms", c->started_ns / MS_NS);
	json_double(j, "seconds", seconds);
	json_bool(j, "interrupted", interrupted);
}

void console_json_latency(struct json *j, const char *key, const struct hist *h)
{
	if (!h->n) {
		json_string(j, key, NULL);
		return;
	}
	json_object(j, key);
	json_double(j, "mean", ms(hist_mean(h)));
	json_double(j, "p50", ms((double)hist_quantile(h, 0.5)));
	json_double(j, "p99", ms((double)hist_quantile(h, 0.99)));
	json_double(j, "p999", ms((double)hist_quantile(h, 0.999)));
	json_double(j, "max", ms((double)h->max));
	json_object_end(j);
}

static void json_row(struct json *j, const struct console_row *r)
{
	json_object(j, NULL);
	json_double(j, "from", seconds_of(r->from_ns));
	json_double(j, "to", seconds_of(r->to_ns));
	if (r->warmup)
		json_bool(j, "warmup", true);
	if (r->sent)
		json_u64(j, "sent", r->sent);
	if (r->has_value)
		json_double(j, "value", r->value);
	else
		json_u64(j, "ops", r->ops);
	if (r->bytes)
		json_u64(j, "bytes", r->bytes);
	if (r->n) {
		json_double(j, "mean_ms", ms(r->mean_ns));
		json_double(j, "p50_ms", ms((double)r->p50_ns));
		json_double(j, "p99_ms", ms((double)r->p99_ns));
		json_double(j, "p999_ms", ms((double)r->p999_ns));
		json_double(j, "max_ms", ms((double)r->max_ns));
	}
	json_object_end(j);
}

void console_json_end(struct console *c, struct json *j)
{
	json_array(j, "samples");
	for (size_t i = 0; i < c->rows; i++)
		json_row(j, &c->row[i]);
	json_array_end(j);
	json_object_end(j);
	json_end(j);
}
