/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tells switches and neighbours that a machine is now behind this host: its MAC addresses, as
 * source of broadcasts that the bridge sends out, and to this host's bridge itself. Bridges and
 * switches otherwise believe it where it was until it happens to send something by itself, or they
 * forget it, which takes minutes.
 */
#ifndef NET_ANNOUNCE_H
#define NET_ANNOUNCE_H

#include <net/if.h>
#include <stddef.h>
#include <stdint.h>

#include "core/loop.h"

#define ANNOUNCE_ADDRESSES 8
#define ANNOUNCE_FRAME_MAX 96

struct announce_address {
	int family; /* AF_INET, AF_INET6 */
	uint8_t ip[16];
};

/* A network card of the machine. */
struct announce_nic {
	char port[IF_NAMESIZE]; /* this host's end of it, a port of a bridge */
	uint8_t mac[6];
	struct announce_address addresses[ANNOUNCE_ADDRESSES]; /* those that are known */
	unsigned n_addresses;
};

struct announce {
	struct loop *loop;
	struct announce_nic *nics;
	unsigned n_nics, step;
	bool up;
	int packet, netlink;
	struct loop_fd watch;
	struct loop_timer timer;
	void (*when_up)(void *arg);
	void (*done)(void *arg);
	void *arg;
};

/* How long links are waited for. */
#define ANNOUNCE_LINK_NS (10 * SEC_NS)

/*
 * Announces the cards (copied) now, and once their links are up several times more with growing
 * gaps; then done(arg), never before it has returned. What cannot be announced (a port
 * that is not on a bridge of Linux's) is left out with a line in the log. Needs CAP_NET_RAW and
 * CAP_NET_ADMIN. 0 or -errno: then done() is not called.
 */
int announce_start(struct announce *a, struct loop *l, const struct announce_nic *nics, unsigned n,
		   void (*done)(void *arg), void *arg);
/* Right after announce_start(): before done(), fn(arg) is called when the links of all cards are
 * up, so the machine has connected them, or have been waited for. */
void announce_when_up(struct announce *a, void (*fn)(void *arg));
/* Harmless when all zero. */
void announce_stop(struct announce *a);

/* Adds an address given as text (a prefix length behind it is ignored); -EINVAL, -ENOSPC. */
int announce_add_address(struct announce_nic *nic, const char *text);

/*
 * The frames, each with its length: a reverse ARP request (RFC 903), which says nothing but where
 * the MAC address is; an ARP announcement (RFC 5227, 2.3); an unsolicited neighbour advertisement
 * to all nodes (RFC 4861, 7.2.6).
 */
size_t announce_rarp(const uint8_t mac[6], uint8_t frame[ANNOUNCE_FRAME_MAX]);
size_t announce_arp(const uint8_t mac[6], const uint8_t ip[4], uint8_t frame[ANNOUNCE_FRAME_MAX]);
size_t announce_na(const uint8_t mac[6], const uint8_t ip[16], uint8_t frame[ANNOUNCE_FRAME_MAX]);

#endif
