/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Attaching and detaching: a LUN of a target becomes a block device of this host, and goes again.
 * Both are idempotent and serialised among processes for each target and portal. Each session that
 * is made here gets a keeper (net/iscsi/keeper.h).
 */
#ifndef NET_ISCSI_ATTACHMENT_H
#define NET_ISCSI_ATTACHMENT_H

#include <stdbool.h>
#include <stdint.h>

#include "net/iscsi/initiator.h"
#include "net/iscsi/sysfs.h"

#define ATTACH_ERROR	       768
#define ATTACH_REPLACEMENT     120 /* seconds, the default */
#define ATTACH_REPLACEMENT_MAX 86400
#define ATTACH_TIMEOUT	       (15 * SEC_NS) /* for the login, and for the device */

enum attach_via {
	ATTACH_KERNEL,	   /* vstor logs in, and keeps the session */
	ATTACH_OPEN_ISCSI, /* iscsid does both (net/iscsi/open_iscsi.h) */
	ATTACH_AOE,	   /* no iSCSI at all (net/aoe/initiator.h) */
};

struct attach_request {
	enum attach_via via;
	const char *portal;    /* HOST[:PORT] */
	const char *target;    /* NULL: the only one that the portal has */
	const char *initiator; /* NULL: initiator_default_name() */
	unsigned lun;
	const char *serial; /* the disk's serial number must be this; NULL: any */
	bool digests;	    /* CRC32C of headers and data */
	/* CHAP, both ways: names, and secrets or files with them; NULL: none */
	const char *chap_user, *chap_secret, *chap_secret_file;
	const char *mutual_user, *mutual_secret, *mutual_secret_file;
	/* Seconds that I/O waits for a lost target; -1: for ever; 0: as the session has it, and
	 * ATTACH_REPLACEMENT for a new one. */
	int replacement_timeout;
	uint64_t timeout_ns;
};

/* Puts one line into error and returns err: for the modules of attaching. */
__attribute__((format(printf, 3, 4))) int attach_failed(char error[ATTACH_ERROR], int err,
							const char *fmt, ...);

/* "kernel", "open-iscsi" or "aoe"; -EINVAL for others. */
int attach_via(const char *name, enum attach_via *via);

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
