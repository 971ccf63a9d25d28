/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Host names looked up while the loop goes on. What they are looked up in, files and name servers,
 * may not answer for as long as a disk or a network is away.
 */
#ifndef NET_LOOKUP_H
#define NET_LOOKUP_H

#include <stdint.h>

#include "core/workers.h"
#include "net/sock.h"

/* All zero before its first use. Stays, with the loop, until the process ends: what asks may hang.
 */
struct lookup {
	struct workers *thread;
	struct job job;
	bool busy;
	/* The question, and the thread's answer. */
	char asked[SOCK_HOST_MAX + 16]; /* HOST[:PORT] */
	uint16_t port;
	int found_err;
	struct sock_addrs found;
	/* The last answer: what it was to, and the addresses or why there are none. */
	char answered[SOCK_HOST_MAX + 16];
	int err;
	struct sock_addrs addrs;
};

/*
 * The addresses of HOST[:PORT], as sock_resolve() gives them: of a numeric one at once, of a name
 * as it was last answered. Each call has a name asked for again, one at a time. -EINPROGRESS: not
 * answered yet; else as sock_resolve().
 */
int lookup(struct lookup *u, struct loop *l, const char *text, uint16_t default_port,
	   struct sock_addrs *out);

#endif
