/* SPDX-License-Identifier: BSD-2-Clause */
/* Addresses as users write them; connecting and listening on loopback. */
#include "net/sock.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "core/bytes.h"
#include "tests/unit/check.h"

static void test_parse(void)
{
	static const struct {
		const char *text, *host;
		uint16_t port;
	} good[] = {
		{"a", "a", 7},
		{"host.example:1", "host.example", 1},
		{"10.0.0.1:65535", "10.0.0.1", 65535},
		{"[::1]", "::1", 7},
		{"[fe80::1%eth0]:3260", "fe80::1%eth0", 3260},
		{"::1", "::1", 7},
		{"fe80::2", "fe80::2", 7},
	};
	static const char *const bad[] = {
		"",
		":",
		":1",
		"a:",
		"a:0",
		"a:65536",
		"a:x",
		"a:1x",
		"a: 1",
		"[]",
		"[]:1",
		"[::1",
		"[::1]x",
		"[::1]:",
		"[::1]:0",
		"a:-1",
		"a:99999999999999999999",
	};
	char host[SOCK_HOST_MAX], longest[300];
	uint16_t port;
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		port = 7;
		CHECK_EQ(sock_parse(good[i].text, host, &port), 0);
		CHECK_STR(host, good[i].host);
		CHECK_EQ(port, good[i].port);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		port = 7;
		if (!CHECK_EQ(sock_parse(bad[i], host, &port), -EINVAL))
			printf("# text: %s\n", bad[i]);
		CHECK_EQ(port, 7);
	}
	memset(longest, 'a', sizeof(longest));
	longest[SOCK_HOST_MAX - 1] = 0;
	CHECK_EQ(sock_parse(longest, host, &port), 0);
	longest[SOCK_HOST_MAX - 1] = 'a';
	longest[SOCK_HOST_MAX] = 0;
	CHECK_EQ(sock_parse(longest, host, &port), -EINVAL);
}

static void test_resolve_and_text(void)
{
	struct sock_addrs a;
	char text[SOCK_TEXT_MAX];
	CHECK_EQ(sock_resolve("192.0.2.1:99", 5, &a), 0);
	CHECK_EQ(a.n, 1);
	CHECK_STR(sock_text(&a.v[0], text), "192.0.2.1:99");
	CHECK_EQ(sock_resolve("2001:db8::1", 3260, &a), 0);
	CHECK_STR(sock_text(&a.v[0], text), "[2001:db8::1]:3260");
	CHECK_EQ(sock_resolve("[::ffff:192.0.2.7]:1", 0, &a), 0);
	CHECK_STR(sock_text(&a.v[0], text), "192.0.2.7:1");
	CHECK_EQ(sock_resolve("[192.0.2.1", 5, &a), -EINVAL);
	CHECK_EQ(sock_resolve("", 5, &a), -EINVAL);
	CHECK_EQ(sock_resolve_local("*:80", 5, &a), 0);
	CHECK(a.n >= 1);
	CHECK_EQ(sock_resolve_local(":0", 5, &a), 0);
	CHECK_STR(sock_strerror(-ENXIO), "no such host");
	CHECK_STR(sock_strerror(ECONNREFUSED), strerror(ECONNREFUSED));
	CHECK_STR(sock_peer_text(-1, text), "?");
}

struct meeting {
	struct loop *loop;
	struct sock_listener listener;
	struct sock_connect connect;
	struct loop_timer limit;
	int client, server, err;
	bool early, called;
	char text[160];
};

static void stop_when_met(struct meeting *m)
{
	if (m->client >= 0 && m->server >= 0)
		loop_stop(m->loop, 0);
}

static void on_peer(void *arg, int fd, const struct sock_addr *peer)
{
	struct meeting *m = arg;
	(void)peer;
	m->server = fd;
	stop_when_met(m);
}

static void on_connect(void *arg, int fd, const char *error)
{
	struct meeting *m = arg;
	CHECK(!m->early);
	m->called = true;
	if (fd < 0) {
		CHECK(error != NULL);
		m->err = fd;
		snprintf(m->text, sizeof(m->text), "%s", error);
		loop_stop(m->loop, 0);
		return;
	}
	CHECK(error == NULL);
	m->client = fd;
	stop_when_met(m);
}

static void on_limit(void *arg)
{
	struct meeting *m = arg;
	loop_stop(m->loop, 1);
}

static struct meeting *meeting_new(struct meeting *m)
{
	*m = (struct meeting){.loop = loop_new(), .client = -1, .server = -1};
	loop_timer_set(m->loop, &m->limit, 20 * SEC_NS, on_limit, m);
	return m;
}

static void meeting_end(struct meeting *m)
{
	sock_connect_cancel(&m->connect);
	sock_listen_close(&m->listener);
	if (m->client >= 0)
		close(m->client);
	if (m->server >= 0)
		close(m->server);
	loop_timer_del(m->loop, &m->limit);
	loop_free(m->loop);
}

static int get(int fd, int level, int name)
{
	int v = -1;
	socklen_t len = sizeof(v);
	getsockopt(fd, level, name, &v, &len);
	return v;
}

/* A dead address first: the second must be tried. */
/* Scopes as numbers, so that no interface is needed. */
static void test_alike(void)
{
	static const struct {
		const char *from, *to;
		bool alike;
	} cases[] = {
		{"192.0.2.1", "192.0.2.9", true},    {"192.0.2.1", "127.0.0.1", false},
		{"192.0.2.1", "0.0.0.0", false},     {"192.0.2.1", "2001:db8::1", false},
		{"192.0.2.1", "169.254.1.1", false}, {"169.254.1.2", "169.254.1.1", true},
		{"127.0.0.1", "192.0.2.1", true},    {"127.0.0.1", "127.0.0.2", true},
		{"127.0.0.1", "::1", false},	     {"2001:db8::2", "2001:db8::1", true},
		{"2001:db8::2", "::1", false},	     {"2001:db8::2", "::", false},
		{"2001:db8::2", "fe80::1%1", false}, {"fe80::2%1", "fe80::1%1", true},
		{"fe80::2%7", "fe80::1%1", false},   {"fe80::2%1", "2001:db8::1", true},
		{"::1", "fe80::1%1", true},	     {"::1", "2001:db8::1", true},
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct sock_addrs from, to;
		CHECK_EQ(sock_resolve(cases[i].from, 3260, &from), 0);
		CHECK_EQ(sock_resolve(cases[i].to, 860, &to), 0);
		if (!CHECK_EQ(sock_alike(&from.v[0], &to.v[0]), cases[i].alike))
			printf("# from %s to %s\n", cases[i].from, cases[i].to);
	}
}

static void test_connect(void)
{
	struct meeting m;
	struct sock_addrs to, dead;
	char text[SOCK_TEXT_MAX], want[SOCK_TEXT_MAX];
	meeting_new(&m);
	if (!CHECK_EQ(sock_listen(m.loop, &m.listener, "127.0.0.1:0", 5, on_peer, &m), 0))
		return;
	sock_resolve("127.0.0.1", sock_listen_port(&m.listener), &to);
	sock_resolve("127.0.0.2:1", 0, &dead);
	to.v[1] = to.v[0];
	to.v[0] = dead.v[0];
	to.n = 2;
	m.early = true;
	sock_connect(m.loop, &m.connect, &to, 10 * SEC_NS, on_connect, &m);
	m.early = false;
	CHECK_EQ(loop_run(m.loop), 0);
	if (CHECK(m.client >= 0 && m.server >= 0)) {
		snprintf(want, sizeof(want), "127.0.0.1:%u", sock_listen_port(&m.listener));
		CHECK_STR(sock_peer_text(m.client, text), want);
		CHECK_STR(sock_local_text(m.server, text), want);
		sock_nodelay(m.client);
		sock_keepalive(m.client, 9 * SEC_NS);
		CHECK(get(m.client, IPPROTO_TCP, TCP_NODELAY) > 0);
		CHECK(get(m.client, SOL_SOCKET, SO_KEEPALIVE) > 0);
		CHECK_EQ(get(m.client, IPPROTO_TCP, TCP_USER_TIMEOUT), 9000);
		CHECK_EQ(get(m.client, IPPROTO_TCP, TCP_KEEPIDLE), 4);
		CHECK_EQ(recv(m.client, text, 1, 0), -1); /* non-blocking */
		CHECK_EQ(errno, EAGAIN);
	}
	meeting_end(&m);
}

static void test_connect_refused(void)
{
	struct meeting m;
	struct sock_addrs to;
	meeting_new(&m);
	sock_resolve("127.0.0.2:1", 0, &to);
	sock_connect(m.loop, &m.connect, &to, 10 * SEC_NS, on_connect, &m);
	CHECK_EQ(loop_run(m.loop), 0);
	CHECK_EQ(m.err, -ECONNREFUSED);
	CHECK_STR(m.text, "127.0.0.2:1: Connection refused");
	meeting_end(&m);
}

/* A full backlog drops the SYN: nobody answers. */
static void test_connect_deadline(void)
{
	struct meeting m;
	struct sock_addrs to;
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000001)};
	socklen_t len = sizeof(a);
	int fill[8], s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	meeting_new(&m);
	CHECK_EQ(bind(s, (struct sockaddr *)&a, sizeof(a)), 0);
	CHECK_EQ(listen(s, 0), 0);
	getsockname(s, (struct sockaddr *)&a, &len);
	for (size_t i = 0; i < ARRAY_SIZE(fill); i++) {
		fill[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		(void)!connect(fill[i], (struct sockaddr *)&a, sizeof(a));
	}
	to = (struct sock_addrs){.n = 1, .v[0].len = sizeof(a)};
	memcpy(&to.v[0].ss, &a, sizeof(a));
	sock_connect(m.loop, &m.connect, &to, 200 * MS_NS, on_connect, &m);
	CHECK_EQ(loop_run(m.loop), 0);
	CHECK_EQ(m.err, -ETIMEDOUT);
	CHECK(strstr(m.text, ": no answer") != NULL);
	for (size_t i = 0; i < ARRAY_SIZE(fill); i++)
		close(fill[i]);
	close(s);
	meeting_end(&m);
}

static void on_soon(void *arg)
{
	struct meeting *m = arg;
	loop_stop(m->loop, 0);
}

static void test_connect_cancel(void)
{
	struct meeting m;
	struct loop_timer soon = {0};
	struct sock_addrs to;
	meeting_new(&m);
	sock_resolve("127.0.0.2:1", 0, &to);
	sock_connect(m.loop, &m.connect, &to, 10 * SEC_NS, on_connect, &m);
	sock_connect_cancel(&m.connect);
	sock_connect_cancel(&m.connect);
	loop_timer_set(m.loop, &soon, 10 * MS_NS, on_soon, &m);
	CHECK_EQ(loop_run(m.loop), 0);
	CHECK(!m.called);
	meeting_end(&m);
}

static void test_listen_errors(void)
{
	struct meeting m;
	struct sock_listener second;
	char where[64];
	meeting_new(&m);
	CHECK_EQ(sock_listen(m.loop, &m.listener, "127.0.0.1:0", 5, on_peer, &m), 0);
	snprintf(where, sizeof(where), "127.0.0.1:%u", sock_listen_port(&m.listener));
	CHECK_EQ(sock_listen(m.loop, &second, where, 5, on_peer, &m), -EADDRINUSE);
	CHECK_EQ(second.n, 0);
	CHECK_EQ(sock_listen(m.loop, &second, "192.0.2.1:0", 5, on_peer, &m), -EADDRNOTAVAIL);
	CHECK_EQ(sock_listen(m.loop, &second, "[::1", 5, on_peer, &m), -EINVAL);
	/* Every address: one port on all of them. */
	CHECK_EQ(sock_listen(m.loop, &second, "*", 0, on_peer, &m), 0);
	CHECK(sock_listen_port(&second) != 0);
	sock_listen_close(&second);
	sock_listen_close(&second);
	meeting_end(&m);
}

/* Without descriptors the listener waits; with them again it accepts. */
static struct rlimit old_limit;

static void give_back(void *arg)
{
	(void)arg;
	setrlimit(RLIMIT_NOFILE, &old_limit);
}

static void test_out_of_descriptors(void)
{
	struct meeting m;
	struct sock_addrs to;
	struct rlimit none;
	struct loop_timer t = {0};
	meeting_new(&m);
	CHECK_EQ(sock_listen(m.loop, &m.listener, "127.0.0.1:0", 5, on_peer, &m), 0);
	sock_resolve("127.0.0.1", sock_listen_port(&m.listener), &to);
	m.client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	CHECK_EQ(connect(m.client, (struct sockaddr *)&to.v[0].ss, to.v[0].len), 0);
	getrlimit(RLIMIT_NOFILE, &old_limit);
	none = old_limit;
	none.rlim_cur = 3; /* below what is open: no new one */
	CHECK_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
	loop_timer_set(m.loop, &t, 150 * MS_NS, give_back, NULL);
	CHECK_EQ(loop_run(m.loop), 0);
	CHECK(m.server >= 0);
	CHECK(!t.pos);
	give_back(NULL);
	meeting_end(&m);
}

int main(void)
{
	CHECK_RUN(test_parse);
	CHECK_RUN(test_resolve_and_text);
	CHECK_RUN(test_alike);
	CHECK_RUN(test_connect);
	CHECK_RUN(test_connect_refused);
	CHECK_RUN(test_connect_deadline);
	CHECK_RUN(test_connect_cancel);
	CHECK_RUN(test_listen_errors);
	CHECK_RUN(test_out_of_descriptors);
	return CHECK_DONE();
}
