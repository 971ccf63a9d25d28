/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The initiator over a socket of its own: connects, logs in (net/iscsi/initiator_login.h), and asks
 * a portal for its targets (SendTargets, RFC 7143, appendix C).
 */
#ifndef NET_ISCSI_INITIATOR_H
#define NET_ISCSI_INITIATOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/buf.h"
#include "core/loop.h"
#include "net/iscsi/initiator_login.h"
#include "net/sock.h"

/* A login over a socket, or a discovery. The struct is the caller's; all zero is idle. */
struct initiator {
	struct loop *loop; /* while something is under way */
	bool started;
	struct iscsi_login login;
	/* Text of the targets found: "NAME\0ADDRESS\0" pairs; only in a discovery session. */
	struct buf found;
	char error[640]; /* for done(): the cause and the way out */

	int fd;
	struct sock_connect connect;
	struct loop_fd w;
	struct loop_timer timer;
	struct buf in, out;
	enum { INITIATOR_LOGIN, INITIATOR_SENDTARGETS, INITIATOR_LOGOUT } state;
	unsigned moves;
	char found_name[ISCSI_NAME + 1];
	char portal[SOCK_TEXT_MAX];
	uint64_t deadline;
	void (*done)(void *arg, int err);
	void *arg;
};

/*
 * Connects to one of the addresses and logs in; follows a target that has moved. Then, and never
 * before it has returned, done(arg, 0), or done(arg, -errno) with the cause in i->error. In a
 * normal session the logged-in socket is i->fd then: the caller takes it by setting i->fd to -1.
 * In a discovery session the targets are in i->found, and the session has been ended.
 */
void initiator_start(struct initiator *i, struct loop *l, const struct initiator_id *id,
		     const struct sock_addrs *to, uint64_t timeout_ns,
		     void (*done)(void *arg, int err), void *arg);
/* Stops what is under way and frees all. */
void initiator_fini(struct initiator *i);

/* One target as discovery found it. */
struct found_target {
	const char *name;   /* IQN */
	const char *portal; /* HOST:PORT */
};
/* The next pair of i->found; *at starts with 0. False at the end. */
bool initiator_found_next(const struct initiator *i, size_t *at, struct found_target *t);

#endif
