/* SPDX-License-Identifier: BSD-2-Clause */
#include "cmd/bench/experiment.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

#include "cmd/bench/progress.h"
#include "core/bytes.h"
#include "core/log.h"

#define TICK	     (SEC_NS / 10)
#define NOT_STEADY   3	 /* times the time before, after which it goes on as it is */
#define STEADY_SHARE 0.1 /* by how much two halves may differ */
#define CLOCK_WAIT   (60 * SEC_NS)
#define LINK_WAIT    (60 * SEC_NS)
#define CLOCK_GOOD   (20 * MS_NS) /* a round trip that tells the clock well enough */
#define COLLECT_WAIT (120 * SEC_NS)

static void say_missing(struct experiment *x, const char *text)
{
	buf_put(&x->missing, text, strlen(text) + 1);
	progress_clear();
	log_warn("missing: %s", text);
}

void experiment_missing(struct experiment *x, const char *fmt, ...)
{
	char text[400];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	say_missing(x, text);
	x->incomplete = true;
}

/* ---- the loads of the seven tests ---- */

static void add_load(struct experiment *x, const char *name, const char *const *words)
{
	struct guest_load *l = x->load;

	while (l->name)
		l++;
	l->name = name;
	for (unsigned i = 0; words[i]; i++)
		l->words[i] = words[i];
}

static void disk_load(struct experiment *x)
{
	char *warmup = x->load[0].numbers[0];

	snprintf(warmup, sizeof(x->load[0].numbers[0]), "%.3f",
		 (double)x->o.warmup / (double)SEC_NS);
	add_load(x, "disk",
		 (const char *const[]){"disk", x->o.directory, "--clients", "2", "--warmup", warmup,
				       "--duration", "0", NULL});
}

static void cpu_load(struct experiment *x)
{
	add_load(x, "cpu",
		 (const char *const[]){"cpu", "--threads", "20", "--prime", "1000", "--duration",
				       "0", NULL});
}

static void memory_load(struct experiment *x)
{
	add_load(x, "memory",
		 (const char *const[]){"memory", "--threads", "20", "--size", "20M", "--duration",
				       "0", NULL});
}

static void overload(struct experiment *x)
{
	char *size = x->load[0].numbers[0];

	snprintf(size, sizeof(x->load[0].numbers[0]), "%" PRIu64, x->o.dirty);
	add_load(x, "memory",
		 (const char *const[]){"memory", "--threads", "1", "--size", size, "--duration",
				       "0", NULL});
}

int experiment_loads(struct experiment *x)
{
	if (x->o.exec) {
		add_load(x, x->o.pattern,
			 (const char *const[]){"exec", x->o.exec, "--pattern", x->o.pattern, NULL});
		return 0;
	}
	switch (x->o.test) {
	case 1: disk_load(x); break;
	case 2: cpu_load(x); break;
	case 3: memory_load(x); break;
	case 4: break; /* ping only */
	case 5:
		disk_load(x);
		cpu_load(x);
		memory_load(x);
		break;
	case 6:
		if (!x->o.compile) {
			log_error("test 6 compiles something in the guest: say what by --compile "
				  "'COMMAND', one that prints a line for each file");
			return 2;
		}
		add_load(x, "compile",
			 (const char *const[]){"exec", x->o.compile, "--pattern", "lines", NULL});
		break;
	case 7: overload(x); break;
	default: return 2;
	}
	return 0;
}

/* ---- the way through ---- */

static void enter(struct experiment *x, enum experiment_state state);

static void end_if_ended(struct experiment *x)
{
	if (x->state == EXPERIMENT_ENDING && !x->ping.running && !x->cpu.running &&
	    !x->tool.running)
		loop_stop(x->loop, 0);
}

static void child_ended(void *arg)
{
	end_if_ended(arg);
}

static void drop_line(void *arg, const char *line)
{
	(void)arg;
	(void)line;
}

/* Two halves of the last samples are alike, in every load. */
static bool steady(const struct experiment *x)
{
	for (unsigned i = 0; i < ARRAY_SIZE(x->load); i++) {
		const struct guest_load *l = &x->load[i];
		double half[2] = {0};

		if (!l->name || l->failed)
			continue;
		if (l->rates < 2 * STEADY_SAMPLES)
			return false;
		for (unsigned k = 0; k < 2 * STEADY_SAMPLES; k++)
			half[k / STEADY_SAMPLES] += l->rate[(l->rates + k) % (2 * STEADY_SAMPLES)];
		if (fabs(half[1] - half[0]) > STEADY_SHARE * fmax(half[0], half[1]))
			return false;
	}
	return true;
}

static void on_before(void *arg)
{
	struct experiment *x = arg;
	uint64_t gone = clock_ns() - x->start, least = x->o.warmup + x->o.before;

	if (gone >= least && (steady(x) || gone >= least + (NOT_STEADY - 1) * x->o.before)) {
		if (!steady(x))
			say_missing(x, "a steady load before the migration");
		enter(x, EXPERIMENT_CLOCK);
		return;
	}
	loop_timer_set(x->loop, &x->timer, TICK, on_before, x);
}

static void start_children(struct experiment *x)
{
	const char *const ping[] = {"vstor", "bench",	 "ping", x->o.guest, "--interval",
				    "0.01",  "--sample", "0.1",	 "--json",   NULL};
	const char *const cpu[] = {"vstor", "bench", "host", "--duration", "0", "--json", NULL};
	struct timespec t;
	int err;

	clock_gettime(CLOCK_REALTIME, &t);
	x->started_ms = (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / MS_NS;
	x->start = clock_ns();
	x->ping = x->cpu = (struct child){.on_line = drop_line, .on_exit = child_ended, .arg = x};
	err = child_start(x->loop, &x->ping, ping, NULL);
	if (err)
		experiment_missing(x, "pings: %s", strerror(-err));
	err = child_start(x->loop, &x->cpu, cpu, NULL);
	if (err)
		experiment_missing(x, "this host's CPU: %s", strerror(-err));
	experiment_far_start(x);
	agent_link_reset(&x->link);
	for (unsigned i = 0; i < ARRAY_SIZE(x->load); i++)
		if (x->load[i].name)
			agent_link_start(&x->link, i, x->load[i].words);
}

static void on_tool_line(void *arg, const char *line)
{
	struct experiment *x = arg;

	buf_put_be64(&x->events, clock_ns());
	buf_put(&x->events, line, strlen(line) + 1);
	snprintf(x->tool_word, sizeof(x->tool_word), "%.255s", line);
}

static void on_tool_end(void *arg)
{
	struct experiment *x = arg;
	int status = x->tool.status;

	x->to = clock_ns();
	if (status)
		experiment_missing(x, "a migration that succeeds: %s %s %d: %s",
				   x->o.with ? x->o.with : "vstor migrate",
				   WIFEXITED(status) ? "ended with status" : "was killed by signal",
				   WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status),
				   x->tool_word);
	if (x->state == EXPERIMENT_DURING)
		enter(x, EXPERIMENT_AFTER);
	else
		end_if_ended(x);
}

static int start_tool(struct experiment *x)
{
	const char *argv[64] = {"vstor", "migrate", "--json"};
	unsigned n = 3;

	for (const char *const *w = x->o.migrate; w && *w && n < ARRAY_SIZE(argv) - 4; w++)
		argv[n++] = *w;
	argv[n++] = x->o.domain;
	argv[n++] = x->o.host;
	x->tool = (struct child){.on_line = on_tool_line, .on_exit = on_tool_end, .arg = x};
	x->from = clock_ns();
	return child_start(x->loop, &x->tool, x->o.with ? NULL : argv, x->o.with);
}

/* The time after is over, and the guest's clock has been read, or cannot be. */
static void end_after(struct experiment *x)
{
	if (x->state == EXPERIMENT_AFTER && x->after_over && (x->known[1] || x->clock_given_up))
		enter(x, EXPERIMENT_COLLECT);
}

static void on_after(void *arg)
{
	struct experiment *x = arg;

	x->after_over = true;
	end_after(x);
}

static void no_clock(void *arg)
{
	struct experiment *x = arg;

	if (x->state == EXPERIMENT_AFTER && x->known[1]) /* not well, but it is */
		return;
	experiment_missing(x, "the guest's clock, for its agent does not answer: what was sampled "
			      "there after the stop has no place in the plots");
	x->clock_given_up = true;
	if (x->state == EXPERIMENT_CLOCK)
		enter(x, EXPERIMENT_DURING);
	end_after(x);
}

static void no_link(void *arg)
{
	struct experiment *x = arg;

	experiment_missing(x, "the rate of the link to %s: its agent does not answer", x->o.host);
	enter(x, EXPERIMENT_BEFORE);
}

void experiment_link_known(struct experiment *x)
{
	if (x->state == EXPERIMENT_LINK)
		enter(x, EXPERIMENT_BEFORE);
}

static void no_more(void *arg)
{
	struct experiment *x = arg;

	if (!x->all && !x->lost)
		experiment_missing(x, "the guest's samples: its agent does not hand them over");
	if (!x->far.done)
		experiment_missing(x, "the other host's CPU: its agent does not hand it over");
	enter(x, EXPERIMENT_ENDING);
}

static void say_step(const struct experiment *x)
{
	static const struct {
		unsigned step; /* 0: too short to be one */
		const char *words;
	} steps[] = {
		[EXPERIMENT_CONNECT] = {1, "the guest's agent is called"},
		[EXPERIMENT_LINK] = {2, "the link to the other host is measured"},
		[EXPERIMENT_BEFORE] = {3, "before the migration, until steady"},
		[EXPERIMENT_CLOCK] = {0, NULL},
		[EXPERIMENT_DURING] = {4, "the migration"},
		[EXPERIMENT_AFTER] = {5, "after the migration"},
		[EXPERIMENT_COLLECT] = {6, "the samples are handed over"},
		[EXPERIMENT_ENDING] = {0, NULL},
	};
	unsigned step = steps[x->state].step, skipped = x->o.far_agent ? 0 : 1;
	/* How long the migration takes nobody knows, nor when the loads are steady. */
	uint64_t left = x->state == EXPERIMENT_BEFORE  ? x->o.warmup + x->o.before + x->o.after
			: x->state == EXPERIMENT_AFTER ? x->o.after
						       : 0;
	char time[PROGRESS_TIME];

	if (!step || (skipped && x->state == EXPERIMENT_LINK))
		return;
	progress_say("test %u, step %u of %u: %s%s%s%s", x->o.test,
		     step > 1 ? step - skipped : step, 6 - skipped, steps[x->state].words,
		     left ? "; at least " : "", left ? progress_time(time, left) : "",
		     left ? " left" : "");
}

static void enter(struct experiment *x, enum experiment_state state)
{
	int err;

	x->state = state;
	say_step(x);
	loop_timer_del(x->loop, &x->timer);
	loop_timer_del(x->loop, &x->patience);
	switch (state) {
	case EXPERIMENT_CONNECT: break;
	case EXPERIMENT_LINK:
		loop_timer_set(x->loop, &x->patience, LINK_WAIT, no_link, x);
		experiment_far_open(x);
		break;
	case EXPERIMENT_BEFORE:
		start_children(x);
		on_before(x);
		break;
	case EXPERIMENT_CLOCK:
		loop_timer_set(x->loop, &x->patience, CLOCK_WAIT, no_clock, x);
		agent_link_ask_clock(&x->link);
		break;
	case EXPERIMENT_DURING:
		err = start_tool(x);
		if (err) {
			experiment_missing(x, "the migration: %s", strerror(-err));
			enter(x, EXPERIMENT_COLLECT);
		}
		break;
	case EXPERIMENT_AFTER:
		x->clock_given_up = x->lost;
		loop_timer_set(x->loop, &x->timer, x->o.after, on_after, x);
		loop_timer_set(x->loop, &x->patience, CLOCK_WAIT, no_clock, x);
		agent_link_renew(&x->link); /* on_ready() asks */
		break;
	case EXPERIMENT_COLLECT:
		loop_timer_set(x->loop, &x->patience, COLLECT_WAIT, no_more, x);
		experiment_far_stop(x);
		if (!x->lost)
			agent_link_stop(&x->link);
		experiment_collected(x);
		break;
	case EXPERIMENT_ENDING:
		child_signal(&x->ping, SIGTERM);
		child_signal(&x->cpu, SIGTERM);
		end_if_ended(x);
		break;
	}
}

void experiment_collected(struct experiment *x)
{
	if (x->state == EXPERIMENT_COLLECT && (x->all || x->lost) && x->far.done)
		enter(x, EXPERIMENT_ENDING);
}

/* ---- the agent ---- */

static void on_ready(void *arg, const char *what)
{
	struct experiment *x = arg;

	snprintf(x->guest_is, sizeof(x->guest_is), "%s", what);
	if (x->state == EXPERIMENT_CONNECT)
		enter(x, EXPERIMENT_LINK);
	else if (x->state == EXPERIMENT_CLOCK || (x->state == EXPERIMENT_AFTER && !x->known[1]))
		agent_link_ask_clock(&x->link);
}

static void on_clock(void *arg, int64_t offset_ns, uint64_t round_trip_ns)
{
	struct experiment *x = arg;
	int which = x->state == EXPERIMENT_CLOCK ? 0 : 1;

	if (!x->known[which] || round_trip_ns < x->round_trip[which]) {
		x->offset[which] = offset_ns;
		x->round_trip[which] = round_trip_ns;
	}
	x->known[which] = true;
	if (x->state > EXPERIMENT_AFTER)
		return;
	/* There is time: the guest may have more of it later. */
	if (x->state == EXPERIMENT_AFTER && !x->after_over && round_trip_ns > CLOCK_GOOD) {
		agent_link_ask_clock(&x->link);
		return;
	}
	loop_timer_del(x->loop, &x->patience);
	if (x->state == EXPERIMENT_CLOCK)
		enter(x, EXPERIMENT_DURING);
	end_after(x);
}

static void on_line(void *arg, unsigned id, const char *text)
{
	struct experiment *x = arg;
	struct guest_load *l = &x->load[id];
	double from, to, ops = 0, bytes = 0, value = 0;
	unsigned warmup;

	/* from_s,to_s,warmup,sent,ops,bytes,value,... (console.c) */
	if (id >= ARRAY_SIZE(x->load) || sscanf(text, "%lf,%lf,%u", &from, &to, &warmup) != 3 ||
	    warmup || to <= from)
		return;
	if (sscanf(text, "%*f,%*f,%*u,%*u,,,%lf", &value) != 1)
		sscanf(text, "%*f,%*f,%*u,%*u,%lf,%lf", &ops, &bytes);
	l->rate[l->rates++ % (2 * STEADY_SAMPLES)] =
		value + (bytes > 0 ? bytes : ops) / (to - from);
}

static void on_failed(void *arg, unsigned id, const char *text)
{
	struct experiment *x = arg;

	if (id >= ARRAY_SIZE(x->load) || !x->load[id].name)
		return;
	x->load[id].failed = true;
	experiment_missing(x, "the load %s in the guest: %s", x->load[id].name, text);
}

static void on_result(void *arg, unsigned id, struct buf *json, int status, const char *text)
{
	struct experiment *x = arg;

	if (id >= ARRAY_SIZE(x->load) || !x->load[id].name) {
		buf_free(json);
		return;
	}
	if (status && !x->load[id].failed)
		experiment_missing(x, "the end of the load %s in the guest: %s", x->load[id].name,
				   text);
	buf_free(&x->load[id].json);
	buf_put_u8(json, '\0');
	x->load[id].json = *json;
}

static void on_all(void *arg)
{
	struct experiment *x = arg;

	x->all = true;
	experiment_collected(x);
}

static void on_lost(void *arg, const char *text)
{
	struct experiment *x = arg;

	x->lost = true;
	if (x->state <= EXPERIMENT_LINK) {
		progress_clear();
		log_error("%s", text);
		loop_stop(x->loop, 1);
		return;
	}
	experiment_missing(x, "the guest's samples: %s", text);
	x->clock_given_up = true;
	if (x->state == EXPERIMENT_CLOCK)
		enter(x, EXPERIMENT_DURING);
	experiment_collected(x);
	end_after(x);
}

static const struct agent_ops agent_ops = {.ready = on_ready,
					   .clock = on_clock,
					   .line = on_line,
					   .failed = on_failed,
					   .result = on_result,
					   .done = on_all,
					   .lost = on_lost};

/* vstor migrate is called off, which leaves the guest here; any other tool is left to its end. */
void experiment_interrupt(struct experiment *x)
{
	if (x->interrupted || x->state <= EXPERIMENT_LINK) {
		progress_clear();
		if (!x->start)
			log_error("interrupted before anything was measured");
		loop_stop(x->loop, 1);
		return;
	}
	x->interrupted = true;
	if (x->state == EXPERIMENT_DURING) {
		if (!x->o.with)
			child_signal(&x->tool, SIGINT);
		x->o.after = 0;
	} else if (x->state < EXPERIMENT_COLLECT) {
		enter(x, EXPERIMENT_COLLECT);
	}
}

int experiment_run(struct experiment *x)
{
	int status;

	if (agent_link_open(x->loop, &x->link, x->o.agent, x->o.key_file, &agent_ops, x))
		return 1;
	enter(x, EXPERIMENT_CONNECT);
	status = loop_run(x->loop);
	progress_clear();
	return status;
}

void experiment_fini(struct experiment *x)
{
	loop_timer_del(x->loop, &x->timer);
	loop_timer_del(x->loop, &x->patience);
	child_close(&x->ping);
	child_close(&x->cpu);
	child_close(&x->tool);
	agent_link_close(&x->link);
	agent_link_close(&x->far.link);
	buf_free(&x->far.json);
	for (unsigned i = 0; i < ARRAY_SIZE(x->load); i++)
		buf_free(&x->load[i].json);
	buf_free(&x->missing);
	buf_free(&x->events);
}
