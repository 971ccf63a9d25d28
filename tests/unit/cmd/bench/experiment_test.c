/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The agent, the link to it, and `vstor bench migrate` around both, on this machine: the "guest" is
 * the loopback, and what migrates is this program, as `vstor migrate`, or a shell command.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cmd/bench/agent.h"
#include "cmd/bench/bench.h"
#include "cmd/bench/run_file.h"
#include "cmd/cmd.h"
#include "core/log.h"
#include "core/opts.h"
#include "tests/unit/check.h"

#define LIMIT (30 * SEC_NS)

static char dir[] = "/tmp/vstor-experiment-XXXXXX";
static char key[64], out[64], where[64];
static char said[1 << 16];
static pid_t agent_pid;

/* ---- this program as others ---- */

static int migrate_as_asked(void)
{
	fputs("guest1: copy, round 1\n", stderr);
	usleep(200000);
	puts("{\"domain\":\"guest1\",\"host\":\"hostb\",\"result\":\"moved\",\"downtime_ms\":12.5,"
	     "\"total_s\":0.2,\"each_round\":[{\"at_s\":0.05,\"seconds\":0.1,\"speed_percent\":40}]"
	     "}");
	return 0;
}

/* ---- parts ---- */

static void write_key(const char *name, const char *text)
{
	int fd;

	snprintf(key, sizeof(key), "%s/%s", dir, name);
	fd = open(key, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		abort();
	close(fd);
}

static void agent_start(void)
{
	char fd[16], text[16] = "";
	int p[2];

	if (pipe(p) < 0)
		abort();
	fflush(NULL);
	agent_pid = fork();
	if (agent_pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		snprintf(fd, sizeof(fd), "%d", p[1]);
		close(p[0]);
		execl("/proc/self/exe", "vstor", "bench", "agent", "--listen", "127.0.0.1:0",
		      "--key-file", key, "--ready-fd", fd, NULL);
		_exit(127);
	}
	close(p[1]);
	CHECK(read(p[0], text, sizeof(text) - 1) > 1);
	close(p[0]);
	snprintf(where, sizeof(where), "127.0.0.1:%d", atoi(text));
}

static void agent_stop(void)
{
	int status;

	kill(agent_pid, SIGTERM);
	waitpid(agent_pid, &status, 0);
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* Runs `bench migrate WORDS...` (in ' ' separated words; _ stands for a space in one); its exit
 * status; what it said on stderr is in `said`. signo: sent once `wait` has been created. */
static int run(const char *words, int signo, const char *wait)
{
	static char copy[1024];
	char *args[40], path[128];
	int argc = 0, status, fd;
	ssize_t n;
	pid_t pid;

	snprintf(copy, sizeof(copy), "migrate %s", words);
	for (char *w = strtok(copy, " "); w; w = strtok(NULL, " "))
		args[argc++] = w;
	args[argc] = NULL;
	for (int i = 0; i < argc; i++)
		for (char *p = args[i]; (p = strchr(p, '_'));)
			*p = ' ';
	snprintf(path, sizeof(path), "%s/said", dir);
	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		if (!freopen(path, "w", stderr) || !freopen("/dev/null", "w", stdout))
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
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = read(fd, said, sizeof(said) - 1);
	said[n < 0 ? 0 : n] = '\0';
	close(fd);
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
	if (!CHECK_EQ(run_read(&r, out), 0))
		return;
	CHECK(r.moves && r.from >= 0.4 && r.to >= r.from + 0.2);
	CHECK_EQ((int)(r.gap[0] * 10), 125);
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
			CHECK(s->p[0].from > -1 && s->p[0].from < r.to + 30);
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

static void test_another_tool_and_one_that_fails(void)
{
	char words[512];
	const struct series *s;
	struct run r;
	yajl_val missing;

	agent_start();
	snprintf(words, sizeof(words),
		 "--test 4 --guest 127.0.0.1 --agent %s --output %s " TIMES
		 " --with true guest1 hostb --key-file %s",
		 where, out, key);
	CHECK_EQ(run(words, 0, NULL), 0);
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
	CHECK_EQ(run(words, 0, NULL), 0);
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
	struct stat st;

	agent_start();
	snprintf(count, sizeof(count), "%s/count", dir);
	snprintf(words, sizeof(words),
		 "--test all --guest 127.0.0.1 --agent %s --key-file %s --output %s --directory %s "
		 "--warmup 0 --before 0.1 --after 0.1 --compile while_:;do_echo;sleep_0.1;done "
		 "--dirty 1M --with true --back echo_>>%s guest1 hostb",
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
		{"--test 1 --guest 127.0.0.1 guest1 hostb", 2},
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

/* ---- the link ---- */

static struct loop *l;
static struct agent_link a;
static struct loop_timer guard;
static unsigned readies, results, dones;
static bool lost_link, late;
static char lost_text[CHANNEL_TEXT_MAX];
static int64_t clock_offset;
static uint64_t clock_trip;
static size_t result_length;
static void (*then)(void); /* on the next sample */

static void on_ready(void *arg, const char *what)
{
	static const char *const words[] = {"cpu",  "--prime",	  "500", "--sample",
					    "0.02", "--duration", "0",	 NULL};

	(void)arg;
	CHECK(strstr(what, "CPUs"));
	if (readies++ == 0) {
		agent_link_reset(&a);
		agent_link_start(&a, 1, words);
		agent_link_ask_clock(&a);
	} else {
		agent_link_stop(&a); /* what was sampled meanwhile is there */
	}
}

static void on_clock(void *arg, int64_t offset, uint64_t trip)
{
	(void)arg;
	clock_offset = offset;
	clock_trip = trip;
}

static void on_line(void *arg, unsigned id, const char *text)
{
	void (*fn)(void) = then;

	(void)arg;
	CHECK_EQ(id, 1);
	CHECK(strchr(text, ','));
	if (clock_trip && fn) {
		then = NULL;
		fn();
	}
}

static void on_failed(void *arg, unsigned id, const char *text)
{
	(void)arg;
	printf("# load %u failed: %s\n", id, text);
	CHECK(!text);
}

static void on_result(void *arg, unsigned id, struct buf *json, int status, const char *text)
{
	(void)arg;
	(void)text;
	CHECK_EQ(id, 1);
	CHECK_EQ(status, 0);
	CHECK(json->len > 100 && json->data[0] == '{');
	result_length = json->len;
	results++;
	buf_free(json);
}

static void on_done(void *arg)
{
	(void)arg;
	dones++;
	loop_stop(l, 0);
}

static void on_lost(void *arg, const char *text)
{
	(void)arg;
	lost_link = true;
	snprintf(lost_text, sizeof(lost_text), "%s", text);
	loop_stop(l, 0);
}

static const struct agent_ops ops = {.ready = on_ready,
				     .clock = on_clock,
				     .line = on_line,
				     .failed = on_failed,
				     .result = on_result,
				     .done = on_done,
				     .lost = on_lost};

static void too_late(void *arg)
{
	(void)arg;
	late = true;
	loop_stop(l, 0);
}

static void link_run(void)
{
	readies = results = dones = 0;
	lost_link = late = false;
	clock_trip = 0;
	l = loop_new();
	CHECK_EQ(agent_link_open(l, &a, where, key, &ops, NULL), 0);
	loop_timer_set(l, &guard, LIMIT, too_late, NULL);
	loop_run(l);
	CHECK(!late);
	loop_timer_del(l, &guard);
	agent_link_close(&a);
	loop_free(l);
}

static void break_link(void)
{
	shutdown(channel_socket(a.channel), SHUT_RDWR);
}

static void test_loads_outlive_the_link(void)
{
	agent_start();
	then = break_link;
	link_run();
	CHECK_EQ(readies, 2);
	CHECK_EQ(results, 1);
	CHECK_EQ(dones, 1);
	CHECK(!lost_link);
	/* One machine, one clock. */
	CHECK(clock_offset < (int64_t)clock_trip && -clock_offset < (int64_t)clock_trip);
	agent_stop();
}

static void stop_now(void)
{
	agent_link_stop(&a);
}

static void test_results_come_again_when_asked_again(void)
{
	size_t first;

	agent_start();
	then = stop_now;
	link_run();
	CHECK_EQ(results, 1);
	first = result_length;
	readies = 1; /* the second time it only asks */
	l = loop_new();
	results = 0;
	CHECK_EQ(agent_link_open(l, &a, where, key, &ops, NULL), 0);
	loop_timer_set(l, &guard, LIMIT, too_late, NULL);
	loop_run(l);
	CHECK_EQ(results, 1);
	CHECK_EQ(result_length, first);
	loop_timer_del(l, &guard);
	agent_link_close(&a);
	loop_free(l);
	agent_stop();
}

static void test_only_the_key_commands(void)
{
	agent_start();
	write_key("other", "another secret of 32 bytes......");
	link_run();
	CHECK(lost_link && readies == 0);
	CHECK(strstr(lost_text, "key"));
	snprintf(key, sizeof(key), "%s/key", dir);
	agent_stop();
}

static bool other_frame(void *arg, uint8_t type, const uint8_t *p, size_t n)
{
	static const uint8_t hello[] = {0, 0, 0, AGENT_VERSION + 1};

	(void)p;
	(void)n;
	if (type == AGENT_HELLO)
		channel_send(*(struct channel **)arg, AGENT_HELLO, hello, sizeof(hello));
	return true;
}

static void other_close(void *arg, int err, const char *text)
{
	(void)err;
	(void)text;
	channel_free(*(struct channel **)arg);
	*(struct channel **)arg = NULL;
}

static void other_accept(void *arg, struct channel *c)
{
	static const struct channel_ops o = {.on_frame = other_frame, .on_close = other_close};

	*(struct channel **)arg = c;
	channel_set_ops(c, &o, arg);
}

static void test_another_version_is_named(void)
{
	struct channel *c = NULL;
	struct channel_listener *s;
	struct channel_config cfg = {.server = true};
	struct channel_key k;
	char text[CHANNEL_TEXT_MAX];

	l = loop_new();
	CHECK_EQ(channel_key_load(&k, key, text), 0);
	cfg.key = &k;
	CHECK_EQ(channel_listen(l, "127.0.0.1", 0, &cfg, other_accept, &c, &s), 0);
	snprintf(where, sizeof(where), "127.0.0.1:%u", channel_listener_port(s));
	readies = 0;
	lost_link = late = false;
	CHECK_EQ(agent_link_open(l, &a, where, key, &ops, NULL), 0);
	loop_timer_set(l, &guard, LIMIT, too_late, NULL);
	loop_run(l);
	CHECK(!late && lost_link && readies == 0);
	CHECK(strstr(lost_text, "version"));
	loop_timer_del(l, &guard);
	agent_link_close(&a);
	channel_free(c);
	channel_listener_free(s);
	loop_free(l);
}

int main(int argc, char **argv)
{
	opts_version = "vstor test";
	if (argc > 1 && strcmp(argv[0], "vstor") == 0) {
		log_init("vstor");
		return strcmp(argv[1], "migrate") == 0 ? migrate_as_asked()
						       : cmd_bench(argc - 1, argv + 1);
	}
	if (!mkdtemp(dir))
		abort();
	write_key("key", "a secret of at least 16 bytes...");
	snprintf(out, sizeof(out), "%s/run.json", dir);
	CHECK_RUN(test_measures_a_migration);
	CHECK_RUN(test_another_tool_and_one_that_fails);
	CHECK_RUN(test_a_load_that_fails);
	CHECK_RUN(test_interrupt_keeps_what_there_is);
	CHECK_RUN(test_all_tests_come_back_in_between);
	CHECK_RUN(test_bad_words);
	CHECK_RUN(test_loads_outlive_the_link);
	CHECK_RUN(test_results_come_again_when_asked_again);
	CHECK_RUN(test_only_the_key_commands);
	CHECK_RUN(test_another_version_is_named);
	snprintf(said, sizeof(said), "rm -r %s", dir);
	return system(said) || CHECK_DONE();
}
