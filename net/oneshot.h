/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Servers of one request and one reply a connection. Whatever clients do, memory and descriptors
 * are bounded: so many clients, so long a request, so long a time; who comes when all places are
 * taken has that of the client whose request has been awaited for longest.
 */
#ifndef NET_ONESHOT_H
#define NET_ONESHOT_H

#include <stdbool.h>
#include <stddef.h>

#include "core/buf.h"
#include "core/loop.h"

struct oneshot; /* one exchange */

#define ONESHOT_CLIENTS 16

struct oneshot_server {
	struct loop *loop;
	size_t request_max; /* bytes; what is longer is served as far as it came */
	bool takes_fd;	    /* one open file may come with a request, over a local socket */
	/* Is all of the request here? Asked whenever more has come; `eof`: no more will come. */
	bool (*whole)(const struct buf *request, bool eof);
	/* Once for each exchange: the request (a NUL that does not count behind it) is whole, or
	 * too long. To be answered by oneshot_reply(), now or later. */
	void (*serve)(void *arg, struct oneshot *x, const struct buf *request);
	void *arg;

	struct oneshot *clients; /* the newest first */
	unsigned clients_n;
};

/* A connection (non-blocking) that this server takes over. */
void oneshot_accept(struct oneshot_server *s, int fd);
/* Sends the reply (copied) and closes. The exchange is gone for the caller, as it is for a client
 * that has gone: then this only frees it. */
void oneshot_reply(struct oneshot *x, const void *reply, size_t len);
/* The file that came with the request, the caller's from now on; or -1. */
int oneshot_fd(struct oneshot *x);
/* Ends all exchanges; none may be left that is still to be answered. */
void oneshot_close(struct oneshot_server *s);

#endif
