/* SPDX-License-Identifier: BSD-2-Clause */
/* The agent, and the link to it. */
#include "cmd/bench/agent.h"

#include <sys/socket.h>

#include "cmd/cmd.h"
#include "core/log.h"
#include "core/opts.h"
#include "tests/unit/cmd/bench/agent_rig.h"

#define LIMIT (30 * SEC_NS)

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

static void renew_link(void)
{
	agent_link_renew(&a);
	agent_link_renew(&a); /* once is enough */
}

static void outlive(void (*end_of_the_link)(void))
{
	agent_start();
	then = end_of_the_link;
	link_run();
	CHECK_EQ(readies, 2);
	CHECK_EQ(results, 1);
	CHECK_EQ(dones, 1);
	CHECK(!lost_link);
	/* One machine, one clock. */
	CHECK(clock_offset < (int64_t)clock_trip && -clock_offset < (int64_t)clock_trip);
	agent_stop();
}

static void test_loads_outlive_the_link(void)
{
	outlive(break_link);
}

static void test_a_new_link_instead_of_a_slow_one(void)
{
	outlive(renew_link);
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
		return cmd_bench(argc - 1, argv + 1);
	}
	rig_open();
	CHECK_RUN(test_loads_outlive_the_link);
	CHECK_RUN(test_a_new_link_instead_of_a_slow_one);
	CHECK_RUN(test_results_come_again_when_asked_again);
	CHECK_RUN(test_only_the_key_commands);
	CHECK_RUN(test_another_version_is_named);
	return rig_close() || CHECK_DONE();
}
