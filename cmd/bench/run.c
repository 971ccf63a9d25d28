/* SPDX-License-Identifier: BSD-2-Clause */
#include "cmd/bench/bench.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "cmd/bench/console.h"
#include "core/log.h"

struct run {
	struct loop *loop;
	struct load_spec spec;
	struct load *load;
	struct console console;
	struct loop_signal sigint, sigterm;
	bool interrupted, stuck;
	int error;
};

/* "12345 ops/s", and the bytes where there are any. */
static void print_rate(FILE *f, const struct load_sample *s)
{
	double seconds = (double)(s->to_ns - s->from_ns) / (double)SEC_NS;

	if (seconds <= 0)
		return;
	fprintf(f, "%10.1f ops/s  ", (double)s->ops / seconds);
	if (s->bytes)
		fprintf(f, "%9.2f MB/s  ", (double)s->bytes / 1e6 / seconds);
}

static void sample(void *arg, const struct load_sample *s)
{
	struct run *r = arg;
	FILE *f = r->console.lines;

	/* What is left at the end is too short for figures a second, but counts in the total. */
	if (s->to_ns - s->from_ns >= r->spec.times.sample / 2 && !r->console.csv) {
		fprintf(f, "%6.1f s", (double)s->to_ns / (double)SEC_NS);
		print_rate(f, s);
		console_latency(f, s->latency);
		fputs(s->warmup ? "  (warm-up)\n" : "\n", f);
	}
	console_add_row(&r->console,
			(struct console_row){.from_ns = s->from_ns,
					     .to_ns = s->to_ns,
					     .warmup = s->warmup,
					     .ops = s->ops,
					     .bytes = s->bytes},
			s->latency);
}

static void finished(void *arg, int error)
{
	struct run *r = arg;

	r->error = error;
	loop_stop(r->loop, 0);
}

/* The first signal waits for the operations under way; the second, if they hang, does not. */
static void interrupt(void *arg, int signo)
{
	struct run *r = arg;

	(void)signo;
	if (r->interrupted) {
		r->stuck = true;
		loop_stop(r->loop, 0);
	}
	r->interrupted = true;
	load_stop(r->load);
}

static void print_summary(struct run *r)
{
	struct load_sample t = load_total(r->load);
	double seconds = (double)(t.to_ns - t.from_ns) / (double)SEC_NS;
	FILE *f = r->console.summary;
	struct json j;

	if (r->console.json) {
		console_json_begin(&r->console, &j, r->spec.name, seconds, r->interrupted);
		json_double(&j, "warmup_s", (double)t.from_ns / (double)SEC_NS);
		json_double(&j, "sample_s", (double)r->spec.times.sample / (double)SEC_NS);
		r->spec.describe(r->spec.arg, &j);
		json_u64(&j, "ops", t.ops);
		json_u64(&j, "bytes", t.bytes);
		json_double(&j, "ops_per_s", (double)t.ops / seconds);
		json_double(&j, "mb_per_s", (double)t.bytes / 1e6 / seconds);
		console_json_latency(&j, "latency_ms", t.latency);
		if (r->error)
			json_string(&j, "error", strerror(-r->error));
		console_json_end(&r->console, &j);
		return;
	}
	fprintf(f, "%s: %llu operations in %.1f s\n        ", r->spec.name,
		(unsigned long long)t.ops, seconds);
	print_rate(f, &t);
	console_latency(f, t.latency);
	putc('\n', f);
	if (r->spec.remark)
		r->spec.remark(r->spec.arg, &t, f);
}

static int run_load(struct run *r)
{
	const struct load_events ev = {.sample = sample, .finished = finished, .arg = r};
	int err;

	r->loop = loop_new();
	err = r->loop ? 0 : -errno;
	if (!err)
		err = loop_signal_add(r->loop, &r->sigint, SIGINT, interrupt, r);
	if (!err)
		err = loop_signal_add(r->loop, &r->sigterm, SIGTERM, interrupt, r);
	if (!err)
		err = load_start(r->loop, &r->spec, &ev, &r->load);
	if (err) {
		log_error("%s: cannot start %u threads: %s; try fewer --threads", r->spec.name,
			  r->spec.threads, strerror(-err));
		loop_free(r->loop);
		return 1;
	}
	loop_run(r->loop);
	print_summary(r);
	if (r->stuck) {
		log_error("%s: an operation under way does not return", r->spec.name);
		fflush(NULL);
		_exit(1);
	}
	if (r->error)
		log_error("%s: ended early: %s%s%s", r->spec.name,
			  r->spec.where ? r->spec.where : "", r->spec.where ? ": " : "",
			  strerror(-r->error));
	load_free(r->load);
	loop_free(r->loop);
	return r->error ? 1 : 0;
}

int bench_load(const struct load_kind *kind, int argc, char **argv)
{
	struct run r = {0};
	int status;

	if (!kind->open(argc, argv, &r.spec, &r.console, &status))
		return status;
	console_start(&r.console);
	status = run_load(&r);
	console_free(&r.console);
	load_spec_close(&r.spec);
	return status;
}
