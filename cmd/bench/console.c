/* SPDX-License-Identifier: BSD-2-Clause */
#include "cmd/bench/console.h"

#include <stdlib.h>
#include <time.h>

#include "core/loop.h"

static double ms(double ns)
{
	return ns / (double)MS_NS;
}

void console_init(struct console *c, bool json)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	*c = (struct console){
		.json = json,
		.lines = json ? stderr : stdout,
		.started_ms = (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / MS_NS,
	};
	/* Whoever reads the lines through a pipe wants each at once. */
	setvbuf(c->lines, NULL, _IOLBF, BUFSIZ);
}

void console_free(struct console *c)
{
	free(c->row);
	c->row = NULL;
}

void console_add_row(struct console *c, struct console_row row, const struct hist *h)
{
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
	row.mean_ns = hist_mean(h);
	row.p50_ns = hist_quantile(h, 0.5);
	row.p99_ns = hist_quantile(h, 0.99);
	row.max_ns = h->max;
	c->row[c->rows++] = row;
}

void console_latency(FILE *f, const struct hist *h)
{
	if (h->n)
		fprintf(f, "mean %.3f  p50 %.3f  p99 %.3f  max %.3f ms", ms(hist_mean(h)),
			ms((double)hist_quantile(h, 0.5)), ms((double)hist_quantile(h, 0.99)),
			ms((double)h->max));
}

void console_json_begin(struct console *c, struct json *j, const char *bench, double seconds,
			bool interrupted)
{
	json_begin(j, stdout);
	json_object(j, NULL);
	json_string(j, "bench", bench);
	json_u64(j, "started_unix_ms", c->started_ms);
	json_double(j, "seconds", seconds);
	json_bool(j, "interrupted", interrupted);
}

void console_json_latency(struct json *j, const char *key, const struct hist *h)
{
	json_object(j, key);
	json_double(j, "mean", ms(hist_mean(h)));
	json_double(j, "p50", ms((double)hist_quantile(h, 0.5)));
	json_double(j, "p99", ms((double)hist_quantile(h, 0.99)));
	json_double(j, "p999", ms((double)hist_quantile(h, 0.999)));
	json_double(j, "max", ms((double)h->max));
	json_object_end(j);
}

void console_json_end(struct console *c, struct json *j)
{
	json_array(j, "samples");
	for (size_t i = 0; i < c->rows; i++) {
		const struct console_row *r = &c->row[i];

		json_object(j, NULL);
		json_double(j, "from", (double)r->from_ns / (double)SEC_NS);
		json_double(j, "to", (double)r->to_ns / (double)SEC_NS);
		if (r->sent)
			json_u64(j, "sent", r->sent);
		json_u64(j, "ops", r->ops);
		if (r->bytes)
			json_u64(j, "bytes", r->bytes);
		json_double(j, "mean_ms", ms(r->mean_ns));
		json_double(j, "p50_ms", ms((double)r->p50_ns));
		json_double(j, "p99_ms", ms((double)r->p99_ns));
		json_double(j, "max_ms", ms((double)r->max_ns));
		json_object_end(j);
	}
	json_array_end(j);
	json_object_end(j);
	json_end(j);
}
