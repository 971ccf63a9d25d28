/* SPDX-License-Identifier: BSD-2-Clause */
#include "net/oneshot.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/bytes.h"
#include "core/fds.h"

#define REQUEST_TIME (10 * SEC_NS)
#define REPLY_TIME   (30 * SEC_NS)
#define CLOSE_TIME   (5 * SEC_NS)
#define READ_STEP    4096u

enum oneshot_state { READING, SERVING, WRITING, CLOSING };

struct oneshot {
	struct oneshot_server *server;
	struct oneshot *next;
	enum oneshot_state state;
	struct loop_fd watch;
	struct loop_timer timer;
	struct buf in, out;
	size_t sent;
	int fd, given; /* given: the file that came with the request, or -1 */
};

static void end(struct oneshot *x)
{
	struct oneshot_server *s = x->server;
	struct oneshot **p = &s->clients;
	while (*p != x)
		p = &(*p)->next;
	*p = x->next;
	s->clients_n--;
	loop_fd_del(s->loop, &x->watch);
	loop_timer_del(s->loop, &x->timer);
	close(x->fd);
	if (x->given >= 0)
		close(x->given);
	buf_free(&x->in);
	buf_free(&x->out);
	free(x);
}

static void on_timeout(void *arg)
{
	end(arg);
}

static void write_out(struct oneshot *x)
{
	struct loop *l = x->server->loop;
	ssize_t n = send(x->fd, x->out.data + x->sent, x->out.len - x->sent,
			 MSG_NOSIGNAL | MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	x->sent += n > 0 ? (size_t)n : 0;
	if (n < 0 || (x->sent == x->out.len && shutdown(x->fd, SHUT_WR) < 0)) {
		end(x);
	} else if (x->sent == x->out.len) {
		/* To close with input unread would be a reset, and the reply lost by it. */
		x->state = CLOSING;
		buf_free(&x->out);
		loop_fd_mod(l, &x->watch, LOOP_READ);
		loop_timer_set(l, &x->timer, CLOSE_TIME, on_timeout, x);
	}
}

static void await_end(struct oneshot *x)
{
	char nothing[READ_STEP];
	ssize_t n = recv(x->fd, nothing, sizeof(nothing), MSG_DONTWAIT);
	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
		end(x);
}

static void serve(struct oneshot *x)
{
	struct oneshot_server *s = x->server;
	x->state = SERVING;
	/* Not even an error is of interest now: who is gone does not get the reply. */
	loop_fd_del(s->loop, &x->watch);
	loop_timer_del(s->loop, &x->timer);
	buf_put_u8(&x->in, 0);
	if (x->in.failed) {
		end(x);
		return;
	}
	x->in.len--;
	s->serve(s->arg, x, &x->in);
}

/* The bytes received, or -errno. */
static ssize_t receive(struct oneshot *x, uint8_t *p, size_t n)
{
	unsigned count = x->server->takes_fd && x->given < 0;
	return fds_receive(x->fd, p, n, MSG_DONTWAIT, &x->given, &count);
}

static void read_in(struct oneshot *x)
{
	struct oneshot_server *s = x->server;
	uint8_t *room = buf_reserve(&x->in, READ_STEP);
	ssize_t n = room ? receive(x, room, MIN(READ_STEP, s->request_max - x->in.len)) : -ENOMEM;
	if (n == -EAGAIN)
		return;
	if (n < 0) {
		end(x);
		return;
	}
	x->in.len += (size_t)n;
	if (s->whole(&x->in, n == 0) || x->in.len >= s->request_max)
		serve(x);
	else if (n == 0)
		end(x);
}

static void on_event(void *arg, unsigned events)
{
	struct oneshot *x = arg;
	(void)events;
	switch (x->state) {
	case READING: read_in(x); break;
	case WRITING: write_out(x); break;
	case CLOSING: await_end(x); break;
	case SERVING: break;
	}
}

void oneshot_reply(struct oneshot *x, const void *reply, size_t len)
{
	struct loop *l = x->server->loop;
	buf_free(&x->in);
	x->state = WRITING;
	buf_put(&x->out, reply, len);
	if (x->out.failed || loop_fd_add(l, &x->watch, x->fd, LOOP_WRITE, on_event, x)) {
		end(x);
		return;
	}
	loop_timer_set(l, &x->timer, REPLY_TIME, on_timeout, x);
}

int oneshot_fd(struct oneshot *x)
{
	int fd = x->given;
	x->given = -1;
	return fd;
}

/* All places are taken: the oldest that is still awaited has to go. */
static bool make_place(struct oneshot_server *s)
{
	struct oneshot *oldest = NULL;
	for (struct oneshot *x = s->clients; x; x = x->next)
		if (x->state != SERVING)
			oldest = x;
	if (oldest)
		end(oldest);
	return oldest != NULL;
}

void oneshot_accept(struct oneshot_server *s, int fd)
{
	struct oneshot *x = NULL;
	if (s->clients_n < ONESHOT_CLIENTS || make_place(s))
		x = calloc(1, sizeof(*x));
	if (!x || loop_fd_add(s->loop, &x->watch, fd, LOOP_READ, on_event, x)) {
		free(x);
		close(fd);
		return;
	}
	x->server = s;
	x->fd = fd;
	x->given = -1;
	x->next = s->clients;
	s->clients = x;
	s->clients_n++;
	loop_timer_set(s->loop, &x->timer, REQUEST_TIME, on_timeout, x);
}

void oneshot_close(struct oneshot_server *s)
{
	while (s->clients)
		end(s->clients);
}
