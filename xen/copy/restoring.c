/* SPDX-License-Identifier: BSD-2-Clause */
#include "xen/copy/restoring.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "core/bytes.h"
#include "core/log.h"
#include "xen/events.h"
#include "xen/guest.h"

#define PIPE_BYTES  (1 << 20)
#define PREAMBLE_NS (2 * MS_NS) /* libxl needs a few turns of the loop for it */

static void end(struct restoring *r, int err)
{
	if (r->ended)
		return;
	r->ended = true;
	r->done(r->arg, err);
}

static void on_report(void *arg, const char *text)
{
	struct restoring *r = arg;
	uint64_t at;

	if (sscanf(text, "restored at=%" SCNu64, &at) == 1)
		r->memory_at = at;
}

static void close_read_end(struct restoring *r)
{
	if (r->pipe[0] >= 0)
		close(r->pipe[0]);
	r->pipe[0] = -1;
}

/* The restore helper sees the end of the stream. */
static void close_write_end(struct restoring *r)
{
	channel_sink_stop(&r->sink);
	if (r->pipe[1] >= 0)
		close(r->pipe[1]);
	r->pipe[1] = -1;
	/* What the pipe will never take must not keep other messages waiting. */
	if (r->held)
		channel_sink_resume(&r->sink);
	r->held = false;
}

/* It may have gone since the preflight. */
static void because_of_libxl(struct restoring *r, int rc)
{
	const char *cause = toolstack_cause(r->t, rc);
	uint64_t need = 0, spare = 0;

	if (toolstack_memory(r->t, r->config, &need, &spare) == 0 && need > spare)
		because(r->cause,
			"restoring it failed: %" PRIu64 " MB of memory needed, %" PRIu64
			" MB free: balloon dom0 or another guest down (%s)",
			need, spare, cause);
	else
		because(r->cause, "restoring it failed: %s", cause);
}

/* Whether libxl and the plugging have both come to an end, and what came of it. */
static void look(struct restoring *r)
{
	if (r->op.running || plug_busy(&r->plug))
		return;
	plug_fini(&r->plug);
	if (r->aborting) {
		end(r, -ECANCELED);
	} else if (!r->restored) {
		end(r, -EIO);
	} else {
		if (!r->done_at)
			r->done_at = clock_ns();
		if (r->all_here)
			end(r, 0);
	}
}

static void on_restored(void *arg, int rc)
{
	struct restoring *r = arg;

	close_read_end(r);
	r->restored = !rc;
	if (rc && !r->aborting) {
		because_of_libxl(r, rc);
		close_write_end(r);
		plug_abort(&r->plug);
	}
	look(r);
}

/* libxl must not meet an abort or an end of its pipe before its helper runs: see
 * STREAM_PREAMBLE. */
static bool helper_runs(const struct restoring *r)
{
	int waiting = 0;

	ioctl(r->pipe[0], FIONREAD, &waiting);
	return (uint64_t)waiting <= r->sink.bytes;
}

static void abort_restore(void *arg)
{
	struct restoring *r = arg;

	if (plug_busy(&r->plug)) {
		plug_abort(&r->plug); /* on_plugged() comes back here */
	} else if (!r->op.running) {
		close_write_end(r);
		plug_fini(&r->plug);
		end(r, -ECANCELED);
	} else if (!helper_runs(r)) {
		loop_timer_set(r->loop, &r->timer, PREAMBLE_NS, abort_restore, r);
	} else {
		close_write_end(r);
		toolstack_abort(&r->op);
	}
}

static void on_plugged(void *arg)
{
	struct restoring *r = arg;
	bool failed = r->plug.cause[0];

	if (failed && !r->aborting)
		because(r->cause, "%s", r->plug.cause);
	if (r->aborting) {
		abort_restore(r);
	} else if (failed && r->op.running) {
		restoring_abort(r);
	} else {
		r->restored = r->restored && !failed;
		look(r);
	}
}

static void on_sink_failed(void *arg, int err)
{
	/* The restore says why; this only tells that it has ended. */
	(void)arg;
	log_debug("the restore helper takes no more: %s", strerror(-err));
}

static int start_libxl(struct restoring *r)
{
	int rc;

	if (pipe2(r->pipe, O_CLOEXEC))
		return -errno;
	fcntl(r->pipe[1], F_SETPIPE_SZ, PIPE_BYTES);
	if (write(r->pipe[1], r->preamble, STREAM_PREAMBLE) != STREAM_PREAMBLE)
		return -EIO;
	rc = channel_sink_start(r->loop, &r->sink, r->c, r->pipe[1], on_sink_failed, r);
	if (rc)
		return rc;
	r->sink.lanes = r->lanes;
	libxl_domain_restore_params_init(&r->params);
	r->params.stream_version = 2;
	toolstack_listen(r->t, &(struct toolstack_listener){.report = on_report, .arg = r});
	if (setenv(GUEST_RECEIVED_ENV, "1", 1))
		return -errno;
	rc = libxl_domain_create_restore(toolstack_ctx(r->t), r->config, &r->domid, r->pipe[0], -1,
					 &r->params, toolstack_how(r->t, &r->op, on_restored, r),
					 NULL);
	if (rc)
		toolstack_failed(&r->op, rc);
	else if (plug_start(&r->plug, r->loop, r->t, r->config, r->holds, on_plugged, r))
		r->holds = r->plug.holds;
	else
		r->holds = false;
	return 0;
}

/* The first bytes are kept back until they are all here and known to be good; how many of p. */
static size_t take_preamble(struct restoring *r, const uint8_t *p, size_t n)
{
	size_t k = MIN(n, STREAM_PREAMBLE - r->have);
	int rc;

	memcpy(r->preamble + r->have, p, k);
	r->have += k;
	if (k && r->have == STREAM_PREAMBLE) {
		rc = start_libxl(r);
		if (rc) {
			because(r->cause, "cannot start the restore: %s", strerror(-rc));
			end(r, rc);
		}
	}
	return k;
}

bool restoring_data(struct restoring *r, const uint8_t *p, size_t n)
{
	if (!r->started || r->ended || r->aborting || r->all_here)
		return true;
	if (!r->held) {
		if (stream_feed(&r->stream, p, n)) {
			because(r->cause, "the stream is damaged: %s", r->stream.error);
			restoring_abort(r);
			return true;
		}
		r->skip = take_preamble(r, p, n);
	}
	if (r->ended || r->pipe[1] < 0)
		return true;
	r->held = !channel_sink_frame(&r->sink, p + r->skip, n - r->skip);
	return !r->held;
}

int restoring_end(struct restoring *r, uint64_t bytes)
{
	if (!r->started || r->stream.bytes != bytes || !r->stream.ended)
		return -EPROTO;
	r->all_here = true;
	r->here_at = clock_ns();
	close_write_end(r);
	if (r->restored)
		look(r);
	return 0;
}

void restoring_lost(struct restoring *r)
{
	channel_sink_stop(&r->sink);
	r->c = r->sink.c = NULL;
	r->lanes = r->sink.lanes = NULL;
}

void restoring_abort(struct restoring *r)
{
	if (!r->started || r->ended || r->aborting)
		return;
	r->aborting = true;
	loop_timer_set(r->loop, &r->timer, 0, abort_restore, r);
}

void restoring_start(struct restoring *r, struct loop *l, struct toolstack *t,
		     libxl_domain_config *config, struct channel *c,
		     void (*done)(void *arg, int err), void *arg)
{
	*r = (struct restoring){.loop = l,
				.t = t,
				.c = c,
				.config = config,
				.pipe = {-1, -1},
				.started = true,
				.done = done,
				.arg = arg};
	stream_init(&r->stream);
}

void restoring_over(struct restoring *r, struct lanes_in *lanes)
{
	r->lanes = lanes;
}

void restoring_hold_disks(struct restoring *r)
{
	r->holds = true;
}

void restoring_fini(struct restoring *r)
{
	if (!r->started)
		return;
	restoring_lost(r);
	close_write_end(r);
	close_read_end(r);
	loop_timer_del(r->loop, &r->timer);
	toolstack_listen(r->t, &(struct toolstack_listener){0});
	r->started = false;
}
