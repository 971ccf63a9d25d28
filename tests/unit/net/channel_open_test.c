/* SPDX-License-Identifier: BSD-2-Clause */
/* The ways to a channel: key files, commands, TCP on loopback. */
#include "net/channel_open.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/log.h"
#include "tests/unit/net/channel_side.h"

static struct channel_key key = {.data = "0123456789abcdef", .len = 16};
static char self[256]; /* this program */

/* ---- key files ---- */

static char key_path[] = "/tmp/vstor-key-test.XXXXXX";

static int load(const void *data, size_t n, mode_t mode, struct channel_key *k,
		char text[CHANNEL_TEXT_MAX])
{
	int fd = open(key_path, O_WRONLY | O_TRUNC | O_CLOEXEC);
	CHECK_EQ(write(fd, data, n), (long long)n);
	CHECK_EQ(fchmod(fd, mode), 0);
	close(fd);
	text[0] = 0;
	return channel_key_load(k, key_path, text);
}

static void test_key_file(void)
{
	static uint8_t big[CHANNEL_KEY_MAX];
	struct channel_key k;
	char text[CHANNEL_TEXT_MAX];
	int fd = mkstemp(key_path);
	if (!CHECK(fd >= 0))
		return;
	close(fd);
	CHECK_EQ(load("0123456789abcdef\r\n\n", 19, 0600, &k, text), 0);
	CHECK_EQ(k.len, 16);
	CHECK_MEM(k.data, "0123456789abcdef", 16);
	channel_key_wipe(&k);
	CHECK_EQ(k.len, 0);
	CHECK_EQ(load("0123456789abcdef", 16, 0400, &k, text), 0);
	for (unsigned bit = 0; bit < 6; bit++) {
		CHECK_EQ(load("0123456789abcdef", 16, 0600 | 1u << bit, &k, text), -EACCES);
		CHECK(strstr(text, key_path) && strstr(text, "chmod 600"));
	}
	CHECK_EQ(load("", 0, 0600, &k, text), -EINVAL);
	CHECK(strstr(text, key_path) && strstr(text, "too short"));
	CHECK_EQ(load("0123456789abcde\n\n\n", 18, 0600, &k, text), -EINVAL);
	CHECK_EQ(k.len, 0);
	CHECK_EQ(load(big, sizeof(big), 0600, &k, text), -EFBIG);
	unlink(key_path);
	CHECK_EQ(channel_key_load(&k, key_path, text), -ENOENT);
	CHECK(strstr(text, key_path) && strstr(text, "/dev/urandom"));
	CHECK_EQ(channel_key_load(&k, "/tmp", text), -EINVAL);
}

/* ---- commands ---- */

/* What the command at the other end does: `self serve` gives each frame back, then says goodbye. */
static bool give_back(void *arg, uint8_t type, const uint8_t *p, size_t n)
{
	struct side *s = arg;
	CHECK_EQ(channel_send(s->c, type, p, n), 0);
	if (type == 99)
		channel_finish(s->c);
	return true;
}

static int serve(void)
{
	static const struct channel_ops server_ops = {on_open, give_back, NULL, on_close};
	struct side s = {.loop = loop_new()};
	struct channel_config cfg = config(&s, true, NULL);
	cfg.ops = &server_ops;
	if (channel_new(s.loop, STDIN_FILENO, STDOUT_FILENO, &cfg, &s.c))
		return 3;
	run(s.loop);
	loop_free(s.loop);
	return s.err ? 4 : 0;
}

/* Whether a child is left, running or not reaped. */
static bool has_children(void)
{
	siginfo_t si;
	return waitid(P_ALL, 0, &si, WEXITED | WNOHANG | WNOWAIT) == 0;
}

static void test_command(void)
{
	struct side s = {.loop = loop_new()};
	struct channel_config cfg = config(&s, false, NULL);
	char line[300];
	snprintf(line, sizeof(line), "%s serve; exit 0", self);
	CHECK_EQ(channel_command(s.loop, line, &cfg, &s.c), 0);
	for (unsigned i = 0; i < 10000 && !s.opened && !s.closed; i++)
		wait_ms(s.loop, 1);
	if (CHECK(s.opened)) {
		CHECK_EQ(channel_send(s.c, 20, "there", 5), 0);
		CHECK_EQ(channel_send(s.c, 99, "and back", 8), 0);
		run(s.loop);
		CHECK_EQ(s.frames, 2);
		CHECK_MEM(s.data[1], "and back", 8);
		CHECK_EQ(s.err, 0);
	}
	loop_free(s.loop);
}

static void fails(const char *line, int err, const char *text)
{
	struct side s = {.loop = loop_new()};
	struct channel_config cfg = config(&s, false, NULL);
	CHECK_EQ(channel_command(s.loop, line, &cfg, &s.c), 0);
	run(s.loop);
	CHECK_EQ(s.err, err);
	if (!CHECK(strstr(s.text, text) != NULL))
		printf("# text: %s\n", s.text);
	/* A command that is still there is told to end, and reaped. */
	for (unsigned i = 0; i < 3000 && has_children(); i++)
		wait_ms(s.loop, 10);
	CHECK(!has_children());
	loop_free(s.loop);
}

static void test_command_failures(void)
{
	fails("exit 3", -ECHILD, "server: `exit 3` ended with status 3: its own message is above");
	fails("exit 0", -ECHILD, "`exit 0` ended with status 0 before the work was done");
	fails("vstor-no-such-command 2>/dev/null", -ECHILD, "no such command");
	fails("kill -9 $$", -ECHILD, "was killed by signal 9");
	fails("echo Permission denied.; exec sleep 60", -EPROTO, "it says \"Permission denied.\"");
}

/* The user turns away while the command still runs: nothing stays behind. */
static void test_command_freed(void)
{
	static const char *const lines[] = {"exec sleep 60", "trap '' TERM; exec sleep 60"};
	for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
		struct side s = {.loop = loop_new()};
		struct channel_config cfg = config(&s, false, NULL);
		CHECK_EQ(channel_command(s.loop, lines[i], &cfg, &s.c), 0);
		wait_ms(s.loop, 50);
		channel_free(s.c);
		for (unsigned n = 0; n < 3000 && has_children(); n++)
			wait_ms(s.loop, 10);
		CHECK(!has_children());
		CHECK(!s.closed);
		loop_free(s.loop);
	}
}

/* ---- TCP ---- */

struct server {
	struct channel_listener *listener;
	struct side side; /* the last that was accepted */
	unsigned accepted;
};

static void on_accept(void *arg, struct channel *c)
{
	struct server *v = arg;
	v->accepted++;
	channel_free(v->side.c);
	v->side = (struct side){.loop = v->side.loop, .c = c, .opened = true};
	channel_set_ops(c, &ops, &v->side);
}

static void server_begin(struct server *v, struct loop *l)
{
	struct channel_config cfg = {.key = &key, .handshake_ns = 20 * SEC_NS};
	*v = (struct server){.side.loop = l};
	CHECK_EQ(channel_listen(l, "127.0.0.1:0", 0, &cfg, on_accept, v, &v->listener), 0);
}

static void client_begin(struct side *s, struct loop *l, uint16_t port, const struct channel_key *k)
{
	struct channel_config cfg = config(s, false, k);
	struct sock_addrs to;
	*s = (struct side){.loop = l};
	CHECK_EQ(sock_resolve("127.0.0.1", port, &to), 0);
	CHECK_EQ(channel_connect(l, &to, &cfg, &s->c), 0);
}

static void test_tcp(void)
{
	struct loop *l = loop_new();
	struct server v;
	struct side s;
	server_begin(&v, l);
	client_begin(&s, l, channel_listener_port(v.listener), &key);
	for (unsigned i = 0; i < 10000 && !(s.opened && v.accepted); i++)
		wait_ms(l, 1);
	CHECK_EQ(v.accepted, 1);
	CHECK_EQ(channel_send(s.c, 20, "hello", 5), 0);
	for (unsigned i = 0; i < 10000 && !v.side.frames; i++)
		wait_ms(l, 1);
	CHECK_EQ(v.side.frames, 1);
	channel_finish(v.side.c);
	for (unsigned i = 0; i < 10000 && !(s.closed && v.side.closed); i++)
		wait_ms(l, 1);
	CHECK_EQ(s.err, 0);
	CHECK_EQ(v.side.err, 0);
	channel_listener_free(v.listener);
	loop_free(l);
}

static void test_tcp_refused(void)
{
	struct channel_key wrong = {.data = "another key, longer", .len = 19};
	struct loop *l = loop_new();
	struct server v;
	struct side s;
	uint16_t port;
	server_begin(&v, l);
	port = channel_listener_port(v.listener);
	log_threshold = LOG_LEVEL_ERROR; /* being turned away is a warning */
	client_begin(&s, l, port, &wrong);
	run(l);
	CHECK_EQ(s.err, -EACCES);
	CHECK(strstr(s.text, "refuses our key") != NULL);
	client_begin(&s, l, port, NULL);
	run(l);
	CHECK_EQ(s.err, -EPROTO);
	log_threshold = LOG_LEVEL_WARN;
	CHECK_EQ(v.accepted, 0);
	channel_listener_free(v.listener);
	client_begin(&s, l, port, &key);
	run(l);
	CHECK_EQ(s.err, -ECONNREFUSED);
	CHECK(strstr(s.text, "does `vstor receive --listen` run there?") != NULL);
	/* Freed while it is still connecting. */
	client_begin(&s, l, port, &key);
	channel_free(s.c);
	loop_free(l);
}

/* Those who say nothing are limited in number, and do not keep others out. */
static void test_tcp_flood(void)
{
	enum { FLOOD = 3 * CHANNEL_UNPROVED_MAX };
	struct loop *l = loop_new();
	struct sock_addrs to;
	struct server v;
	struct side s;
	int fd[FLOOD], gone = 0;
	char byte[CHANNEL_TEXT_MAX];
	server_begin(&v, l);
	log_threshold = LOG_LEVEL_ERROR;
	CHECK_EQ(sock_resolve("127.0.0.1", channel_listener_port(v.listener), &to), 0);
	for (int i = 0; i < FLOOD; i++) {
		fd[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		CHECK_EQ(connect(fd[i], (struct sockaddr *)&to.v[0].ss, to.v[0].len), 0);
		wait_ms(l, 1);
	}
	client_begin(&s, l, channel_listener_port(v.listener), &key);
	for (unsigned i = 0; i < 10000 && !v.accepted && !s.closed; i++)
		wait_ms(l, 1);
	CHECK_EQ(v.accepted, 1);
	for (int i = 0; i < FLOOD; i++) {
		ssize_t n;
		while ((n = recv(fd[i], byte, sizeof(byte), MSG_DONTWAIT)) > 0)
			;
		gone += n == 0 || errno != EAGAIN;
		close(fd[i]);
	}
	CHECK(gone >= FLOOD - CHANNEL_UNPROVED_MAX);
	wait_ms(l, 10);
	log_threshold = LOG_LEVEL_WARN;
	channel_free(s.c);
	channel_free(v.side.c);
	channel_listener_free(v.listener);
	loop_free(l);
}

int main(int argc, char **argv)
{
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	if (argc == 2 && strcmp(argv[1], "serve") == 0)
		return serve();
	if (n < 0)
		return 2;
	CHECK_RUN(test_key_file);
	CHECK_RUN(test_command);
	CHECK_RUN(test_command_failures);
	CHECK_RUN(test_command_freed);
	CHECK_RUN(test_tcp);
	CHECK_RUN(test_tcp_refused);
	CHECK_RUN(test_tcp_flood);
	return CHECK_DONE();
}
