/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A disk behind an AoE target, read and written without a block device and without the kernel's
 * driver, by a packet socket of its own: one operation at a time, cut into frames of which several
 * are under way, each waited for. For measurements, as net/iscsi/remote_lun.h is for iSCSI.
 */
#ifndef NET_AOE_REMOTE_H
#define NET_AOE_REMOTE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "net/aoe/address.h"
#include "net/aoe/frame.h"

#define AOE_REMOTE_SCHEME  "aoe://"
#define AOE_REMOTE_ERROR   256
#define AOE_REMOTE_TIMEOUT (30 * SEC_NS) /* for the first answer of a target, and for any later */

struct aoe_remote {
	int fd; /* -1: not open */
	struct aoe_address at;
	uint8_t mac[AOE_MAC], to[AOE_MAC]; /* ours, the target's */
	uint16_t id;			   /* upper half of the tags of our frames */
	uint16_t tag;			   /* lower half of the last one */
	unsigned per_frame;		   /* sectors */
	unsigned window;		   /* frames under way, at most */
	uint64_t sectors;
	uint64_t repeated; /* frames that had no answer in time */
};

/*
 * Looks for aoe://INTERFACE/SHELF.SLOT and asks what it is. Needs CAP_NET_RAW. 0, or -errno with
 * one line in error that names the disk, the cause and the way out.
 */
int aoe_remote_open(struct aoe_remote *r, const char *url, char error[AOE_REMOTE_ERROR]);
/* n bytes at `at`, whole sectors both. n, or -errno: -EIO: the target says that it failed, or that
 * somebody else has reserved it; -ETIMEDOUT: no answer, nothing more can be done with it. */
ssize_t aoe_remote_read(struct aoe_remote *r, void *p, size_t n, uint64_t at);
ssize_t aoe_remote_write(struct aoe_remote *r, const void *p, size_t n, uint64_t at);
/* FLUSH CACHE EXT. 0 or -errno. */
int aoe_remote_flush(struct aoe_remote *r);
/* Harmless when fd is -1. */
void aoe_remote_close(struct aoe_remote *r);

#endif
