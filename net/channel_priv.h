/* SPDX-License-Identifier: BSD-2-Clause */
/* What the files of the channel share: channel.c, channel_receive.c and channel_open.c. */
#ifndef NET_CHANNEL_PRIV_H
#define NET_CHANNEL_PRIV_H

#include "core/meanwhile.h"
#include "net/channel.h"
#include "net/channel_auth.h"
#include "net/sendq.h"

#define CHANNEL_READ	    (64u << 10)	 /* what one read may take beyond the frame it is for */
#define CHANNEL_EXPECT_MAX  (257u << 10) /* a quarter of what a socket is asked to hold */
#define CHANNEL_QUIET_TICKS 4		 /* keepalive intervals in the dead time */
#define CHANNEL_TICK_MIN_NS (50 * MS_NS) /* whatever the peer asks for */

/* Frame types of the channel's own, all without payload */
enum { CHANNEL_KEEPALIVE = 1, CHANNEL_GOODBYE = 2 };

enum channel_state {
	CHANNEL_CONNECTING,
	CHANNEL_HELLO,
	CHANNEL_PROVING,
	CHANNEL_OPEN,
	CHANNEL_ENDED
};

/*
 * What a channel hangs on: a command that runs, a connection being made. `ending` is told that the
 * channel ends and why; when it returns true it calls channel_report() later, with a better text.
 * `freed` is told that the channel is no more; either may be NULL.
 */
struct channel_hook {
	bool (*ending)(void *arg, int err, const char *text);
	void (*freed)(void *arg);
	void *arg;
};

struct channel {
	struct loop *loop;
	struct channel_ops ops;
	void *arg;
	struct channel_hook hook;
	struct channel_key key;
	bool auth, server;
	uint64_t handshake_ns, dead_ns;
	size_t high_water;
	char peer[96];

	enum channel_state state;
	unsigned busy; /* depth of callbacks: memory is freed behind the last */
	bool freed, finishing;
	bool held;	     /* the frame at rpos has been shown to the user and comes again */
	unsigned held_ticks; /* since something was taken off it */
	bool goodbye_sent, goodbye_received;
	bool above;		 /* the user waits for on_writable */
	bool out_broken;	 /* the peer reads no more */
	struct loop_timer timer; /* the handshake's limit, then keepalive ticks */
	uint64_t tick_ns;
	unsigned quiet;
	bool sent_something;
	struct loop_task flush_task, deliver_task;
	struct meanwhile meanwhile; /* while it is open */

	int in, out, in_flags, out_flags;
	struct loop_fd in_watch, out_watch; /* one fd for both: in_watch alone */
	bool blocked;			    /* out takes no more for now */

	uint8_t hello[CHANNEL_HELLO_LEN];
	struct channel_auth session;

	struct sendq sendq;

	uint8_t *rbuf;
	size_t rpos, rend, rcap;
	bool socket;	 /* that is what `in` is */
	bool roomy;	 /* it has been asked to hold what is expected, and more */
	size_t expected; /* bytes that it wakes us for */
	struct channel_stats stats;
};

/* ---- channel.c ---- */

/* A channel without descriptors. */
int channel_alloc(struct loop *l, const struct channel_config *cfg, struct channel **out);
/* Gives it its descriptors and says hello. -errno: they stay the caller's. */
int channel_start(struct channel *c, int in, int out);
/* Ends the channel by on_close(), once. From the loop only. */
__attribute__((format(printf, 3, 4))) void channel_fail(struct channel *c, int err, const char *fmt,
							...);
/* Tells the user; for a hook that has put it off. */
void channel_report(struct channel *c, int err, const char *text);
/* The peer is who it should be: frames may flow. */
void channel_opened(struct channel *c);
/* Queues bytes that are no frame. */
int channel_queue_raw(struct channel *c, const void *p, size_t n);
/* Writes what waits, as far as it goes. */
void channel_flush(struct channel *c);
/* Queues the goodbye unless that has been done; what is queued before it goes out before it. */
void channel_say_goodbye(struct channel *c);
/* Ends the channel when both goodbyes are through; true when it did. */
bool channel_over(struct channel *c);

static inline size_t channel_mac_len(const struct channel *c)
{
	return c->auth ? CHANNEL_MAC_LEN : 0;
}

/* ---- channel_receive.c ---- */

/* Reads once and takes what is complete; false when there is no more for now. */
bool channel_fill(struct channel *c);
/*
 * Before the loop waits: a socket wakes us when the rest of a long frame is there, not for each
 * packet of it. What has come of it before is looked at with each tick.
 */
void channel_expect(struct channel *c);
/* Takes what is complete, a held frame first. */
void channel_deliver(struct channel *c);

#endif
