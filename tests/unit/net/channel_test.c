/*
 * The channel against a peer made by hand, which may lie in every way, and against itself. All over
 * socket pairs, each test on a loop of its own.
 */
#include "net/channel.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/bytes.h"
#include "net/channel_auth.h"
#include "tests/unit/check.h"

#define MAX_FRAMES 16

static struct channel_key key = {.data = "0123456789abcdef", .len = 16};

/* What one side's callbacks have seen. */
struct side {
	struct loop *loop;
	struct channel *c;
	bool opened, closed, hold, free_on_open, free_on_frame;
	int err;
	unsigned frames, writable;
	uint8_t type[MAX_FRAMES];
	char data[MAX_FRAMES][16];
	size_t len[MAX_FRAMES];
	char text[CHANNEL_TEXT_MAX];
	unsigned closes_to_stop; /* how many closed sides end the loop */
	unsigned *closes;
};

static void on_open(void *arg)
{
	struct side *s = arg;
	CHECK(!s->opened);
	s->opened = true;
	if (s->free_on_open) {
		channel_free(s->c);
		s->c = NULL;
		loop_stop(s->loop, 0);
	}
}

static bool on_frame(void *arg, uint8_t type, const uint8_t *p, size_t n)
{
	struct side *s = arg;
	CHECK(s->opened && !s->closed);
	if (s->hold)
		return false;
	if (s->frames < MAX_FRAMES) {
		s->type[s->frames] = type;
		s->len[s->frames] = n;
		memcpy(s->data[s->frames], p, MIN(n, sizeof(s->data[0])));
	}
	s->frames++;
	if (s->free_on_frame) {
		channel_free(s->c);
		s->c = NULL;
		loop_stop(s->loop, 0);
	}
	return true;
}

static void on_writable(void *arg)
{
	struct side *s = arg;
	s->writable++;
}

static void on_close(void *arg, int err, const char *text)
{
	struct side *s = arg;
	CHECK(!s->closed);
	CHECK(text != NULL);
	s->closed = true;
	s->err = err;
	snprintf(s->text, sizeof(s->text), "%s", text);
	channel_free(s->c);
	s->c = NULL;
	if (!s->closes || ++*s->closes == 2)
		loop_stop(s->loop, 0);
}

static const struct channel_ops ops = {on_open, on_frame, on_writable, on_close};

static void on_limit(void *arg)
{
	loop_stop(arg, -1);
}

static void on_soon(void *arg)
{
	loop_stop(arg, 0);
}

/* Runs until a side stops the loop; a failed check when none does. */
static void run(struct loop *l)
{
	struct loop_timer limit = {0};
	loop_timer_set(l, &limit, 30 * SEC_NS, on_limit, l);
	CHECK_EQ(loop_run(l), 0);
	loop_timer_del(l, &limit);
}

/* Lets the loop do all that it can do at once. */
static void settle(struct loop *l)
{
	struct loop_timer soon = {0};
	for (unsigned i = 0; i < 3; i++) {
		loop_timer_set(l, &soon, 0, on_soon, l);
		loop_run(l);
	}
}

static struct channel_config config(struct side *s, bool server, const struct channel_key *k)
{
	return (struct channel_config){.ops = &ops,
				       .arg = s,
				       .peer = server ? "client" : "server",
				       .key = k,
				       .server = server};
}

/* ---- a peer made by hand ---- */

struct peer {
	struct side side; /* the channel under test */
	bool server;	  /* of the channel under test */
	int fd;		  /* ours */
	uint8_t mine[CHANNEL_HELLO_LEN], theirs[CHANNEL_HELLO_LEN];
	struct channel_auth auth;
	uint8_t stream[1024];
	size_t len;
};

static void must_read(int fd, void *p, size_t n)
{
	CHECK_EQ(recv(fd, p, n, MSG_WAITALL), (long long)n);
}

static void must_write(int fd, const void *p, size_t n)
{
	CHECK_EQ(send(fd, p, n, MSG_NOSIGNAL), (long long)n);
}

static void peer_begin_with(struct peer *p, const struct channel_config *cfg)
{
	int sv[2];
	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
	p->server = cfg->server;
	p->fd = sv[1];
	CHECK_EQ(channel_new(p->side.loop, sv[0], sv[0], cfg, &p->side.c), 0);
	settle(p->side.loop);
	must_read(p->fd, p->theirs, sizeof(p->theirs));
	CHECK_EQ(channel_hello_make(p->mine, !p->server, cfg->key != NULL, 10 * SEC_NS), 0);
	if (cfg->key)
		channel_auth_init(&p->auth, cfg->key, !p->server, p->mine, p->theirs);
}

static void peer_begin(struct peer *p, bool server, const struct channel_key *k)
{
	struct channel_config cfg = config(&p->side, server, k);
	*p = (struct peer){.side.loop = loop_new()};
	peer_begin_with(p, &cfg);
}

static void peer_end(struct peer *p)
{
	channel_free(p->side.c);
	close(p->fd);
	loop_free(p->side.loop);
}

static void put(struct peer *p, const void *data, size_t n)
{
	memcpy(p->stream + p->len, data, n);
	p->len += n;
}

static size_t make_frame(struct channel_mac *m, uint8_t *to, uint8_t type, const char *text)
{
	size_t n = strlen(text);
	put_be32(to, (uint32_t)type << 24);
	put_be32(to + 4, (uint32_t)n);
	memcpy(to + CHANNEL_HEAD_LEN, text, n);
	if (!m)
		return CHANNEL_HEAD_LEN + n;
	channel_mac_next(m, to, to + CHANNEL_HEAD_LEN, n, to + CHANNEL_HEAD_LEN + n);
	return CHANNEL_HEAD_LEN + n + CHANNEL_MAC_LEN;
}

static void put_frame(struct peer *p, struct channel_mac *m, uint8_t type, const char *text)
{
	p->len += make_frame(m, p->stream + p->len, type, text);
}

static void put_proof(struct peer *p)
{
	channel_auth_prove(&p->auth, p->stream + p->len);
	p->len += CHANNEL_PROOF_LEN;
}

/* All that an honest peer says: hello, proof, three frames and goodbye. */
static void put_all(struct peer *p)
{
	put(p, p->mine, sizeof(p->mine));
	put_proof(p);
	put_frame(p, &p->auth.send, 20, "first");
	put_frame(p, &p->auth.send, 21, "");
	put_frame(p, &p->auth.send, 22, "third one");
	put_frame(p, &p->auth.send, 2, "");
}

/* What has come is a beginning of what put_all() says, to the byte. */
static bool came_unaltered(const struct side *s)
{
	static const char *const want[] = {"first", "", "third one"};
	bool good = s->frames <= 3;
	for (unsigned i = 0; good && i < s->frames; i++)
		good = s->type[i] == 20 + i && s->len[i] == strlen(want[i]) &&
		       memcmp(s->data[i], want[i], s->len[i]) == 0;
	return good;
}

static void test_honest_peer(void)
{
	for (int server = 0; server < 2; server++) {
		struct peer p;
		uint8_t answer[CHANNEL_PROOF_LEN + CHANNEL_HEAD_LEN + CHANNEL_MAC_LEN];
		peer_begin(&p, server, &key);
		put_all(&p);
		must_write(p.fd, p.stream, p.len);
		run(p.side.loop);
		CHECK(p.side.opened && p.side.closed);
		CHECK_EQ(p.side.err, 0);
		CHECK_EQ(p.side.frames, 3);
		CHECK(came_unaltered(&p.side));
		must_read(p.fd, answer, sizeof(answer));
		CHECK(channel_auth_verify(&p.auth, answer));
		CHECK_EQ(answer[CHANNEL_PROOF_LEN], 2); /* its goodbye */
		CHECK_EQ(recv(p.fd, answer, 1, 0), 0);
		peer_end(&p);
	}
}

/* One bit of any byte: nothing altered is delivered, and the channel ends with an error. */
static void test_every_byte_flipped(void)
{
	size_t len = 1;
	for (int server = 0; server < 2; server++)
		for (size_t i = 0; i < len; i++) {
			struct peer p;
			peer_begin(&p, server, &key);
			put_all(&p);
			len = p.len;
			p.stream[i] ^= (uint8_t)(1u << (i % 8));
			must_write(p.fd, p.stream, p.len);
			shutdown(p.fd, SHUT_WR);
			run(p.side.loop);
			if (!CHECK(p.side.closed && p.side.err < 0) ||
			    !CHECK(came_unaltered(&p.side)))
				printf("# byte %zu, server %d: %d %s\n", i, server, p.side.err,
				       p.side.text);
			/* Nothing at all before the proof is right. */
			if (i < CHANNEL_HELLO_LEN + CHANNEL_PROOF_LEN)
				CHECK(!p.side.opened && p.side.frames == 0);
			peer_end(&p);
		}
}

static void test_truncated_at_every_byte(void)
{
	size_t len = 1;
	for (int server = 0; server < 2; server++)
		for (size_t i = 0; i < len; i++) {
			struct peer p;
			peer_begin(&p, server, &key);
			put_all(&p);
			len = p.len;
			must_write(p.fd, p.stream, i);
			shutdown(p.fd, SHUT_WR);
			run(p.side.loop);
			CHECK_EQ(p.side.err, -ECONNRESET);
			CHECK(came_unaltered(&p.side));
			peer_end(&p);
		}
}

static void test_split_at_every_byte(void)
{
	size_t len = 1;
	for (int server = 0; server < 2; server++)
		for (size_t i = 0; i < len; i++) {
			struct peer p;
			peer_begin(&p, server, &key);
			put_all(&p);
			len = p.len;
			must_write(p.fd, p.stream, i);
			settle(p.side.loop);
			must_write(p.fd, p.stream + i, p.len - i);
			run(p.side.loop);
			CHECK_EQ(p.side.err, 0);
			CHECK_EQ(p.side.frames, 3);
			CHECK(came_unaltered(&p.side));
			peer_end(&p);
		}
}

/* Opens the channel honestly, then sends what `cheat` puts; it must be refused. */
static void refused_after_open(void (*cheat)(struct peer *p), unsigned frames, int err)
{
	for (int server = 0; server < 2; server++) {
		struct peer p;
		peer_begin(&p, server, &key);
		put(&p, p.mine, sizeof(p.mine));
		put_proof(&p);
		must_write(p.fd, p.stream, p.len);
		settle(p.side.loop);
		CHECK(p.side.opened);
		p.len = 0;
		cheat(&p);
		must_write(p.fd, p.stream, p.len);
		run(p.side.loop);
		CHECK_EQ(p.side.err, err);
		CHECK_EQ(p.side.frames, frames);
		peer_end(&p);
	}
}

static void cheat_replay(struct peer *p)
{
	put_frame(p, &p->auth.send, 20, "pay");
	memcpy(p->stream + p->len, p->stream, p->len);
	p->len *= 2;
}

static void cheat_drop(struct peer *p)
{
	p->auth.send.n++;
	put_frame(p, &p->auth.send, 20, "pay");
}

static void cheat_reorder(struct peer *p)
{
	uint8_t first[64];
	size_t n = make_frame(&p->auth.send, first, 20, "one");
	put_frame(p, &p->auth.send, 20, "two");
	put(p, first, n);
}

/* A frame that the channel itself could have sent, with the number that is due. */
static void cheat_splice(struct peer *p)
{
	put_frame(p, &p->auth.receive, 20, "own");
}

static void cheat_no_mac(struct peer *p)
{
	put_frame(p, NULL, 20, "naked");
	memset(p->stream + p->len, 0, CHANNEL_MAC_LEN);
	p->len += CHANNEL_MAC_LEN;
}

static void cheat_length(struct peer *p)
{
	put_frame(p, &p->auth.send, 20, "long");
	put_be32(p->stream + 4, CHANNEL_MAX_FRAME + 1);
}

static void cheat_own_type(struct peer *p)
{
	put_frame(p, &p->auth.send, 3, "");
}

static void cheat_after_goodbye(struct peer *p)
{
	put_frame(p, &p->auth.send, 20, "last");
	put_frame(p, &p->auth.send, 2, "not empty");
}

static void test_cheats_after_open(void)
{
	refused_after_open(cheat_replay, 1, -EBADMSG);
	refused_after_open(cheat_drop, 0, -EBADMSG);
	refused_after_open(cheat_reorder, 0, -EBADMSG);
	refused_after_open(cheat_splice, 0, -EBADMSG);
	refused_after_open(cheat_no_mac, 0, -EBADMSG);
	refused_after_open(cheat_length, 0, -EBADMSG);
	refused_after_open(cheat_own_type, 0, -EPROTO);
	refused_after_open(cheat_after_goodbye, 1, -EPROTO);
}

/* What a client once said, said again to another server. */
static void test_replayed_session(void)
{
	struct peer p, again;
	peer_begin(&p, true, &key);
	put_all(&p);
	must_write(p.fd, p.stream, p.len);
	run(p.side.loop);
	CHECK_EQ(p.side.err, 0);
	peer_begin(&again, true, &key);
	must_write(again.fd, p.stream, p.len);
	run(again.side.loop);
	CHECK_EQ(again.side.err, -EACCES);
	CHECK(!again.side.opened);
	peer_end(&again);
	peer_end(&p);
}

/* A mirror instead of a peer; first as it is, then with the role changed, then with a nonce of its
 * own and the victim's proof given back. */
static void test_reflection(void)
{
	for (int server = 0; server < 2; server++)
		for (int how = 0; how < 3; how++) {
			struct peer p;
			uint8_t proof[CHANNEL_PROOF_LEN] = {CHANNEL_PROOF};
			peer_begin(&p, server, &key);
			if (how > 0)
				p.theirs[10] = server ? 'C' : 'S';
			if (how > 1)
				p.theirs[40] ^= 1;
			must_write(p.fd, p.theirs, sizeof(p.theirs));
			if (how == 2) {
				settle(p.side.loop);
				if (!server) /* only the client shows a proof first */
					must_read(p.fd, proof, sizeof(proof));
				must_write(p.fd, proof, sizeof(proof));
			}
			run(p.side.loop);
			CHECK_EQ(p.side.err, how == 2 ? -EACCES : -EPROTO);
			CHECK(!p.side.opened);
			peer_end(&p);
		}
}

/* ---- who is no vstor ---- */

static void stranger(const void *says, size_t n, bool leaves, int err, const char *text)
{
	struct peer p = {.side.loop = loop_new()};
	struct channel_config cfg = config(&p.side, false, NULL);
	cfg.handshake_ns = 100 * MS_NS;
	peer_begin_with(&p, &cfg);
	if (n)
		must_write(p.fd, says, n);
	if (leaves)
		shutdown(p.fd, SHUT_WR);
	run(p.side.loop);
	CHECK_EQ(p.side.err, err);
	CHECK(!p.side.opened);
	if (!CHECK(strstr(p.side.text, text) != NULL))
		printf("# text: %s\n", p.side.text);
	peer_end(&p);
}

static void test_strangers(void)
{
	struct peer p;
	uint8_t other[CHANNEL_HELLO_LEN];
	stranger("SSH-2.0-OpenSSH_9.2\r\n", 21, false, -EPROTO,
		 "server: is not vstor, it says \"SSH-2.0-OpenSSH_9.2\"");
	stranger("HTTP/1.1 400 Bad Request\r\n", 26, false, -EPROTO,
		 "\"HTTP/1.1 400 Bad Request\"");
	stranger("\x23\x00\x00", 3, false, -EPROTO, "does not speak vstor's protocol");
	stranger("", 0, true, -ECONNRESET, "does `vstor receive` run there?");
	stranger("vstor", 5, true, -ECONNRESET, "before it said hello");
	stranger("", 0, false, -ETIMEDOUT, "does not answer as a vstor");
	stranger("vstor-ch", 8, false, -ETIMEDOUT, "does not answer as a vstor");
	CHECK_EQ(channel_hello_make(other, true, false, SEC_NS), 0);
	other[9]++;
	stranger(other, sizeof(other), false, -EPROTO, "another version");
	other[9]--;
	other[11] = 1;
	stranger(other, sizeof(other), false, -EPROTO, "asks for a key");
	/* Without a key nothing but the form can be checked. */
	peer_begin(&p, true, NULL);
	put(&p, p.mine, sizeof(p.mine));
	put_frame(&p, NULL, 20, "fine");
	put(&p, "Last login: Mon", 15);
	must_write(p.fd, p.stream, p.len);
	run(p.side.loop);
	CHECK_EQ(p.side.err, -EPROTO);
	CHECK_EQ(p.side.frames, 1);
	CHECK(strstr(p.side.text, "not a frame") != NULL);
	peer_end(&p);
}

/* ---- two channels ---- */

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
		struct loop_timer soon = {0};
		loop_timer_set(p.loop, &soon, 10 * MS_NS, on_soon, p.loop);
		loop_run(p.loop);
		loop_timer_del(p.loop, &soon);
		if (p.b.c)
			channel_stats(p.b.c, &st);
	}
	CHECK(st.frames_received >= 10);
	CHECK(!p.a.closed && !p.b.closed);
	CHECK_EQ(p.b.frames, 0);
	pair_end(&p);
}

static void test_dead_peer(void)
{
	struct peer p = {.side.loop = loop_new()};
	struct channel_config cfg = config(&p.side, true, &key);
	cfg.dead_ns = 200 * MS_NS;
	peer_begin_with(&p, &cfg);
	put(&p, p.mine, sizeof(p.mine));
	put_proof(&p);
	must_write(p.fd, p.stream, p.len);
	run(p.side.loop);
	CHECK(p.side.opened);
	CHECK_EQ(p.side.err, -ETIMEDOUT);
	CHECK(strstr(p.side.text, "nothing heard for 0.2 s") != NULL);
	peer_end(&p);
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

int main(void)
{
	CHECK_RUN(test_honest_peer);
	CHECK_RUN(test_every_byte_flipped);
	CHECK_RUN(test_truncated_at_every_byte);
	CHECK_RUN(test_split_at_every_byte);
	CHECK_RUN(test_cheats_after_open);
	CHECK_RUN(test_replayed_session);
	CHECK_RUN(test_reflection);
	CHECK_RUN(test_strangers);
	CHECK_RUN(test_two_channels);
	CHECK_RUN(test_wrong_key);
	CHECK_RUN(test_keepalive);
	CHECK_RUN(test_dead_peer);
	CHECK_RUN(test_back_pressure);
	CHECK_RUN(test_peer_ends_while_held);
	CHECK_RUN(test_largest_frame);
	CHECK_RUN(test_free_in_callbacks);
	return CHECK_DONE();
}
