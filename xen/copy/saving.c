/* SPDX-License-Identifier: BSD-2-Clause */
#include "xen/copy/saving.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "core/bytes.h"
#include "core/log.h"
#include "net/sock.h"
#include "xen/events.h"
#include "xen/copy/save_helper.h"
#include "xen/copy/stream.h"

#define PIPE_BYTES  (1 << 20)
#define PREAMBLE_NS (2 * MS_NS) /* libxl needs a few turns of the loop for it */
#define QUEUE_BYTES (256 << 10) /* enough for 1 Gbit/s over 2 ms */

/* While it is slowed a guest is not silent for as long as it would be when it is stopped; nor for
 * longer than somebody who types at it can bear. */
#define SILENT_SHARE 2
#define SILENT_LEAST (50 * MS_NS)
#define SILENT_MOST  (500 * MS_NS)
#define SILENT_LOOKS 4

/* As fast as before, however it ends. */
static void throttle_end(struct saving *s)
{
	loop_timer_del(s->loop, &s->awake);
	if (s->throttles)
		throttle_set(&s->throttle, clock_ns(), 100);
}

static void keep_awake(void *arg)
{
	struct saving *s = arg;

	throttle_wake(&s->throttle, clock_ns(), s->silent_ns);
	loop_timer_set(s->loop, &s->awake, s->silent_ns / SILENT_LOOKS, keep_awake, s);
}

static void slow(struct saving *s, uint64_t now, unsigned speed)
{
	throttle_watch(&s->throttle, now);
	throttle_set(&s->throttle, now, speed);
	if (speed == 100)
		loop_timer_del(s->loop, &s->awake);
	else if (!s->awake.pos)
		keep_awake(s);
}

static void end(struct saving *s, int err)
{
	if (s->ended)
		return;
	throttle_end(s);
	s->ended = true;
	s->lanes = NULL; /* the caller may close them now, and the channel may still kick */
	s->done(s->arg, err);
}

static void close_end(struct saving *s, int i)
{
	if (s->pipe[i] >= 0)
		close(s->pipe[i]);
	s->pipe[i] = -1;
}

static void stop_pump(struct saving *s)
{
	channel_pump_stop(&s->pump);
	s->pumping = false;
	close_end(s, 0);
}

/* In the first round the kernel is to have what it needs to keep a fast or a long way busy; any
 * later one may be followed by the last pages, which wait for all that is queued. */
static void bound_queue(struct saving *s)
{
	int fd = channel_socket(s->pump.c);

	channel_pump_briefly(&s->pump);
	if (s->lanes)
		lanes_out_bound(s->lanes, QUEUE_BYTES);
	else if (fd >= 0)
		sock_bound_sending(fd, QUEUE_BYTES);
}

/* What the save helper tells, by way of libxl's log. */
static void on_report(void *arg, const char *text)
{
	struct saving *s = arg;
	struct precopy_report r;

	if (strncmp(text, SAVING_NOTE, strlen(SAVING_NOTE)) == 0) {
		log_warn("domain %s: %s", s->guest->name, text + strlen(SAVING_NOTE));
		return;
	}
	log_debug("domain %s: %s", s->guest->name, text);
	if (compression_report_parse(text, &s->pages) == 0 || precopy_report_parse(text, &r))
		return;
	price_report(&s->price, &r);
	s->report = r;
	switch (r.what) {
	case PRECOPY_ROUND:
		s->rounds = r.round + 1;
		if (r.round && s->pump.loop) /* else the channel may be gone */
			bound_queue(s);
		break;
	case PRECOPY_LOOK: break;
	case PRECOPY_ROUND_END:
		if (r.verdict == PRECOPY_ABORT)
			because(s->cause,
				"it writes its memory faster than that can be sent: after %u "
				"rounds the pause would be about %.1f s; allow more by "
				"--max-downtime, or --force-stop, or give it a faster link",
				r.round + 1, (double)r.predicted_ns / SEC_NS);
		break;
	case PRECOPY_SUSPEND: /* what it has to do now, it must do at once */
		s->suspend_at = r.at;
		s->report.speed = 100;
		throttle_end(s);
		s->asks(s->arg);
		return;
	case PRECOPY_SUSPENDED:
		s->suspended_at = r.at;
		s->rounds++;
		return;
	}
	if (s->throttles && !s->suspend_at && !s->ended)
		slow(s, r.at, r.speed);
}

static void on_saved(void *arg, int rc)
{
	struct saving *s = arg;

	/* Now the pipe can come to its end: until here libxl needed it. */
	close_end(s, 1);
	if (rc && s->pumping)
		because(s->cause, "saving it failed: %s", toolstack_cause(s->guest->t, rc));
	if (rc || !s->pumping) {
		end(s, s->pumping ? -EIO : -ECANCELED);
		stop_pump(s);
	}
}

/* What has gone over lanes is given when it has arrived: END, by the channel, must not overtake it.
 */
static void end_if_given(struct saving *s)
{
	if (s->pumped && !s->op.running && (s->pump_err || !s->lanes || lanes_out_empty(s->lanes)))
		end(s, s->pump_err);
}

static void on_pumped(void *arg, int err)
{
	struct saving *s = arg;

	stop_pump(s);
	if (err)
		because(s->cause, "reading the save helper's pipe: %s", strerror(-err));
	s->pumped = true;
	s->pump_err = err;
	end_if_given(s);
}

static void on_cannot_start(void *arg)
{
	end(arg, -EIO);
}

bool saving_throttle(struct saving *s, const struct guest *g, const struct saving_options *o,
		     int *cap)
{
	char why[160];

	s->throttles = false;
	if (!o->precopy.throttle || o->offline)
		return false;
	if (throttle_init(&s->throttle, g->t, g->domid, why, sizeof(why))) {
		log_warn("domain %s: it cannot be slowed down, should it write faster than can be "
			 "sent: %s",
			 g->name, why);
		return false;
	}
	*cap = s->throttle.was;
	s->throttles = true;
	return true;
}

void saving_start(struct saving *s, struct loop *l, const struct guest *g,
		  const struct saving_options *o, struct channel *c, uint8_t type,
		  void (*asks)(void *arg), void (*done)(void *arg, int err), void *arg)
{
	struct precopy_limits precopy = o->precopy;
	char limits[160], plan[64];
	int rc;

	*s = (struct saving){
		.loop = l,
		.guest = g,
		.pipe = {-1, -1},
		.started = true,
		.throttle = s->throttle,
		.throttles = s->throttles,
		.silent_ns =
			MAX(MIN(precopy.max_downtime_ns / SILENT_SHARE, SILENT_MOST), SILENT_LEAST),
		.asks = asks,
		.done = done,
		.arg = arg};
	precopy.throttle = s->throttles;
	precopy_limits_print(&precopy, limits, sizeof(limits));
	compression_print(&o->compression, plan, sizeof(plan));
	rc = pipe2(s->pipe, O_CLOEXEC) ? -errno : save_helper_set(g->domid, PRECOPY_ENV, limits);
	if (!rc)
		rc = save_helper_set(g->domid, COMPRESSION_ENV, plan);
	if (!rc) {
		fcntl(s->pipe[1], F_SETPIPE_SZ, PIPE_BYTES);
		rc = channel_pump_start(l, &s->pump, c, type, s->pipe[0], on_pumped, s);
	}
	if (rc) {
		because(s->cause, "cannot start the copy: %s", strerror(-rc));
		loop_timer_set(l, &s->timer, 0, on_cannot_start, s);
		return;
	}
	channel_pump_limit(&s->pump, o->bandwidth);
	s->lanes = o->lanes;
	channel_pump_over(&s->pump, s->lanes);
	s->pumping = true;
	toolstack_listen(g->t, &(struct toolstack_listener){.report = on_report, .arg = s});
	rc = libxl_domain_suspend(toolstack_ctx(g->t), g->domid, s->pipe[1],
				  o->offline ? 0 : LIBXL_SUSPEND_LIVE,
				  toolstack_how(g->t, &s->op, on_saved, s));
	if (rc)
		toolstack_failed(&s->op, rc);
}

void saving_kick(struct saving *s)
{
	if (s->pumping)
		channel_pump_kick(&s->pump);
	else if (s->lanes)
		end_if_given(s);
}

void saving_stop_sending(struct saving *s)
{
	if (s->pumping)
		channel_pump_stop(&s->pump);
}

/* libxl must not meet an abort or a broken pipe before its helper runs: see STREAM_PREAMBLE. */
static bool helper_runs(const struct saving *s)
{
	int waiting = 0;

	if (s->pipe[0] >= 0)
		ioctl(s->pipe[0], FIONREAD, &waiting);
	return s->pump.bytes + (uint64_t)waiting >= STREAM_PREAMBLE;
}

static void abort_save(void *arg)
{
	struct saving *s = arg;

	if (!s->op.running) {
		stop_pump(s);
		end(s, -ECANCELED);
	} else if (!helper_runs(s)) {
		loop_timer_set(s->loop, &s->timer, PREAMBLE_NS, abort_save, s);
	} else {
		/* on_saved() follows. By then the helper has put back what it could; a suspend
		 * that is under way libxl only forgets (xen/migration/settle.h). The helper may
		 * hang in its pipe until that is closed. */
		toolstack_abort(&s->op);
		stop_pump(s);
	}
}

bool saving_asked(const struct saving *s)
{
	return s->suspend_at && !s->suspended_at;
}

void saving_abort(struct saving *s)
{
	if (s->started && !s->ended)
		abort_save(s);
}

void saving_fini(struct saving *s)
{
	if (!s->started)
		return;
	toolstack_listen(s->guest->t, &(struct toolstack_listener){0});
	throttle_end(s);
	stop_pump(s);
	close_end(s, 1);
	loop_timer_del(s->loop, &s->timer);
	save_helper_set(s->guest->domid, PRECOPY_ENV, NULL);
	save_helper_set(s->guest->domid, COMPRESSION_ENV, NULL);
	s->started = false;
}
