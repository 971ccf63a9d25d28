/* SPDX-License-Identifier: BSD-2-Clause */
/* What an attachment is asked for, and how its modules say what went wrong. */
#ifndef NET_ISCSI_ATTACH_REQUEST_H
#define NET_ISCSI_ATTACH_REQUEST_H

#include <stdbool.h>
#include <stdint.h>

#include "core/loop.h"

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

#endif
