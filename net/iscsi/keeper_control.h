/* SPDX-License-Identifier: BSD-2-Clause */
/* Starting, asking and ending the keepers of sessions (net/iscsi/keeper.h). */
#ifndef NET_ISCSI_KEEPER_CONTROL_H
#define NET_ISCSI_KEEPER_CONTROL_H

#include <stdint.h>
#include <sys/un.h>

#include "net/iscsi/sysfs.h"

#define KEEPER_DIR "/run/vstor" /* root's alone to write to */

/* Where a session's keeper answers. What a dead one has left there answers nothing. */
void keeper_control_name(uint32_t sid, struct sockaddr_un *a);

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

#endif
