/* SPDX-License-Identifier: BSD-2-Clause */
/* In a network namespace of its own, where the test decides whether echoes are answered. */
#include "net/ping.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "tests/unit/check.h"

#define LIMIT	 (20 * SEC_NS)
#define INTERVAL (2 * MS_NS)

static struct loop *l;
static struct ping *p, *other;
static struct loop_timer guard, timer;
static unsigned replies, running;
static bool late;

static void set(const char *path, const char *value)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, value, strlen(value)) < 0)
		perror(path);
	close(fd);
}

static void answer_echoes(bool yes)
{
	set("/proc/sys/net/ipv4/icmp_echo_ignore_all", yes ? "0" : "1");
}

static void loopback(bool up)
{
	struct ifreq r = {.ifr_name = "lo", .ifr_flags = up ? IFF_UP : 0};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (ioctl(fd, SIOCSIFFLAGS, &r) < 0)
		perror("lo");
	close(fd);
}

static void too_late(void *arg)
{
	(void)arg;
	late = true;
	loop_stop(l, 0);
}

static void on_reply(void *arg, uint64_t seq, uint64_t rtt_ns)
{
	(void)arg, (void)seq, (void)rtt_ns;
	replies++;
}

static void on_finished(void *arg)
{
	(void)arg;
	if (--running == 0)
		loop_stop(l, 0);
}

static int start(const char *host, uint64_t count, struct ping **out)
{
	static const struct ping_events ev = {.reply = on_reply, .finished = on_finished};
	struct sockaddr_storage addr;
	socklen_t len;
	int err = ping_resolve(host, &addr, &len, NULL);

	if (!err)
		err = ping_new(l, (struct sockaddr *)&addr, len, INTERVAL, count, &ev, out);
	if (!err)
		running++;
	return err;
}

static void begin(void)
{
	l = loop_new();
	if (!l)
		abort();
	p = other = NULL;
	replies = running = 0;
	late = false;
	answer_echoes(true);
	loopback(true);
	loop_timer_set(l, &guard, LIMIT, too_late, NULL);
}

static void end(void)
{
	CHECK(!late);
	ping_free(p);
	ping_free(other);
	loop_timer_del(l, &guard);
	loop_timer_del(l, &timer);
	loop_free(l);
}

static void all_answered(const char *host)
{
	const struct ping_stats *s;

	begin();
	if (CHECK_EQ(start(host, 50, &p), 0)) {
		loop_run(l);
		s = ping_stats(p);
		CHECK_EQ(s->sent, 50);
		CHECK_EQ(s->received, 50);
		CHECK_EQ(replies, 50);
		CHECK_EQ(s->rtt.n, 50);
		CHECK_EQ(s->lost, 0);
		CHECK_EQ(s->runs, 0);
		CHECK_EQ(s->duplicates, 0);
		CHECK_EQ(s->send_errors, 0);
		CHECK(s->gap_ns > 0 && s->gap_ns < LIMIT);
	}
	end();
}

static void test_ipv4_raw(void)
{
	set("/proc/sys/net/ipv4/ping_group_range", "1 0");
	all_answered("127.0.0.1");
}

static void test_ipv6_raw(void)
{
	all_answered("::1");
}

static void test_ipv4_ping_socket(void)
{
	set("/proc/sys/net/ipv4/ping_group_range", "0 0");
	all_answered("127.0.0.1");
}

static void test_ipv6_ping_socket(void)
{
	all_answered("::1");
	set("/proc/sys/net/ipv4/ping_group_range", "1 0");
}

/* Each sees all replies of the host; each takes its own. */
static void test_two_at_once(void)
{
	begin();
	CHECK_EQ(start("127.0.0.1", 50, &p), 0);
	CHECK_EQ(start("127.0.0.1", 40, &other), 0);
	loop_run(l);
	CHECK_EQ(ping_stats(p)->received, 50);
	CHECK_EQ(ping_stats(p)->duplicates, 0);
	CHECK_EQ(ping_stats(other)->received, 40);
	CHECK_EQ(replies, 90);
	end();
}

#define OUTAGE (150 * MS_NS)

static void finish(void *arg)
{
	(void)arg;
	ping_finish(p);
}

static void back(void *arg)
{
	(void)arg;
	answer_echoes(true);
	loop_timer_set(l, &timer, 40 * MS_NS, finish, NULL);
}

static void away(void *arg)
{
	(void)arg;
	answer_echoes(false);
	loop_timer_set(l, &timer, OUTAGE, back, NULL);
}

static void test_outage_is_one_run_and_the_longest_gap(void)
{
	const struct ping_stats *s;

	begin();
	CHECK_EQ(start("127.0.0.1", 0, &p), 0);
	loop_timer_set(l, &timer, 40 * MS_NS, away, NULL);
	loop_run(l);
	s = ping_stats(p);
	CHECK(s->received > 0);
	CHECK(s->lost > 0);
	CHECK_EQ(s->sent, s->received + s->lost);
	CHECK_EQ(s->runs, 1);
	CHECK_EQ(s->run[0].lost, s->lost);
	CHECK(s->run[0].start_ns >= 30 * MS_NS);
	/* All lost ones were sent while it was away, and then the next one was answered. */
	CHECK(s->run[0].length_ns >= OUTAGE / 2);
	CHECK(s->gap_ns >= OUTAGE);
	CHECK(s->gap_ns >= s->run[0].length_ns);
	end();
}

static void test_never_answered(void)
{
	const struct ping_stats *s;
	uint64_t silence;

	begin();
	answer_echoes(false);
	CHECK_EQ(start("127.0.0.1", 20, &p), 0);
	loop_run(l);
	s = ping_stats(p);
	CHECK_EQ(s->sent, 20);
	CHECK_EQ(s->received, 0);
	CHECK_EQ(s->lost, 20);
	CHECK_EQ(s->runs, 1);
	CHECK_EQ(s->run[0].lost, 20);
	/* from the first to the last one */
	CHECK(s->gap_ns >= 19 * INTERVAL);
	CHECK_EQ(s->gap_start_ns, 0);
	silence = ping_silence(p);
	CHECK(silence >= s->gap_ns);
	end();
}

static void down(void *arg)
{
	(void)arg;
	loopback(false);
	loop_timer_set(l, &timer, 40 * MS_NS, finish, NULL);
}

static void test_what_cannot_be_sent_is_lost(void)
{
	const struct ping_stats *s;

	begin();
	/* IPv6 loses its address with the interface; IPv4 would keep it. */
	CHECK_EQ(start("::1", 0, &p), 0);
	loop_timer_set(l, &timer, 20 * MS_NS, down, NULL);
	loop_run(l);
	s = ping_stats(p);
	CHECK(s->received > 0);
	CHECK(s->send_errors > 0);
	CHECK(s->last_error != 0);
	CHECK_EQ(s->sent, s->received + s->lost);
	CHECK(s->lost >= s->send_errors);
	end();
}

static void test_finish_before_anything_was_sent(void)
{
	begin();
	CHECK_EQ(start("127.0.0.1", 0, &p), 0);
	ping_finish(p);
	ping_finish(p);
	loop_run(l);
	CHECK_EQ(ping_stats(p)->sent, 0);
	CHECK_EQ(ping_stats(p)->gap_ns, 0);
	end();
}

static void test_errors(void)
{
	struct sockaddr_storage addr;
	struct ping_events ev = {.finished = on_finished};
	const char *why = NULL;
	socklen_t len;

	begin();
	CHECK_EQ(ping_resolve("no.such.host.invalid", &addr, &len, &why), -ENOENT);
	CHECK(why && *why);
	CHECK_EQ(ping_resolve("127.0.0.1", &addr, &len, NULL), 0);
	CHECK_EQ(ping_new(l, (struct sockaddr *)&addr, len, PING_MIN_INTERVAL - 1, 0, &ev, &p),
		 -EINVAL);
	/* No way to there from this namespace. */
	CHECK_EQ(start("192.0.2.1", 1, &p), -ENETUNREACH);
	CHECK(p == NULL);
	ping_free(NULL);
	end();
}

int main(void)
{
	if (unshare(CLONE_NEWNET) < 0) {
		printf("ok net/ping: # skip no network namespace: %s\n", strerror(errno));
		return 0;
	}
	CHECK_RUN(test_ipv4_raw);
	CHECK_RUN(test_ipv6_raw);
	CHECK_RUN(test_ipv4_ping_socket);
	CHECK_RUN(test_ipv6_ping_socket);
	CHECK_RUN(test_two_at_once);
	CHECK_RUN(test_outage_is_one_run_and_the_longest_gap);
	CHECK_RUN(test_never_answered);
	CHECK_RUN(test_what_cannot_be_sent_is_lost);
	CHECK_RUN(test_finish_before_anything_was_sent);
	CHECK_RUN(test_errors);
	return CHECK_DONE();
}
