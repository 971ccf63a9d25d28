/* SPDX-License-Identifier: BSD-2-Clause */
/* vstor migrate: moves a running guest to another host. */
#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmd/cmd.h"
#include "cmd/migrate_progress.h"
#include "cmd/way.h"
#include "core/bytes.h"
#include "core/json.h"
#include "core/log.h"
#include "core/opts.h"
#include "xen/migration/migration.h"
#include "xen/copy/pagecodec.h"

#define MIB	     (1024.0 * 1024.0)
#define EXIT_UNKNOWN 3

struct run {
	struct loop *loop;
	struct toolstack *t;
	struct migration *m;
	struct migration_options o;
	bool json, tty, warned;
	bool reported; /* the result is on stdout */
	struct way way;
	struct loop_timer tick;
	struct loop_signal sigint, sigterm, sighup;
	struct migrate_progress shown;
};

/* ---- progress, on stderr ---- */

static void draw(struct run *r)
{
	struct migration_progress p;
	char line[160];

	migration_progress(r->m, &p);
	migrate_progress_line(&r->shown, r->o.domain, &p, line, sizeof(line));
	fprintf(stderr, r->tty ? "\r%.78s\033[K" : "%s\n", line);
}

static void on_tick(void *arg)
{
	struct run *r = arg;

	draw(r);
	loop_timer_set(r->loop, &r->tick, (r->tty ? 250 : 1000) * MS_NS, on_tick, r);
}

static void end_line(struct run *r)
{
	if (r->tty)
		fputs("\r\033[K", stderr);
}

/* ---- results, on stdout ---- */

static void print_verdict(void *arg, const char *word, const char *text, size_t len)
{
	(void)arg;
	printf("%-4s  %.*s\n", word, (int)len, text);
}

static void json_verdict(void *arg, const char *word, const char *text, size_t len)
{
	struct json *j = arg;
	char *s = strndup(text, len);

	json_object(j, NULL);
	json_string(j, "verdict", word);
	json_string(j, "text", s);
	json_object_end(j);
	free(s);
}

static const char *const end_words[] = {
	[MIGRATION_MOVED] = "moved",	 [MIGRATION_CHECKED] = "can be moved",
	[MIGRATION_HERE] = "not moved",	 [MIGRATION_STRANDED] = "not moved, suspended",
	[MIGRATION_UNKNOWN] = "unknown",
};

/* What it cost the guest: stopped, and slower than it would have been. */
static double brownout_s(const struct migration_result *res)
{
	return (double)(res->throttle_ns + price_faults(res->price)) / SEC_NS;
}

static void json_round(struct json *j, const struct price_round *r, uint64_t began)
{
	double s = (double)r->ns / SEC_NS;

	json_object(j, NULL);
	json_double(j, "at_s", (double)(r->began - began) / SEC_NS);
	json_double(j, "seconds", s);
	json_u64(j, "pages", r->pages);
	json_u64(j, "pages_sent", r->sent);
	json_u64(j, "bytes", r->bytes);
	json_u64(j, "pages_dirtied", r->dirty);
	json_double(j, "dirty_rate_mb_s", s > 0 ? (double)r->dirty * PRECOPY_PAGE / MIB / s : NAN);
	json_double(j, "send_rate_mb_s", s > 0 ? (double)r->sent * PRECOPY_PAGE / MIB / s : NAN);
	json_double(j, "ratio", price_ratio(r));
	json_u64(j, "speed_percent", r->speed);
	json_double(j, "predicted_ms",
		    r->predicted_ns == UINT64_MAX ? NAN : (double)r->predicted_ns / MS_NS);
	json_string(j, "then", r->why);
	json_object_end(j);
}

static void json_price(struct json *j, const struct migration_result *res)
{
	double blackout = (double)res->downtime_ns / MS_NS;
	double predicted = (double)res->predicted_ns / MS_NS;

	json_double(j, "blackout_s", res->downtime_ns ? blackout / 1000 : NAN);
	json_double(j, "brownout_s", brownout_s(res));
	json_object(j, "brownout_parts_s");
	json_double(j, "throttle", (double)res->throttle_ns / SEC_NS);
	json_double(j, "log_dirty_estimate", (double)price_faults(res->price) / SEC_NS);
	json_object_end(j);
	json_double(j, "predicted_ms", res->predicted_ns ? predicted : NAN);
	json_double(j, "prediction_error_ms",
		    res->predicted_ns && res->downtime_ns ? blackout - predicted : NAN);
	json_array(j, "each_round");
	for (unsigned i = 0; i < res->price->n; i++)
		json_round(j, &res->price->round[i], res->began);
	json_array_end(j);
}

/* null for a plain stream. */
static void json_pages(struct json *j, const struct compression_report *p)
{
	if (!p->bytes_in) {
		json_string(j, "compression", NULL);
		return;
	}
	json_object(j, "compression");
	if (p->level == PAGECODEC_LEVEL_NONE)
		json_string(j, "level", NULL);
	else
		json_i64(j, "level", p->level);
	json_u64(j, "delta_cache_bytes", p->cache_bytes);
	json_u64(j, "pages_zero", p->zero);
	json_u64(j, "pages_whole", p->whole);
	json_u64(j, "pages_delta", p->delta);
	json_u64(j, "pages_same", p->same);
	json_u64(j, "pages_left_out", p->left_out);
	json_u64(j, "bytes_in", p->bytes_in);
	json_u64(j, "bytes_out", p->bytes_out);
	json_double(j, "cpu_s", (double)p->pack_ns / SEC_NS);
	json_object_end(j);
}

/* Where it is, and what it does there. */
static void words_of(const struct run *r, const struct migration_result *res, char *out,
		     size_t size)
{
	const char *host = r->o.way.host;

	switch (res->end) {
	case MIGRATION_MOVED:
		snprintf(out, size,
			 res->third ? "has been taken, by its disk's word, by another host than "
				      "%s, which never starts it"
			 : res->unheard
				 ? "belongs to %s by its disk's word, which does not answer: it "
				   "runs there, or has died with that host"
				 : "runs on %s",
			 host);
		break;
	case MIGRATION_UNKNOWN:
		snprintf(out, size, "is suspended here, and may run on %s", host);
		break;
	case MIGRATION_CHECKED: snprintf(out, size, "still runs here"); break;
	case MIGRATION_HERE:
	case MIGRATION_STRANDED: snprintf(out, size, "%s", settle_words(res->settled));
	}
}

static void print_json(const struct run *r, const struct migration_result *res)
{
	char words[400];
	struct json j;

	json_begin(&j, stdout);
	json_object(&j, NULL);
	json_string(&j, "domain", res->name);
	json_string(&j, "host", r->o.way.host);
	json_string(&j, "result", end_words[res->end]);
	words_of(r, res, words, sizeof(words));
	json_string(&j, "guest", words);
	json_string(&j, "id", res->id);
	json_double(&j, "total_s", (double)res->total_ns / SEC_NS);
	/* By this host's monotonic clock: whoever has pinged the guest here sets that beside it. */
	json_u64(&j, "started_monotonic_ms", res->began / MS_NS);
	if (res->stopped_at)
		json_u64(&j, "stopped_monotonic_ms", res->stopped_at / MS_NS);
	json_double(&j, "downtime_ms", res->downtime_ns ? (double)res->downtime_ns / MS_NS : NAN);
	if (res->downtime_ns) {
		json_object(&j, "downtime_parts_ms");
		json_double(&j, "suspend", (double)res->suspend_ns / MS_NS);
		json_double(&j, "copy", (double)res->copy_ns / MS_NS);
		json_double(&j, "restore", (double)res->restore_ns / MS_NS);
		json_double(&j, "devices", (double)res->devices_ns / MS_NS);
		json_double(&j, "quiesce", (double)res->quiesce_ns / MS_NS);
		json_double(&j, "start", (double)res->start_ns / MS_NS);
		json_object_end(&j);
	}
	json_u64(&j, "bytes", res->bytes);
	json_u64(&j, "rounds", res->rounds);
	json_pages(&j, res->pages);
	json_price(&j, res);
	json_string(&j, "cause", res->cause[0] ? res->cause : NULL);
	if (r->o.check_only) {
		json_array(&j, "conditions");
		verdicts_each(migration_verdicts(r->m), json_verdict, &j);
		json_array_end(&j);
	}
	json_object_end(&j);
	json_end(&j);
}

/* It failed before there was a migration with a result: whoever reads --json gets the keys that
 * tell how it ended all the same. */
static void print_json_early(const struct run *r)
{
	struct json j;

	json_begin(&j, stdout);
	json_object(&j, NULL);
	json_string(&j, "domain", r->o.domain);
	json_string(&j, "host", r->o.way.host);
	json_string(&j, "result", end_words[MIGRATION_HERE]);
	json_string(&j, "guest", "has not been touched");
	json_string(&j, "cause", log_last_error());
	json_object_end(&j);
	json_end(&j);
}

static void print_moved(const struct run *r, const struct migration_result *res)
{
	char downtime[32] = "not known"; /* as when it had to ask whether it was moved */
	char foreseen[48] = "";		 /* not with --offline */
	char words[400];

	if (res->third) {
		words_of(r, res, words, sizeof(words));
		printf("%s %s\n", res->name, words);
		return;
	}
	if (res->unheard) {
		words_of(r, res, words, sizeof(words));
		printf("%s %s: if it has, `vstor takeover %s`\n", res->name, words, res->name);
		return;
	}
	if (res->downtime_ns)
		snprintf(downtime, sizeof(downtime), "%.0f ms", (double)res->downtime_ns / MS_NS);
	if (res->predicted_ns)
		snprintf(foreseen, sizeof(foreseen), " (%.0f ms foreseen)",
			 (double)res->predicted_ns / MS_NS);
	printf("%s runs on %s: total %.1f s, downtime %s, %.1f MB sent, %u round%s\n", res->name,
	       r->o.way.host, (double)res->total_ns / SEC_NS, downtime, (double)res->bytes / MIB,
	       res->rounds, res->rounds == 1 ? "" : "s");
	printf("%s paid: time stopped %s%s, work lost while slowed %.1f s\n", res->name, downtime,
	       foreseen, brownout_s(res));
}

static void print_not_moved(const struct run *r, const struct migration_result *res)
{
	if (r->o.check_only)
		log_error("domain %s: cannot be moved to %s: %s", res->name, r->o.way.host,
			  res->cause);
	else
		log_error("domain %s: not moved to %s, it %s%s%s: %s", res->name, r->o.way.host,
			  settle_words(res->settled),
			  res->settled == SETTLE_PENDING ? "; when it has, run vstor recover " : "",
			  res->settled == SETTLE_PENDING ? res->name : "", res->cause);
}

static int report(struct run *r)
{
	struct migration_result res;

	migration_result(r->m, &res);
	r->reported = true;
	if (r->json)
		print_json(r, &res);
	else if (r->o.check_only)
		verdicts_each(migration_verdicts(r->m), print_verdict, NULL);
	switch (res.end) {
	case MIGRATION_MOVED:
		if (!r->json)
			print_moved(r, &res);
		return 0;
	case MIGRATION_CHECKED:
		if (!r->json)
			printf("%s can be moved to %s\n", res.name, r->o.way.host);
		return 0;
	case MIGRATION_HERE:
		fflush(stdout);
		print_not_moved(r, &res);
		return 1;
	case MIGRATION_STRANDED:
		log_error("domain %s: not moved to %s (%s), and it cannot be resumed here: it is "
			  "suspended; its memory is whole: try `vstor recover %s`, or destroy it "
			  "and start it again",
			  res.name, r->o.way.host, res.cause, res.name);
		return EXIT_UNKNOWN;
	case MIGRATION_UNKNOWN: break;
	}
	log_error("domain %s: handed over to %s, which does not answer any more (%s): it is "
		  "suspended here as %s--migratedaway; look at %s: if it runs there, `xl destroy "
		  "%s--migratedaway` here; if it does not and never will, `vstor recover` tells "
		  "how it goes on here; never let both run",
		  res.name, r->o.way.host, res.cause, res.name, r->o.way.host, res.name);
	return EXIT_UNKNOWN;
}

/* ---- the run ---- */

static void on_done(void *arg)
{
	struct run *r = arg;

	loop_timer_del(r->loop, &r->tick);
	end_line(r);
	loop_stop(r->loop, report(r));
}

static void on_signal(void *arg, int signo)
{
	struct run *r = arg;
	char waits[400];

	if (migration_cancel(r->m, signo == SIGINT ? "interrupted" : "told to stop"))
		return;
	end_line(r);
	if (!migration_waits(r->m, waits, sizeof(waits))) {
		log_warn("domain %s: too late to stop: it has been handed over", r->o.domain);
	} else if (!r->warned) {
		log_warn("domain %s: %s; told to stop once more, this ends, and a process of its "
			 "own goes on waiting (its log: syslog)",
			 r->o.domain, waits);
		r->warned = true;
	} else {
		/* Not by an exit status: there is nothing to tell yet. The guardian sees our end.
		 */
		log_warn("domain %s: %s; that is finished in the background: `vstor recover %s` "
			 "tells",
			 r->o.domain, waits, r->o.domain);
		signal(signo, SIG_DFL);
		raise(signo);
	}
}

static int run(struct run *r)
{
	int rc, status = 1;

	r->loop = loop_new();
	if (!r->loop) {
		log_error("%s", strerror(errno));
		return 1;
	}
	/* Stopped, we would leave the guest suspended. Our helpers inherit it. */
	signal(SIGTSTP, SIG_IGN);
	signal(SIGTTOU, SIG_IGN);
	rc = toolstack_open(r->loop, &r->t);
	if (!rc)
		rc = migration_start(r->loop, r->t, &r->o, on_done, r, &r->m);
	if (rc)
		goto out;
	loop_signal_add(r->loop, &r->sigint, SIGINT, on_signal, r);
	loop_signal_add(r->loop, &r->sigterm, SIGTERM, on_signal, r);
	loop_signal_add(r->loop, &r->sighup, SIGHUP, on_signal, r);
	r->tty = isatty(STDERR_FILENO);
	loop_timer_set(r->loop, &r->tick, (r->tty ? 250 : 1000) * MS_NS, on_tick, r);
	status = loop_run(r->loop);
out:
	migration_free(r->m);
	toolstack_close(r->t);
	loop_free(r->loop);
	return status;
}

/* cache: in MB, UINT64_MAX when it is not given. False after one logged line. */
static bool take_compression(struct compression *c, const char *compress, uint64_t cache)
{
	c->cache_given = cache != UINT64_MAX;
	c->cache_bytes = cache << 20;
	if (compression_parse(compress, c)) {
		log_error("--compress %s: auto, off, or a level from 1 to 9", compress);
		return false;
	}
	if (c->off && c->cache_given) {
		log_error("--compress off sends whole pages: there is no use for --delta-cache");
		return false;
	}
	return true;
}

int cmd_migrate(int argc, char **argv)
{
	struct run r = {0};
	const char *compress = "auto";
	uint64_t max_downtime = 300, bandwidth = 0, cache = UINT64_MAX;
	bool no_throttle = false;
	const struct opt table[] = {
		{.name = "check",
		 .type = OPT_FLAG,
		 .out = &r.o.check_only,
		 .help = "only say whether it could be moved: every condition with its verdict"},
		{.name = "offline",
		 .type = OPT_FLAG,
		 .out = &r.o.saving.offline,
		 .help = "stop the guest for all of the copy (default: only for the last of it)"},
		{.name = "max-downtime",
		 .type = OPT_U64,
		 .out = &max_downtime,
		 .arg = "MS",
		 .help = "the longest that it may stand still for the last copy (default: 300)",
		 .min = 1,
		 .max = 3600000},
		{.name = "bandwidth",
		 .type = OPT_U64,
		 .out = &bandwidth,
		 .arg = "MBIT",
		 .help = "send no more than so many million bits a second (default: no limit)",
		 .min = 1,
		 .max = 1000000},
		{.name = "compress",
		 .type = OPT_STRING,
		 .out = &compress,
		 .arg = "LEVEL",
		 .help = "make pages small: auto, as the link and the CPUs allow; off; or always "
			 "at 1 (fast) to 9 (small) (default: auto)"},
		{.name = "delta-cache",
		 .type = OPT_U64,
		 .out = &cache,
		 .arg = "MB",
		 .help = "memory on each host to keep pages sent, so that only what changes in "
			 "them is sent again (default: a quarter of what is free)",
		 .min = 0,
		 .max = 1 << 20},
		{.name = "timeout",
		 .type = OPT_SECONDS,
		 .out = &r.o.timeout_ns,
		 .arg = "S",
		 .help = "give up when it takes longer (default: when rounds gain nothing)"},
		{.name = "force-stop",
		 .type = OPT_FLAG,
		 .out = &r.o.saving.precopy.force,
		 .help = "then do not give up: stop it and copy the rest, whatever that takes"},
		{.name = "no-throttle",
		 .type = OPT_FLAG,
		 .out = &no_throttle,
		 .help = "never slow it down (default: when it writes faster than can be sent)"},
		{.name = "data",
		 .type = OPT_STRING,
		 .out = &r.o.data,
		 .arg = "ADDR[,ADDR]",
		 .help = "carry the guest's memory to these addresses of HOST, several at once"},
		{.name = "no-fence",
		 .type = OPT_FLAG,
		 .out = &r.o.no_fence,
		 .help = "also when its disks cannot be fenced, as those without reservations "
			 "(default: refuse)"},
		WAY_OPTIONS(r.way),
		{.type = OPT_END},
	};
	const struct opts o = {
		.name = "migrate",
		.synopsis = "[options] DOMAIN HOST",
		.description = "Moves a running guest to another Xen host; its disk stays where it "
			       "is.",
		.table = table,
		.json = &r.json,
		.min_operands = 2,
		.max_operands = 2,
		.epilog = "Exit status: 0 it runs on HOST, or is HOST's by its disk's word, when "
			  "HOST does not answer\n(the message says so: it may have died there); 1 "
			  "not moved, it still runs here (unless it ended\nby itself meanwhile: "
			  "the message says so); 2 usage; 3 it is stopped here: it could not be\n"
			  "resumed, or has no disk that can decide and HOST does not tell whether "
			  "it runs there: see\nvstor recover.\n",
	};
	int rc = opts_parse(&o, argc, argv);

	if (rc < 0)
		return opts_exit(rc);
	r.o.domain = argv[1];
	r.o.saving.precopy.max_downtime_ns = max_downtime * MS_NS;
	r.o.saving.precopy.throttle = !no_throttle;
	r.o.saving.bandwidth = bandwidth * 1000000 / 8;
	if (!take_compression(&r.o.compression, compress, cache))
		return 2;
	rc = way_choose(&r.way, argv[2]);
	r.o.way = r.way.to;
	if (!rc)
		rc = run(&r);
	if (rc == 1 && r.json && !r.reported)
		print_json_early(&r);
	way_fini(&r.way);
	return rc;
}
