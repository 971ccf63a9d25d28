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

#define KEEPER_MARK 128

/*
 * The mark that a session of ours bears as its interface name: "vstor:", the ISID, with digests
 * "+digests", and after "@" the numeric address of the portal (NULL or empty: left out), where that
 * was named otherwise. It is what the kernel would not keep by itself.
 */
void keeper_mark(const struct initiator_id *id, const char *peer, char out[KEEPER_MARK]);
/* True when the session bears our mark. */
bool keeper_owns(const struct iscsi_session *s);

/* The keeper itself: goes into the background once it watches. Returns an exit status. */
int keeper_run(uint32_t sid);

#endif
