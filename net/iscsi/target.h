/*
 * The iSCSI target: portals, targets with their LUNs, sessions. Everything runs on one loop.
 */
#ifndef NET_ISCSI_TARGET_H
#define NET_ISCSI_TARGET_H

#include <stdbool.h>
#include <stdint.h>

#include "core/loop.h"
#include "net/access.h"
#include "net/iscsi/chap.h"
#include "storage/disk.h"
#include "storage/lun.h"

struct target_server;
struct target;

struct target_server_config {
	struct loop *loop;
	struct disk_engine *engine;
	const struct access *access; /* who may connect and log in; the caller's */
	struct chap_credentials credentials; /* user NULL: no CHAP */
	unsigned max_connections;
};

/* NULL with errno. */
struct target_server *target_server_new(const struct target_server_config *c);
/* Closes what is left at once. LUNs stay the caller's. */
void target_server_free(struct target_server *s);

/* A target of this name (not copied), found or added; NULL when out of memory. */
struct target *target_server_get(struct target_server *s, const char *name);
/* -EEXIST: the number is taken in this target. */
int target_add_lun(struct target *t, struct lun *l);

/* Listens on "ADDR[:PORT]"; the error (negative errno) is logged. */
int target_server_listen(struct target_server *s, const char *address);

/* Takes no new work, finishes what is in flight, sends what is owed, then calls done. */
void target_server_drain(struct target_server *s, void (*done)(void *arg), void *arg);

#endif
