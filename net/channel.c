/* SPDX-License-Identifier: BSD-2-Clause */
/* The life of a channel: sending, keepalives, goodbye and end. */
#include "net/channel.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/bytes.h"
#include "net/channel_priv.h"
#include "net/sock.h"

#define HANDSHAKE_NS  (20 * SEC_NS)
#define DEAD_NS	      (4 * SEC_NS) /* noticed at the next tick: within 5 s */
#define HELD_TIMES    15	   /* so many times that, a held frame may be held */
#define READS_PER_RUN 8		   /* then others on the loop have their turn */

static void on_flush(void *arg);
static void on_deliver(void *arg);
static void on_timer(void *arg);
static void on_event(void *arg, unsigned events);
static void on_out_event(void *arg, unsigned events);

/* ---- life ---- */

int channel_alloc(struct loop *l, const struct channel_config *cfg, struct channel **out)
{
	struct channel *c = calloc(1, sizeof(*c));
	if (!c)
		return -ENOMEM;
	c->rcap = CHANNEL_HEAD_LEN + CHANNEL_MAX_FRAME + CHANNEL_MAC_LEN + CHANNEL_READ;
	c->rbuf = malloc(c->rcap); /* pages come into being as they are used */
	if (!c->rbuf) {
		free(c);
		return -ENOMEM;
	}
	c->loop = l;
	c->ops = *cfg->ops;
	c->arg = cfg->arg;
	c->server = cfg->server;
	c->auth = cfg->key != NULL;
	if (cfg->key)
		c->key = *cfg->key;
	c->handshake_ns = cfg->handshake_ns ? cfg->handshake_ns : HANDSHAKE_NS;
	c->dead_ns = cfg->dead_ns ? cfg->dead_ns : DEAD_NS;
	c->high_water = cfg->high_water ? cfg->high_water : CHANNEL_HIGH_WATER;
	c->sendq.keep = (unsigned)(c->high_water / SENDQ_CHUNK + 1);
	snprintf(c->peer, sizeof(c->peer), "%s", cfg->peer ? cfg->peer : "peer");
	c->in = c->out = -1;
	c->expected = 1;
	c->flush_task = (struct loop_task){.fn = on_flush, .arg = c};
	c->deliver_task = (struct loop_task){.fn = on_deliver, .arg = c};
	*out = c;
	return 0;
}

void channel_set_ops(struct channel *c, const struct channel_ops *ops, void *arg)
{
	c->ops = *ops;
	c->arg = arg;
}

static void release_fd(int fd, int flags)
{
	if (fd > STDERR_FILENO)
		close(fd);
	else if (fd >= 0)
		/* Whoever started us shares these. */
		(void)fcntl(fd, F_SETFL, flags);
}

/* Lets go of everything outside the process; the peer sees the end now. */
static void disconnect(struct channel *c)
{
	c->state = CHANNEL_ENDED;
	meanwhile_del(&c->meanwhile);
	loop_timer_del(c->loop, &c->timer);
	loop_defer_cancel(c->loop, &c->flush_task);
	loop_defer_cancel(c->loop, &c->deliver_task);
	loop_fd_del(c->loop, &c->in_watch);
	loop_fd_del(c->loop, &c->out_watch);
	release_fd(c->in, c->in_flags);
	if (c->out != c->in)
		release_fd(c->out, c->out_flags);
	c->in = c->out = -1;
	sendq_free(&c->sendq);
	wipe(&c->key, sizeof(c->key));
	wipe(&c->session, sizeof(c->session));
}

/* Every way from the loop into the channel lies between enter() and leave(). */
static void enter(struct channel *c)
{
	c->busy++;
}

static void leave(struct channel *c)
{
	if (--c->busy || !c->freed)
		return;
	free(c->rbuf);
	free(c);
}

void channel_free(struct channel *c)
{
	if (!c || c->freed)
		return;
	enter(c);
	disconnect(c);
	if (c->hook.freed)
		c->hook.freed(c->hook.arg);
	c->freed = true;
	leave(c);
}

void channel_report(struct channel *c, int err, const char *text)
{
	enter(c);
	c->ops.on_close(c->arg, err, text);
	leave(c);
}

static void end(struct channel *c, int err, const char *text)
{
	disconnect(c);
	if (!c->hook.ending || !c->hook.ending(c->hook.arg, err, text))
		channel_report(c, err, text);
}

void channel_fail(struct channel *c, int err, const char *fmt, ...)
{
	char text[CHANNEL_TEXT_MAX];
	int n;
	va_list ap;
	if (c->state == CHANNEL_ENDED)
		return;
	n = snprintf(text, sizeof(text), "%s: ", c->peer);
	va_start(ap, fmt);
	vsnprintf(text + n, sizeof(text) - (size_t)n, fmt, ap);
	va_end(ap);
	end(c, err, text);
}

bool channel_over(struct channel *c)
{
	if (c->state != CHANNEL_OPEN || !c->goodbye_sent || !c->goodbye_received || c->sendq.queued)
		return false;
	end(c, 0, "");
	return true;
}

int channel_socket(const struct channel *c)
{
	return c->in == c->out ? c->out : -1;
}

const char *channel_peer(const struct channel *c)
{
	return c->peer;
}

void channel_stats(const struct channel *c, struct channel_stats *s)
{
	*s = c->stats;
}

/* ---- sending ---- */

static void queue(struct channel *c, size_t n)
{
	sendq_add(&c->sendq, n);
	if (c->sendq.queued >= c->high_water)
		c->above = true;
	if (!c->blocked)
		loop_defer(c->loop, &c->flush_task);
}

int channel_queue_raw(struct channel *c, const void *p, size_t n)
{
	uint8_t *to = sendq_room(&c->sendq, n);
	if (!to)
		return -ENOMEM;
	memcpy(to, p, n);
	queue(c, n);
	return 0;
}

/* Where the payload of the next frame goes. */
static uint8_t *reserve(struct channel *c, size_t max)
{
	uint8_t *p = sendq_room(&c->sendq, CHANNEL_HEAD_LEN + max + channel_mac_len(c));
	return p ? p + CHANNEL_HEAD_LEN : NULL;
}

static void commit(struct channel *c, uint8_t *payload, uint8_t type, size_t n)
{
	uint8_t *head = payload - CHANNEL_HEAD_LEN;
	put_be32(head, (uint32_t)type << 24);
	put_be32(head + 4, (uint32_t)n);
	if (c->auth)
		channel_mac_next(&c->session.send, head, payload, n, payload + n);
	c->stats.frames_sent++;
	queue(c, CHANNEL_HEAD_LEN + n + channel_mac_len(c));
}

static int may_send(const struct channel *c)
{
	if (c->state == CHANNEL_ENDED || c->finishing || c->goodbye_sent || c->out_broken)
		return -EPIPE;
	return c->state == CHANNEL_OPEN ? 0 : -ENOTCONN;
}

int channel_send(struct channel *c, uint8_t type, const void *p, size_t n)
{
	uint8_t *to;
	int rc = may_send(c);
	if (rc)
		return rc;
	if (n > CHANNEL_MAX_FRAME)
		return -EMSGSIZE;
	/* The frame of bulk that went over the mark, and then messages. */
	if (c->sendq.queued + n > c->high_water + 2 * CHANNEL_MAX_FRAME)
		return -ENOBUFS;
	to = reserve(c, n);
	if (!to)
		return -ENOMEM;
	if (n)
		memcpy(to, p, n);
	commit(c, to, type, n);
	return 0;
}

bool channel_writable(const struct channel *c)
{
	return may_send(c) == 0 && c->sendq.queued < c->high_water;
}

uint8_t *channel_reserve(struct channel *c, size_t max)
{
	return channel_writable(c) && max <= CHANNEL_MAX_FRAME ? reserve(c, max) : NULL;
}

bool channel_reserve_frames(struct channel *c, size_t max, unsigned count, struct iovec *places)
{
	const size_t around = CHANNEL_HEAD_LEN + channel_mac_len(c);
	uint8_t *p;

	if (!channel_writable(c) || max * count > CHANNEL_MAX_FRAME)
		return false;
	p = reserve(c, max * count + around * (count - 1));
	for (unsigned i = 0; p && i < count; i++)
		places[i] = (struct iovec){p + i * (max + around), max};
	return p != NULL;
}

void channel_commit(struct channel *c, uint8_t type, size_t n)
{
	/* What was reserved is still what comes next. */
	commit(c, reserve(c, n), type, n);
}

size_t channel_queued(const struct channel *c)
{
	return c->sendq.queued;
}

/* A frame of the channel's own; false when out of memory. */
static bool send_own(struct channel *c, uint8_t type)
{
	uint8_t *p = reserve(c, 0);
	if (p)
		commit(c, p, type, 0);
	return p != NULL;
}

/* The loop waits for a disk. Calls nobody: whoever waits may be in the midst of a step. What has
 * become of the connection is found when the loop goes on. */
static void keep_alive(void *arg)
{
	struct channel *c = arg;
	ssize_t n = 0;

	if (c->goodbye_sent || c->out_broken ||
	    (!c->sendq.queued && !send_own(c, CHANNEL_KEEPALIVE)))
		return;
	while (c->sendq.queued && (n = sendq_write(&c->sendq, c->out)) >= 0) {
		c->stats.bytes_sent += (uint64_t)n;
		c->sent_something = true;
	}
}

void channel_say_goodbye(struct channel *c)
{
	if (c->state == CHANNEL_OPEN && !c->goodbye_sent && !c->out_broken)
		c->goodbye_sent = send_own(c, CHANNEL_GOODBYE);
}

void channel_finish(struct channel *c)
{
	c->finishing = true;
	channel_say_goodbye(c);
}

/* ---- events ---- */

static void set_events(struct channel *c)
{
	unsigned rd = c->held ? 0 : LOOP_READ;
	unsigned wr = c->blocked && !c->out_broken ? LOOP_WRITE : 0;
	if (c->in == c->out)
		rd |= wr;
	if (c->in_watch.on)
		loop_fd_mod(c->loop, &c->in_watch, rd);
	if (c->out_watch.on)
		loop_fd_mod(c->loop, &c->out_watch, wr);
}

void channel_flush(struct channel *c)
{
	ssize_t n = 0;
	while (c->sendq.queued && !c->out_broken && n >= 0) {
		size_t waits = c->sendq.queued;
		n = sendq_write(&c->sendq, c->out);
		if (n < 0)
			break;
		c->stats.bytes_sent += (uint64_t)n;
		c->sent_something = true;
		if (c->goodbye_received)
			c->quiet = 0;  /* the peer says nothing more, but takes what we have */
		if ((size_t)n < waits) /* it would say so, if it were asked again */
			n = -EAGAIN;
	}
	c->blocked = n < 0;
	/* What the peer said before it left may still be there to be read, and say why. */
	c->out_broken |= n < 0 && n != -EAGAIN;
	set_events(c);
	if (channel_over(c))
		return;
	if (c->above && c->sendq.queued < c->high_water / 2 && may_send(c) == 0) {
		c->above = false;
		if (c->ops.on_writable)
			c->ops.on_writable(c->arg);
	}
}

static void on_flush(void *arg)
{
	struct channel *c = arg;
	enter(c);
	channel_flush(c);
	leave(c);
}

static void on_event(void *arg, unsigned events)
{
	struct channel *c = arg;
	enter(c);
	if (events & LOOP_WRITE && c->in == c->out && c->blocked && !c->out_broken)
		channel_flush(c);
	if (events & LOOP_READ && c->held) {
		/* The other end is gone, which would be reported for ever. */
		loop_fd_del(c->loop, &c->in_watch);
	} else if (events & LOOP_READ && c->state != CHANNEL_ENDED) {
		for (unsigned i = 0; i < READS_PER_RUN && channel_fill(c); i++)
			;
		channel_expect(c);
		set_events(c);
	}
	leave(c);
}

/* The descriptor that is only written to: there is room again, or no reader any more. */
static void on_out_event(void *arg, unsigned events)
{
	struct channel *c = arg;
	(void)events;
	enter(c);
	if (c->blocked && !c->out_broken)
		channel_flush(c);
	else
		c->out_broken = true;
	if (c->out_broken)
		loop_fd_del(c->loop, &c->out_watch);
	leave(c);
}

void channel_resume(struct channel *c)
{
	if (c->held)
		loop_defer(c->loop, &c->deliver_task);
}

static void on_deliver(void *arg)
{
	struct channel *c = arg;
	int rc = 0;
	enter(c);
	channel_deliver(c);
	if (c->state != CHANNEL_ENDED && !c->held) {
		c->quiet = 0;
		if (!c->in_watch.on)
			rc = loop_fd_add(c->loop, &c->in_watch, c->in, LOOP_READ, on_event, c);
		if (rc)
			channel_fail(c, rc, "cannot be watched: %s", strerror(-rc));
		channel_expect(c);
		set_events(c);
	}
	leave(c);
}

/* ---- time ---- */

void channel_opened(struct channel *c)
{
	c->state = CHANNEL_OPEN;
	c->quiet = 0;
	meanwhile_add(&c->meanwhile, keep_alive, c);
	loop_timer_set(c->loop, &c->timer, c->tick_ns, on_timer, c);
	if (c->ops.on_open)
		c->ops.on_open(c->arg);
	if (c->finishing)
		channel_say_goodbye(c);
}

static void tick(struct channel *c)
{
	uint64_t patience = MAX(c->dead_ns / c->tick_ns, 2u);
	/* Ticks are counted, not time: when this process itself was held up, the peer is not to
	 * blame. While a frame is held, nobody listens here, which cannot go on for ever: the peer
	 * may be gone meanwhile. */
	if (c->held && ++c->held_ticks > HELD_TIMES * patience) {
		channel_fail(c, -ETIMEDOUT,
			     "what it has sent could not be passed on here for %.1f s",
			     (double)(HELD_TIMES * patience * c->tick_ns) / (double)SEC_NS);
		return;
	}
	if (!c->held && c->expected > 1) { /* over a slow link all of that may take longer */
		channel_fill(c);
		if (c->state == CHANNEL_ENDED)
			return;
		channel_expect(c);
		set_events(c);
	}
	if (!c->held && ++c->quiet > patience) {
		channel_fail(c, -ETIMEDOUT,
			     "nothing heard for %.1f s: the host or the link is down",
			     (double)(patience * c->tick_ns) / (double)SEC_NS);
		return;
	}
	if (!c->sent_something && !c->sendq.queued && !c->goodbye_sent)
		send_own(c, CHANNEL_KEEPALIVE); /* failing here, the next one may be in time */
	c->sent_something = false;
	loop_timer_set(c->loop, &c->timer, c->tick_ns, on_timer, c);
}

static void on_timer(void *arg)
{
	struct channel *c = arg;
	enter(c);
	if (c->state == CHANNEL_OPEN)
		tick(c);
	else
		channel_fail(c, -ETIMEDOUT, "does not answer as a vstor (waited %.0f s)",
			     (double)c->handshake_ns / (double)SEC_NS);
	leave(c);
}

/* ---- beginning ---- */

static int prepare(int fd, int *flags, bool *socket)
{
	struct stat st;
	*flags = fcntl(fd, F_GETFL);
	if (*flags < 0 || fstat(fd, &st) < 0 || fcntl(fd, F_SETFL, *flags | O_NONBLOCK) < 0)
		return -errno;
	*socket = S_ISSOCK(st.st_mode);
	if (*socket)
		sock_nodelay(fd);
	return 0;
}

int channel_start(struct channel *c, int in, int out)
{
	bool out_socket;
	int rc = prepare(in, &c->in_flags, &c->socket);
	if (rc == 0 && in != out)
		rc = prepare(out, &c->out_flags, &out_socket);
	if (rc == 0)
		rc = channel_hello_make(c->hello, c->server, c->auth, c->dead_ns);
	if (rc == 0)
		rc = loop_fd_add(c->loop, &c->in_watch, in, LOOP_READ, on_event, c);
	if (rc == 0 && in != out)
		rc = loop_fd_add(c->loop, &c->out_watch, out, 0, on_out_event, c);
	if (rc == 0)
		rc = channel_queue_raw(c, c->hello, sizeof(c->hello));
	if (rc) {
		loop_fd_del(c->loop, &c->in_watch);
		loop_fd_del(c->loop, &c->out_watch);
		return rc;
	}
	c->in = in;
	c->out = out;
	c->state = CHANNEL_HELLO;
	loop_timer_set(c->loop, &c->timer, c->handshake_ns, on_timer, c);
	return 0;
}

int channel_new(struct loop *l, int in, int out, const struct channel_config *cfg,
		struct channel **out_channel)
{
	struct channel *c;
	int rc = channel_alloc(l, cfg, &c);
	if (rc)
		return rc;
	rc = channel_start(c, in, out);
	if (rc) {
		channel_free(c);
		return rc;
	}
	*out_channel = c;
	return 0;
}
