/* SPDX-License-Identifier: BSD-2-Clause */
/* The end of a connection: in order, or at once. */
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/iscsi/conn.h"

#define LAST_TIMEOUT  (10 * SEC_NS)
#define LINGER	      (2 * SEC_NS)
#define LINGERING_MAX 64u
#define ROUNDS	      8 /* of reading: the others have a turn */

static void unstall(struct conn *c)
{
	for (struct conn **p = &c->server->stalled; *p; p = &(*p)->stalled_next) {
		if (*p == c) {
			*p = c->stalled_next;
			break;
		}
	}
}

/* What belongs to its loop. */
static void disconnect(struct conn *c)
{
	loop_fd_del(c->loop, &c->watch);
	loop_timer_del(c->loop, &c->timer);
	close(c->fd);
	c->fd = -1;
	conn_drop_queue(c);
}

static void take_down(void *arg)
{
	struct conn *c = arg;
	if (c->fd >= 0 && !c->lingers)
		disconnect(c);
	c->ops->closed(c);
	if (c->running)
		return; /* conn_task_gone() comes back to it */
	c->ops->over(c);
	if (!c->lingers)
		c->ops->gone(c);
}

void conn_close(struct conn *c)
{
	if (c->state == CONN_CLOSED)
		return;
	c->state = CONN_CLOSED;
	unstall(c);
	c->ops->closing(c);
	/* Not beneath a caller who still looks at it, perhaps without the lock. */
	c->flush.fn = take_down;
	loop_defer(c->loop, &c->flush);
}

void conn_task_gone(struct conn *c)
{
	if (c->running)
		return;
	c->ops->idle(c);
	if (c->state == CONN_CLOSED)
		loop_defer(c->loop, &c->flush);
}

static void overdue(void *arg)
{
	conn_close(arg);
}

void conn_finish(struct conn *c)
{
	if (c->state >= CONN_LAST)
		return;
	c->state = CONN_LAST;
	loop_timer_set(c->loop, &c->timer, LAST_TIMEOUT, overdue, c);
	loop_defer(c->loop, &c->flush);
}

/* ---- in order ---- */

static void hung_up(void *arg)
{
	struct conn *c = arg;
	c->server->lingering--;
	c->lingers = false;
	loop_timer_del(c->loop, &c->timer);
	loop_defer(c->loop, &c->flush); /* take_down() */
}

/* All is sent, but perhaps not there yet. A socket that is closed with input unread is reset, and
 * the peer may lose what is on its way (RFC 1122, 4.2.2.13): so what comes is read until the peer
 * has seen the end and closes, too; not for long, nor for many, as it need not. */
void conn_hang_up(struct conn *c)
{
	struct target_server *s = c->server;
	shutdown(c->fd, SHUT_WR);
	conn_close(c);
	if (s->lingering >= LINGERING_MAX || loop_fd_mod(c->loop, &c->watch, LOOP_READ))
		return;
	s->lingering++;
	c->lingers = true;
	loop_timer_set(c->loop, &c->timer, LINGER, hung_up, c);
}

void conn_throw_away(struct conn *c)
{
	static uint8_t nothing[64 << 10];
	ssize_t n = 1;
	for (unsigned i = 0; i < ROUNDS && n > 0; i++)
		n = recv(c->fd, nothing, sizeof(nothing), MSG_DONTWAIT);
	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
		hung_up(c);
}
