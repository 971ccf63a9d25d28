/* SPDX-License-Identifier: BSD-2-Clause */
/* The end of a session. */
#ifndef NET_ISCSI_LOGOUT_H
#define NET_ISCSI_LOGOUT_H

#include "net/iscsi/attach_request.h"
#include "net/iscsi/kernel.h"
#include "net/iscsi/sysfs.h"

/*
 * Ends a session, whoever keeps it; its disks have been removed, or are given up. Waits for the
 * target's answer to the logout, up to five seconds. 0, or -errno with one line in error: the
 * session is still there then, and so is its keeper.
 */
int iscsi_session_end(const struct iscsi_kernel *k, const struct iscsi_session *s,
		      char error[ATTACH_ERROR]);

#endif
