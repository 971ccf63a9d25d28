/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vstor evacuate: moves every guest of this host to others. vstor balance: moves some of them,
 * until memory and CPU load are spread.
 */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/cmd.h"
#include "cmd/way.h"
#include "core/json.h"
#include "core/log.h"
#include "xen/migration/evacuation.h"

struct run {
	struct loop *loop;
	struct toolstack *t;
	struct evacuation *e;
	struct evacuation_options o;
	bool json, reported;
	struct way wanted; /* the options, the same for each host */
	struct way way[PLAN_HOSTS_MAX];
	struct migration_way ways[PLAN_HOSTS_MAX];
	struct loop_signal sigint, sigterm, sighup;
};

static unsigned mib(uint64_t kib)
{
	return (unsigned)(kib >> 10);
}

static void print_step(const struct evacuation_state *s, unsigned i)
{
	const struct plan_step *step = &s->steps[i];
	const struct plan_guest *g = &s->guests[step->guest];
	const struct plan_host *h = &s->hosts[step->host];

	printf("%2u  %s to %s: memory %u MB of %u MB free; CPU %.1f of %u busy with it%s; disks "
	       "and devices checked\n",
	       i + 1, g->name, h->name, mib(g->kib), mib(step->free_kib), step->load, h->cpus,
	       step->crowded ? ", which is more than it has" : "");
}

static const char *why_not(const struct evacuation_state *s, unsigned i)
{
	return s->why[i] == PLAN_NO_MEMORY ? "no host that would take it has the memory"
					   : s->refusals[i];
}

static void on_planned(void *arg)
{
	const struct run *r = arg;
	struct evacuation_state s;

	evacuation_state(r->e, &s);
	if (r->json)
		return;
	if (!s.n_guests)
		puts("no guest runs here");
	else if (r->o.balance && !s.n_steps)
		printf("nothing to move: no guest of this host would make a difference of %.0f "
		       "%%\n",
		       100 * PLAN_GAIN);
	for (unsigned i = 0; i < s.n_steps; i++)
		print_step(&s, i);
	fflush(stdout);
	for (unsigned i = 0; !r->o.balance && i < s.n_guests; i++)
		if (s.why[i] != PLAN_PLACED)
			log_error("domain %s: cannot be moved: %s (it needs %u MB)",
				  s.guests[i].name, why_not(&s, i), mib(s.guests[i].kib));
}

static const char *const words[] = {
	[EVACUATE_WAITS] = "planned",
	[EVACUATE_MOVES] = "moving",
	[EVACUATE_MOVED] = "moved",
	[EVACUATE_FAILED] = "not moved",
};

/* cause: why there is no plan, and nothing has been moved; else NULL. */
static void print_json(const struct run *r, const struct evacuation_state *s, const char *cause)
{
	struct json j;

	json_begin(&j, stdout);
	json_object(&j, NULL);
	json_array(&j, "steps");
	for (unsigned i = 0; i < s->n_steps; i++) {
		const struct plan_step *step = &s->steps[i];

		json_object(&j, NULL);
		json_string(&j, "domain", s->guests[step->guest].name);
		json_string(&j, "host", s->hosts[step->host].name);
		json_u64(&j, "needs_kib", s->guests[step->guest].kib);
		json_u64(&j, "free_kib", step->free_kib);
		json_double(&j, "cpu_load", step->load);
		json_u64(&j, "cpus", s->hosts[step->host].cpus);
		json_string(&j, "result", words[s->is[step->guest]]);
		json_i64(&j, "exit_status", s->status[step->guest]);
		json_object_end(&j);
	}
	json_array_end(&j);
	json_array(&j, "not_placed");
	for (unsigned i = 0; !r->o.balance && i < s->n_guests; i++) {
		if (s->why[i] == PLAN_PLACED)
			continue;
		json_object(&j, NULL);
		json_string(&j, "domain", s->guests[i].name);
		json_string(&j, "cause", why_not(s, i));
		json_object_end(&j);
	}
	json_array_end(&j);
	json_string(&j, "cause", cause);
	json_object_end(&j);
	json_end(&j);
}

/* 3 when what became of a guest is not known, 1 when one stays that was to go. */
static int status_of(const struct run *r, const struct evacuation_state *s)
{
	int status = 0;

	for (unsigned i = 0; i < s->n_guests; i++) {
		bool placed = s->why[i] == PLAN_PLACED;

		if (s->is[i] == EVACUATE_FAILED && s->status[i] > 2)
			return 3;
		if (s->is[i] == EVACUATE_FAILED || (!placed && !r->o.balance) ||
		    (placed && s->is[i] == EVACUATE_WAITS && !r->o.plan_only))
			status = 1;
	}
	return status;
}

static void print_end(const struct run *r, const struct evacuation_state *s)
{
	const char *before = "; not moved: ";
	unsigned moved = 0;

	for (unsigned i = 0; i < s->n_guests; i++)
		moved += s->is[i] == EVACUATE_MOVED;
	printf("%u of %u guests moved", moved, r->o.balance ? s->n_steps : s->n_guests);
	for (unsigned i = 0; i < s->n_guests; i++) {
		if (s->is[i] != EVACUATE_MOVED && (s->why[i] == PLAN_PLACED || !r->o.balance)) {
			printf("%s%s", before, s->guests[i].name);
			before = ", ";
		}
	}
	putchar('\n');
}

static void on_done(void *arg, int err)
{
	struct run *r = arg;
	struct evacuation_state s;

	evacuation_state(r->e, &s);
	if (err) {
		loop_stop(r->loop, 1);
		return;
	}
	r->reported = true;
	if (r->json)
		print_json(r, &s, NULL);
	else if (!r->o.plan_only && s.n_steps)
		print_end(r, &s);
	loop_stop(r->loop, status_of(r, &s));
}

static void on_signal(void *arg, int signo)
{
	(void)signo;
	evacuation_cancel(((struct run *)arg)->e);
}

static int run(struct run *r)
{
	int status = 1;

	r->loop = loop_new();
	if (!r->loop) {
		log_error("%s", strerror(errno));
		return 1;
	}
	if (!toolstack_open(r->loop, &r->t) &&
	    !evacuation_start(r->loop, r->t, &r->o, on_planned, on_done, r, &r->e)) {
		loop_signal_add(r->loop, &r->sigint, SIGINT, on_signal, r);
		loop_signal_add(r->loop, &r->sigterm, SIGTERM, on_signal, r);
		loop_signal_add(r->loop, &r->sighup, SIGHUP, on_signal, r);
		status = loop_run(r->loop);
	}
	evacuation_free(r->e);
	toolstack_close(r->t);
	loop_free(r->loop);
	return status;
}

static int choose_ways(struct run *r, unsigned n, char *const *hosts)
{
	int rc;

	for (unsigned i = 0; i < n; i++) {
		for (unsigned j = 0; j < i; j++) {
			if (strcmp(hosts[i], hosts[j]) == 0) {
				log_error("%s: given twice", hosts[i]);
				return 2;
			}
		}
		r->way[i] = (struct way){.ssh = r->wanted.ssh,
					 .port = r->wanted.port,
					 .key_file = r->wanted.key_file};
		rc = way_choose(&r->way[i], hosts[i]);
		if (rc)
			return rc;
		r->ways[i] = r->way[i].to;
	}
	r->o.ways = r->ways;
	r->o.n_hosts = n;
	return 0;
}

/* What goes on to vstor migrate is looked at here: not only when the first guest is to be moved. */
static bool sound(const char *option, const char *value, int (*parse)(const char *s, uint64_t *out))
{
	uint64_t n;

	if (!value || (!parse(value, &n) && n))
		return true;
	log_error("%s %s: not a number above 0", option, value);
	return false;
}

/* Adds an option that was given; the new number of words. */
static unsigned word(const char **words_out, unsigned n, const char *option, const char *value)
{
	if (!value)
		return n;
	words_out[n] = option;
	words_out[n + 1] = value;
	return n + 2;
}

static int evacuate(int argc, char **argv, bool balance)
{
	static struct run r;
	const char *downtime = NULL, *bandwidth = NULL, *timeout = NULL;
	uint64_t parallel = 2;
	bool no_fence = false;
	const struct opt table[] = {
		{.name = balance ? "dry-run" : "plan",
		 .type = OPT_FLAG,
		 .out = &r.o.plan_only,
		 .help = "only print what would be moved where, and that each step fits"},
		{.name = "parallel",
		 .type = OPT_U64,
		 .out = &parallel,
		 .arg = "N",
		 .help = "migrations at a time (default 2); their pauses take turns",
		 .min = 1,
		 .max = 64},
		WAY_OPTIONS(r.wanted),
		{.name = "max-downtime",
		 .type = OPT_STRING,
		 .out = &downtime,
		 .arg = "MS",
		 .help = "as for vstor migrate, for each guest"},
		{.name = "bandwidth",
		 .type = OPT_STRING,
		 .out = &bandwidth,
		 .arg = "MBIT",
		 .help = "the same"},
		{.name = "timeout",
		 .type = OPT_STRING,
		 .out = &timeout,
		 .arg = "S",
		 .help = "the same"},
		{.name = "no-fence", .type = OPT_FLAG, .out = &no_fence, .help = "the same"},
		{.type = OPT_END},
	};
	const struct opts o = {
		.name = balance ? "balance" : "evacuate",
		.synopsis = "[options] HOST...",
		.description =
			balance ? "Moves guests of this host to others until memory and CPU load "
				  "are spread."
				: "Moves every guest of this host to others, the largest first.",
		.table = table,
		.json = &r.json,
		.min_operands = 1,
		.max_operands = PLAN_HOSTS_MAX - 1,
		.epilog = "Exit status: 0 done; 1 a guest stays that was to go (each is named); "
			  "2 usage; 3 what\nbecame of a guest is not known: see vstor recover.\n",
	};
	const char *way_words[8], *move_words[7];
	char port[24];
	unsigned n = 0;
	int rc;

	r = (struct run){
		.o = {.balance = balance, .way_words = way_words, .move_words = move_words}};
	rc = opts_parse(&o, argc, argv);
	if (rc < 0)
		return opts_exit(rc);
	r.o.parallel = (unsigned)parallel;
	r.o.silent = r.json;
	if (!sound("--max-downtime", downtime, parse_u64) ||
	    !sound("--bandwidth", bandwidth, parse_u64) ||
	    !sound("--timeout", timeout, parse_seconds))
		return 2;
	rc = choose_ways(&r, (unsigned)rc, argv + 1);
	if (rc)
		goto out;
	snprintf(port, sizeof(port), "%" PRIu64, r.wanted.port);
	n = word(way_words, n, "--ssh", r.wanted.ssh);
	n = word(way_words, n, "--tcp", r.wanted.port ? port : NULL);
	n = word(way_words, n, "--key-file", r.wanted.key_file);
	if (no_fence) /* a check needs it, too */
		way_words[n++] = "--no-fence";
	way_words[n] = NULL;
	n = word(move_words, 0, "--max-downtime", downtime);
	n = word(move_words, n, "--bandwidth", bandwidth);
	n = word(move_words, n, "--timeout", timeout);
	move_words[n] = NULL;
	rc = run(&r);
out:
	if (rc == 1 && r.json && !r.reported)
		print_json(&r, &(struct evacuation_state){0}, log_last_error());
	for (unsigned i = 0; i < PLAN_HOSTS_MAX; i++)
		way_fini(&r.way[i]);
	return rc;
}

int cmd_evacuate(int argc, char **argv)
{
	return evacuate(argc, argv, false);
}

int cmd_balance(int argc, char **argv)
{
	return evacuate(argc, argv, true);
}
