/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * `vstor bench migrate` on this machine: the "guest" is the loopback, and what migrates is this
 * program, as `vstor migrate`, or a shell command.
 */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cmd/bench/bench.h"
#include "cmd/bench/run_file.h"
#include "cmd/cmd.h"
#include "core/log.h"
#include "core/opts.h"
#include "tests/unit/cmd/bench/agent_rig.h"

static char out[64];
static char said[1 << 16], given[1 << 16];

/* ---- this program as others ---- */

/* SILENCE: a time of the monotonic clock, ms. The guest is stopped a second after it for 12.5 ms,
 * and misses the pings of the 800 ms from 0.9 s on. */
#define SILENCE "VSTOR_TEST_SILENCE"

static int migrate_as_asked(void)
{
	const char *silence = getenv(SILENCE);

	fputs("guest1: copy, round 1\n", stderr);
	usleep(200000);
	printf("{\"domain\":\"guest1\",\"host\":\"hostb\",\"result\":\"moved\",");
	if (silence)
		printf("\"stopped_monotonic_ms\":%llu,", strtoull(silence, NULL, 10) + 1000);
	puts("\"downtime_ms\":12.5,\"total_s\":0.2,"
	     "\"each_round\":[{\"at_s\":0.05,\"seconds\":0.1,\"speed_percent\":40}]}");
	return 0;
}

static int ping_as_asked(void)
{
	sigset_t set;
	int signo;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	sigwait(&set, &signo);
	printf("{\"bench\":\"ping\",\"started_monotonic_ms\":%s,\"longest_gap_ms\":3000,"
	       "\"longest_gap_start_ms\":2000,\"loss_runs\":[{\"start_ms\":100,\"ms\":850},"
	       "{\"start_ms\":900,\"ms\":800},{\"start_ms\":2000,\"ms\":3000}],\"samples\":[]}\n",
	       getenv(SILENCE));
	return 0;
}

static void read_file(const char *path, char *to, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = read(fd, to, size - 1);

	to[n < 0 ? 0 : n] = '\0';
	close(fd);
}

/* Runs `bench migrate WORDS...` (in ' ' separated words; _ stands for a space in one); its exit
 * status; what it said on stderr is in `said`, on stdout in `given`. signo: sent once `wait` has
 * been created. */
static int run(const char *words, int signo, const char *wait)
{
	static char copy[1024];
	char *args[40], path[128], results[128];
	int argc = 0, status;
	pid_t pid;

	snprintf(copy, sizeof(copy), "migrate %s", words);
	for (char *w = strtok(copy, " "); w; w = strtok(NULL, " "))
		args[argc++] = w;
	args[argc] = NULL;
	for (int i = 0; i < argc; i++)
		for (char *p = args[i]; (p = strchr(p, '_'));)
			*p = ' ';
	snprintf(path, sizeof(path), "%s/said", dir);
	snprintf(results, sizeof(results), "%s/given", dir);
	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		if (!freopen(path, "w", stderr) || !freopen(results, "w", stdout))
			_exit(126);
		log_init("vstor bench migrate");
		exit(bench_migrate(argc, args));
	}
	if (signo) {
		for (int i = 0; i < 1000 && access(wait, F_OK) != 0; i++)
			usleep(10000);
		unlink(wait);
		kill(pid, signo);
	}
	waitpid(pid, &status, 0);
	read_file(path, said, sizeof(said));
	read_file(results, given, sizeof(given));
	if (strstr(said, "ERROR: ") || strstr(said, "runtime error"))
		printf("# %s\n", said);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static const struct series *series_of(const struct run *r, const char *name)
{
	for (size_t i = 0; i < r->n; i++)
		if (strcmp(r->series[i].name, name) == 0)
			return &r->series[i];
	return NULL;
}

#define TIMES "--warmup 0 --before 0.4 --after 0.4"

/* ---- bench migrate ---- */

static void test_measures_a_migration(void)
{
	char words[512];
	struct run r;
	const struct series *s;
	yajl_val events;
	char far[64];
	pid_t far_pid;

	agent_start();
	far_pid = agent_pid;
	strcpy(far, where);
	agent_start();
	snprintf(words, sizeof(words),
		 "--test 5 --guest 127.0.0.1 --agent %s --host-agent %s --key-file %s --directory "
		 "%s --output %s --warmup 0 --before 1.2 --after 0.4 guest1 hostb --max-downtime 7",
		 where, far, key, dir, out);
	CHECK_EQ(run(words, 0, NULL), 0);
	CHECK(strstr(said, "test 5, step 2 of 6: the link to the other host is measured\n"));
	CHECK(strstr(said, "test 5, step 3 of 6: before the migration, until steady; at least 2 s "
			   "left\n"));
	CHECK(strstr(said, "test 5, step 6 of 6: "));
	if (!CHECK_EQ(run_read(&r, out), 0))
		return;
	CHECK(r.moves && r.from == 0 && r.to >= 0.2);
	CHECK_EQ((int)(r.gap[0] * 10), 125);
	CHECK(isnan(r.first_reply)); /* it does not say when the guest stood still */
	/* The host that it goes to, and the way there. */
	CHECK(strstr(run_text(run_get(r.tree, "environment"), "other host"), "CPUs"));
	CHECK(run_number(run_get(r.tree, "environment"), "link to it, measured, Mbit/s") > 1);
	CHECK(r.gap[1] >= 0); /* the guest's clock is ours */
	CHECK(r.gap[2] > 0);
	CHECK_STR(run_text(r.migration, "result"), "moved");
	CHECK_STR(run_text(run_get(r.tree, "environment"), "its options"), "--max-downtime 7");
	events = run_get(r.tree, "events");
	CHECK(YAJL_IS_ARRAY(events) && YAJL_GET_ARRAY(events)->len == 1);
	CHECK(!run_true(r.tree, "interrupted"));
	/* All loads, on one time line, until after the migration. */
	static const char *const names[] = {"ping", "this host", "other host",
					    "disk", "cpu",	 "memory"};
	for (int i = 0; i < 6; i++) {
		s = series_of(&r, names[i]);
		if (CHECK(s && s->n > 0))
			CHECK(s->p[0].from > -30 && s->p[0].from < r.to + 30);
	}
	s = series_of(&r, "guest's speed");
	if (CHECK(s && s->n == 1))
		CHECK(s->p[0].rate > 39.9 && s->p[0].from > r.from && s->p[0].to < r.from + 0.2);
	run_free(&r);
	unlink(out);
	agent_stop();
	agent_pid = far_pid;
	agent_stop();
}

/* From the end of the downtime to the end of the silence that it fell into. */
static void test_first_reply(void)
{
	char words[512], ms[32];
	struct run r;

	agent_start();
	snprintf(ms, sizeof(ms), "%llu", (unsigned long long)(clock_ns() / MS_NS));
	setenv(SILENCE, ms, 1);
	snprintf(words, sizeof(words),
		 "--test 4 --guest 127.0.0.1 --agent %s --key-file %s --output %s " TIMES
		 " guest1 hostb",
		 where, key, out);
	CHECK_EQ(run(words, 0, NULL), 0);
	CHECK_EQ(run_read(&r, out), 0);
	CHECK(fabs(r.first_reply - (1700 - 1012.5)) < 1e-3);
	/* Without an agent there nothing is known of the link: that is shown. */
	CHECK(YAJL_IS_NULL(
		run_get(run_get(r.tree, "environment"), "link to it, measured, Mbit/s")));
	run_free(&r);
	unsetenv(SILENCE);
	/* Without one there is a step less, too. */
	CHECK(strstr(said, "test 4, step 1 of 5: the guest's agent is called\ntest 4, step 2 of 5: "
			   "before"));
	unlink(out);
	agent_stop();
}

/* The host that it goes to can be done without; what is not known of it is named. */
static void test_no_agent_on_the_other_host(void)
{
	char words[512];
	struct run r;
	yajl_val missing;

	agent_start();
	snprintf(words, sizeof(words),
		 "--test 4 --guest 127.0.0.1 --agent %s --host-agent 127.0.0.1:1 --key-file %s "
		 "--output %s " TIMES " guest1 hostb",
		 where, key, out);
	CHECK_EQ(run(words, 0, NULL), 1);
	CHECK_EQ(run_read(&r, out), 0);
	missing = run_get(r.tree, "missing");
	if (CHECK(YAJL_IS_ARRAY(missing) && YAJL_GET_ARRAY(missing)->len == 1))
		CHECK(strstr(YAJL_GET_ARRAY(missing)->values[0]->u.string, "the other host"));
	CHECK(series_of(&r, "ping") && series_of(&r, "this host") && !series_of(&r, "other host"));
	run_free(&r);
	unlink(out);
	agent_stop();
}

static void test_another_tool_and_one_that_fails(void)
{
	static char kept[sizeof(given)];
	char words[512];
	const struct series *s;
	struct run r;
	yajl_val missing;

	agent_start();
	snprintf(words, sizeof(words),
		 "-q --json --test 4 --guest 127.0.0.1 --agent %s --output %s " TIMES
		 " --with true guest1 hostb --key-file %s",
		 where, out, key);
	CHECK_EQ(run(words, 0, NULL), 0);
	CHECK_STR(said, "");
	read_file(out, kept, sizeof(kept));
	CHECK(kept[0] == '{' && strchr(kept, '\n') == kept + strlen(kept) - 1);
	CHECK_STR(given, kept);
	CHECK_EQ(run_read(&r, out), 0);
	CHECK(r.moves && !r.migration);
	CHECK_STR(r.tool, "true");
	run_free(&r);
	/* vstor migrate --json elsewhere, and a program in the place of the test's loads. */
	snprintf(
		words, sizeof(words),
		"--test 1 --guest 127.0.0.1 --agent %s --output %s " TIMES
		" --exec while_:;do_echo_7_MB/sec;sleep_0.1;done --pattern ([0-9]+)_MB --label two "
		"--with echo_'{\"domain\":\"g\",\"result\":\"moved\"}' guest1 hostb --key-file %s",
		where, out, key);
	CHECK_EQ(run(words, 0, NULL), 0);
	CHECK_EQ(run_read(&r, out), 0);
	CHECK_STR(r.title, "test 1, two");
	CHECK_STR(run_text(r.migration, "result"), "moved");
	s = series_of(&r, "([0-9]+) MB");
	CHECK(s && s->n > 0 && s->p[0].rate > 6.9 && s->p[0].rate < 7.1);
	run_free(&r);
	snprintf(words, sizeof(words),
		 "--test 4 --guest 127.0.0.1 --agent %s --output %s " TIMES
		 " --with echo_no_room>&2;exit_3 guest1 hostb --key-file %s",
		 where, out, key);
	CHECK_EQ(run(words, 0, NULL), 1);
	CHECK(strstr(said, "status 3: no room"));
	CHECK_EQ(run_read(&r, out), 0);
	missing = run_get(r.tree, "missing");
	if (CHECK(YAJL_IS_ARRAY(missing) && YAJL_GET_ARRAY(missing)->len == 1))
		CHECK(strstr(YAJL_GET_ARRAY(missing)->values[0]->u.string, "no room"));
	run_free(&r);
	unlink(out);
	agent_stop();
}

/* A load that fails in the guest is named, and the rest is measured. */
static void test_a_load_that_fails(void)
{
	char words[512];
	struct run r;

	agent_start();
	snprintf(words, sizeof(words),
		 "--test 1 --guest 127.0.0.1 --agent %s --key-file %s --directory /nonexistent "
		 "--output %s " TIMES " guest1 hostb",
		 where, key, out);
	CHECK_EQ(run(words, 0, NULL), 1);
	CHECK(strstr(said, "the load disk in the guest") && strstr(said, "/nonexistent"));
	CHECK_EQ(run_read(&r, out), 0);
	CHECK(series_of(&r, "ping") && !series_of(&r, "disk"));
	run_free(&r);
	unlink(out);
	agent_stop();
}

/* A Ctrl-C keeps what was measured and says so. */
static void test_interrupt_keeps_what_there_is(void)
{
	char words[512], sign[96];
	struct run r;

	agent_start();
	snprintf(sign, sizeof(sign), "%s/sign", dir);
	snprintf(words, sizeof(words),
		 "--test 2 --guest 127.0.0.1 --agent %s --key-file %s --output %s --warmup 0 "
		 "--before 0.4 --after 3600 --with touch_%s;sleep_0.3 guest1 hostb",
		 where, key, out, sign);
	CHECK_EQ(run(words, SIGINT, sign), 1);
	CHECK(strstr(said, "cut off"));
	CHECK_EQ(run_read(&r, out), 0);
	CHECK(run_true(r.tree, "interrupted"));
	CHECK(series_of(&r, "ping") && series_of(&r, "cpu"));
	run_free(&r);
	unlink(out);
	agent_stop();
}

static void test_all_tests_come_back_in_between(void)
{
	char words[600], name[128], count[128];
	unsigned objects = 0;
	struct stat st;

	agent_start();
	snprintf(count, sizeof(count), "%s/count", dir);
	snprintf(words, sizeof(words),
		 "--json --test all --guest 127.0.0.1 --agent %s --key-file %s --output %s "
		 "--directory %s "
		 "--warmup 0 --before 0.1 --after 0.1 --compile while_:;do_echo_x;sleep_0.1;done "
		 "--dirty 1M --with true --back echo_>>%s;echo_back guest1 hostb",
		 where, key, out, dir, count);
	CHECK_EQ(run(words, 0, NULL), 0);
	for (int i = 1; i <= 7; i++) {
		struct run r;

		snprintf(name, sizeof(name), "%.*s-%d.json", (int)strlen(out) - 5, out, i);
		CHECK_EQ(run_read(&r, name), 0);
		CHECK_EQ((int)r.test, i);
		run_free(&r);
		unlink(name);
	}
	CHECK(stat(count, &st) == 0 && st.st_size == 6);
	/* An object a line, and the other command's words elsewhere. */
	for (const char *c = given; *c; c += strcspn(c, "\n") + 1)
		objects += *c == '{';
	CHECK_EQ(objects, 7);
	CHECK(!strstr(given, "\nback") && strstr(said, "back\n"));
	unlink(count);
	agent_stop();
}

static void test_bad_words(void)
{
	static const struct {
		const char *words;
		int status;
	} wrong[] = {
		{"", 2},
		{"guest1 hostb", 2},
		{"--test 8 --guest 127.0.0.1 guest1 hostb", 2},
		{"--test 1 guest1 hostb", 2},
		{"--test all --guest 127.0.0.1 --key-file x guest1 hostb", 2},
		{"--test 6 --guest 127.0.0.1 --key-file x guest1 hostb", 2},
		{"--test 1 --guest 127.0.0.1 --key-file /nonexistent guest1 hostb", 1},
		{"--test 1 --guest 127.0.0.1 guest1 hostb --key-file /nonexistent", 1},
	};
	char words[256];

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		unsigned lines = 0;

		if (!CHECK_EQ(run(wrong[i].words, 0, NULL), wrong[i].status))
			printf("# %s: %s", wrong[i].words, said);
		for (const char *c = said; *c; c++)
			lines += *c == '\n';
		CHECK_EQ(lines, 1);
	}
	/* Nobody is there: port 1 of the loopback. */
	snprintf(words, sizeof(words),
		 "--test 4 --guest 127.0.0.1 --agent 127.0.0.1:1 --key-file %s guest1 hostb", key);
	CHECK_EQ(run(words, 0, NULL), 1);
	CHECK(strstr(said, "127.0.0.1:1") && strstr(said, "vstor bench agent"));
	CHECK(access("vstor-migrate.json", F_OK) != 0);
}

int main(int argc, char **argv)
{
	opts_version = "vstor test";
	if (argc > 1 && strcmp(argv[0], "vstor") == 0) {
		log_init("vstor");
		if (strcmp(argv[1], "migrate") == 0)
			return migrate_as_asked();
		if (argc > 2 && strcmp(argv[2], "ping") == 0 && getenv(SILENCE))
			return ping_as_asked();
		return cmd_bench(argc - 1, argv + 1);
	}
	rig_open();
	snprintf(out, sizeof(out), "%s/run.json", dir);
	CHECK_RUN(test_measures_a_migration);
	CHECK_RUN(test_first_reply);
	CHECK_RUN(test_no_agent_on_the_other_host);
	CHECK_RUN(test_another_tool_and_one_that_fails);
	CHECK_RUN(test_a_load_that_fails);
	CHECK_RUN(test_interrupt_keeps_what_there_is);
	CHECK_RUN(test_all_tests_come_back_in_between);
	CHECK_RUN(test_bad_words);
	return rig_close() || CHECK_DONE();
}
