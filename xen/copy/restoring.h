/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The guest's way out of the channel: frames go through a check of the stream (xen/copy/stream.h)
 * into a pipe, from which libxl restores it, paused.
 */
#ifndef XEN_RESTORING_H
#define XEN_RESTORING_H

#include <inttypes.h>

#include "net/channel_pump.h"
#include "xen/copy/plug.h"
#include "xen/copy/stream.h"
#include "xen/toolstack.h"

/* What the restore helper tells when libxc's part is done: when, by clock_ns(). */
#define RESTORING_REPORT "restored at=%" PRIu64

struct restoring {
	struct loop *loop;
	struct toolstack *t;
	struct channel *c; /* NULL when it is gone */
	struct lanes_in *lanes;
	libxl_domain_config *config;
	uint32_t domid; /* what has been made; 0 or INVALID_DOMID: nothing */
	int pipe[2];
	struct channel_sink sink;
	struct stream stream;
	uint8_t preamble[STREAM_PREAMBLE];
	size_t have;
	bool held;   /* the frame in hand has been looked at already */
	size_t skip; /* its bytes that were the preamble's */
	bool started, restored, all_here, aborting, ended;
	bool holds; /* its disks wait to be let go (xen/held_disks.h) */
	struct toolstack_op op;
	struct plug plug;
	libxl_domain_restore_params params;
	struct loop_timer timer;
	char cause[256]; /* of a failure; "" when it was called off */
	/* By clock_ns(), 0: not yet. All of the stream was here; libxc had done; libxl and the
	 * plugging had, too. */
	uint64_t here_at, memory_at, done_at;
	void (*done)(void *arg, int err);
	void *arg;
};

/*
 * Expects the stream of a guest; libxl starts with its first bytes. Then, once, done(arg, 0): it is
 * restored and restoring_end() has agreed; or done(arg, -errno): r->domid may have to be destroyed.
 * config stays the caller's; libxl fills it in.
 */
void restoring_start(struct restoring *r, struct loop *l, struct toolstack *t,
		     libxl_domain_config *config, struct channel *c,
		     void (*done)(void *arg, int err), void *arg);
/* The stream comes over lanes instead of the channel; right after restoring_start(). */
void restoring_over(struct restoring *r, struct lanes_in *lanes);
/* Its disks may be held, and are then the caller's to let go; right after restoring_start(). */
void restoring_hold_disks(struct restoring *r);
/* A piece of the stream, as from on_frame or on_bytes, which returns what this does. */
bool restoring_data(struct restoring *r, const uint8_t *p, size_t n);
/* The sender has sent all: so many bytes. -EPROTO when that is not what has come. */
int restoring_end(struct restoring *r, uint64_t bytes);
/* Channel and lanes must not be touched any more. */
void restoring_lost(struct restoring *r);
/* Calls it off; done(-ECANCELED) follows, unless it has been called. */
void restoring_abort(struct restoring *r);
/* Only after done() (or before restoring_start(), when all zero). */
void restoring_fini(struct restoring *r);

#endif
