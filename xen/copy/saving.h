/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The guest's way into the channel: libxl saves it into a pipe, the pump makes frames of that. The
 * guest runs until the save helper's pre-copy policy stops it (xen/copy/precopy.h).
 */
#ifndef XEN_SAVING_H
#define XEN_SAVING_H

#include "net/channel_pump.h"
#include "xen/copy/compression.h"
#include "xen/guest.h"
#include "xen/copy/price.h"
#include "xen/throttle.h"

/* The save helper's words for the user, as a report of the toolstack's. */
#define SAVING_NOTE "note: "

struct saving_options {
	bool offline;		       /* suspended for all of it */
	struct precopy_limits precopy; /* .throttle: if its scheduler lets it be slowed */
	uint64_t bandwidth;	       /* bytes/s; 0: no limit */
	struct compression_plan compression;
	struct lanes_out *lanes; /* the guest goes over these, unless NULL */
};

struct saving {
	struct loop *loop;
	const struct guest *guest;
	struct channel_pump pump;
	int pipe[2];
	bool started, pumping, pumped, ended;
	struct lanes_out *lanes;
	int pump_err; /* once pumped */
	struct toolstack_op op;
	struct loop_timer timer, awake;
	uint64_t silent_ns; /* how long a slowed guest may be kept from running at a stretch */
	char cause[256];    /* of a failure; "" when it was called off */

	unsigned rounds; /* begun so far; the one with the guest stopped counts too */
	struct compression_report pages;
	struct precopy_report report; /* the last of the round that runs */
	struct price price;
	struct throttle throttle;
	bool throttles;	       /* its scheduler has a cap, and it may be used */
	uint64_t suspend_at;   /* when the guest was asked to suspend; 0: not yet */
	uint64_t suspended_at; /* and when it had */

	void (*asks)(void *arg);
	void (*done)(void *arg, int err);
	void *arg;
};

/*
 * Sees whether the guest can be slowed, if o wants that. Before saving_start(): its cap (returned
 * through *cap) must be known to whoever clears up after a crash before it is changed. False: it
 * will not be slowed.
 */
bool saving_throttle(struct saving *s, const struct guest *g, const struct saving_options *o,
		     int *cap);
/*
 * Sends the guest as frames of `type`; the channel's on_writable, and the lanes' on_room, must call
 * saving_kick(). asks(arg) comes right before the guest is asked to suspend. Then, once and never
 * before it has returned, done(arg, 0): all of it has been given to the channel and the guest is
 * suspended; or done(arg, -errno): it may be suspended, or be about to be (saving_asked()). From
 * then on the lanes are not looked at any more.
 */
void saving_start(struct saving *s, struct loop *l, const struct guest *g,
		  const struct saving_options *o, struct channel *c, uint8_t type,
		  void (*asks)(void *arg), void (*done)(void *arg, int err), void *arg);
/* The guest has been asked to suspend, and it is not known how that ended. */
bool saving_asked(const struct saving *s);
void saving_kick(struct saving *s);
/* The channel is gone or going: nothing more is read from the pipe into it. */
void saving_stop_sending(struct saving *s);
/* Calls it off; done(-ECANCELED) follows, unless it has been called. */
void saving_abort(struct saving *s);
/* Only after done() (or before saving_start(), when all zero). */
void saving_fini(struct saving *s);

#endif
