/* SPDX-License-Identifier: BSD-2-Clause */
/* vstor bench storage: a remote disk against a local one, the founding study's section 4.1. */
#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <time.h>

#include "cmd/bench/bench.h"
#include "cmd/bench/child.h"
#include "cmd/bench/far.h"
#include "cmd/bench/progress.h"
#include "cmd/bench/report.h"
#include "core/bytes.h"
#include "core/json.h"
#include "core/log.h"
#include "core/opts.h"
#include "net/sock.h"

#define RUNS_MAX 100

enum side { LOCAL, REMOTE, SIDES };

/* What is measured, and what the study found: remote by local. Its disk and network were measured
 * alone; CPU and memory here while the disk works, which shows what the initiator costs. */
enum aspect { DISK, DISK_LATENCY, PING, PING_LOST, CPU, MEMORY, ASPECTS };
static const struct {
	const char *name, *unit, *study;
} aspects[ASPECTS] = {
	[DISK] = {"disk", "MB/s", "-47 %"},
	[DISK_LATENCY] = {"disk, latency", "ms", "+35 %"},
	[PING] = {"network, round trip", "ms", "+68 %"},
	[PING_LOST] = {"network, lost", "%", "none"},
	[CPU] = {"CPU while the disk works", "events/s", "less than 1 % worse"},
	[MEMORY] = {"memory while the disk works", "MB/s", "less than 1 % worse"},
};

/* One step of a turn: the disk of a side, and something beside it. */
enum beside { BESIDE_PING, BESIDE_CPU, BESIDE_MEMORY, BESIDES };

struct comparison {
	struct loop *loop;
	const char *path[SIDES], *ping, *output, *label;
	char host[SOCK_HOST_MAX]; /* to be pinged, out of the remote address */
	uint64_t runs, duration, warmup;
	bool overwrite, raw, json, interrupted, failed;
	unsigned run, side, beside; /* under way */
	struct child disk, other;
	char word[256]; /* the last that a child logged */
	char seconds[2][24];
	double value[ASPECTS][SIDES][RUNS_MAX];
	unsigned values[ASPECTS][SIDES];
	struct loop_signal sigint, sigterm;
};

static void note(struct comparison *c, enum aspect a, double v)
{
	if (!isnan(v))
		c->value[a][c->side][c->values[a][c->side]++] = v;
}

/* The object of a load that has ended well; NULL: it has not. */
static yajl_val result_of(const struct child *child)
{
	char why[64], *text;
	yajl_val v = NULL;
	size_t n;

	if (!child->loop || child->status)
		return NULL;
	text = child_output(child, &n);
	if (text)
		v = yajl_tree_parse(text, why, sizeof(why));
	free(text);
	return v;
}

static void take(struct comparison *c)
{
	yajl_val disk = result_of(&c->disk), other = result_of(&c->other);

	if (!disk || (!other && c->other.loop)) {
		progress_clear();
		log_error("%s, run %u: %s", c->path[c->side], c->run + 1, c->word);
		c->failed = true;
	}
	switch ((enum beside)c->beside) {
	case BESIDE_PING:
		note(c, DISK, run_number(disk, "mb_per_s"));
		note(c, DISK_LATENCY, run_number(run_get(disk, "latency_ms"), "mean"));
		note(c, PING, run_number(run_get(other, "rtt_ms"), "mean"));
		note(c, PING_LOST, 100 * run_number(other, "lost") / run_number(other, "sent"));
		break;
	case BESIDE_CPU: note(c, CPU, run_number(other, "ops_per_s")); break;
	case BESIDE_MEMORY: note(c, MEMORY, run_number(other, "mb_per_s")); break;
	case BESIDES: break;
	}
	yajl_tree_free(disk);
	yajl_tree_free(other);
	child_close(&c->disk);
	child_close(&c->other);
}

static void start(struct comparison *c);

static void ended(void *arg)
{
	struct comparison *c = arg;

	/* What is beside the disk is to be so all the time. */
	if (c->disk.running || c->other.running)
		return;
	if (c->interrupted) {
		loop_stop(c->loop, 0);
		return;
	}
	take(c);
	/* By turns, so that what changes on this machine meanwhile meets both. */
	if (++c->beside == BESIDES) {
		c->beside = 0;
		if (++c->side == SIDES) {
			c->side = 0;
			c->run++;
		}
	}
	if (c->failed || c->run == c->runs)
		loop_stop(c->loop, c->failed);
	else
		start(c);
}

static void on_line(void *arg, const char *line)
{
	struct comparison *c = arg;

	if (strncmp(line, "vstor bench", 11) == 0)
		snprintf(c->word, sizeof(c->word), "%.255s", line);
}

static void start_child(struct comparison *c, struct child *child, const char *const *argv)
{
	int err;

	*child = (struct child){.on_line = on_line, .on_exit = ended, .arg = c};
	err = child_start(c->loop, child, argv, NULL);
	if (err) {
		progress_clear();
		log_error("%s: %s", argv[2], strerror(-err));
		c->failed = true;
	}
}

static void start_disk(struct comparison *c)
{
	const char *argv[24] = {"vstor",	  "bench",	 "disk",
				c->path[c->side], "--duration",	 c->seconds[0],
				"--warmup",	  c->seconds[1], "--json"};
	unsigned n = 9;

	if (c->raw) {
		argv[n++] = "--raw";
		argv[n++] = "--random";
		argv[n++] = "--block-size";
		argv[n++] = "64k";
		argv[n++] = "--depth";
		argv[n++] = "2";
		argv[n++] = "--direct";
		if (c->overwrite) {
			argv[n++] = "--write";
			argv[n++] = "50";
			argv[n++] = "--overwrite";
		}
	}
	start_child(c, &c->disk, argv);
}

static void start_beside(struct comparison *c)
{
	const char *const cpu[] = {"vstor",	  "bench",  "cpu",	  "--threads",	 "20",
				   "--prime",	  "1000",   "--duration", c->seconds[0], "--warmup",
				   c->seconds[1], "--json", NULL};
	const char *const memory[] = {
		"vstor",      "bench",	     "memory",	 "--threads",	"20",	  "--size", "20M",
		"--duration", c->seconds[0], "--warmup", c->seconds[1], "--json", NULL};
	const char *const ping[] = {"vstor", "bench",	   "ping",	  c->ping,  "--interval",
				    "0.05",  "--duration", c->seconds[0], "--json", NULL};

	if (c->beside == BESIDE_CPU)
		start_child(c, &c->other, cpu);
	else if (c->beside == BESIDE_MEMORY)
		start_child(c, &c->other, memory);
	else if (c->ping)
		start_child(c, &c->other, ping);
}

static void say_step(const struct comparison *c)
{
	static const char *const words[] = {"and network", "and CPU", "and memory"};
	uint64_t all = c->runs * SIDES * BESIDES;
	uint64_t done = ((uint64_t)c->run * SIDES + c->side) * BESIDES + c->beside;
	char left[PROGRESS_TIME];

	progress_say("step %llu of %llu, turn %u of %llu: %s disk %s%s%s%s",
		     (unsigned long long)done + 1, (unsigned long long)all, c->run + 1,
		     (unsigned long long)c->runs, c->side == LOCAL ? "local" : "remote",
		     !c->ping && c->beside == BESIDE_PING ? "alone" : words[c->beside],
		     /* --duration 0: until it is interrupted */
		     c->duration ? "; about " : "",
		     c->duration ? progress_time(left, (all - done) * (c->warmup + c->duration))
				 : "",
		     c->duration ? " left" : "");
}

static void start(struct comparison *c)
{
	say_step(c);
	start_disk(c);
	start_beside(c);
	if (!c->disk.running && !c->other.running)
		loop_stop(c->loop, 1);
}

static void interrupt(void *arg, int signo)
{
	struct comparison *c = arg;

	(void)signo;
	if (c->interrupted)
		loop_stop(c->loop, 1);
	c->interrupted = true;
	child_signal(&c->disk, SIGTERM);
	child_signal(&c->other, SIGTERM);
}

/* ---- the result ---- */

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* NAN: it was not measured. */
static double median(const struct comparison *c, enum aspect a, enum side s)
{
	double x[RUNS_MAX];
	unsigned n = c->values[a][s];

	memcpy(x, c->value[a][s], n * sizeof(*x));
	qsort(x, n, sizeof(*x), by_size);
	return n == 0 ? NAN : n % 2 ? x[n / 2] : (x[n / 2 - 1] + x[n / 2]) / 2;
}

static void write_row(const struct comparison *c, struct json *j, enum aspect a)
{
	static const char *const keys[SIDES] = {"all_local", "all_remote"};
	double local = median(c, a, LOCAL), remote = median(c, a, REMOTE);

	json_object(j, NULL);
	json_string(j, "aspect", aspects[a].name);
	json_string(j, "unit", aspects[a].unit);
	json_double(j, "local", local);
	json_double(j, "remote", remote);
	json_double(j, "change", remote / local - 1);
	json_string(j, "study", aspects[a].study);
	json_u64(j, "runs", MIN(c->values[a][LOCAL], c->values[a][REMOTE]));
	for (int s = 0; s < SIDES; s++) {
		json_array(j, keys[s]);
		for (unsigned i = 0; i < c->values[a][s]; i++)
			json_double(j, NULL, c->value[a][s][i]);
		json_array_end(j);
	}
	json_object_end(j);
}

static void write_result(const struct comparison *c, FILE *f)
{
	char date[32] = "";
	time_t t = time(NULL);
	struct utsname u;
	char host[200];
	struct json j;
	struct tm tm;

	json_begin(&j, f);
	json_object(&j, NULL);
	json_string(&j, "bench", "storage");
	if (c->label)
		json_string(&j, "label", c->label);
	json_bool(&j, "interrupted", c->interrupted);
	json_array(&j, "rows");
	for (int a = 0; a < ASPECTS; a++)
		write_row(c, &j, (enum aspect)a);
	json_array_end(&j);
	json_array(&j, "missing");
	if (!c->ping)
		json_string(&j, NULL, "the network: no --ping");
	json_array_end(&j);
	json_object(&j, "environment");
	json_string(&j, "vstor", opts_version);
	if (gmtime_r(&t, &tm) && strftime(date, sizeof(date), "%Y-%m-%d %H:%M UTC", &tm))
		json_string(&j, "date", date);
	if (uname(&u) == 0) {
		snprintf(host, sizeof(host), "%s, %s %s", u.nodename, u.sysname, u.release);
		json_string(&j, "this host", host);
	}
	json_string(&j, "local", c->path[LOCAL]);
	json_string(&j, "remote", c->path[REMOTE]);
	json_string(&j, "disk's load",
		    !c->raw	   ? "files of 2 clients"
		    : c->overwrite ? "random, 64 KiB, depth 2, half of it writes"
				   : "random, 64 KiB, depth 2, reads");
	json_string(&j, "pinged", c->ping);
	json_object_end(&j);
	json_object_end(&j);
	json_end(&j);
}

/* 0, or an exit status after an error line. */
static int give_result(const struct comparison *c)
{
	FILE *f = fopen(c->output, "we");
	int err = f ? 0 : errno;

	if (f) {
		write_result(c, f);
		if (ferror(f))
			err = EIO;
		if (fclose(f) != 0)
			err = errno;
	}
	if (err) {
		log_error("%s: cannot be written: %s", c->output, strerror(err));
		return 1;
	}
	return report_written(stdout, c->output, c->json) ? 1 : 0;
}

/* ---- options ---- */

/* Both sides do the same: with files where both are directories. 0, or an exit status. */
static int choose(struct comparison *c)
{
	const char *scheme = REMOTE_LUN_SCHEME, *remote = NULL;
	struct stat st;

	for (int s = 0; s < SIDES; s++) {
		if (far_named(c->path[s])) {
			if (strncmp(c->path[s], scheme, strlen(scheme)) == 0)
				remote = c->path[s];
			c->raw = true;
			continue;
		}
		if (stat(c->path[s], &st) < 0) {
			log_error("%s: %s", c->path[s], strerror(errno));
			return 1;
		}
		c->raw |= !S_ISDIR(st.st_mode);
	}
	if (!c->ping && remote) {
		snprintf(c->host, sizeof(c->host), "%.*s",
			 (int)strcspn(remote + strlen(scheme), "/"), remote + strlen(scheme));
		/* HOST:PORT; an IPv6 address stands in brackets. */
		if (c->host[0] != '[' && strchr(c->host, ':') == strrchr(c->host, ':'))
			c->host[strcspn(c->host, ":")] = '\0';
		else if (c->host[0] == '[') {
			memmove(c->host, c->host + 1, strlen(c->host));
			c->host[strcspn(c->host, "]")] = '\0';
		}
		c->ping = c->host;
	}
	snprintf(c->seconds[0], sizeof(c->seconds[0]), "%.3f",
		 (double)c->duration / (double)SEC_NS);
	snprintf(c->seconds[1], sizeof(c->seconds[1]), "%.3f", (double)c->warmup / (double)SEC_NS);
	return 0;
}

static int compare(struct comparison *c)
{
	int status;

	c->loop = loop_new();
	if (!c->loop) {
		log_error("%s", strerror(errno));
		return 1;
	}
	loop_signal_add(c->loop, &c->sigint, SIGINT, interrupt, c);
	loop_signal_add(c->loop, &c->sigterm, SIGTERM, interrupt, c);
	start(c);
	status = c->failed ? 1 : loop_run(c->loop);
	progress_clear();
	child_close(&c->disk);
	child_close(&c->other);
	if (give_result(c))
		status = 1;
	if (c->interrupted)
		log_error("cut off: %s has what was measured until then", c->output);
	loop_free(c->loop);
	return status || c->interrupted;
}

int bench_storage(int argc, char **argv)
{
	static struct comparison c = {.runs = 3,
				      .duration = 10 * SEC_NS,
				      .warmup = 2 * SEC_NS,
				      .output = "vstor-storage.json"};
	const struct opt table[] = {
		{"local", OPT_STRING, &c.path[LOCAL], FAR_WORDS,
		 "a directory, file or block device of this machine, or what --remote takes", 0, 0},
		{"remote", OPT_STRING, &c.path[REMOTE], FAR_WORDS,
		 "the same on the attached disk, or one by vstor's own initiator", 0, 0},
		{"runs", OPT_U64, &c.runs, "N", "turns of each side; medians count (default: 3)", 1,
		 RUNS_MAX},
		{"duration", OPT_SECONDS, &c.duration, "S",
		 "of each of the three steps of a turn (default: 10)", MS_NS, 0},
		{"warmup", OPT_SECONDS, &c.warmup, "S", "before each (default: 2)", 0, 0},
		{"ping", OPT_STRING, &c.ping, "HOST",
		 "the storage server, to be pinged (default: that of iscsi://)", 0, 0},
		{"overwrite", OPT_FLAG, &c.overwrite, NULL,
		 "files and devices: allow writes, which destroy what is on them", 0, 0},
		{"label", OPT_STRING, &c.label, "TEXT",
		 "what reports call the run (default: local and remote)", 0, 0},
		{"output", OPT_STRING, &c.output, "FILE",
		 "where the run goes (default: vstor-storage.json)", 0, 0},
		{0},
	};
	const struct opts o = {
		.name = "bench storage",
		.synopsis = "--local PATH --remote " FAR_WORDS " [options]",
		.description =
			"A remote disk against a local one, by turns: disk, network, and CPU "
			"and memory\nwhile the disk works. On two directories clients work "
			"with files; otherwise blocks\nare read (and written: --overwrite).",
		.table = table,
		.json = &c.json,
	};
	int n = opts_parse(&o, argc, argv), status;

	if (n < 0)
		return opts_exit(n);
	if (!c.path[LOCAL] || !c.path[REMOTE]) {
		log_error("--local and --remote are needed");
		return 2;
	}
	status = choose(&c);
	return status ? status : compare(&c);
}
