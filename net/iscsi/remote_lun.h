/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A LUN of a target, read and written without a block device, by a session of its own: one command
 * at a time, each waited for. For measurements; it does not log in again when the session breaks.
 */
#ifndef NET_ISCSI_REMOTE_LUN_H
#define NET_ISCSI_REMOTE_LUN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "net/iscsi/text.h"

#define REMOTE_LUN_SCHEME  "iscsi://"
#define REMOTE_LUN_ERROR   768
#define REMOTE_LUN_TIMEOUT (30 * SEC_NS) /* for the login, and for an answer */

struct remote_lun {
	int fd; /* -1: not open */
	unsigned lun;
	uint32_t itt, cmdsn, statsn; /* statsn: the next one expected */
	struct iscsi_params params;
	uint32_t block;	 /* bytes of a logical block */
	uint64_t blocks; /* of them */
};

/*
 * Logs in to iscsi://HOST[:PORT]/IQN/LUN as this host's initiator, with an ISID of its own, so that
 * it takes no other session's place. 0, or -errno with one line in error that names the LUN, the
 * cause and the way out.
 */
int remote_lun_open(struct remote_lun *r, const char *url, char error[REMOTE_LUN_ERROR]);
/* n bytes at `at`, whole blocks both. n, or -errno: -EIO with any status but GOOD, -ETIMEDOUT, and
 * what the connection says; after these two nothing more can be done with it. */
ssize_t remote_lun_read(struct remote_lun *r, void *p, size_t n, uint64_t at);
ssize_t remote_lun_write(struct remote_lun *r, const void *p, size_t n, uint64_t at);
/* SYNCHRONIZE CACHE. 0 or -errno. */
int remote_lun_flush(struct remote_lun *r);
/* Logs out as far as that goes without waiting. Harmless when fd is -1. */
void remote_lun_close(struct remote_lun *r);

#endif
