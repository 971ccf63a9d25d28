/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The guest's memory over networks of its own (--data): what the two ends of a migration say of it,
 * and how it reaches saving and restoring. The sender's HELLO asks for it (data=1); the receiver's
 * says data_port and, where the channel itself is private and has no key, data_key. From time to
 * time the receiver says ARRIVED (next): see net/lanes.h.
 */
#ifndef XEN_DATA_NET_H
#define XEN_DATA_NET_H

#include "net/lanes.h"
#include "xen/message.h"
#include "xen/copy/restoring.h"

/* ---- the sender ---- */

struct data_net_out {
	const char *addresses; /* NULL: none wanted */
	uint16_t port;	       /* what the receiver has offered */
	struct channel_key key;
	struct lanes_out *lanes;
	uint64_t bytes; /* on the wire, when the lanes are gone */
};

void data_net_ask(const struct data_net_out *d, struct buf *hello);
/* Reads the receiver's HELLO. `key`: the channel's own, or NULL. -ENOENT: it offers none. */
int data_net_hear(struct data_net_out *d, const struct channel_key *key, const uint8_t *p,
		  size_t n);
/* An ARRIVED message; -EPROTO when it makes no sense. */
int data_net_arrived(struct data_net_out *d, const uint8_t *p, size_t n);
/* On the wire, so far. */
uint64_t data_net_bytes(const struct data_net_out *d);
/* Harmless when all zero. */
void data_net_close(struct data_net_out *d);

/* ---- the receiver ---- */

struct data_net_in {
	bool wanted;
	struct lanes_in *lanes; /* NULL: not asked for */
	struct restoring *restoring;
	void (*arrived)(void *arg, uint64_t next); /* to be said */
	void *arg;
};

/* Reads the sender's HELLO. */
void data_net_heard(struct data_net_in *d, const uint8_t *p, size_t n);
/* Offers it in our HELLO, if theirs asked for it and a port can be had. `key`: the channel's own,
 * or NULL. */
void data_net_offer(struct data_net_in *d, struct loop *l, const struct channel_key *key,
		    struct restoring *restoring, void (*arrived)(void *arg, uint64_t next),
		    void *arg, struct buf *hello);
/* The restore has been started: what has come meanwhile goes to it. */
void data_net_start(struct data_net_in *d);
/* Harmless when all zero. */
void data_net_end(struct data_net_in *d);

#endif
