/* SPDX-License-Identifier: BSD-2-Clause */
/* Any program as a load: what its output tells, line by line, by a pattern. */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <regex.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "cmd/bench/bench.h"
#include "cmd/bench/console.h"
#include "core/bytes.h"
#include "core/log.h"
#include "core/loop.h"
#include "core/opts.h"

/* Extended regular expressions (regex(7)). Group 1 is the figure; group 2, when there is one, k, M
 * or G that it is multiplied by, or else a latency in ms. */
static const struct pattern {
	const char *name, *unit, *regex;
} patterns[] = {
	{"dbench", "MB/s", "([0-9.]+) MB/sec +execute.*latency +([0-9.]+) ms"},
	{"sysbench", "events/s", "eps: ([0-9.]+).*\\): ([0-9.]+)"},
	{"sysbench-memory", "MiB/s", "^\\[ *[0-9]+s *\\] +([0-9.]+) MiB/sec"},
	{"fio", "ops/s", "\\[[rwt]=([0-9.]+)([kMG]?) IOPS"},
	{"ping", "ms", "time=([0-9.]+) ms"},
	{"lines", "lines/s", NULL}, /* how many come: of a compiler, a line a file */
};

struct executing {
	struct loop *loop;
	const char *command, *unit, *pattern;
	regex_t regex;
	bool counts; /* lines */
	uint64_t sample, duration;
	struct console console;
	pid_t pid;
	int fd, exit;
	struct loop_fd watch;
	struct loop_child child;
	struct loop_timer end, tick, kill;
	struct loop_signal sigint, sigterm;
	bool interrupted, ended;
	uint64_t start, last, lines, all_lines; /* lines: since the last sample */
	uint64_t figures;
	double sum, least, most;	 /* of the figures */
	char line[4096], last_line[256]; /* that came, in whole; the last that was not empty */
	char why[700];			 /* it failed; "": it did not */
	size_t used;
};

/* `now`: since the start. shown: in a line, too. */
static void add_row(struct executing *x, uint64_t now, double value, const struct hist *h,
		    bool shown)
{
	if (shown && !x->console.csv) {
		fprintf(x->console.lines, "%6.1f s %12.6g %s  ", (double)now / (double)SEC_NS,
			value, x->unit);
		if (h)
			console_latency(x->console.lines, h);
		putc('\n', x->console.lines);
	}
	console_add_row(
		&x->console,
		(struct console_row){
			.from_ns = x->last, .to_ns = now, .has_value = true, .value = value},
		h);
	x->last = now;
}

static void take_figure(struct executing *x, const char *line)
{
	static struct hist h;
	regmatch_t m[3];
	double value;
	bool latency;

	if (regexec(&x->regex, line, ARRAY_SIZE(m), m, 0) != 0 || m[1].rm_so < 0)
		return;
	value = strtod(line + m[1].rm_so, NULL);
	latency = m[2].rm_so >= 0 && isdigit((unsigned char)line[m[2].rm_so]);
	if (m[2].rm_so >= 0 && !latency && m[2].rm_eo > m[2].rm_so) {
		const char *power = strchr("kMG", line[m[2].rm_so]);

		for (const char *p = "kMG"; power && p <= power; p++)
			value *= 1000;
	}
	x->least = x->figures ? fmin(x->least, value) : value;
	x->most = x->figures ? fmax(x->most, value) : value;
	x->sum += value;
	x->figures++;
	hist_reset(&h);
	if (latency)
		hist_add(&h, (uint64_t)(strtod(line + m[2].rm_so, NULL) * (double)MS_NS));
	add_row(x, clock_ns() - x->start, value, latency ? &h : NULL, true);
}

static void take_line(struct executing *x)
{
	x->line[x->used] = '\0';
	x->used = 0;
	if (!x->line[0])
		return;
	snprintf(x->last_line, sizeof(x->last_line), "%.255s", x->line);
	x->lines++;
	x->all_lines++;
	if (!x->counts)
		take_figure(x, x->line);
}

static void over(struct executing *x)
{
	if (x->pid || x->watch.on)
		return;
	loop_timer_del(x->loop, &x->kill);
	loop_stop(x->loop, 0);
}

static void readable(void *arg, unsigned events)
{
	struct executing *x = arg;
	char buf[4096];
	ssize_t n = read(x->fd, buf, sizeof(buf));

	(void)events;
	for (ssize_t i = 0; i < n; i++) {
		if (buf[i] == '\n' || buf[i] == '\r')
			take_line(x);
		else if (x->used < sizeof(x->line) - 1)
			x->line[x->used++] = buf[i];
	}
	/* A terminal whose other side is closed says EIO. */
	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
		if (x->used)
			take_line(x);
		loop_fd_del(x->loop, &x->watch);
		over(x);
	}
}

static void exited(void *arg, int status)
{
	struct executing *x = arg;

	x->pid = 0;
	x->exit = status;
	over(x);
}

static void kill_hard(void *arg)
{
	struct executing *x = arg;

	if (x->pid)
		kill(-x->pid, SIGKILL);
	/* Whoever of its children has left the group may still hold the terminal. */
	loop_fd_del(x->loop, &x->watch);
	over(x);
}

static void stop(struct executing *x)
{
	x->ended = true;
	if (x->pid)
		kill(-x->pid, SIGTERM);
	loop_timer_set(x->loop, &x->kill, 5 * SEC_NS, kill_hard, x);
}

static void end(void *arg)
{
	stop(arg);
}

static void interrupt(void *arg, int signo)
{
	struct executing *x = arg;

	(void)signo;
	x->interrupted = true;
	stop(x);
}

/* For --pattern lines: the rate since the last sample, by how long that really was. */
static void add_lines(struct executing *x, uint64_t now, bool shown)
{
	add_row(x, now, (double)x->lines * (double)SEC_NS / (double)(now - x->last), NULL, shown);
	x->lines = 0;
}

static void tick(void *arg)
{
	struct executing *x = arg;

	add_lines(x, clock_ns() - x->start, true);
	loop_timer_set(x->loop, &x->tick, x->sample - (clock_ns() - x->start) % x->sample, tick, x);
}

/* A terminal, so that the program gives each line away at once; where there are none, a pipe. */
static int open_ends(int *ours, int *theirs)
{
	struct termios t;
	int p[2];

	*ours = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (*ours >= 0 && grantpt(*ours) == 0 && unlockpt(*ours) == 0) {
		const char *name = ptsname(*ours);

		*theirs = name ? open(name, O_RDWR | O_NOCTTY | O_CLOEXEC) : -1;
		if (*theirs >= 0) {
			if (tcgetattr(*theirs, &t) == 0) {
				cfmakeraw(&t);
				tcsetattr(*theirs, TCSANOW, &t);
			}
			return 0;
		}
	}
	if (*ours >= 0)
		close(*ours);
	if (pipe2(p, O_CLOEXEC) < 0)
		return -errno;
	*ours = p[0];
	*theirs = p[1];
	return 0;
}

static int spawn(struct executing *x)
{
	int theirs = -1, err = open_ends(&x->fd, &theirs);

	if (err)
		return err;
	x->pid = fork();
	if (x->pid == 0) {
		setpgid(0, 0);
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		signal(SIGPIPE, SIG_DFL);
		dup2(theirs, STDOUT_FILENO);
		dup2(theirs, STDERR_FILENO);
		execl("/bin/sh", "sh", "-c", x->command, (char *)NULL);
		_exit(127);
	}
	err = x->pid < 0 ? -errno : 0;
	close(theirs);
	if (err) {
		x->pid = 0;
		close(x->fd);
		return err;
	}
	setpgid(x->pid, x->pid); /* the same in both, whoever comes first */
	fcntl(x->fd, F_SETFL, O_NONBLOCK);
	loop_child_add(x->loop, &x->child, x->pid, exited, x);
	loop_fd_add(x->loop, &x->watch, x->fd, LOOP_READ, readable, x);
	return 0;
}

/* What came after the last sample is one more, with its own length. As with the other loads it is
 * no line when it is too short for a figure a second, but counts in the total. */
static void take_rest(struct executing *x, uint64_t now)
{
	bool shown = now - x->last >= x->sample / 2;

	if (x->counts && now > x->last && (x->lines || shown))
		add_lines(x, now, shown);
}

/* Whether it failed, and why. */
static void judge(struct executing *x)
{
	const char *last = x->last_line[0] ? x->last_line : "(none)";

	if (!x->ended && x->exit)
		snprintf(x->why, sizeof(x->why), "%s %d; its last line: %s",
			 WIFEXITED(x->exit) ? "ended with status" : "was killed by signal",
			 WIFEXITED(x->exit) ? WEXITSTATUS(x->exit) : WTERMSIG(x->exit), last);
	else if (x->counts ? !x->all_lines : !x->figures)
		snprintf(x->why, sizeof(x->why),
			 "no line of its output fits the pattern %.300s; its last line: %s",
			 x->pattern, last);
}

static void print_json(struct executing *x, double seconds)
{
	struct json j;

	console_json_begin(&x->console, &j, "exec", seconds, x->interrupted);
	json_string(&j, "command", x->command);
	json_string(&j, "pattern", x->pattern);
	json_string(&j, "unit", x->unit);
	json_u64(&j, "lines", x->all_lines);
	if (x->why[0])
		json_string(&j, "error", x->why);
	console_json_end(&x->console, &j);
}

/* `ns`: how long it ran. */
static void print_summary(struct executing *x, uint64_t ns)
{
	double seconds = (double)ns / (double)SEC_NS;
	FILE *f = x->console.summary;

	if (x->console.json) {
		print_json(x, seconds);
	} else if (x->counts && x->all_lines) {
		fprintf(f, "exec: %llu line%s in %.3f s", (unsigned long long)x->all_lines,
			x->all_lines == 1 ? "" : "s", seconds);
		if (ns >= x->sample / 2)
			fprintf(f, ", %.6g %s", (double)x->all_lines / seconds, x->unit);
		putc('\n', f);
	} else if (x->figures) {
		fprintf(f, "exec: %llu figure%s in %.3f s: mean %.6g, least %.6g, most %.6g %s\n",
			(unsigned long long)x->figures, x->figures == 1 ? "" : "s", seconds,
			x->sum / (double)x->figures, x->least, x->most, x->unit);
	}
}

static int run(struct executing *x)
{
	int status = 1, err;
	uint64_t ns;

	x->loop = loop_new();
	err = x->loop ? 0 : -errno;
	if (!err)
		err = loop_signal_add(x->loop, &x->sigint, SIGINT, interrupt, x);
	if (!err)
		err = loop_signal_add(x->loop, &x->sigterm, SIGTERM, interrupt, x);
	console_start(&x->console);
	x->start = x->console.started_ns;
	if (!err)
		err = spawn(x);
	if (err) {
		log_error("%s: cannot be run: %s", x->command, strerror(-err));
		goto out;
	}
	if (x->duration)
		loop_timer_set(x->loop, &x->end, x->duration, end, x);
	if (x->counts)
		loop_timer_set(x->loop, &x->tick, x->sample, tick, x);
	loop_run(x->loop);
	close(x->fd);
	ns = clock_ns() - x->start;
	take_rest(x, ns);
	judge(x);
	print_summary(x, ns);
	status = x->why[0] ? 1 : 0;
	if (status)
		log_error("%s: %s", x->command, x->why);
out:
	loop_free(x->loop);
	console_free(&x->console);
	return status;
}

/* 0, or an exit status after an error line. */
static int choose_pattern(struct executing *x)
{
	const char *regex = x->pattern;
	char why[128];
	int err;

	for (size_t i = 0; i < ARRAY_SIZE(patterns); i++)
		if (strcmp(x->pattern, patterns[i].name) == 0) {
			regex = patterns[i].regex;
			x->unit = x->unit ? x->unit : patterns[i].unit;
		}
	x->unit = x->unit ? x->unit : "";
	x->counts = !regex;
	if (!regex)
		return 0;
	err = regcomp(&x->regex, regex, REG_EXTENDED | REG_NEWLINE);
	if (err || x->regex.re_nsub < 1) {
		if (err)
			regerror(err, &x->regex, why, sizeof(why));
		log_error("--pattern %s: %s; a name (see --help), or an extended regular "
			  "expression with the figure in parentheses",
			  x->pattern, err ? why : "it has no group");
		if (!err)
			regfree(&x->regex);
		return 2;
	}
	return 0;
}

int bench_exec(int argc, char **argv)
{
	struct executing x = {.sample = SEC_NS, .pattern = "lines"};
	const struct opt table[] = {
		{"pattern", OPT_STRING, &x.pattern, "NAME|REGEX",
		 "where its figures are: dbench, sysbench, sysbench-memory, fio, ping, lines (how "
		 "many), or an extended regular expression with the figure in a group (default: "
		 "lines)",
		 0, 0},
		{"unit", OPT_STRING, &x.unit, "UNIT", "of the figures (default: the pattern's)", 0,
		 0},
		{"sample", OPT_SECONDS, &x.sample, "S",
		 "with lines: from one sample to the next (default 1)", 10 * MS_NS, 3600 * SEC_NS},
		{"duration", OPT_SECONDS, &x.duration, "S",
		 "how long; 0: until it ends (default 0)", 0, 0},
		CONSOLE_OPTION(x.console),
		{0},
	};
	const struct opts o = {
		.name = "bench exec",
		.synopsis = "COMMAND [options]",
		.description = "Runs a shell command and takes figures from the lines it prints.",
		.table = table,
		.json = &x.console.json,
		.min_operands = 1,
		.max_operands = 1,
	};
	int n = opts_parse(&o, argc, argv), status;

	if (n < 0)
		return opts_exit(n);
	x.command = argv[1];
	status = choose_pattern(&x);
	if (status)
		return status;
	status = run(&x);
	if (!x.counts)
		regfree(&x.regex);
	return status;
}
