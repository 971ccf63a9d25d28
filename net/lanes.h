/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Bulk over several connections at once, by other networks than the one that carries the messages:
 * in order and whole, as long as one of them lives. The receiver listens on a port of its own (told
 * in a message), the sender connects to it by each address it was given. Bytes go in pieces with
 * numbers, each over whatever lane has room; the receiver puts them in order, and says from time to
 * time, over the channel for messages, how far it has come; until then the sender keeps a copy,
 * which goes over another lane when the first one dies.
 *
 *   piece  number:u64 (big-endian, from 0) bytes[1..LANES_PIECE]      a frame of a channel
 */
#ifndef NET_LANES_H
#define NET_LANES_H

#include "net/channel_open.h"

#define LANES_MAX    8
#define LANES_PIECE  (64u << 10)
#define LANES_WINDOW 32 /* pieces that may be under way: no side holds more than these */

/* ---- the sender ---- */

struct lanes_out;

struct lanes_out_ops {
	/* Every lane is open. */
	void (*on_open)(void *arg);
	/* There may be room again (lanes_out_reserve()), or all has arrived (lanes_out_empty()). */
	void (*on_room)(void *arg);
	/* No lane is left, or one could not be opened: a text that names it. Only lanes_out_free()
	 * is allowed afterwards. */
	void (*on_failed)(void *arg, const char *text);
};

/*
 * Connects to `port` of every address of the comma-separated list. The ops come from the loop. 0,
 * or -errno with a text: an address that is none, or too many of them.
 */
int lanes_out_open(struct loop *l, const char *addresses, uint16_t port,
		   const struct channel_key *key, const struct lanes_out_ops *ops, void *arg,
		   struct lanes_out **out, char text[CHANNEL_TEXT_MAX]);
/* The place for up to LANES_PIECE bytes, then to be given away by lanes_out_commit() with their
 * number. NULL: no room now. */
uint8_t *lanes_out_reserve(struct lanes_out *o);
void lanes_out_commit(struct lanes_out *o, size_t n);
/* The receiver has all pieces below `next`. -EPROTO: it cannot have. */
int lanes_out_arrived(struct lanes_out *o, uint64_t next);
bool lanes_out_empty(const struct lanes_out *o);
/* From now on no more than so many bytes of each lane lie in the kernel. */
void lanes_out_bound(struct lanes_out *o, int bytes);
uint64_t lanes_out_bytes(const struct lanes_out *o); /* on the wire */
/* Harmless with NULL. */
void lanes_out_free(struct lanes_out *o);

/* ---- the receiver ---- */

struct lanes_in;

struct lanes_in_ops {
	/* The next bytes, in order. False: not now; they come again after lanes_in_resume(). */
	bool (*on_bytes)(void *arg, const uint8_t *p, size_t n);
	/* To be told to the sender (lanes_out_arrived()). */
	void (*on_arrived)(void *arg, uint64_t next);
};

/*
 * Listens on a port that the kernel chooses. key: what the lanes must prove; NULL: one that is made
 * here, to be given to the sender on a private way. 0 or -errno.
 */
int lanes_in_open(struct loop *l, const struct channel_key *key, const struct lanes_in_ops *ops,
		  void *arg, struct lanes_in **out);
uint16_t lanes_in_port(const struct lanes_in *in);
/* The key as text, to be made a key again by its bytes. */
const struct channel_key *lanes_in_key(const struct lanes_in *in);
/* Harmless when nothing is held. */
void lanes_in_resume(struct lanes_in *in);
/* Harmless with NULL. */
void lanes_in_free(struct lanes_in *in);

#endif
