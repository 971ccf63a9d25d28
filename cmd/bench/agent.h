/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The agent in a guest, and the link to it: loads are started there, go on whatever becomes of the
 * link, and are handed over when they are asked for. Over a channel with a key (net/channel.h), a
 * frame a message; all numbers are big-endian. Only who holds the key may command it: with `exec`
 * it runs any program.
 */
#ifndef CMD_BENCH_AGENT_H
#define CMD_BENCH_AGENT_H

#include <stddef.h>
#include <stdint.h>

#include "core/buf.h"
#include "core/loop.h"
#include "net/channel_open.h"

#define AGENT_PORT    7003
#define AGENT_VERSION 2
#define AGENT_LOADS   8
/* The link outlives a guest that is gone for so long; so long do loads go on without one. */
#define AGENT_DEAD_NS  (120 * SEC_NS)
#define AGENT_LEASE_NS (900 * SEC_NS)
#define AGENT_CHUNK    (64u << 10)
/* How fast the link is: so much is sent at most, and for so long. */
#define AGENT_PROBE_NS	  SEC_NS
#define AGENT_PROBE_BYTES (256u << 20)

enum agent_message {
	AGENT_HELLO = CHANNEL_TYPE_USER, /* version:u32 text: both ways, first */
	AGENT_CLOCK,  /* to it: mine:u64; back: mine:u64 its own:u64, clock_ns() */
	AGENT_RESET,  /* to it: end and forget all loads */
	AGENT_START,  /* to it: id:u8, then the words behind `vstor bench`, a NUL behind each */
	AGENT_LINE,   /* back: id:u8 text: a sample, as CSV */
	AGENT_FAILED, /* back: id:u8 text: a load has ended by itself, and why */
	AGENT_STOP,   /* to it: end the loads and hand all over */
	AGENT_DATA,   /* back: id:u8 bytes: of its JSON object */
	AGENT_END,   /* back: id:u8 status:u8 text: that was all of it; not 0: it failed, and why */
	AGENT_DONE,  /* back: all loads have been handed over */
	AGENT_PROBE, /* to it: last:u8, then bytes that mean nothing */
	AGENT_PROBED, /* back, when the last has come: bytes:u64 ns:u64 since the first had */
};

/* ---- the link to an agent ---- */

struct agent_ops {
	/* It is there: what it is, as text. Again after the link was broken. */
	void (*ready)(void *arg, const char *what);
	/* Its clock_ns() is ours less offset_ns, by the fastest of several exchanges. */
	void (*clock)(void *arg, int64_t offset_ns, uint64_t round_trip_ns);
	/* So many bytes came there in ns; ns 0: too few to tell. NULL when it is not asked for. */
	void (*probed)(void *arg, uint64_t bytes, uint64_t ns);
	void (*line)(void *arg, unsigned id, const char *text);
	void (*failed)(void *arg, unsigned id, const char *text);
	/* A load's object; status not 0: why it failed. `json` is the callee's. */
	void (*result)(void *arg, unsigned id, struct buf *json, int status, const char *text);
	void (*done)(void *arg);
	/* The link cannot be had: cause and way out. Nothing more follows. */
	void (*lost)(void *arg, const char *text);
};

struct agent_link {
	struct loop *loop;
	struct channel *channel;
	struct sock_addrs addrs;
	struct channel_key key;
	const char *where;
	const struct agent_ops *ops;
	void *arg;
	struct loop_timer retry, ask;
	struct loop_task give_up;
	uint64_t give_up_at;
	bool open, stopping, asking, was_open, probing;
	uint64_t probe_until, probe_left;
	unsigned asked;
	uint64_t asked_until;
	int64_t offset;
	uint64_t round_trip;
	struct buf json[AGENT_LOADS];
	char error[CHANNEL_TEXT_MAX];
};

/* Where the key is when no --key-file names one. */
#define AGENT_KEY_FILE "/etc/vstor.key"
/* `given`, or AGENT_KEY_FILE when that is NULL and there is such a file (whether it is fit to be a
 * key is seen when it is loaded); NULL: there is none. Static, or the caller's own. */
const char *agent_key_file(const char *given);

/* Connects. The ops come from the loop. where and the key stay the caller's. 0, or -errno after an
 * error line. */
int agent_link_open(struct loop *l, struct agent_link *a, const char *where, const char *key_file,
		    const struct agent_ops *ops, void *arg);
/*
 * Drops the link and makes it anew; ready() follows. After a long silence, or long round trips, TCP
 * sends what is lost again only after a minute or two: a new connection is heard at once.
 */
void agent_link_renew(struct agent_link *a);
/* While the link is broken these are left out: only agent_link_stop() is done once it is back. */
void agent_link_reset(struct agent_link *a);
void agent_link_start(struct agent_link *a, unsigned id, const char *const *words);
void agent_link_ask_clock(struct agent_link *a);
/* Fills the link for AGENT_PROBE_NS, by one connection whose frames are authenticated. */
void agent_link_probe(struct agent_link *a);
void agent_link_stop(struct agent_link *a);
/* Harmless when all zero. */
void agent_link_close(struct agent_link *a);

#endif
