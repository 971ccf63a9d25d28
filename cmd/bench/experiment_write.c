/* SPDX-License-Identifier: BSD-2-Clause */
/* The run of an experiment as one JSON object; what is not known is null, or named as missing. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <yajl/yajl_tree.h>

#include "cmd/bench/experiment.h"
#include "cmd/bench/run_file.h"
#include "core/bytes.h"
#include "core/json.h"
#include "core/opts.h"

/* Clocks of two machines run apart: by less than this within a migration. */
#define CLOCKS_DRIFT (20 * MS_NS)
/* A clock that was not read better than so says nothing. */
#define CLOCKS_KNOWN (500 * MS_NS)

struct writing {
	const struct experiment *x;
	struct json j;
	yajl_val ping, tool, load[3];
	double silent_from, silent_for; /* s on the time line; NAN: not known */
	double jump;			/* by which the guest's clock fell behind, s; NAN */
};

static double at(const struct experiment *x, uint64_t ns)
{
	return ns ? (double)(int64_t)(ns - x->start) / (double)SEC_NS : NAN;
}

static yajl_val parse(const char *text)
{
	char why[64];

	return text && *text ? yajl_tree_parse(text, why, sizeof(why)) : NULL;
}

static void phase(struct json *j, const char *name, double from, double to)
{
	if (isnan(from))
		return;
	json_object(j, NULL);
	json_string(j, "name", name);
	json_double(j, "from", from);
	json_double(j, "to", to);
	json_object_end(j);
}

static void phases(struct writing *w)
{
	const struct experiment *x = w->x;

	json_array(&w->j, "phases");
	phase(&w->j, "before", 0, x->from ? at(x, x->from) : at(x, clock_ns()));
	phase(&w->j, "during", at(x, x->from), at(x, x->to));
	if (x->to)
		phase(&w->j, "after", at(x, x->to), at(x, clock_ns()));
	json_array_end(&w->j);
}

static void events(struct writing *w)
{
	struct reader r = reader_of(w->x->events.data, w->x->events.len);

	json_array(&w->j, "events");
	while (r.left > 8) {
		uint64_t when = read_be64(&r);
		const char *text = (const char *)read_bytes(&r, strlen((const char *)r.p) + 1);

		json_object(&w->j, NULL);
		json_double(&w->j, "at", at(w->x, when));
		json_string(&w->j, "text", text);
		json_object_end(&w->j);
	}
	json_array_end(&w->j);
}

static void first_line(const char *path, const char *key, const char *from, struct json *j)
{
	char line[256] = "";
	FILE *f = fopen(path, "re");

	while (f && fgets(line, sizeof(line), f) && from && strncmp(line, from, strlen(from)) != 0)
		line[0] = '\0';
	if (f)
		fclose(f);
	line[strcspn(line, "\n")] = '\0';
	if (line[0])
		json_string(j, key, from ? line + strcspn(line, ":") + 2 : line);
}

static void environment(struct writing *w)
{
	const struct experiment *x = w->x;
	time_t t = (time_t)(x->started_ms / 1000);
	struct utsname u;
	struct json *j = &w->j;
	char text[400];
	struct tm tm;

	json_object(j, "environment");
	json_string(j, "vstor", opts_version);
	if (gmtime_r(&t, &tm) && strftime(text, sizeof(text), "%Y-%m-%d %H:%M UTC", &tm))
		json_string(j, "date", text);
	if (uname(&u) == 0) {
		snprintf(text, sizeof(text), "%s, %s %s", u.nodename, u.sysname, u.release);
		json_string(j, "this host", text);
	}
	first_line("/proc/cpuinfo", "its CPU", "model name", j);
	first_line("/sys/hypervisor/version/major", "its Xen, major", NULL, j);
	first_line("/sys/hypervisor/version/minor", "its Xen, minor", NULL, j);
	first_line("/sys/hypervisor/version/extra", "its Xen, extra", NULL, j);
	json_string(j, "to", x->o.host);
	json_string(j, "other host", x->far.is[0] ? x->far.is : NULL);
	json_double(j, "link to it, measured, Mbit/s", x->far.link_mbit);
	json_string(j, "guest", x->guest_is[0] ? x->guest_is : NULL);
	json_string(j, "migrated by", x->o.with ? x->o.with : "vstor migrate");
	text[0] = '\0';
	for (const char *const *word = x->o.migrate; word && *word; word++) {
		size_t n = strlen(text);

		snprintf(text + n, sizeof(text) - n, "%s%s", n ? " " : "", *word);
	}
	json_string(j, "its options", text);
	for (int i = 0; i < 2; i++)
		if (x->known[i])
			json_double(j,
				    i ? "clock read after, within ms"
				      : "clock read before, within ms",
				    (double)x->round_trip[i] / 2 / (double)MS_NS);
	json_object_end(j);
}

/* A step of the guest's disk load that the stop fell into: its time by the guest's clock, and the
 * time that this clock stood still. */
static double longest_step(const struct writing *w)
{
	const struct experiment *x = w->x;
	double longest = NAN;

	for (unsigned i = 0; i < ARRAY_SIZE(x->load); i++) {
		yajl_val samples = run_get(w->load[i], "samples");
		double began = run_number(w->load[i], "started_monotonic_ms") / 1000 +
			       (double)x->offset[0] / (double)SEC_NS -
			       (double)x->start / (double)SEC_NS;

		if (!x->load[i].name || strcmp(x->load[i].name, "disk") != 0)
			continue;
		for (size_t k = 0; YAJL_IS_ARRAY(samples) && k < YAJL_GET_ARRAY(samples)->len;
		     k++) {
			yajl_val v = YAJL_GET_ARRAY(samples)->values[k];

			/* The samples around it; nothing was finished in the stop itself. */
			if (began + run_number(v, "to") >= w->silent_from - 1 &&
			    began + run_number(v, "from") <= w->silent_from + 1)
				longest = fmax(longest, run_number(v, "max_ms"));
		}
	}
	return longest + w->jump * 1000;
}

/*
 * From the end of the downtime, as vstor migrate has it by this host's clock, to the end of the
 * silence that it fell into, ms; negative: the guest answered before this host had heard that it
 * runs. NAN: that tool did not run here, or pings were answered all the time.
 */
static double first_reply(const struct writing *w)
{
	const struct experiment *x = w->x;
	yajl_val runs = run_get(w->ping, "loss_runs");
	double start = run_number(w->ping, "started_monotonic_ms");
	double stop = run_number(w->tool, "stopped_monotonic_ms") - start;
	double run = stop + run_number(w->tool, "downtime_ms"), end = NAN;
	double gap = run_number(w->ping, "longest_gap_start_ms");
	double gap_end = gap + run_number(w->ping, "longest_gap_ms");

	if (x->o.with || isnan(run))
		return NAN;
	for (size_t i = 0; YAJL_IS_ARRAY(runs) && i < YAJL_GET_ARRAY(runs)->len; i++) {
		yajl_val v = YAJL_GET_ARRAY(runs)->values[i];
		double from = run_number(v, "start_ms"), to = from + run_number(v, "ms");

		if (from < run && to > stop)
			end = fmax(end, to);
	}
	/* To the reply itself. */
	if (gap < run && gap_end > stop)
		end = fmax(end, gap_end);
	return end - run;
}

static void gaps(struct writing *w)
{
	json_object(&w->j, "gaps_ms");
	json_double(&w->j, "tool", run_number(w->tool, "downtime_ms"));
	json_double(&w->j, "guest_clock", w->jump * 1000);
	json_double(&w->j, "ping", w->silent_for * 1000);
	json_double(&w->j, "disk_write", longest_step(w));
	json_double(&w->j, "first_reply", first_reply(w));
	json_object_end(&w->j);
}

static void load(struct writing *w, const char *name, double start, bool guest, const char *text,
		 size_t n)
{
	json_object(&w->j, NULL);
	json_string(&w->j, "name", name);
	json_double(&w->j, "at", start);
	/* Behind the stop the guest's clock is late by it. */
	json_double(&w->j, "jump_at", guest ? w->silent_from : NAN);
	json_double(&w->j, "jump", guest ? w->jump : NAN);
	while (n && (text[n - 1] == '\n' || text[n - 1] == '\0'))
		n--;
	json_raw(&w->j, "load", text, n);
	json_object_end(&w->j);
}

static void own_load(struct writing *w, const char *name, const struct child *c)
{
	size_t n = 0;
	char *text = c->loop ? child_output(c, &n) : NULL;
	yajl_val v = parse(text);

	if (v)
		load(w, name,
		     run_number(v, "started_monotonic_ms") / 1000 -
			     (double)w->x->start / (double)SEC_NS,
		     false, text, n);
	yajl_tree_free(v);
	free(text);
}

static void far_load(struct writing *w)
{
	const struct far_host *far = &w->x->far;
	yajl_val v = parse((const char *)far->json.data);

	if (v)
		load(w, "other host",
		     far->known
			     ? run_number(v, "started_monotonic_ms") / 1000 +
				       (double)(far->offset - (int64_t)w->x->start) / (double)SEC_NS
			     : NAN,
		     false, (const char *)far->json.data, far->json.len - 1);
	yajl_tree_free(v);
}

static void loads(struct writing *w)
{
	const struct experiment *x = w->x;

	json_array(&w->j, "loads");
	own_load(w, "ping", &x->ping);
	own_load(w, "this host", &x->cpu);
	far_load(w);
	for (unsigned i = 0; i < ARRAY_SIZE(x->load); i++)
		/* Without the guest's clock its samples have no place on the time line: they are
		 * kept, but not drawn. */
		if (w->load[i])
			load(w, x->load[i].name,
			     x->known[0] ? run_number(w->load[i], "started_monotonic_ms") / 1000 +
						   (double)x->offset[0] / (double)SEC_NS -
						   (double)x->start / (double)SEC_NS
					 : NAN,
			     true, (const char *)x->load[i].json.data, x->load[i].json.len - 1);
	json_array_end(&w->j);
}

static void missing(struct writing *w)
{
	const struct experiment *x = w->x;

	json_array(&w->j, "missing");
	for (size_t i = 0; i < x->missing.len; i += strlen((char *)x->missing.data + i) + 1)
		json_string(&w->j, NULL, (char *)x->missing.data + i);
	for (unsigned i = 0; i < ARRAY_SIZE(x->load); i++)
		if (x->load[i].name && !w->load[i]) {
			char text[96];

			snprintf(text, sizeof(text), "all samples of the load %s in the guest",
				 x->load[i].name);
			json_string(&w->j, NULL, text);
		}
	if (!w->ping)
		json_string(&w->j, NULL, "all pings");
	if (x->known[0] && x->known[1] && isnan(w->jump))
		json_string(&w->j, NULL,
			    "the guest's clock, for it was too busy to tell it to half a second: "
			    "what was sampled there after the stop has no place in the plots");
	json_array_end(&w->j);
}

/* What has to be known before the first member is written. */
static void look(struct writing *w, char *ping, char *tool)
{
	const struct experiment *x = w->x;
	double start;

	w->ping = parse(ping);
	w->tool = parse(tool); /* also of a `vstor migrate --json` run elsewhere */
	if (!run_text(w->tool, "domain")) {
		yajl_tree_free(w->tool);
		w->tool = NULL;
	}
	for (unsigned i = 0; i < ARRAY_SIZE(x->load); i++)
		w->load[i] = parse((const char *)x->load[i].json.data);
	start = run_number(w->ping, "started_monotonic_ms") / 1000 -
		(double)x->start / (double)SEC_NS;
	w->silent_from = start + run_number(w->ping, "longest_gap_start_ms") / 1000;
	w->silent_for = run_number(w->ping, "longest_gap_ms") / 1000;
	w->jump = NAN;
	if (x->known[0] && x->known[1]) {
		int64_t jump = x->offset[1] - x->offset[0];
		uint64_t within = (x->round_trip[0] + x->round_trip[1]) / 2;

		if (within <= CLOCKS_KNOWN)
			w->jump = jump > (int64_t)MAX(CLOCKS_DRIFT, within)
					  ? (double)jump / (double)SEC_NS
					  : 0;
	}
	if (isnan(w->silent_from) && x->to)
		w->silent_from = at(x, x->to);
}

void experiment_write(const struct experiment *x, FILE *f)
{
	struct writing w = {.x = x};
	size_t n;
	char *ping = x->ping.loop ? child_output(&x->ping, &n) : NULL;
	char *tool = x->tool.loop ? child_output(&x->tool, &n) : NULL;

	look(&w, ping, tool);
	json_begin(&w.j, f);
	json_object(&w.j, NULL);
	json_string(&w.j, "bench", "migrate");
	json_u64(&w.j, "test", x->o.test);
	if (x->o.label)
		json_string(&w.j, "label", x->o.label);
	json_string(&w.j, "tool", x->o.with ? x->o.with : "vstor migrate");
	json_u64(&w.j, "started_unix_ms", x->started_ms);
	json_bool(&w.j, "interrupted", x->interrupted);
	environment(&w);
	phases(&w);
	events(&w);
	if (w.tool)
		json_raw(&w.j, "migration", tool, strcspn(tool, "\n"));
	else
		json_string(&w.j, "migration", NULL);
	if (x->to && WIFEXITED(x->tool.status))
		json_i64(&w.j, "exit", WEXITSTATUS(x->tool.status));
	gaps(&w);
	missing(&w);
	loads(&w);
	json_object_end(&w.j);
	json_end(&w.j);
	yajl_tree_free(w.ping);
	yajl_tree_free(w.tool);
	for (unsigned i = 0; i < ARRAY_SIZE(w.load); i++)
		yajl_tree_free(w.load[i]);
	free(ping);
	free(tool);
}
