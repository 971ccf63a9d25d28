/* SPDX-License-Identifier: BSD-2-Clause */
#include "net/channel_pump.h"

#include <errno.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

#include "core/bytes.h"
#include "net/sock.h"

#define BULK   (512u << 10) /* payload of one frame */
#define FRAMES 2u	    /* at once: all that a pipe holds */
#define BRIEF  (256u << 10) /* payload where others wait behind it */

static void on_readable(void *arg, unsigned events);
static void on_kicked(void *arg);

/* ---- pipe to channel ---- */

static int listen_to(struct channel_pump *p)
{
	return p->watch.on ? 0 : loop_fd_add(p->loop, &p->watch, p->fd, LOOP_READ, on_readable, p);
}

int channel_pump_start(struct loop *l, struct channel_pump *p, struct channel *c, uint8_t type,
		       int fd, void (*done)(void *arg, int err), void *arg)
{
	int rc = sock_nonblock(fd, true);
	*p = (struct channel_pump){
		.loop = l, .c = c, .fd = fd, .type = type, .done = done, .arg = arg};
	p->kicked = (struct loop_task){.fn = on_kicked, .arg = p};
	return rc ? rc : listen_to(p);
}

void channel_pump_stop(struct channel_pump *p)
{
	if (p->loop) {
		loop_fd_del(p->loop, &p->watch);
		loop_timer_del(p->loop, &p->timer);
		loop_defer_cancel(p->loop, &p->kicked);
	}
	p->loop = NULL;
}

void channel_pump_limit(struct channel_pump *p, uint64_t bytes_per_s)
{
	p->rate = bytes_per_s;
	p->credit = 0;
	p->credit_at = clock_ns();
}

void channel_pump_briefly(struct channel_pump *p)
{
	p->brief = true;
}

void channel_pump_over(struct channel_pump *p, struct lanes_out *lanes)
{
	p->lanes = lanes;
}

static void on_credit(void *arg)
{
	channel_pump_kick(arg);
}

/* False: it has to wait, and will be woken. */
static bool has_credit(struct channel_pump *p)
{
	uint64_t now, ns;

	if (!p->rate)
		return true;
	now = clock_ns();
	/* A long silence is no claim to a long burst. */
	ns = MIN(now - p->credit_at, (uint64_t)SEC_NS);
	p->credit_at = now;
	p->credit = MIN(p->credit + (int64_t)((double)p->rate * (double)ns / SEC_NS),
			(int64_t)((double)p->rate * CHANNEL_PUMP_BURST_NS / SEC_NS));
	if (p->credit > 0)
		return true;
	loop_fd_del(p->loop, &p->watch);
	/* Some more than none, so that not each frame has to wait. */
	loop_timer_set(p->loop, &p->timer,
		       (uint64_t)((double)-p->credit * SEC_NS / (double)p->rate) +
			       CHANNEL_PUMP_BURST_NS / 10,
		       on_credit, p);
	return false;
}

static void pump_done(struct channel_pump *p, int err)
{
	channel_pump_stop(p);
	p->done(p->arg, err);
}

/* The places for what waits in the pipe; how many. 0: no room now. As much room as there are bytes:
 * a frame of 4 KiB must not cost 256. */
static unsigned places(struct channel_pump *p, struct iovec v[FRAMES])
{
	int waits = 0;
	size_t max;

	if (p->lanes) {
		v[0] = (struct iovec){lanes_out_reserve(p->lanes), LANES_PIECE};
		return v[0].iov_base ? 1 : 0;
	}
	(void)ioctl(p->fd, FIONREAD, &waits);
	max = (size_t)MAX(waits, 1);
	if (p->brief || p->rate)
		max = MIN(max, BRIEF);
	else if (max > BULK)
		return channel_reserve_frames(p->c, BULK, FRAMES, v) ? FRAMES : 0;
	v[0] = (struct iovec){NULL, max};
	v[0].iov_base = channel_reserve(p->c, v[0].iov_len);
	return v[0].iov_base ? 1 : 0;
}

static void commit(struct channel_pump *p, const struct iovec *v, size_t n)
{
	p->bytes += n;
	p->credit -= (int64_t)n;
	for (size_t k; n; v++, n -= k) {
		k = MIN(n, v->iov_len);
		if (p->lanes)
			lanes_out_commit(p->lanes, k);
		else
			channel_commit(p->c, p->type, k);
	}
}

/* Takes what the channel has room for, and sees to it that there is a next time. */
static void take(struct channel_pump *p)
{
	struct iovec v[FRAMES];
	unsigned count;
	ssize_t n;
	int rc = 0;

	if (!has_credit(p))
		return;
	count = places(p, v);
	if (!count) {
		/* Not only deaf: the pipe's end would be reported for ever. */
		loop_fd_del(p->loop, &p->watch);
		return;
	}
	do {
		n = readv(p->fd, v, (int)count);
	} while (n < 0 && errno == EINTR);
	if (n == 0 || (n < 0 && errno != EAGAIN)) {
		pump_done(p, n ? -errno : 0);
		return;
	}
	if (n > 0)
		commit(p, v, (size_t)n);
	/* Without room there is a kick to come. To listen until then costs two system calls. */
	if (n < 0 || p->lanes || channel_writable(p->c))
		rc = listen_to(p);
	if (rc)
		pump_done(p, rc);
}

static void on_readable(void *arg, unsigned events)
{
	(void)events;
	take(arg);
}

static void on_kicked(void *arg)
{
	take(arg);
}

void channel_pump_kick(struct channel_pump *p)
{
	/* The pipe is full as a rule: it need not be listened to for that. */
	if (p->loop && !p->watch.on)
		loop_defer(p->loop, &p->kicked);
}

/* ---- channel to pipe ---- */

int channel_sink_start(struct loop *l, struct channel_sink *s, struct channel *c, int fd,
		       void (*failed)(void *arg, int err), void *arg)
{
	*s = (struct channel_sink){.loop = l, .c = c, .fd = fd, .failed = failed, .arg = arg};
	return sock_nonblock(fd, true);
}

static void on_room(void *arg, unsigned events)
{
	struct channel_sink *s = arg;
	(void)events;
	loop_fd_del(s->loop, &s->watch);
	channel_sink_resume(s);
}

void channel_sink_resume(struct channel_sink *s)
{
	if (s->lanes)
		lanes_in_resume(s->lanes);
	else if (s->c)
		channel_resume(s->c);
}

static bool sink_failed(struct channel_sink *s, int err)
{
	s->err = err;
	s->failed(s->arg, err); /* may be the end of s */
	return true;
}

bool channel_sink_frame(struct channel_sink *s, const uint8_t *p, size_t n)
{
	if (s->err)
		return true;
	while (s->at < n) {
		ssize_t took = write(s->fd, p + s->at, n - s->at);
		if (took >= 0) {
			s->at += (size_t)took;
			s->bytes += (uint64_t)took;
		} else if (errno == EAGAIN) {
			int rc = loop_fd_add(s->loop, &s->watch, s->fd, LOOP_WRITE, on_room, s);
			return rc ? sink_failed(s, rc) : false;
		} else if (errno != EINTR) {
			return sink_failed(s, -errno);
		}
	}
	s->at = 0;
	return true;
}

void channel_sink_stop(struct channel_sink *s)
{
	if (s->loop)
		loop_fd_del(s->loop, &s->watch);
	s->loop = NULL;
}
