/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Disks of this host by whatever way a request says: iSCSI (net/iscsi/attachment.h), or AoE
 * (net/aoe/initiator.h), with SHELF.SLOT in the place of a portal. Of AoE's no session is known.
 */
#ifndef NET_ATTACH_H
#define NET_ATTACH_H

#include "net/iscsi/attachment.h"

/* As iscsi_attach() and iscsi_find(). */
int attach_disk(const struct attach_request *r, struct attachment *a, char error[ATTACH_ERROR]);
int attach_find(const struct attach_request *r, struct attachment *a, char error[ATTACH_ERROR]);
/* Takes away what attach_find() has found; -EBUSY and the like as iscsi_detach() has them. */
int attach_end(const struct attach_request *r, const struct attachment *a, bool force,
	       char error[ATTACH_ERROR]);

/* Of a request by AoE: is its address one, and is there nothing in it that is iSCSI's? 0 or
 * -EINVAL. */
int attach_aoe_only(const struct attach_request *r);

#endif
