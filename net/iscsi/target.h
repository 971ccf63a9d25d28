/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The iSCSI target: portals, targets with their LUNs, sessions. Everything runs on one loop, unless
 * others are added for the connections.
 */
#ifndef NET_ISCSI_TARGET_H
#define NET_ISCSI_TARGET_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "core/loop.h"
#include "net/access.h"
#include "net/iscsi/chap.h"
#include "net/sock.h"
#include "storage/disk.h"
#include "storage/lun.h"

struct target_server;
struct target;

struct json;

struct target_server_config {
	/* What else there is to be told in the status, NULL: nothing: members of its JSON object,
	 * or (j NULL) lines of text. */
	void (*tell)(void *arg, struct json *j, FILE *f);
	void *tell_arg;
	struct loop *loop;
	struct disk_engine *engine;
	const struct access *access;	     /* who may connect and log in; the caller's */
	struct chap_credentials credentials; /* user NULL: no CHAP */
	unsigned max_sessions; /* discovery sessions too; a session takes the place of its old self
				*/
};

/* NULL with errno. */
struct target_server *target_server_new(const struct target_server_config *c);
/* Closes what is left at once. LUNs stay the caller's. */
void target_server_free(struct target_server *s);
/* Before listening: connections are spread over one more loop, the engine's, which shares its lock
 * with the server's loop (loop_set_lock()); each stays where it is. 0 or -ENOMEM. */
int target_server_add_loop(struct target_server *s, struct disk_engine *e);

/* A target of this name, found or added; NULL when out of memory. */
struct target *target_server_get(struct target_server *s, const char *name);
/* -EEXIST: the number is taken in this target. Sessions of the target get to know of it. */
int target_add_lun(struct target_server *s, struct target *t, struct lun *l);
/*
 * Takes a LUN away from all sessions: commands that it has are finished, further ones refused.
 * When the last has ended the LUN is closed and freed, then done(arg, rc) is called, rc as
 * lun_close() has it. target_server_drain() waits for that. -ENOENT: there is no such LUN.
 */
int target_remove_lun(struct target_server *s, struct target *t, unsigned number,
		      void (*done)(void *arg, int rc), void *arg);
/* NULL: no such LUN. */
struct lun *target_find_lun(const struct target *t, unsigned number);
/* NULL: no such target. */
struct target *target_find(struct target_server *s, const char *name);
const char *target_name(const struct target *t);

/* Who may connect and log in from now on; sessions stay, logins under way have to begin anew. */
void target_server_set_access(struct target_server *s, const struct access *a,
			      const struct chap_credentials *c);

/* Takes over these sockets, on which sock_listen_open() listens at "ADDR[:PORT]"; n: how many, or
 * its error. 0 or negative errno; the error is logged. */
int target_server_listen(struct target_server *s, const char *address, const int *fds, int n);
/* Ends the listening that was begun with the same text; connections stay. */
void target_server_unlisten(struct target_server *s, const char *address);

struct session_info {
	unsigned id;
	const char *initiator, *target; /* target NULL: discovery */
	char peer[SOCK_TEXT_MAX];
	unsigned luns, commands; /* commands: under way */
	bool header_digest, data_digest;
	uint64_t age_ns; /* since the login */
};
/* All that are logged in, the oldest first; returns how many there are. */
unsigned target_server_sessions(struct target_server *s,
				void (*fn)(void *arg, const struct session_info *i), void *arg);
/* Closes the session with this id (not 0), or all of this initiator (id 0); returns how many. An
 * initiator that still wants its disks will log in anew. */
unsigned target_server_drop(struct target_server *s, unsigned id, const char *initiator);

/* Takes no new work, finishes what is in flight, sends what is owed, closes what was removed, then
 * calls done. */
void target_server_drain(struct target_server *s, void (*done)(void *arg), void *arg);

#endif
