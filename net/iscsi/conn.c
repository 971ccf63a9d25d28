/* SPDX-License-Identifier: BSD-2-Clause */
/* A target's connection: PDUs in from the socket, PDUs out to it. */
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "core/crc32c.h"
#include "core/log.h"
#include "net/iscsi/conn.h"

#define LOGIN_TIMEOUT (15 * SEC_NS)
#define DEAD_PEER     (60 * SEC_NS)
#define EXACT_LEAST   (16u << 10)
#define RECEIVE_MOST  (CHUNK_SMALL + EXACT_LEAST)
#define AHEAD_MAX     (8u << 20)
#define READ_ROUNDS   8 /* a busy connection lets the others have a turn */

const char *conn_name(const struct conn *c)
{
	static char name[ISCSI_NAME + SOCK_TEXT_MAX + 64];
	char addr[SOCK_TEXT_MAX];
	sock_text(&c->peer, addr);
	if (c->initiator[0])
		snprintf(name, sizeof(name), "session %u %s from %s", c->id, c->initiator, addr);
	else
		snprintf(name, sizeof(name), "connection %u from %s", c->id, addr);
	return name;
}

void conn_warn(const struct conn *c, const char *what, const char *end)
{
	static struct log_limit faults = {.burst = 5, .period_ns = 10 * SEC_NS};
	unsigned more;
	if (!log_allowed(&faults, &more))
		return;
	if (more)
		log_warn("%u more faults of initiators", more);
	log_warn("%s: %s; %s", conn_name(c), what, end);
}

void conn_in_bytes(struct conn *c, int64_t delta)
{
	struct target_server *s = c->server;
	struct conn *w;
	c->in_bytes += (uint64_t)delta;
	s->in_bytes += (uint64_t)delta;
	if (delta > 0)
		return;
	/* From the loop: we may be deep in some command. flush() resumes them. */
	while (s->in_bytes < SERVER_BYTES_MAX && (w = s->stalled)) {
		s->stalled = w->stalled_next;
		w->stalled_next = NULL;
		loop_defer(w->loop, &w->flush);
	}
	if (c->stalled && c->state != CONN_CLOSED)
		loop_defer(c->loop, &c->flush);
}

/* ---- sending ---- */

uint32_t conn_pdu_size(const struct conn *c, uint32_t n)
{
	return ISCSI_BHS + (c->header_digest ? 4 : 0) +
	       (n ? iscsi_pad(n) + (c->data_digest ? 4 : 0) : 0);
}

void conn_put_digests(const struct conn *c, uint8_t *bhs, uint32_t data)
{
	uint8_t *p = bhs + ISCSI_BHS;
	uint32_t crc;
	if (c->header_digest) { /* least significant byte first (RFC 7143, 13.1) */
		crc = crc32c(0, bhs, ISCSI_BHS);
		memcpy(p, &crc, 4);
		p += 4;
	}
	if (data && c->data_digest) {
		crc = crc32c(0, p, iscsi_pad(data));
		memcpy(p + iscsi_pad(data), &crc, 4);
	}
}

void conn_put_sn(struct conn *c, uint8_t *bhs, bool status)
{
	put_be32(bhs + PDU_STATSN, c->stat_sn);
	if (status)
		c->stat_sn++;
	put_be32(bhs + PDU_EXPCMDSN, c->exp_cmd_sn);
	/* The window never shrinks (RFC 7143, 4.2.2.1). */
	uint32_t max = c->exp_cmd_sn + window_left(c) - 1;
	if (sn_before(c->max_cmd_sn, max))
		c->max_cmd_sn = max;
	put_be32(bhs + PDU_MAXCMDSN, c->max_cmd_sn);
}

uint8_t *conn_pdu(struct conn *c, uint8_t opcode, uint32_t data, uint8_t **data_at)
{
	uint32_t size = conn_pdu_size(c, data);
	uint8_t *bhs;
	if (c->state == CONN_CLOSED)
		return NULL;
	bhs = conn_room(c, size, &c->pdu_chunk);
	if (!bhs) {
		log_error("%s: out of memory; dropped", conn_name(c));
		conn_close(c);
		return NULL;
	}
	memset(bhs, 0, ISCSI_BHS);
	bhs[0] = opcode;
	if (data) {
		uint8_t *d = bhs + ISCSI_BHS + (c->header_digest ? 4 : 0);
		memset(d + (data & ~3u), 0, iscsi_pad(data) - (data & ~3u));
		if (data_at)
			*data_at = d;
	}
	return bhs;
}

void conn_send_pdu(struct conn *c, uint8_t *bhs, uint32_t data, bool status)
{
	put_be24(bhs + PDU_DATA_LEN, data);
	conn_put_sn(c, bhs, status);
	conn_put_digests(c, bhs, data);
	conn_queue(c, bhs, conn_pdu_size(c, data), c->pdu_chunk);
}

void conn_reject(struct conn *c, const uint8_t *bhs, uint8_t reason)
{
	static struct log_limit rejects = {.burst = 5, .period_ns = 10 * SEC_NS};
	uint8_t *data, *r;
	unsigned more;
	if (log_allowed(&rejects, &more))
		log_info("%s: PDU with opcode 0x%02x rejected, reason 0x%02x", conn_name(c),
			 bhs[0] & ISCSI_OPCODE_MASK, reason);
	r = conn_pdu(c, ISCSI_REJECT, ISCSI_BHS, &data);
	if (!r)
		return;
	r[1] = ISCSI_FINAL;
	r[REJECT_REASON] = reason;
	put_be32(r + PDU_ITT, ISCSI_NO_TAG);
	memcpy(data, bhs, ISCSI_BHS);
	conn_send_pdu(c, r, ISCSI_BHS, true);
}

void conn_protocol_error(struct conn *c, const uint8_t *bhs, const char *what)
{
	conn_warn(c, what, "dropped");
	conn_reject(c, bhs, REJECT_PROTOCOL_ERROR);
	conn_finish(c);
}

/* Is nothing taken from it for now, but for what conn.ahead lets see? */
static bool held(const struct conn *c)
{
	return c->stalled || c->server->draining;
}

static void update_watch(struct conn *c)
{
	bool reading = (!held(c) || c->ahead) && c->state <= CONN_FULL;
	int rc = loop_fd_mod(c->loop, &c->watch,
			     (reading ? LOOP_READ : 0) | (conn_tx_ready(c) ? LOOP_WRITE : 0));
	if (rc)
		log_error("%s: cannot watch its socket: %s", conn_name(c), strerror(-rc));
}

static void change_rx(struct conn *c, struct chunk *fresh);
static void look_ahead(struct conn *c);
static bool readable(struct conn *c);

/* Idle connections hold no memory; what tasks hold anyway can take what comes next. */
static void spare_rx(struct conn *c)
{
	if (c->rx && c->rx_pos == c->rx->used && c->rx->refs == 1)
		change_rx(c, NULL);
}

static void flush(void *arg)
{
	struct conn *c = arg;
	if (c->running || held(c))
		c->rounds = 0;
	if (c->rounds && readable(c))
		return;
	if (c->state == CONN_CLOSED)
		return;
	spare_rx(c);
	c->ops->turn(c);
	if (c->asked_bytes)
		loop_skip_spin(c->loop); /* data is on its way */
	if (!conn_transmit(c))
		return;
	if (!c->tx_n && c->state == CONN_LAST) {
		change_rx(c, NULL);
		conn_hang_up(c);
		return;
	}
	update_watch(c);
	if (c->stalled)
		conn_resume(c);
	if (held(c))
		look_ahead(c);
}

/* ---- receiving ---- */

/* The PDU at rx_pos: its whole size, 0 when the header is not here yet, or -EPROTO. */
static int64_t pdu_size(struct conn *c)
{
	const uint8_t *h = c->rx->data + c->rx_pos;
	uint32_t data, ahs;
	if (c->rx->used - c->rx_pos < ISCSI_BHS)
		return 0;
	ahs = h[PDU_AHS_LEN] * 4u;
	data = get_be24(h + PDU_DATA_LEN);
	if (data > TARGET_MAX_RECV)
		return -EPROTO;
	return (int64_t)ISCSI_BHS + ahs + (c->header_digest ? 4 : 0) + iscsi_pad(data) +
	       (data && c->data_digest ? 4 : 0);
}

/* False: a digest is wrong and the PDU has been dealt with. */
static bool digests_ok(struct conn *c, const uint8_t *h, uint32_t ahs, uint32_t data)
{
	const uint8_t *p = h + ISCSI_BHS + ahs;
	uint32_t crc;
	if (c->header_digest) {
		memcpy(&crc, p, 4);
		p += 4;
		if (crc != crc32c(0, h, ISCSI_BHS + ahs)) {
			/* Nothing in it can be trusted, not even its length (RFC 7143, 7.8). */
			conn_warn(c, "header digest error", "dropped");
			conn_close(c);
			return false;
		}
	}
	if (data && c->data_digest) {
		loop_unlock(c->loop);
		memcpy(&crc, p + iscsi_pad(data), 4);
		crc ^= crc32c(0, p, iscsi_pad(data));
		loop_lock(c->loop);
		if (c->state == CONN_CLOSED)
			return false;
		if (crc) {
			/* Error recovery level 0: the session is to be restarted (7.1.4.1). */
			conn_warn(c, "data digest error", "dropped");
			conn_reject(c, h, REJECT_DATA_DIGEST);
			conn_finish(c);
			return false;
		}
	}
	return true;
}

/* Handles the whole PDU of `size` bytes at rx_pos. False: it must be offered again later. */
static bool take_pdu(struct conn *c, uint32_t size)
{
	uint8_t *h = c->rx->data + c->rx_pos;
	uint32_t ahs = h[PDU_AHS_LEN] * 4u, data = get_be24(h + PDU_DATA_LEN);
	uint8_t *d = h + ISCSI_BHS + ahs + (c->header_digest ? 4 : 0);
	bool taken = true;

	if (digests_ok(c, h, ahs, data))
		taken = c->ops->pdu(c, h, d, data, c->rx);
	if (taken && c->rx) {
		c->rx_pos += size;
		c->usual = size;
	}
	return taken;
}

/* Handles all whole PDUs. False: closed, or no more for now. */
static bool parse(struct conn *c)
{
	while (c->state <= CONN_FULL && c->rx) {
		int64_t size = pdu_size(c);
		if (size < 0) {
			conn_warn(c, "a data segment longer than was declared", "dropped");
			conn_close(c);
			return false;
		}
		if (size == 0 || size > c->rx->used - c->rx_pos)
			return true;
		if (!take_pdu(c, (uint32_t)size))
			return false;
	}
	return false;
}

static void unpin(struct chunk *chunk)
{
	struct conn *c = chunk->owner;
	c->pinned -= chunk->size;
	c->server->pinned -= chunk->size;
}

/* Goes on with another piece of memory, or none. Data that tasks still use stays where it is. */
static void change_rx(struct conn *c, struct chunk *fresh)
{
	struct chunk *rx = c->rx;
	if (rx && rx->refs > 1) { /* by tasks, which the connection outlives */
		rx->gone = unpin;
		rx->owner = c;
		c->pinned += rx->size;
		c->server->pinned += rx->size;
	}
	chunk_unref(rx);
	c->rx = fresh;
	c->rx_pos = 0;
}

/* Makes room behind what has been received. */
static int make_room(struct conn *c)
{
	struct chunk *rx = c->rx;
	uint32_t left = rx ? rx->used - c->rx_pos : 0, need;
	int64_t size = rx ? pdu_size(c) : 0;
	struct chunk *fresh;

	if (rx && left == 0 && rx->refs == 1) {
		rx->used = c->rx_pos = 0;
		return 0;
	}
	/* In one piece: all of the PDU that has begun, or one like the last; what has come of it
	 * has to be copied else. */
	need = size > 0 ? (uint32_t)size : MAX(CHUNK_SMALL / 4, c->usual);
	if (rx && rx->size - c->rx_pos >= need && rx->size > rx->used)
		return 0;
	fresh = chunk_get(c->server->pool,
			  MAX(need, c->server->conns_n > FEW_CONNS ? CHUNK_SMALL : CHUNK_LARGE));
	if (!fresh)
		return -ENOMEM;
	if (left)
		memcpy(fresh->data, rx->data + c->rx_pos, left);
	fresh->used = left;
	change_rx(c, fresh);
	return 0;
}

/* Receives at most `room` bytes behind the others. How many; 0: nothing for now, or closed. */
static uint32_t receive(struct conn *c, uint32_t room)
{
	ssize_t n;
	int err;
	loop_unlock(c->loop);
	do
		n = recv(c->fd, c->rx->data + c->rx->used, room, MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	err = n < 0 ? errno : 0;
	loop_lock(c->loop);
	if (c->state == CONN_CLOSED || err == EAGAIN)
		return 0;
	if (n <= 0) {
		log_info("%s: %s", conn_name(c),
			 n == 0 ? "closed by the initiator" : strerror(err));
		conn_close(c);
		return 0;
	}
	c->rx->used += (uint32_t)n;
	if (n >= CONN_MUCH)
		loop_skip_spin(c->loop);
	return (uint32_t)n;
}

static void out_of_memory(struct conn *c)
{
	log_error("%s: out of memory; dropped", conn_name(c));
	conn_close(c);
}

/* The headers of what has been received and is not taken. */
static void look_ahead(struct conn *c)
{
	uint32_t at = c->rx_pos, left;
	while (c->ahead && c->rx && (left = c->rx->used - at) >= ISCSI_BHS) {
		const uint8_t *h = c->rx->data + at;
		uint32_t ahs = h[PDU_AHS_LEN] * 4u,
			 head = ISCSI_BHS + ahs + (c->header_digest ? 4 : 0),
			 data = get_be24(h + PDU_DATA_LEN), size, crc;
		if (left < head || data > TARGET_MAX_RECV)
			return;
		memcpy(&crc, h + ISCSI_BHS + ahs, c->header_digest ? 4 : 0);
		if (c->header_digest && crc != crc32c(0, h, ISCSI_BHS + ahs))
			return; /* it will be seen when it is taken */
		c->ops->ahead(c, h);
		size = head + iscsi_pad(data) + (data && c->data_digest ? 4 : 0);
		if (left < size)
			return;
		at += size;
	}
}

/* Room for what comes while nothing is taken. False: there is no more of it. */
static bool room_ahead(struct conn *c)
{
	uint32_t left = c->rx ? c->rx->used - c->rx_pos : 0;
	struct chunk *fresh;
	if (c->rx && c->rx->used < c->rx->size)
		return true;
	if (2 * left > AHEAD_MAX)
		return false;
	fresh = chunk_get(c->server->pool, MAX(2 * left, CHUNK_SMALL));
	if (!fresh) {
		out_of_memory(c);
		return false;
	}
	if (left)
		memcpy(fresh->data, c->rx->data + c->rx_pos, left);
	fresh->used = left;
	change_rx(c, fresh);
	return true;
}

static void read_ahead(struct conn *c)
{
	if (!room_ahead(c)) {
		c->ahead = false; /* that has been too much */
		return;
	}
	if (receive(c, c->rx->size - c->rx->used))
		look_ahead(c);
}

void conn_look_ahead(struct conn *c, bool on)
{
	c->ahead = on;
	if (held(c))
		look_ahead(c);
}

/* How much to receive at a time: a large PDU to its end, so that the next begins on its own; what
 * is parsed and written while it is in the processor's cache otherwise. */
static uint32_t receive_most(struct conn *c)
{
	uint32_t room = c->rx->size - c->rx->used, left = c->rx->used - c->rx_pos;
	int64_t size = pdu_size(c);
	if (size >= left + (int64_t)EXACT_LEAST)
		return MIN(room, (uint32_t)size - left);
	return MIN(room, RECEIVE_MOST);
}

/* True: what has come is to be written first, while it is in the processor's cache; then flush()
 * goes on with it. */
static bool readable(struct conn *c)
{
	while (c->rounds && c->state <= CONN_FULL) {
		uint32_t room, n;
		c->rounds--;
		if (make_room(c)) {
			out_of_memory(c);
			break;
		}
		room = receive_most(c);
		n = receive(c, room);
		if (c->state == CONN_CLOSED || !n || !parse(c) || n < room)
			break;
		if (c->rounds && c->running) {
			loop_defer_cancel(c->loop, &c->flush); /* behind that */
			loop_defer(c->loop, &c->flush);
			return true;
		}
	}
	c->rounds = 0;
	return false;
}

void conn_resume(struct conn *c)
{
	if (c->state > CONN_FULL)
		return;
	c->stalled = false;
	if (c->rx && !parse(c) && c->stalled)
		return;
	if (c->state <= CONN_FULL)
		update_watch(c);
}

static void on_event(void *arg, unsigned events)
{
	struct conn *c = arg;
	if (c->lingers)
		conn_throw_away(c);
	if (c->state == CONN_CLOSED)
		return;
	if (c->state <= CONN_FULL && events & LOOP_READ && !held(c)) {
		c->rounds = READ_ROUNDS;
		if (readable(c))
			return;
	} else if (c->ahead && held(c) && c->state == CONN_FULL && events & LOOP_READ)
		read_ahead(c);
	else if (events == (LOOP_READ | LOOP_WRITE) && !conn_tx_ready(c))
		conn_close(c); /* an error while nothing is asked for */
	if (c->state == CONN_CLOSED)
		return;
	/* At once: the data is still in the CPU's cache, the next connection's would push it out,
	 * and what has been sent need not be waited for. */
	loop_defer_cancel(c->loop, &c->flush);
	flush(c);
}

/* ---- the beginning ---- */

static void on_timeout(void *arg)
{
	struct conn *c = arg;
	if (c->state < CONN_FULL)
		log_info("%s: no login within %llu s; dropped", conn_name(c),
			 (unsigned long long)(LOGIN_TIMEOUT / SEC_NS));
	conn_close(c);
}

int conn_open(struct conn *c)
{
	int rc;
	c->loop = c->home->loop;
	c->flush.fn = flush;
	c->flush.arg = c;
	sock_nodelay(c->fd);
	sock_keepalive(c->fd, DEAD_PEER);
	rc = loop_fd_add(c->loop, &c->watch, c->fd, LOOP_READ, on_event, c);
	if (rc)
		return rc;
	loop_timer_set(c->loop, &c->timer, LOGIN_TIMEOUT, on_timeout, c);
	return 0;
}

void conn_fini(struct conn *c)
{
	chunk_unref(c->rx);
	chunk_unref(c->tx_chunk);
	free(c->tx);
}
