/* SPDX-License-Identifier: BSD-2-Clause */
/* Two channels against each other, over a socket pair: messages, keepalives, back-pressure, ends.
 */
#include "net/channel.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/meanwhile.h"
#include "net/channel_auth.h"
#include "tests/unit/net/channel_side.h"

static struct channel_key key = {.data = "0123456789abcdef", .len = 16};

struct pair {
	struct side a, b;
	struct loop *loop;
	unsigned closes;
};

static void pair_begin(struct pair *p, const struct channel_key *ka, const struct channel_key *kb,
		       uint64_t dead_a, uint64_t dead_b, size_t high_water)
{
	struct channel_config ca = config(&p->a, false, ka), cb = config(&p->b, true, kb);
	int sv[2];
	*p = (struct pair){.loop = loop_new()};
	p->a.loop = p->b.loop = p->loop;
	p->a.closes = p->b.closes = &p->closes;
	ca.dead_ns = dead_a;
	cb.dead_ns = dead_b;
	ca.high_water = cb.high_water = high_water;
	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
	CHECK_EQ(channel_new(p->loop, sv[0], sv[0], &ca, &p->a.c), 0);
	CHECK_EQ(channel_new(p->loop, sv[1], sv[1], &cb, &p->b.c), 0);
}

static void pair_end(struct pair *p)
{
	channel_free(p->a.c);
	channel_free(p->b.c);
	loop_free(p->loop);
}

static void run_until_open(struct pair *p)
{
	for (unsigned i = 0; i < 1000 && !(p->a.opened && p->b.opened); i++)
		settle(p->loop);
	CHECK(p->a.opened && p->b.opened);
}

static void test_two_channels(void)
{
	for (int keyed = 0; keyed < 2; keyed++) {
		const struct channel_key *k = keyed ? &key : NULL;
		struct channel_stats st;
		struct pair p;
		pair_begin(&p, k, k, 0, 0, 0);
		CHECK_EQ(channel_send(p.a.c, 16, "x", 1), -ENOTCONN);
		run_until_open(&p);
		CHECK_EQ(channel_send(p.a.c, 16, "ping", 4), 0);
		CHECK_EQ(channel_send(p.a.c, 255, NULL, 0), 0);
		CHECK_EQ(channel_send(p.b.c, 17, "pong", 4), 0);
		settle(p.loop);
		CHECK_EQ(p.b.frames, 2);
		CHECK_EQ(p.b.type[0], 16);
		CHECK_MEM(p.b.data[0], "ping", 4);
		CHECK_EQ(p.b.type[1], 255);
		CHECK_EQ(p.b.len[1], 0);
		CHECK_EQ(p.a.frames, 1);
		channel_stats(p.a.c, &st);
		CHECK_EQ(st.bytes_sent, 48 + (keyed ? 33 : 0) + 2 * (8 + (keyed ? 16 : 0)) + 4);
		CHECK_EQ(st.frames_sent, 2);
		CHECK_EQ(st.frames_received, 1);
		/* The side that is taken leave of still sends what it has queued. */
		CHECK_EQ(channel_send(p.b.c, 18, "late", 4), 0);
		channel_finish(p.a.c);
		CHECK_EQ(channel_send(p.a.c, 16, "x", 1), -EPIPE);
		CHECK(channel_reserve(p.a.c, 1) == NULL);
		run(p.loop);
		CHECK_EQ(p.a.err, 0);
		CHECK_EQ(p.b.err, 0);
		CHECK_EQ(p.a.frames, 2);
		pair_end(&p);
	}
}

static void test_wrong_key(void)
{
	struct channel_key other = {.data = "0123456789abcdeF", .len = 16};
	struct pair p;
	pair_begin(&p, &key, &other, 0, 0, 0);
	run(p.loop);
	CHECK_EQ(p.a.err, -EACCES);
	CHECK_EQ(p.b.err, -EACCES);
	CHECK_STR(p.a.text, "server: refuses our key: the two --key-file differ");
	CHECK_STR(p.b.text, "client: does not hold our key: the two --key-file differ");
	pair_end(&p);
	pair_begin(&p, &key, NULL, 0, 0, 0);
	run(p.loop);
	CHECK_EQ(p.a.err, -EPROTO);
	CHECK(strstr(p.a.text, "--key-file on both sides") != NULL);
	CHECK(strstr(p.b.text, "--key-file on both sides") != NULL);
	pair_end(&p);
}

/* Nobody says anything: keepalives keep both open, also when one is far more patient. */
static void test_keepalive(void)
{
	struct channel_stats st = {0};
	struct pair p;
	pair_begin(&p, &key, &key, 10 * SEC_NS, 200 * MS_NS, 0);
	run_until_open(&p);
	for (unsigned i = 0; i < 3000 && st.frames_received < 10 && p.b.c; i++) {
		wait_ms(p.loop, 10);
		if (p.b.c)
			channel_stats(p.b.c, &st);
	}
	CHECK(st.frames_received >= 10);
	CHECK(!p.a.closed && !p.b.closed);
	CHECK_EQ(p.b.frames, 0);
	pair_end(&p);
}

/* The receiver holds its frame: the sender's queue stays bounded; on release all comes in order. */
static void test_back_pressure(void)
{
	enum { FRAME = 64 << 10, HIGH = 1 << 20 };
	struct pair p;
	unsigned sent = 0, seen = 0;
	pair_begin(&p, &key, &key, 0, 0, HIGH);
	run_until_open(&p);
	p.b.hold = true;
	for (unsigned quiet = 0; quiet < 10;) {
		uint8_t *to = channel_reserve(p.a.c, FRAME);
		if (!to) {
			settle(p.loop);
			quiet++;
			continue;
		}
		memset(to, (int)sent, FRAME);
		channel_commit(p.a.c, 16, FRAME);
		sent++;
		quiet = 0;
		CHECK(channel_queued(p.a.c) < HIGH + FRAME + 64);
	}
	CHECK(!channel_writable(p.a.c));
	CHECK_EQ(p.a.writable, 0);
	/* Messages still have their room, and it is bounded too. */
	while (channel_send(p.a.c, 17, "message", 7) == 0)
		sent++;
	CHECK_EQ(channel_send(p.a.c, 17, "message", 7), -ENOBUFS);
	CHECK(channel_queued(p.a.c) <= HIGH + 2 * CHANNEL_MAX_FRAME + 64);
	p.b.hold = false;
	channel_resume(p.b.c);
	for (unsigned i = 0; i < 100000 && p.b.frames < sent && !p.b.closed; i++) {
		settle(p.loop);
		for (; seen < MIN(p.b.frames, MAX_FRAMES); seen++)
			CHECK_EQ((uint8_t)p.b.data[seen][0], seen);
	}
	CHECK_EQ(p.b.frames, sent);
	CHECK_EQ(p.a.writable, 1);
	CHECK(channel_writable(p.a.c));
	pair_end(&p);
}

/* The sender is gone while its frame is held: what it had said before is all delivered. */
static void test_peer_ends_while_held(void)
{
	struct pair p;
	pair_begin(&p, &key, &key, 0, 0, 0);
	run_until_open(&p);
	p.b.hold = true;
	CHECK_EQ(channel_send(p.a.c, 16, "one", 3), 0);
	CHECK_EQ(channel_send(p.a.c, 16, "two", 3), 0);
	settle(p.loop);
	channel_free(p.a.c);
	p.a.c = NULL;
	p.closes = 1;
	settle(p.loop);
	CHECK(!p.b.closed);
	p.b.hold = false;
	channel_resume(p.b.c);
	run(p.loop);
	CHECK_EQ(p.b.frames, 2);
	CHECK_EQ(p.b.err, -ECONNRESET);
	pair_end(&p);
}

/* What is held is held for ever, as when a helper hangs: the channel ends, since nobody would
 * notice that the sender has gone. */
static void test_held_for_ever(void)
{
	struct pair p;
	pair_begin(&p, &key, &key, 0, 50 * MS_NS, 0);
	run_until_open(&p);
	p.b.hold = true;
	CHECK_EQ(channel_send(p.a.c, 16, "one", 3), 0);
	run(p.loop);
	CHECK_EQ(p.b.err, -ETIMEDOUT);
	CHECK(strstr(p.b.text, "could not be passed on") != NULL);
	CHECK_EQ(p.b.frames, 0);
	pair_end(&p);
}

static void test_largest_frame(void)
{
	uint8_t *big = calloc(1, CHANNEL_MAX_FRAME + 1);
	struct pair p;
	pair_begin(&p, &key, &key, 0, 0, 0);
	run_until_open(&p);
	CHECK_EQ(channel_send(p.a.c, 16, big, CHANNEL_MAX_FRAME + 1), -EMSGSIZE);
	CHECK(channel_reserve(p.a.c, CHANNEL_MAX_FRAME + 1) == NULL);
	CHECK_EQ(channel_send(p.a.c, 16, big, CHANNEL_MAX_FRAME), 0);
	CHECK_EQ(channel_send(p.a.c, 16, big, CHANNEL_MAX_FRAME - 1), 0);
	for (unsigned i = 0; i < 10000 && p.b.frames < 2; i++)
		settle(p.loop);
	CHECK_EQ(p.b.len[0], CHANNEL_MAX_FRAME);
	CHECK_EQ(p.b.len[1], CHANNEL_MAX_FRAME - 1);
	free(big);
	pair_end(&p);
}

/* Two ends of a TCP connection. */
static void tcp_pair(int sv[2])
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t n = sizeof(at);
	int l = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	CHECK_EQ(bind(l, (struct sockaddr *)&at, n), 0);
	CHECK_EQ(listen(l, 1), 0);
	CHECK_EQ(getsockname(l, (struct sockaddr *)&at, &n), 0);
	sv[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	CHECK_EQ(connect(sv[0], (struct sockaddr *)&at, n), 0);
	sv[1] = accept(l, NULL, NULL);
	CHECK(sv[1] >= 0);
	close(l);
}

/* How much has to be there for the channel to be woken. */
static int wakes_at(const struct channel *c)
{
	int bytes = 0;
	socklen_t n = sizeof(bytes);
	CHECK_EQ(getsockopt(channel_socket(c), SOL_SOCKET, SO_RCVLOWAT, &bytes, &n), 0);
	return bytes;
}

static void put(int fd, const void *p, size_t n)
{
	CHECK_EQ(send(fd, p, n, MSG_NOSIGNAL), (ssize_t)n);
}

/* The rest of a long frame is waited for at once; of a peer that is slow it is heard all the same,
 * and the end of one that goes amid a frame. */
static void test_long_frame_comes_slowly(void)
{
	static const uint8_t piece[4096];
	uint8_t hello[CHANNEL_HELLO_LEN],
		head[CHANNEL_HEAD_LEN] = {16, 0, 0, 0, 0, 8}; /* 512 KiB */
	struct side s = {.loop = loop_new()};
	struct channel_config cfg = config(&s, false, NULL);
	int sv[2], most = 0;

	tcp_pair(sv);
	cfg.dead_ns = 200 * MS_NS;
	CHECK_EQ(channel_hello_make(hello, true, false, 10 * SEC_NS), 0);
	CHECK_EQ(channel_new(s.loop, sv[0], sv[0], &cfg, &s.c), 0);
	put(sv[1], hello, sizeof(hello));
	while (!s.opened)
		settle(s.loop);
	for (unsigned frame = 1; frame <= 2; frame++) {
		put(sv[1], head, sizeof(head));
		for (unsigned i = 0; i < (512 << 10) / sizeof(piece) && s.c; i++) {
			put(sv[1], piece, sizeof(piece));
			wait_ms(s.loop, 10);
			most = s.c ? MAX(most, wakes_at(s.c)) : 0;
		}
		for (unsigned i = 0; i < 3000 && s.c && s.frames < frame; i++)
			wait_ms(s.loop, 1);
		CHECK_EQ(s.frames, frame);
		CHECK_EQ(s.len[frame - 1], 512 << 10);
		CHECK_EQ(wakes_at(s.c), 1);
		CHECK(most >= 256 << 10);
	}
	put(sv[1], head, sizeof(head));
	settle(s.loop);
	close(sv[1]);
	run(s.loop);
	CHECK_EQ(s.err, -ECONNRESET);
	loop_free(s.loop);
}

static void test_free_in_callbacks(void)
{
	struct pair p;
	pair_begin(&p, NULL, NULL, 0, 0, 0);
	p.a.free_on_open = true;
	run(p.loop);
	pair_end(&p);
	pair_begin(&p, NULL, NULL, 0, 0, 0);
	run_until_open(&p);
	p.b.free_on_frame = true;
	CHECK_EQ(channel_send(p.a.c, 16, "x", 1), 0);
	CHECK_EQ(channel_send(p.a.c, 16, "y", 1), 0);
	run(p.loop);
	CHECK_EQ(p.b.frames, 1);
	channel_free(NULL);
	pair_end(&p);
}

/* A disk so busy that it takes three times as long as the peer waits for a word. */
#define BUSY_DEAD_MS 1000
int fdatasync(int fd)
{
	(void)fd;
	poll(NULL, 0, 3 * BUSY_DEAD_MS);
	return 0;
}

/* The peer, in a process of its own. */
static bool hears_of_it(int fd)
{
	struct side s = {.loop = loop_new(), .free_on_frame = true};
	struct channel_config cfg = config(&s, true, &key);

	cfg.dead_ns = BUSY_DEAD_MS * MS_NS;
	CHECK_EQ(channel_new(s.loop, fd, fd, &cfg, &s.c), 0);
	loop_run(s.loop);
	return !s.closed && s.frames == 1 && s.type[0] == 16;
}

static void test_waits_for_a_disk(void)
{
	struct side s = {.loop = loop_new()};
	struct channel_config cfg = config(&s, false, &key);
	int sv[2], status;
	pid_t peer;

	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
	peer = fork();
	if (peer == 0) {
		close(sv[0]);
		_exit(!hears_of_it(sv[1]));
	}
	close(sv[1]);
	cfg.dead_ns = BUSY_DEAD_MS * MS_NS;
	CHECK_EQ(channel_new(s.loop, sv[0], sv[0], &cfg, &s.c), 0);
	while (!s.opened)
		settle(s.loop);
	meanwhile_ns = 20 * MS_NS;
	CHECK_EQ(meanwhile_fdatasync(0), 0);
	CHECK_EQ(channel_send(s.c, 16, "x", 1), 0);
	settle(s.loop);
	CHECK(waitpid(peer, &status, 0) == peer && status == 0);
	channel_free(s.c);
	loop_free(s.loop);
}

int main(void)
{
	CHECK_RUN(test_two_channels);
	CHECK_RUN(test_wrong_key);
	CHECK_RUN(test_keepalive);
	CHECK_RUN(test_back_pressure);
	CHECK_RUN(test_peer_ends_while_held);
	CHECK_RUN(test_held_for_ever);
	CHECK_RUN(test_waits_for_a_disk);
	CHECK_RUN(test_largest_frame);
	CHECK_RUN(test_long_frame_comes_slowly);
	CHECK_RUN(test_free_in_callbacks);
	return CHECK_DONE();
}
