/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The keeper: one small process for each session that vstor attached. It hears of connection errors
 * from the kernel, connects and logs in again, and starts the session anew, so that I/O goes on.
 * All that it needs to know it reads from the kernel's session, so that another keeper can take
 * over at any time.
 */
#ifndef NET_ISCSI_KEEPER_H
#define NET_ISCSI_KEEPER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "net/iscsi/initiator_login.h"
#include "net/iscsi/sysfs.h"

#define KEEPER_MARK 32

/*
 * The mark that a session of ours bears as its interface name: "vstor:", the ISID and, with
 * digests,
 * "+digests". It is what the kernel would not keep otherwise.
 */
void keeper_mark(const struct initiator_id *id, char out[KEEPER_MARK]);
/* True when the session bears our mark. */
bool keeper_owns(const struct iscsi_session *s);

/*
 * Gives the session a keeper, if it is ours and has none: runs `/proc/self/exe keeper SID`, and
 * returns when that is watching. 0 or -errno; logged.
 */
int keeper_start(const struct iscsi_session *s);
/* Ends the session's keeper and leaves the session as it is. No keeper is no error. */
void keeper_release(uint32_t sid);

struct keeper_status {
	uint32_t pid;
	uint32_t recoveries; /* how often the session was brought back */
	uint64_t since_s;    /* seconds that it is up or, when down, that it has been down */
	char state[16];	     /* "up", "waiting", "connecting", "login" */
	char error[256];     /* while down: why the last attempt failed */
};
/* -ENOENT: no keeper. */
int keeper_status(uint32_t sid, struct keeper_status *st);

/* The keeper itself: goes into the background once it watches. Returns an exit status. */
int keeper_run(uint32_t sid);

#endif
