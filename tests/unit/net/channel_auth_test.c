/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The channel against a peer made by hand, which may lie in every way: hello, proof and the MAC of
 * frames. All over socket pairs, each test on a loop of its own.
 */
#include "net/channel_auth.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/unit/net/channel_side.h"

static struct channel_key key = {.data = "0123456789abcdef", .len = 16};

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

/* A peer that was there once: it says nothing more, whatever we do meanwhile. */
static void falls_silent(void (*meanwhile)(struct peer *p))
{
	struct peer p = {.side.loop = loop_new()};
	struct channel_config cfg = config(&p.side, true, &key);
	cfg.dead_ns = 200 * MS_NS;
	peer_begin_with(&p, &cfg);
	put(&p, p.mine, sizeof(p.mine));
	put_proof(&p);
	must_write(p.fd, p.stream, p.len);
	settle(p.side.loop);
	CHECK(p.side.opened);
	meanwhile(&p);
	run(p.side.loop);
	CHECK_EQ(p.side.err, -ETIMEDOUT);
	CHECK(strstr(p.side.text, "nothing heard for 0.2 s") != NULL);
	peer_end(&p);
}

static void idle(struct peer *p)
{
	(void)p;
}

/* It does not even take what we send. */
static void stuff(struct peer *p)
{
	uint8_t *to;
	for (int room = 1; room;) {
		while ((to = channel_reserve(p->side.c, 65536))) {
			memset(to, 0, 65536);
			channel_commit(p->side.c, 20, 65536);
		}
		settle(p->side.loop);
		room = channel_writable(p->side.c);
	}
}

static void say_goodbye(struct peer *p)
{
	channel_finish(p->side.c);
}

static void test_dead_peer(void)
{
	falls_silent(idle);
	falls_silent(stuff);
	falls_silent(say_goodbye);
}

/* It takes nothing for long, but shows that it lives: it is waited for. */
static void test_slow_peer(void)
{
	struct peer p = {.side.loop = loop_new()};
	struct channel_config cfg = config(&p.side, true, &key);
	cfg.dead_ns = 400 * MS_NS;
	peer_begin_with(&p, &cfg);
	put(&p, p.mine, sizeof(p.mine));
	put_proof(&p);
	must_write(p.fd, p.stream, p.len);
	settle(p.side.loop);
	stuff(&p);
	for (unsigned i = 0; i < 60 && !p.side.closed; i++) {
		p.len = 0;
		put_frame(&p, &p.auth.send, 1, "");
		must_write(p.fd, p.stream, p.len);
		wait_ms(p.side.loop, 20);
	}
	CHECK(!p.side.closed);
	peer_end(&p);
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
	CHECK_RUN(test_dead_peer);
	CHECK_RUN(test_slow_peer);
	return CHECK_DONE();
}
