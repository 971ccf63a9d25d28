/* SPDX-License-Identifier: BSD-2-Clause */
/* vstor bench migrate: the founding study's experiments, one or all. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "cmd/bench/bench.h"
#include "cmd/bench/experiment.h"
#include "cmd/bench/report.h"
#include "core/bytes.h"
#include "core/log.h"
#include "core/opts.h"

struct migrating {
	struct experiment_options o;
	const char *output, *back;
	bool json, all, moved; /* moved: the last test has moved the guest */
	struct experiment x;
	struct loop_signal sigint, sigterm;
};

static void interrupt(void *arg, int signo)
{
	struct migrating *m = arg;

	(void)signo;
	experiment_interrupt(&m->x);
}

/* NAME.json, or with --test all NAME-N.json; the caller's to free. */
static char *name_of(const struct migrating *m, unsigned test)
{
	const char *dot = strrchr(m->output, '.');
	char *name = NULL;
	int n;

	if (!m->all)
		return strdup(m->output);
	n = dot ? (int)(dot - m->output) : (int)strlen(m->output);
	if (asprintf(&name, "%.*s-%u%s", n, m->output, test, dot ? dot : ".json") < 0)
		return NULL;
	return name;
}

/* 0 or -errno (logged). */
static int save(const struct experiment *x, const char *name)
{
	FILE *f = fopen(name, "we");
	int err = f ? 0 : -errno;

	if (f) {
		experiment_write(x, f);
		if (ferror(f))
			err = -EIO;
		if (fclose(f) != 0 && !err)
			err = -errno;
	}
	if (err)
		log_error("%s: cannot be written: %s", name, strerror(-err));
	return err;
}

/* 0 or -errno (logged). */
static int print(const char *name, bool json)
{
	int err = report_written(stdout, name, json);

	if (!json)
		printf("\nThe run is in %s; `vstor bench report %s -o report.html` draws it.\n",
		       name, name);
	return err;
}

/* One test, from its first sample to its file. 0, or an exit status. */
static int measure(struct migrating *m, unsigned test)
{
	struct experiment *x = &m->x;
	char *name = name_of(m, test);
	int status;

	m->moved = false;
	*x = (struct experiment){.o = m->o};
	x->o.test = test;
	status = name ? experiment_loads(x) : 1;
	if (status)
		goto out;
	x->loop = loop_new();
	if (!x->loop) {
		log_error("%s", strerror(errno));
		status = 1;
		goto out;
	}
	loop_signal_add(x->loop, &m->sigint, SIGINT, interrupt, m);
	loop_signal_add(x->loop, &m->sigterm, SIGTERM, interrupt, m);
	status = experiment_run(x);
	m->moved = x->to && !x->tool.status;
	if (x->start) {
		if (save(x, name) || print(name, m->json))
			status = 1;
		if (x->interrupted) {
			log_error("cut off: %s has what was measured until then", name);
			status = 1;
		}
		if (!m->moved || x->incomplete)
			status = 1;
	}
	experiment_fini(x);
	loop_free(x->loop);
out:
	free(name);
	return status;
}

/* The status of the command, as of system(3). With --json its words are not ours to mix with. */
static int bring_back(const struct migrating *m)
{
	char *command = NULL;
	int status = -1;

	fflush(stdout);
	if (asprintf(&command, "%s%s%s", m->json ? "{ " : "", m->back, m->json ? "\n} >&2" : "") >=
	    0)
		status = system(command); // NOLINT: the user's own command
	free(command);
	return status;
}

static int measure_all(struct migrating *m)
{
	int failed = 0;

	for (unsigned test = 1; test <= EXPERIMENT_TESTS && !m->x.interrupted; test++) {
		int status = measure(m, test);

		if (status == 2)
			return 2;
		failed |= status;
		if (m->moved && test < EXPERIMENT_TESTS) {
			status = bring_back(m);
			if (status) {
				log_error("%s: ended with status %d: the guest is not back for the "
					  "next test",
					  m->back, WIFEXITED(status) ? WEXITSTATUS(status) : -1);
				return 1;
			}
		}
	}
	return failed;
}

/*
 * Where our words end: at HOST, the second operand. What follows is vstor migrate's. `table`: ours,
 * to know which take an argument.
 */
static int own_words(int argc, char **argv, const struct opt *table)
{
	int operands = 0;

	for (int i = 1; i < argc; i++) {
		bool takes = false;

		if (strncmp(argv[i], "--", 2) != 0) {
			if (argv[i][0] != '-' && ++operands == 2)
				return i + 1;
			continue;
		}
		for (const struct opt *o = table; o->name; o++)
			if (strcmp(argv[i] + 2, o->name) == 0)
				takes = o->type != OPT_FLAG;
		if (strcmp(argv[i], "--log-level") == 0 || strcmp(argv[i], "--log") == 0)
			takes = true;
		i += takes;
	}
	return argc;
}

static int check(struct migrating *m, const char *test)
{
	uint64_t n;

	m->all = strcmp(test, "all") == 0;
	if (!m->all && (parse_u64(test, &n) || n < 1 || n > EXPERIMENT_TESTS)) {
		log_error("--test %s: 1 to 7, or all", test);
		return 2;
	}
	m->o.test = m->all ? 0 : (unsigned)n;
	if (!m->o.guest) {
		log_error("--guest is needed: the address of the guest, where `vstor bench agent` "
			  "runs");
		return 2;
	}
	if (m->all && !m->back) {
		log_error("--test all moves the guest seven times: say by --back 'COMMAND' what "
			  "brings it back here each time");
		return 2;
	}
	for (const char *const *w = m->o.migrate; !m->o.key_file && *w; w++) {
		if (strcmp(*w, "--key-file") == 0)
			m->o.key_file = w[1];
		else if (strncmp(*w, "--key-file=", 11) == 0)
			m->o.key_file = *w + 11;
	}
	m->o.key_file = agent_key_file(m->o.key_file);
	if (!m->o.key_file) {
		log_error("--key-file is needed, for there is no " AGENT_KEY_FILE
			  ": copy the secret of the agent in the guest there");
		return 2;
	}
	if (!m->o.agent)
		m->o.agent = m->o.guest;
	return 0;
}

int bench_migrate(int argc, char **argv)
{
	static struct migrating m = {.o = {.directory = "/var/tmp",
					   .pattern = "lines",
					   .dirty = 64 << 20,
					   .warmup = 10 * SEC_NS,
					   .before = 60 * SEC_NS,
					   .after = 60 * SEC_NS},
				     .output = "vstor-migrate.json"};
	const char *test = NULL;
	const struct opt table[] = {
		{"test", OPT_STRING, &test, "N",
		 "of the study's: 1 disk, 2 CPU, 3 memory, 4 ping only, 5 these at once, 6 a "
		 "compiler, 7 memory written faster than a link carries it; or all",
		 0, 0},
		{"guest", OPT_STRING, &m.o.guest, "ADDR", "the guest, to be pinged", 0, 0},
		{"agent", OPT_STRING, &m.o.agent, "ADDR[:PORT]",
		 "of its agent (default: as --guest, port 7003)", 0, 0},
		{"host-agent", OPT_STRING, &m.o.far_agent, "ADDR[:PORT]",
		 "an agent on HOST, with the same key: how busy it is (default: none)", 0, 0},
		{"key-file", OPT_STRING, &m.o.key_file, "F",
		 "the agent's secret (default: that for vstor migrate, or " AGENT_KEY_FILE ")", 0,
		 0},
		{"output", OPT_STRING, &m.output, "FILE",
		 "where the run goes (default: vstor-migrate.json; with all: -N before .json)", 0,
		 0},
		{"with", OPT_STRING, &m.o.with, "COMMAND",
		 "migrate by this, such as 'xl migrate DOMAIN HOST' (default: vstor migrate)", 0,
		 0},
		{"back", OPT_STRING, &m.back, "COMMAND",
		 "with all: brings the guest back between two tests", 0, 0},
		{"directory", OPT_STRING, &m.o.directory, "DIR",
		 "in the guest, for the disk's load (default: /var/tmp)", 0, 0},
		{"compile", OPT_STRING, &m.o.compile, "COMMAND",
		 "test 6: run in the guest; a line of its output is a file compiled", 0, 0},
		{"exec", OPT_STRING, &m.o.exec, "COMMAND",
		 "in the guest, instead of the test's loads: any program that prints figures", 0,
		 0},
		{"pattern", OPT_STRING, &m.o.pattern, "NAME|REGEX",
		 "of them, as for `bench exec` (default: lines)", 0, 0},
		{"label", OPT_STRING, &m.o.label, "TEXT",
		 "what reports call the run (default: test and tool)", 0, 0},
		{"dirty", OPT_SIZE, &m.o.dirty, "SIZE",
		 "test 7: so much memory is written over and over (default: 64M)", 4096, 0},
		{"warmup", OPT_SECONDS, &m.o.warmup, "S",
		 "of the loads; the study's was 80 (default: 10)", 0, 0},
		{"before", OPT_SECONDS, &m.o.before, "S",
		 "at least so long before, then until the loads are steady (default: 60)", 0, 0},
		{"after", OPT_SECONDS, &m.o.after, "S", "so long after (default: 60)", 0, 0},
		{0},
	};
	const struct opts o = {
		.name = "bench migrate",
		.synopsis = "--test 1..7|all --guest ADDR [options] DOMAIN HOST [options of "
			    "vstor migrate]",
		.description = "Moves a guest under load, and measures before, during and after. "
			       "`vstor bench\nagent` runs in the guest.",
		.table = table,
		.json = &m.json,
		.min_operands = 2,
		.max_operands = 2,
		.epilog = "Exit status: 0 moved and measured; 1 not, or not all: what there is, is "
			  "in the file.",
	};
	int own = own_words(argc, argv, table), n, status;
	char **rest = argv + own;
	char *domain_host[2];

	/* argv ends with NULL, and so does what is migrate's. */
	m.o.migrate = (const char *const *)rest;
	n = opts_parse(&o, own, argv);
	if (n < 0)
		return opts_exit(n);
	memcpy(domain_host, argv + 1, sizeof(domain_host));
	m.o.domain = domain_host[0];
	m.o.host = domain_host[1];
	if (!test) {
		log_error("--test is needed: 1 to 7, or all");
		return 2;
	}
	status = check(&m, test);
	if (status)
		return status;
	return m.all ? measure_all(&m) : measure(&m, m.o.test);
}
