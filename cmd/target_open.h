/* SPDX-License-Identifier: BSD-2-Clause */
/* What `vstor target` has its opener open (cmd/target_opener.h), and the asking. */
#ifndef CMD_TARGET_OPEN_H
#define CMD_TARGET_OPEN_H

#include "core/opener.h"

enum target_thing {
	TARGET_CONFIG, /* the file that --config names; it is read anew for what follows */
	TARGET_TAKEN,  /* see target_opener_taken() */
	TARGET_SECRET,
	TARGET_LUN,	     /* as disk_open_file() opens it, made if need be; to write */
	TARGET_LUN_READONLY, /* the same, to read */
	TARGET_PORTAL,	     /* listens: see sock_listen_open() */
};

/* The descriptor of `name`, or -errno. o NULL: opens it here, without asking whether that is due;
 * a file only. */
int target_open(struct opener *o, enum target_thing what, const char *name);
/* Opens a file to read: its descriptor, or -errno. */
int target_open_file(const char *name);

#endif
