/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Another program's initiator: where a distribution runs open-iscsi's iscsid, it can make and end
 * the sessions in our place. It is told so through iscsiadm(8).
 */
#ifndef NET_ISCSI_OPEN_ISCSI_H
#define NET_ISCSI_OPEN_ISCSI_H

#include "net/iscsi/sysfs.h"

/*
 * Has iscsid log in to the target by that portal; replacement_timeout is in seconds, -1 for ever.
 * Waits. 0, or -errno with one line in error (of the given size): -ENOENT no iscsiadm here, -EIO it
 * failed.
 */
int open_iscsi_login(const char *target, const char *host, uint16_t port, int replacement_timeout,
		     char *error, size_t size);
/* Has iscsid log out of the session. As above. */
int open_iscsi_logout(const struct iscsi_session *s, char *error, size_t size);

#endif
