/* SPDX-License-Identifier: BSD-2-Clause */
/* How busy the CPUs of this machine are, by its kernel's count (proc(5), /proc/stat): on a Xen
 * host, those of dom0. No load: it only looks. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/bench/bench.h"
#include "cmd/bench/console.h"
#include "core/log.h"
#include "core/loop.h"
#include "core/opts.h"

struct watching {
	struct loop *loop;
	uint64_t sample, duration;
	struct console console;
	struct loop_timer tick, end;
	struct loop_signal sigint, sigterm;
	bool interrupted;
	uint64_t start, last, busy, all, first_busy, first_all;
	int error;
};

/* Ticks since the boot, of all CPUs. 0 or -errno. */
static int look(uint64_t *busy, uint64_t *all)
{
	unsigned long long v[8];
	FILE *f = fopen("/proc/stat", "re");
	int n;

	if (!f)
		return -errno;
	n = fscanf(f, "cpu %llu %llu %llu %llu %llu %llu %llu %llu", &v[0], &v[1], &v[2], &v[3],
		   &v[4], &v[5], &v[6], &v[7]);
	fclose(f);
	if (n != 8)
		return -EINVAL;
	*all = 0;
	for (int i = 0; i < 8; i++)
		*all += v[i];
	*busy = *all - v[3] - v[4]; /* idle, waiting for I/O */
	return 0;
}

static void tick(void *arg)
{
	struct watching *w = arg;
	uint64_t busy = w->busy, all = w->all, now = clock_ns() - w->start;
	double share;

	w->error = look(&w->busy, &w->all);
	if (w->error) {
		loop_stop(w->loop, 0);
		return;
	}
	/* The kernel counts in ticks: in a short sample there may be none. */
	if (w->all > all) {
		share = 100.0 * (double)(w->busy - busy) / (double)(w->all - all);
		if (!w->console.csv)
			fprintf(w->console.lines, "%6.1f s  %5.1f %% busy\n",
				(double)now / (double)SEC_NS, share);
		console_add_row(&w->console,
				(struct console_row){.from_ns = w->last,
						     .to_ns = now,
						     .has_value = true,
						     .value = share},
				NULL);
		w->last = now;
	}
	loop_timer_set(w->loop, &w->tick, w->sample - now % w->sample, tick, w);
}

static void end(void *arg)
{
	struct watching *w = arg;

	loop_stop(w->loop, 0);
}

static void interrupt(void *arg, int signo)
{
	struct watching *w = arg;

	(void)signo;
	w->interrupted = true;
	loop_stop(w->loop, 0);
}

static void print_summary(struct watching *w)
{
	double share = 100.0 * (double)(w->busy - w->first_busy) / (double)(w->all - w->first_all);
	double seconds = (double)w->last / (double)SEC_NS;
	struct json j;

	if (!w->console.json) {
		fprintf(w->console.summary, "host: %.1f %% busy in %.1f s\n", share, seconds);
		return;
	}
	console_json_begin(&w->console, &j, "host", seconds, w->interrupted);
	json_double(&j, "busy_percent", share);
	console_json_end(&w->console, &j);
}

int bench_host(int argc, char **argv)
{
	struct watching w = {.sample = SEC_NS, .duration = 10 * SEC_NS};
	const struct opt table[] = {
		{"duration", OPT_SECONDS, &w.duration, "S",
		 "how long; 0: until interrupted (default 10)", 0, 0},
		{"sample", OPT_SECONDS, &w.sample, "S",
		 "from one sample to the next, from 0.1 on (default 1)", 100 * MS_NS,
		 3600 * SEC_NS},
		CONSOLE_OPTION(w.console),
		{0},
	};
	const struct opts o = {
		.name = "bench host",
		.synopsis = "[options]",
		.description = "No load: tells how busy the CPUs of this machine are.",
		.table = table,
		.json = &w.console.json,
	};
	int n = opts_parse(&o, argc, argv);

	if (n < 0)
		return opts_exit(n);
	w.loop = loop_new();
	w.error = w.loop ? look(&w.busy, &w.all) : -errno;
	if (w.error) {
		log_error("/proc/stat: %s; is /proc mounted?", strerror(-w.error));
		loop_free(w.loop);
		return 1;
	}
	w.first_busy = w.busy;
	w.first_all = w.all;
	console_start(&w.console);
	w.start = w.console.started_ns;
	loop_signal_add(w.loop, &w.sigint, SIGINT, interrupt, &w);
	loop_signal_add(w.loop, &w.sigterm, SIGTERM, interrupt, &w);
	loop_timer_set(w.loop, &w.tick, w.sample, tick, &w);
	if (w.duration)
		loop_timer_set(w.loop, &w.end, w.duration, end, &w);
	loop_run(w.loop);
	print_summary(&w);
	if (w.error)
		log_error("/proc/stat: %s", strerror(-w.error));
	loop_free(w.loop);
	console_free(&w.console);
	return w.error ? 1 : 0;
}
