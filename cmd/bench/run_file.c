/* SPDX-License-Identifier: BSD-2-Clause */
#include "cmd/bench/run_file.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/bytes.h"
#include "core/log.h"

#define FILE_MAX (256u << 20)

const char *const run_gap_names[RUN_GAPS] = {"tool", "guest_clock", "ping", "disk_write"};

yajl_val run_get(yajl_val object, const char *key)
{
	const char *path[] = {key, NULL};

	return object ? yajl_tree_get(object, path, yajl_t_any) : NULL;
}

double run_number(yajl_val object, const char *key)
{
	yajl_val v = run_get(object, key);

	return YAJL_IS_DOUBLE(v)    ? YAJL_GET_DOUBLE(v)
	       : YAJL_IS_INTEGER(v) ? (double)YAJL_GET_INTEGER(v)
				    : NAN;
}

const char *run_text(yajl_val object, const char *key)
{
	return YAJL_GET_STRING(run_get(object, key));
}

bool run_true(yajl_val object, const char *key)
{
	return YAJL_IS_TRUE(run_get(object, key));
}

/* How a load's samples are read: what its rate is. */
static const struct reading {
	const char *bench, *unit, *what; /* what: the member that makes the rate */
	double by;
} readings[] = {
	{"disk", "MB/s", "bytes", 1e6},	  {"cpu", "events/s", "ops", 1},
	{"memory", "MB/s", "bytes", 1e6}, {"ping", "", NULL, 1},
	{"host", "% busy", "value", 1},	  {"exec", "", "value", 1},
};

/* Where a load's time lies on the run's: `at` is its start; from `jump_at` on its clock, which
 * stood still with the guest, is `jump` behind. */
struct alignment {
	double at, jump_at, jump;
};

static double place(const struct alignment *a, double t)
{
	t += a->at;
	return isnan(a->jump_at) || t < a->jump_at ? t : t + a->jump;
}

static void take_point(struct series *s, const struct reading *how, const struct alignment *a,
		       yajl_val v)
{
	double from = run_number(v, "from"), to = run_number(v, "to"), x;
	struct point *p = &s->p[s->n];

	if (isnan(from) || isnan(to) || to < from)
		return;
	x = how->what ? run_number(v, how->what) : NAN;
	*p = (struct point){
		.from = place(a, from),
		.to = place(a, to),
		.warmup = run_true(v, "warmup"),
		.mean = run_number(v, "mean_ms"),
		.max = run_number(v, "max_ms"),
	};
	/* Without the guest's clock what comes behind the stop has no place. */
	if (isnan(p->from) || isnan(p->to))
		return;
	if (how->what && strcmp(how->what, "bytes") == 0 && isnan(x) &&
	    !isnan(run_number(v, "ops")))
		x = 0; /* a load leaves them out when there are none */
	if (how->what && strcmp(how->what, "value") == 0)
		p->rate = x;
	else
		p->rate = p->to > p->from ? x / how->by / (p->to - p->from) : NAN;
	s->latency |= !isnan(p->mean);
	s->n++;
}

/* Takes the load as a series; without samples it is none. */
static int take_load(struct run *r, yajl_val load, const char *name, const struct alignment *a)
{
	const char *bench = run_text(load, "bench"), *unit = run_text(load, "unit");
	yajl_val samples = run_get(load, "samples");
	const struct reading *how = NULL;
	struct series *s;

	for (size_t i = 0; bench && i < ARRAY_SIZE(readings); i++)
		if (strcmp(bench, readings[i].bench) == 0)
			how = &readings[i];
	if (!how || !YAJL_IS_ARRAY(samples))
		return 0;
	s = realloc(r->series, (r->n + 1) * sizeof(*s));
	if (!s)
		return -ENOMEM;
	r->series = s;
	s = &r->series[r->n];
	*s = (struct series){.load = load};
	snprintf(s->name, sizeof(s->name), "%s", name ? name : bench);
	snprintf(s->unit, sizeof(s->unit), "%s", unit ? unit : how->unit);
	s->p = calloc(YAJL_GET_ARRAY(samples)->len + 1, sizeof(*s->p));
	if (!s->p)
		return -ENOMEM;
	r->n++;
	for (size_t i = 0; i < YAJL_GET_ARRAY(samples)->len; i++)
		take_point(s, how, a, YAJL_GET_ARRAY(samples)->values[i]);
	/* What was left at the end is no sample like the others: its threads were being stopped. */
	if (s->n > 1 && s->p[s->n - 1].to - s->p[s->n - 1].from < (s->p[0].to - s->p[0].from) / 2)
		s->n--;
	return 0;
}

static void take_phases(struct run *r)
{
	yajl_val phases = run_get(r->tree, "phases");

	for (size_t i = 0; YAJL_IS_ARRAY(phases) && i < YAJL_GET_ARRAY(phases)->len; i++) {
		yajl_val v = YAJL_GET_ARRAY(phases)->values[i];
		const char *name = run_text(v, "name");

		if (name && strcmp(name, "during") == 0) {
			r->moves = true;
			r->from = run_number(v, "from");
			r->to = run_number(v, "to");
		}
	}
}

static void take_silence(struct run *r, yajl_val ping, double at)
{
	r->silent = at + run_number(ping, "longest_gap_start_ms") / 1000;
	r->silent_for = run_number(ping, "longest_gap_ms") / 1000;
}

/* How fast the guest was let run, round by round: a series like a load's. */
static int take_throttle(struct run *r)
{
	yajl_val rounds = run_get(r->migration, "each_round");
	struct series *s;

	if (!YAJL_IS_ARRAY(rounds) || isnan(r->from))
		return 0;
	s = realloc(r->series, (r->n + 1) * sizeof(*s));
	if (!s)
		return -ENOMEM;
	r->series = s;
	s = &r->series[r->n];
	*s = (struct series){.name = "guest's speed", .unit = "%"};
	s->p = calloc(YAJL_GET_ARRAY(rounds)->len + 1, sizeof(*s->p));
	if (!s->p)
		return -ENOMEM;
	r->n++;
	for (size_t i = 0; i < YAJL_GET_ARRAY(rounds)->len; i++) {
		yajl_val v = YAJL_GET_ARRAY(rounds)->values[i];
		double at = r->from + run_number(v, "at_s");
		struct point p = {.from = at,
				  .to = at + run_number(v, "seconds"),
				  .rate = run_number(v, "speed_percent"),
				  .mean = NAN,
				  .max = NAN};

		if (!isnan(p.from) && !isnan(p.to))
			s->p[s->n++] = p;
	}
	return 0;
}

/* Time zero is where the migration begins, so that runs can lie on one another. */
static void begin_at_migration(struct run *r)
{
	double zero = r->from;

	if (!r->moves || isnan(zero))
		return;
	for (size_t i = 0; i < r->n; i++)
		for (struct point *p = r->series[i].p; p < r->series[i].p + r->series[i].n; p++) {
			p->from -= zero;
			p->to -= zero;
		}
	r->silent -= zero;
	r->to -= zero;
	r->from = 0;
}

static int take_migrate_run(struct run *r)
{
	yajl_val loads = run_get(r->tree, "loads"), gaps = run_get(r->tree, "gaps_ms");
	int err = 0;

	r->test = run_number(r->tree, "test");
	r->tool = run_text(r->tree, "tool");
	r->migration = run_get(r->tree, "migration");
	if (!YAJL_IS_OBJECT(r->migration))
		r->migration = NULL;
	if (run_text(r->tree, "label"))
		snprintf(r->title, sizeof(r->title), "test %g, %.60s", r->test,
			 run_text(r->tree, "label"));
	else
		snprintf(r->title, sizeof(r->title), "test %g, %.30s", r->test,
			 r->tool ? r->tool : "?");
	take_phases(r);
	for (int i = 0; i < RUN_GAPS; i++)
		r->gap[i] = run_number(gaps, run_gap_names[i]);
	r->first_reply = run_number(gaps, "first_reply");
	for (size_t i = 0; !err && YAJL_IS_ARRAY(loads) && i < YAJL_GET_ARRAY(loads)->len; i++) {
		yajl_val v = YAJL_GET_ARRAY(loads)->values[i], load = run_get(v, "load");
		const char *name = run_text(v, "name");
		struct alignment a = {.at = run_number(v, "at"),
				      .jump_at = run_number(v, "jump_at"),
				      .jump = run_number(v, "jump")};

		if (isnan(a.at))
			continue;
		if (name && strcmp(name, "ping") == 0)
			take_silence(r, load, a.at);
		err = take_load(r, load, name, &a);
	}
	if (!err)
		err = take_throttle(r);
	begin_at_migration(r);
	return err;
}

static int take_run(struct run *r)
{
	const char *bench = run_text(r->tree, "bench");
	const struct alignment none = {.jump_at = NAN};

	if (bench && strcmp(bench, "migrate") == 0)
		return take_migrate_run(r);
	if (bench && strcmp(bench, "storage") == 0) {
		snprintf(r->title, sizeof(r->title), "storage, %.60s",
			 run_text(r->tree, "label") ? run_text(r->tree, "label")
						    : "local and remote");
		return 0;
	}
	if (bench && run_get(r->tree, "samples")) {
		snprintf(r->title, sizeof(r->title), "%s", bench);
		if (strcmp(bench, "ping") == 0)
			take_silence(r, r->tree, 0);
		return take_load(r, r->tree, NULL, &none);
	}
	if (run_text(r->tree, "domain") && run_text(r->tree, "result")) {
		snprintf(r->title, sizeof(r->title), "%s to %s", run_text(r->tree, "domain"),
			 run_text(r->tree, "host") ? run_text(r->tree, "host") : "?");
		r->tool = "vstor migrate";
		r->migration = r->tree;
		r->gap[0] = run_number(r->tree, "downtime_ms");
		return 0;
	}
	return -EINVAL;
}

/* The whole file with a NUL behind it; NULL with errno. */
static char *slurp(const char *path)
{
	FILE *f = fopen(path, "re");
	char *text = NULL, *grown;
	size_t n = 0, room = 0;

	if (!f)
		return NULL;
	do {
		room = room ? 2 * room : 1 << 16;
		grown = room > FILE_MAX ? NULL : realloc(text, room + 1);
		if (!grown) {
			errno = room > FILE_MAX ? EFBIG : ENOMEM;
			goto failed;
		}
		text = grown;
		n += fread(text + n, 1, room - n, f);
	} while (n == room);
	if (ferror(f))
		goto failed;
	fclose(f);
	text[n] = '\0';
	return text;
failed:
	free(text);
	fclose(f);
	return NULL;
}

int run_read(struct run *r, const char *path)
{
	char why[256] = "", *text = slurp(path);
	int err = text ? 0 : -errno;

	*r = (struct run){.path = path,
			  .from = NAN,
			  .to = NAN,
			  .silent = NAN,
			  .silent_for = NAN,
			  .first_reply = NAN,
			  .test = NAN};
	for (int i = 0; i < RUN_GAPS; i++)
		r->gap[i] = NAN;
	if (err) {
		log_error("%s: %s", path, strerror(-err));
		return err;
	}
	r->tree = yajl_tree_parse(text, why, sizeof(why));
	free(text);
	if (!r->tree)
		why[strcspn(why, "\n")] = '\0';
	err = r->tree ? take_run(r) : -EINVAL;
	if (err == -EINVAL)
		log_error("%s: is no run%s%s%s; give what `vstor bench ... --json`, `vstor bench "
			  "migrate` or `vstor migrate --json` has written, whole",
			  path, why[0] ? " (" : "", why, why[0] ? ")" : "");
	else if (err)
		log_error("%s: %s", path, strerror(-err));
	return err;
}

void run_free(struct run *r)
{
	for (size_t i = 0; i < r->n; i++)
		free(r->series[i].p);
	free(r->series);
	yajl_tree_free(r->tree);
	r->series = NULL;
	r->n = 0;
	r->tree = NULL;
}
