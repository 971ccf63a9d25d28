/* SPDX-License-Identifier: BSD-2-Clause */
/* The receiving half of a channel: hello, proof and frames, each taken when it is complete. */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/bytes.h"
#include "net/channel_priv.h"
#include "net/sock.h"

static size_t available(const struct channel *c)
{
	return c->rend - c->rpos;
}

static size_t hello_need(const struct channel *c)
{
	(void)c;
	return CHANNEL_HELLO_LEN;
}

static size_t proof_need(const struct channel *c)
{
	(void)c;
	return CHANNEL_PROOF_LEN;
}

static size_t frame_need(const struct channel *c)
{
	if (available(c) < CHANNEL_HEAD_LEN)
		return CHANNEL_HEAD_LEN;
	return CHANNEL_HEAD_LEN + get_be32(c->rbuf + c->rpos + 4) + channel_mac_len(c);
}

/* Another service's banner is worth quoting: it tells the user what listens there. */
static void not_a_vstor(struct channel *c)
{
	char said[41];
	size_t n = 0;
	while (n < MIN(available(c), sizeof(said) - 1) && isprint(c->rbuf[c->rpos + n])) {
		said[n] = (char)c->rbuf[c->rpos + n];
		n++;
	}
	said[n] = 0;
	if (n >= 4)
		channel_fail(c, -EPROTO, "is not vstor, it says \"%s\"", said);
	else
		channel_fail(c, -EPROTO, "does not speak vstor's protocol");
}

static bool take_hello(struct channel *c, const uint8_t *p)
{
	uint64_t theirs;
	const char *wrong = channel_hello_check(c->hello, p, &theirs);
	if (wrong) {
		channel_fail(c, -EPROTO, "%s", wrong);
		return false;
	}
	c->rpos += CHANNEL_HELLO_LEN;
	c->tick_ns = MAX(MIN(c->dead_ns, theirs) / CHANNEL_QUIET_TICKS, CHANNEL_TICK_MIN_NS);
	if (!c->auth) {
		channel_opened(c);
		return true;
	}
	channel_auth_init(&c->session, &c->key, c->server, c->hello, p);
	wipe(&c->key, sizeof(c->key));
	c->state = CHANNEL_PROVING;
	if (!c->server) {
		uint8_t proof[CHANNEL_PROOF_LEN];
		channel_auth_prove(&c->session, proof);
		if (channel_queue_raw(c, proof, sizeof(proof)))
			channel_fail(c, -ENOMEM, "out of memory");
	}
	return true;
}

static bool take_proof(struct channel *c, const uint8_t *p)
{
	uint8_t answer[CHANNEL_PROOF_LEN] = {CHANNEL_REFUSAL};
	bool good = channel_auth_verify(&c->session, p);
	if (c->server) {
		if (good)
			channel_auth_prove(&c->session, answer);
		if (channel_queue_raw(c, answer, sizeof(answer))) {
			channel_fail(c, -ENOMEM, "out of memory");
			return false;
		}
		channel_flush(c); /* a refusal must be out before the end */
	}
	if (!good) {
		channel_fail(c, -EACCES, "%s: the two --key-file differ",
			     p[0] == CHANNEL_REFUSAL && !c->server ? "refuses our key"
								   : "does not hold our key");
		return false;
	}
	c->rpos += CHANNEL_PROOF_LEN;
	channel_opened(c);
	return true;
}

static void altered(struct channel *c)
{
	channel_fail(c, -EBADMSG, "frame %llu was altered on its way, or is not theirs",
		     (unsigned long long)c->stats.frames_received);
}

static bool take_own(struct channel *c, uint8_t type, size_t n)
{
	if (n || (type != CHANNEL_KEEPALIVE && type != CHANNEL_GOODBYE)) {
		channel_fail(c, -EPROTO, "sent a frame of unknown type %u", type);
		return false;
	}
	if (type == CHANNEL_GOODBYE) {
		c->goodbye_received = true;
		channel_say_goodbye(c);
		return !channel_over(c);
	}
	return true;
}

static bool take_frame(struct channel *c, const uint8_t *p)
{
	size_t n = get_be32(p + 4), total = CHANNEL_HEAD_LEN + n + channel_mac_len(c);
	uint8_t mac[CHANNEL_MAC_LEN];
	/* A held frame comes a second time: its MAC has been seen to already. */
	if (c->auth && !c->held) {
		channel_mac_next(&c->session.receive, p, p + CHANNEL_HEAD_LEN, n, mac);
		if (!equal_secret(mac, p + CHANNEL_HEAD_LEN + n, sizeof(mac))) {
			altered(c);
			return false;
		}
	}
	if (c->goodbye_received) {
		channel_fail(c, -EPROTO, "sent a frame after its goodbye");
		return false;
	}
	if (p[0] < CHANNEL_TYPE_USER) {
		c->rpos += total;
		c->stats.frames_received++;
		return take_own(c, p[0], n);
	}
	c->held = !c->ops.on_frame(c->arg, p[0], p + CHANNEL_HEAD_LEN, n);
	if (!c->held)
		c->held_ticks = 0;
	if (c->held || c->state == CHANNEL_ENDED)
		return false;
	c->rpos += total;
	c->stats.frames_received++;
	return true;
}

/* What each state waits for. */
static const struct {
	size_t (*need)(const struct channel *c);	   /* bytes of the next item, at least */
	bool (*take)(struct channel *c, const uint8_t *p); /* false: not now, or never again */
	const char *eof;				   /* what an end of file means here */
	const char *hint;				   /* for the side that called */
} states[] = {
	[CHANNEL_HELLO] = {hello_need, take_hello, "ended the connection before it said hello",
			   ": does `vstor receive` run there?"},
	[CHANNEL_PROVING] = {proof_need, take_proof,
			     "ended the connection while the key was being checked", ""},
	[CHANNEL_OPEN] = {frame_need, take_frame,
			  "ended without goodbye: that vstor was killed, or the link was cut", ""},
};

/* What can be told from the first bytes of an item; false when the channel has failed. */
static bool plausible(struct channel *c)
{
	const uint8_t *p = c->rbuf + c->rpos;
	size_t n = available(c);
	if (c->state == CHANNEL_HELLO && memcmp(p, channel_magic, MIN(n, CHANNEL_MAGIC_LEN)) != 0) {
		not_a_vstor(c);
		return false;
	}
	if (c->state == CHANNEL_OPEN && n >= CHANNEL_HEAD_LEN &&
	    (get_be24(p + 1) || get_be32(p + 4) > CHANNEL_MAX_FRAME)) {
		if (c->auth)
			altered(c);
		else
			channel_fail(c, -EPROTO,
				     "sent what is not a frame: something else writes "
				     "to its stdout");
		return false;
	}
	return true;
}

void channel_deliver(struct channel *c)
{
	while (c->state != CHANNEL_ENDED && available(c)) {
		if (!plausible(c) || available(c) < states[c->state].need(c))
			break;
		if (!states[c->state].take(c, c->rbuf + c->rpos))
			break;
	}
	if (c->rpos == c->rend)
		c->rpos = c->rend = 0;
}

/* Bytes that are still to come of the frame at rpos, when it is a long one; else 0. */
static size_t rest_of_bulk(const struct channel *c)
{
	size_t have = available(c), need = frame_need(c);
	if (c->state != CHANNEL_OPEN || have < CHANNEL_HEAD_LEN)
		return 0;
	return need >= have + CHANNEL_READ ? need - have : 0;
}

/* What of it is to come at once: equal pieces, so that a row of equal frames changes nothing. */
static size_t piece_of(size_t rest)
{
	size_t pieces = (rest + CHANNEL_EXPECT_MAX - 1) / CHANNEL_EXPECT_MAX;
	return (rest + pieces - 1) / pieces;
}

void channel_expect(struct channel *c)
{
	size_t bulk = rest_of_bulk(c), expected = bulk ? piece_of(bulk) : 1;
	/* While a frame is held nothing is read. */
	if (!c->socket || c->held || c->state == CHANNEL_ENDED || expected == c->expected)
		return;
	/* While a piece is taken off, the next one is on its way. */
	if (bulk && !c->roomy)
		sock_wake_at(c->in, (int)(2 * CHANNEL_EXPECT_MAX));
	c->roomy |= bulk != 0;
	c->expected = expected;
	sock_wake_at(c->in, (int)expected);
}

bool channel_fill(struct channel *c)
{
	size_t want = states[c->state].need(c) - available(c), room_left;
	size_t bulk = rest_of_bulk(c);
	ssize_t n;
	if (bulk)
		want = piece_of(bulk);
	if (bulk && want == bulk)
		/* With the next one's head it is known at once how much to expect then. */
		want += CHANNEL_HEAD_LEN;
	if (!bulk && c->state == CHANNEL_OPEN)
		/* From who has not proved the key yet, not a byte more than that takes. */
		want = CHANNEL_READ;
	if (c->rcap - c->rend < want) {
		memmove(c->rbuf, c->rbuf + c->rpos, available(c));
		c->rend -= c->rpos;
		c->rpos = 0;
	}
	room_left = c->rcap - c->rend;
	n = read(c->in, c->rbuf + c->rend, MIN(want, room_left));
	if (n > 0) {
		c->rend += (size_t)n;
		c->stats.bytes_received += (uint64_t)n;
		c->quiet = 0;
		channel_deliver(c);
		/* Of a long frame the next one's rest is waited for, not looked for in vain. */
		return (size_t)n == want && !bulk && !c->held && c->state != CHANNEL_ENDED;
	}
	if (n == 0)
		channel_fail(c, -ECONNRESET, "%s%s", states[c->state].eof,
			     c->server ? "" : states[c->state].hint);
	else if (errno != EAGAIN && errno != EINTR)
		channel_fail(c, -errno, "connection lost: %s", strerror(errno));
	return false;
}
