/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Attaching and detaching: a LUN of a target becomes a block device of this host, and goes again.
 * Both are idempotent and serialised among processes for each target and portal. Each session that
 * is made here gets a keeper (net/iscsi/keeper.h).
 */
#ifndef NET_ISCSI_ATTACHMENT_H
#define NET_ISCSI_ATTACHMENT_H

#include <stdbool.h>

#include "net/iscsi/attach_request.h"
#include "net/iscsi/initiator.h"
#include "net/iscsi/sysfs.h"

struct attachment {
	struct iscsi_session session;
	struct iscsi_disk disk;
	bool existed; /* it was attached already */
};

/*
 * Attaches, waiting; 0, or -errno with one line in error, naming the object, the cause and the way
 * out. Nothing is left behind then.
 */
int iscsi_attach(const struct attach_request *r, struct attachment *a, char error[ATTACH_ERROR]);

/*
 * Finds what iscsi_attach() would give, if that is attached already, and changes nothing. -ENOENT:
 * it is not attached; another -errno with one line in error. Without a target: that of the only
 * session by this portal.
 */
int iscsi_find(const struct attach_request *r, struct attachment *a, char error[ATTACH_ERROR]);

/*
 * Takes a disk away (NULL: all of the session's), and ends the session when that was its last.
 * -EBUSY: it is in use (not asked when forced); -EHOSTDOWN: the session is down, so that what is
 * not written yet would be lost (not asked when forced); -EXDEV: the session is not of the kind
 * that `via` says; another -errno. One line in error.
 */
int iscsi_detach(const struct iscsi_session *s, const struct iscsi_disk *d, enum attach_via via,
		 bool force, char error[ATTACH_ERROR]);

/*
 * Asks a portal for its targets, waiting; fills i (initiator_fini() frees it) also on failure. Of
 * r, target, LUN and serial do not matter.
 */
int iscsi_discover(const struct attach_request *r, struct initiator *i, char error[ATTACH_ERROR]);

#endif
