/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The channel between two vstors: frames over a pair of file descriptors (a socket, or the pipes of
 * an ssh), in order, each delivered once or not at all. With a key the two sides prove to each
 * other that they hold it, and every frame carries a MAC (net/channel_auth.h); without one the
 * transport must be trusted (ssh). The contents are not encrypted in either case.
 *
 *   hello  magic[8] version:u16 role:u8 auth:u8 dead_ms:u32 nonce[32]     (48 bytes, both ways)
 *   proof  kind:u8 hmac[32]                                          (both ways, with a key only)
 *   frame  type:u8 zero:u24 length:u32 payload[length] mac[16]          (mac with a key only)
 *
 * Each side sends something, if only a keepalive, four times in the shorter of both dead times.
 *
 * Nothing here blocks, and no callback runs from inside a call of the user's: all come from the
 * loop. channel_free() may be called at any time, also in a callback.
 */
#ifndef NET_CHANNEL_H
#define NET_CHANNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "core/loop.h"

#define CHANNEL_MAX_FRAME  (1u << 20) /* largest payload, bytes */
#define CHANNEL_HIGH_WATER (2u << 20) /* default bound of what waits to be sent, bytes */
#define CHANNEL_TYPE_USER  16	      /* types below this are the channel's own */
#define CHANNEL_KEY_MIN	   16
#define CHANNEL_KEY_MAX	   4096
#define CHANNEL_TEXT_MAX   256

struct channel;
struct sock_addrs;

/* A secret that both sides have. channel_key_wipe() when done. */
struct channel_key {
	uint8_t data[CHANNEL_KEY_MAX];
	size_t len;
};

struct channel_ops {
	/* Hello and proof are done: the peer is a vstor of this protocol that holds the key. */
	void (*on_open)(void *arg);
	/*
	 * A frame, in place in the receive buffer: p is valid until this returns. True: done with
	 * it. False: hold it; nothing more is read, and the same frame comes again after
	 * channel_resume(), with p unchanged. (This is how a slow pipe slows the sender.)
	 */
	bool (*on_frame)(void *arg, uint8_t type, const uint8_t *p, size_t n);
	/* What waits to be sent has fallen below half of high_water, after having been above it. */
	void (*on_writable)(void *arg);
	/*
	 * The end, exactly once; only channel_free() is allowed afterwards. err 0: both sides have
	 * said goodbye (channel_finish()) and every frame has arrived. Otherwise -errno, and a text
	 * that names the peer, the cause and the way out:
	 *   -EPROTO not a vstor, another version, or a frame that breaks the protocol
	 *   -EACCES the keys differ      -EBADMSG a frame was altered      -ETIMEDOUT nothing heard
	 *   -ECONNRESET ended without goodbye      -ECHILD the command ended by itself, ...
	 * on_open may not have been called before.
	 */
	void (*on_close)(void *arg, int err, const char *text);
};

struct channel_config {
	const struct channel_ops *ops; /* on_writable may be NULL, on_open too */
	void *arg;
	const char *peer;	       /* who is there, for texts: "hostB"; copied */
	const struct channel_key *key; /* NULL: no authentication; copied */
	bool server;		       /* the accepting side; the two must differ */
	uint64_t handshake_ns;	       /* for connecting, hello and proof; 0: 20 s (command: 120) */
	uint64_t dead_ns;	       /* silence after which the peer is given up; 0: 4 s */
	size_t high_water;	       /* bytes; 0: CHANNEL_HIGH_WATER */
};

struct channel_stats {
	uint64_t bytes_sent, bytes_received;   /* on the wire, hello to MAC */
	uint64_t frames_sent, frames_received; /* keepalives included */
};

/*
 * A channel over in and out (which may be the same fd): both become the channel's, are made
 * non-blocking, and are closed by it (0, 1 and 2 are not closed, but get their old flags back).
 * -errno: nothing was taken over. See net/channel_open.h for the ways to come by a channel.
 */
int channel_new(struct loop *l, int in, int out, const struct channel_config *cfg,
		struct channel **out_channel);
/* Drops everything unsent and closes; no callback follows. The peer sees an end without goodbye.
 * Harmless with NULL. */
void channel_free(struct channel *c);

/*
 * Queues a frame with a copy of p[0..n). For messages: there is always room for CHANNEL_MAX_FRAME
 * bytes of them above the high-water mark. -ENOBUFS: the queue is full; -EMSGSIZE; -ENOMEM;
 * -ENOTCONN: before on_open; -EPIPE: it is ending (on_close tells why).
 */
int channel_send(struct channel *c, uint8_t type, const void *p, size_t n);
/*
 * For bulk, without a copy: the place for the payload of the next frame, at least `max` bytes
 * (at most CHANNEL_MAX_FRAME), to be filled and then given away by channel_commit() with the length
 * used. NULL: above high water (wait for on_writable), ended, or out of memory. No other call on c
 * may come in between; a reservation that is not committed is simply forgotten.
 */
uint8_t *channel_reserve(struct channel *c, size_t max);
void channel_commit(struct channel *c, uint8_t type, size_t n);
/* The same for several frames at once, each of up to `max` bytes: their places. Each is committed
 * in turn, and all but the last one full. At most CHANNEL_MAX_FRAME in all; false instead of NULL.
 */
bool channel_reserve_frames(struct channel *c, size_t max, unsigned count, struct iovec *places);
/* False above high water: channel_reserve() would give NULL now. */
bool channel_writable(const struct channel *c);
/* Bytes in frames waiting to be given to the kernel. */
size_t channel_queued(const struct channel *c);

/* Delivers the frame that on_frame held, and reads on. */
void channel_resume(struct channel *c);
/*
 * Says goodbye: sends what is queued, then waits for the peer's goodbye (which its channel sends by
 * itself, after what it has queued), then on_close(0). Frames that still arrive are delivered.
 * Nothing can be sent afterwards.
 */
void channel_finish(struct channel *c);

/* Who is told from now on (of an open channel). */
void channel_set_ops(struct channel *c, const struct channel_ops *ops, void *arg);

void channel_stats(const struct channel *c, struct channel_stats *s);
const char *channel_peer(const struct channel *c);
/* Its socket, which stays its own; -1 when it runs over two pipes. */
int channel_socket(const struct channel *c);

#endif
