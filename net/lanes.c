/* SPDX-License-Identifier: BSD-2-Clause */
#include "net/lanes.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/bytes.h"
#include "core/digest.h"
#include "core/log.h"

#define PIECE	   (CHANNEL_TYPE_USER + 0)
#define NUMBER	   8		     /* bytes of a piece's number */
#define HIGH_WATER (4 * LANES_PIECE) /* a slow lane is not to hold what another could carry */
#define CONNECT_NS (10 * SEC_NS)
#define KEY_BYTES  16
#define WATCH_NS   (250 * MS_NS)

/*
 * A lane is as patient as the channel beside it: a receiver that is busy with something else is
 * heard on neither. But while one lane is dead the window stands still: when others are heard, it
 * need not be waited for. That takes more than a keepalive interval, a quarter of this.
 */
static uint64_t dead_ns = 10 * SEC_NS;

static uint64_t behind_ns(void)
{
	return dead_ns * 2 / 5;
}

/* ---- the sender ---- */

struct lane {
	struct lanes_out *o;
	struct channel *c; /* NULL: it is gone */
	char name[CHANNEL_TEXT_MAX / 2];
	bool open;
	uint64_t received, heard_at; /* bytes, and when there were more of them last */
};

struct piece {
	uint8_t *data; /* the number, then the bytes; a receiver has it from its first use on */
	size_t n;
	int lane; /* that it was given to; -1: to none yet */
};

struct lanes_out {
	struct loop *loop;
	const struct lanes_out_ops *ops;
	void *arg;
	struct loop_task room;
	struct loop_timer timer;
	struct lane lanes[LANES_MAX];
	unsigned n, open, alive;
	struct piece pieces[LANES_WINDOW];
	uint64_t next, arrived; /* pieces made, and those that the receiver has */
	uint64_t bytes;		/* on the wire, of lanes that are gone */
	bool failed;
};

static void fail(struct lanes_out *o, const char *text)
{
	if (o->failed)
		return;
	o->failed = true;
	o->ops->on_failed(o->arg, text);
}

/* The writable lane with least in its queue; -1: none. */
static int choose(const struct lanes_out *o)
{
	int best = -1;

	for (unsigned i = 0; i < o->n; i++) {
		const struct channel *c = o->lanes[i].open ? o->lanes[i].c : NULL;

		if (c && channel_writable(c) &&
		    (best < 0 || channel_queued(c) < channel_queued(o->lanes[best].c)))
			best = (int)i;
	}
	return best;
}

/* Gives away what has no lane, the oldest first. False: some of it has to wait. */
static bool flush(struct lanes_out *o)
{
	for (uint64_t i = o->arrived; i < o->next; i++) {
		struct piece *p = &o->pieces[i % LANES_WINDOW];
		int lane;

		if (p->lane >= 0)
			continue;
		lane = choose(o);
		if (lane < 0 || channel_send(o->lanes[lane].c, PIECE, p->data, NUMBER + p->n))
			return false;
		p->lane = lane;
	}
	return true;
}

static void watch(void *arg);

static void tell_room(void *arg)
{
	struct lanes_out *o = arg;

	if (!o->failed && flush(o))
		o->ops->on_room(o->arg);
}

static void on_lane_open(void *arg)
{
	struct lane *lane = arg;
	struct lanes_out *o = lane->o;

	lane->open = true;
	lane->heard_at = clock_ns();
	if (++o->open < o->n)
		return;
	loop_timer_set(o->loop, &o->timer, WATCH_NS, watch, o);
	o->ops->on_open(o->arg);
}

/* A receiver has nothing to say on a lane. */
static bool on_lane_frame(void *arg, uint8_t type, const uint8_t *p, size_t n)
{
	(void)arg;
	(void)type;
	(void)p;
	(void)n;
	return true;
}

static void on_lane_writable(void *arg)
{
	struct lane *lane = arg;

	tell_room(lane->o);
}

static void drop_lane(struct lane *lane)
{
	struct channel_stats s;

	if (!lane->c)
		return;
	channel_stats(lane->c, &s);
	lane->o->bytes += s.bytes_sent;
	channel_free(lane->c);
	lane->c = NULL;
}

static void lose_lane(struct lane *lane, const char *text)
{
	struct lanes_out *o = lane->o;
	char why[CHANNEL_TEXT_MAX];

	snprintf(why, sizeof(why), "--data %s: %.100s", lane->name, text);
	drop_lane(lane);
	o->alive--;
	if (!lane->open || !o->alive) {
		fail(o, why);
		return;
	}
	log_warn("%s: going on over the others", why);
	for (uint64_t i = o->arrived; i < o->next; i++) {
		struct piece *p = &o->pieces[i % LANES_WINDOW];

		if (p->lane == lane - o->lanes)
			p->lane = -1;
	}
	loop_defer(o->loop, &o->room);
}

static void on_lane_close(void *arg, int err, const char *text)
{
	lose_lane(arg, err ? text : "the other side has hung up");
}

static void watch(void *arg)
{
	struct lanes_out *o = arg;
	uint64_t now = clock_ns(), last = 0;

	for (unsigned i = 0; i < o->n; i++) {
		struct lane *lane = &o->lanes[i];
		struct channel_stats s;

		if (!lane->c)
			continue;
		channel_stats(lane->c, &s);
		if (s.bytes_received != lane->received) {
			lane->received = s.bytes_received;
			lane->heard_at = now;
		}
		last = MAX(last, lane->heard_at);
	}
	for (unsigned i = 0; i < o->n; i++)
		if (o->lanes[i].c && last - o->lanes[i].heard_at >= behind_ns())
			lose_lane(&o->lanes[i], "silent, while others are heard");
	loop_timer_set(o->loop, &o->timer, WATCH_NS, watch, o);
}

static const struct channel_ops lane_ops = {.on_open = on_lane_open,
					    .on_frame = on_lane_frame,
					    .on_writable = on_lane_writable,
					    .on_close = on_lane_close};

static int connect_lane(struct lanes_out *o, const char *name, uint16_t port,
			const struct channel_key *key, char text[CHANNEL_TEXT_MAX])
{
	struct lane *lane = &o->lanes[o->n];
	struct channel_config cfg = {.ops = &lane_ops,
				     .arg = lane,
				     .peer = lane->name,
				     .key = key,
				     .handshake_ns = CONNECT_NS,
				     .dead_ns = dead_ns,
				     .high_water = HIGH_WATER};
	struct sock_addrs addrs;
	int rc;

	if (o->n == LANES_MAX) {
		snprintf(text, CHANNEL_TEXT_MAX, "--data: more than %d addresses", LANES_MAX);
		return -E2BIG;
	}
	lane->o = o;
	snprintf(lane->name, sizeof(lane->name), "%s", name);
	rc = sock_resolve(name, port, &addrs);
	if (rc) {
		snprintf(text, CHANNEL_TEXT_MAX, "--data %.100s: %s", name, sock_strerror(rc));
		return rc;
	}
	rc = channel_connect(o->loop, &addrs, &cfg, &lane->c);
	if (rc) {
		lane->c = NULL;
		snprintf(text, CHANNEL_TEXT_MAX, "--data %.100s: %s", name, strerror(-rc));
		return rc;
	}
	o->n++;
	o->alive++;
	return 0;
}

int lanes_out_open(struct loop *l, const char *addresses, uint16_t port,
		   const struct channel_key *key, const struct lanes_out_ops *ops, void *arg,
		   struct lanes_out **out, char text[CHANNEL_TEXT_MAX])
{
	struct lanes_out *o = calloc(1, sizeof(*o));
	char *list = strdup(addresses), *rest = list, *name;
	int rc = o && list ? 0 : -ENOMEM;

	snprintf(text, CHANNEL_TEXT_MAX, "--data: no memory");
	if (o) {
		o->loop = l;
		o->ops = ops;
		o->arg = arg;
		o->room = (struct loop_task){.fn = tell_room, .arg = o};
	}
	/* Now, since nobody would be woken when there is memory again. */
	for (unsigned i = 0; i < LANES_WINDOW && !rc; i++) {
		o->pieces[i].data = malloc(NUMBER + LANES_PIECE);
		rc = o->pieces[i].data ? 0 : -ENOMEM;
	}
	while (!rc && (name = strsep(&rest, ",")))
		rc = connect_lane(o, name, port, key, text);
	free(list);
	if (rc)
		lanes_out_free(o);
	else
		*out = o;
	return rc;
}

uint8_t *lanes_out_reserve(struct lanes_out *o)
{
	struct piece *p = &o->pieces[o->next % LANES_WINDOW];

	if (o->failed || o->next - o->arrived == LANES_WINDOW || !flush(o) || choose(o) < 0)
		return NULL;
	return p->data + NUMBER;
}

void lanes_out_commit(struct lanes_out *o, size_t n)
{
	struct piece *p = &o->pieces[o->next % LANES_WINDOW];

	put_be64(p->data, o->next++);
	p->n = n;
	p->lane = -1;
	flush(o);
}

int lanes_out_arrived(struct lanes_out *o, uint64_t next)
{
	if (next < o->arrived || next > o->next)
		return -EPROTO;
	o->arrived = next;
	loop_defer(o->loop, &o->room);
	return 0;
}

bool lanes_out_empty(const struct lanes_out *o)
{
	return o->arrived == o->next;
}

void lanes_out_bound(struct lanes_out *o, int bytes)
{
	for (unsigned i = 0; i < o->n; i++)
		if (o->lanes[i].c)
			sock_bound_sending(channel_socket(o->lanes[i].c), bytes);
}

uint64_t lanes_out_bytes(const struct lanes_out *o)
{
	uint64_t bytes = o->bytes;

	for (unsigned i = 0; i < o->n; i++) {
		struct channel_stats s = {0};

		if (o->lanes[i].c)
			channel_stats(o->lanes[i].c, &s);
		bytes += s.bytes_sent;
	}
	return bytes;
}

void lanes_out_free(struct lanes_out *o)
{
	if (!o)
		return;
	for (unsigned i = 0; i < o->n; i++)
		channel_free(o->lanes[i].c);
	for (unsigned i = 0; i < LANES_WINDOW; i++)
		free(o->pieces[i].data);
	loop_defer_cancel(o->loop, &o->room);
	loop_timer_del(o->loop, &o->timer);
	free(o);
}

/* ---- the receiver ---- */

struct lane_in {
	struct lanes_in *in;
	struct channel *c; /* NULL: none */
};

struct lanes_in {
	struct loop *loop;
	const struct lanes_in_ops *ops;
	void *arg;
	struct channel_key key;
	struct channel_listener *listener;
	struct lane_in lanes[LANES_MAX];
	struct loop_task tell;
	struct piece pieces[LANES_WINDOW]; /* n 0: not here */
	uint64_t next;			   /* the first that has not been passed on */
	bool held;			   /* until lanes_in_resume() */
};

static void tell_arrived(void *arg)
{
	struct lanes_in *in = arg;

	in->ops->on_arrived(in->arg, in->next);
}

static void pass_on(struct lanes_in *in)
{
	struct piece *p = &in->pieces[in->next % LANES_WINDOW];

	while (!in->held && p->n) {
		if (!in->ops->on_bytes(in->arg, p->data, p->n)) {
			in->held = true;
			return;
		}
		p->n = 0;
		p = &in->pieces[++in->next % LANES_WINDOW];
		loop_defer(in->loop, &in->tell);
	}
}

static void drop_lane_in(struct lane_in *lane, const char *why)
{
	log_warn("data connection of %s: %s", channel_peer(lane->c), why);
	channel_free(lane->c);
	lane->c = NULL;
}

/* A number that the sender cannot have reached, or not a piece at all: the lane is not its. */
static bool on_piece(void *arg, uint8_t type, const uint8_t *p, size_t n)
{
	struct lane_in *lane = arg;
	struct lanes_in *in = lane->in;
	uint64_t number = n > NUMBER ? get_be64(p) : UINT64_MAX;
	struct piece *place = &in->pieces[number % LANES_WINDOW];

	if (type != PIECE || n <= NUMBER || n > NUMBER + LANES_PIECE ||
	    (number >= in->next && number - in->next >= LANES_WINDOW)) {
		drop_lane_in(lane, "what it sends makes no sense");
		return true;
	}
	if (number < in->next || place->n)
		return true; /* it has come by another lane */
	if (!place->data)
		place->data = malloc(LANES_PIECE);
	if (!place->data) {
		drop_lane_in(lane, "no memory");
		return true;
	}
	memcpy(place->data, p + NUMBER, n - NUMBER);
	place->n = n - NUMBER;
	pass_on(in);
	return true;
}

static void on_piece_close(void *arg, int err, const char *text)
{
	struct lane_in *lane = arg;

	log_debug("data connection: %s", err ? text : "ended");
	channel_free(lane->c);
	lane->c = NULL;
}

static const struct channel_ops lane_in_ops = {.on_frame = on_piece, .on_close = on_piece_close};

static void on_accept(void *arg, struct channel *c)
{
	struct lanes_in *in = arg;

	for (unsigned i = 0; i < LANES_MAX; i++) {
		struct lane_in *lane = &in->lanes[i];

		if (!lane->c) {
			*lane = (struct lane_in){.in = in, .c = c};
			channel_set_ops(c, &lane_in_ops, lane);
			return;
		}
	}
	channel_free(c);
}

/* As text, since a message's field holds no other. */
static int make_key(struct channel_key *k)
{
	uint8_t bytes[KEY_BYTES];
	int rc = random_bytes(bytes, sizeof(bytes));

	for (size_t i = 0; i < sizeof(bytes) && !rc; i++)
		snprintf((char *)k->data + 2 * i, 3, "%02x", bytes[i]);
	k->len = 2 * sizeof(bytes);
	return rc;
}

int lanes_in_open(struct loop *l, const struct channel_key *key, const struct lanes_in_ops *ops,
		  void *arg, struct lanes_in **out)
{
	struct lanes_in *in = calloc(1, sizeof(*in));
	struct channel_config cfg = {.dead_ns = dead_ns, .handshake_ns = CONNECT_NS};
	int rc = 0;

	if (!in)
		return -ENOMEM;
	in->loop = l;
	in->ops = ops;
	in->arg = arg;
	in->tell = (struct loop_task){.fn = tell_arrived, .arg = in};
	if (key)
		in->key = *key;
	else
		rc = make_key(&in->key);
	cfg.key = &in->key;
	if (!rc)
		rc = channel_listen(l, "*:0", 0, &cfg, on_accept, in, &in->listener);
	if (rc)
		lanes_in_free(in);
	else
		*out = in;
	return rc;
}

uint16_t lanes_in_port(const struct lanes_in *in)
{
	return channel_listener_port(in->listener);
}

const struct channel_key *lanes_in_key(const struct lanes_in *in)
{
	return &in->key;
}

void lanes_in_resume(struct lanes_in *in)
{
	in->held = false;
	pass_on(in);
}

void lanes_in_free(struct lanes_in *in)
{
	if (!in)
		return;
	for (unsigned i = 0; i < LANES_MAX; i++)
		channel_free(in->lanes[i].c);
	channel_listener_free(in->listener);
	for (unsigned i = 0; i < LANES_WINDOW; i++)
		free(in->pieces[i].data);
	loop_defer_cancel(in->loop, &in->tell);
	channel_key_wipe(&in->key);
	free(in);
}
