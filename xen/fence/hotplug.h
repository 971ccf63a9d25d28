/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The xenstore side of the block script (Xen: docs/misc/block-scripts.txt, and
 * tools/hotplug/Linux/block-common.sh, block-iscsi): libxl runs it with `add` before it connects a
 * guest's disk and with `remove` after. The disk's `target=` words lie in the backend's `params`;
 * the answer is `physical-device`, `physical-device-path` and `hotplug-status`, or `hotplug-error`.
 */
#ifndef XEN_HOTPLUG_H
#define XEN_HOTPLUG_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include <xenstore.h>

#include "net/attach.h"

#define HOTPLUG_PARAMS 1024

/* A disk's target= words: `portal=HOST[:PORT],iqn=IQN,lun=N`, and those of Xen's block-iscsi; or
 * `aoe=SHELF.SLOT`. */
struct hotplug_words {
	char text[HOTPLUG_PARAMS]; /* what r points into */
	struct attach_request r;
};
/* 0, or -EINVAL with one line in error. */
int hotplug_parse(const char *params, struct hotplug_words *w, char error[ATTACH_ERROR]);

/*
 * `add` and `remove` for the backend at xenbus_path (relative to this domain, or absolute). Both
 * may be repeated. 0, or -errno after one logged line, which is in hotplug-error as well. On a
 * hypervisor of another release nothing is added, but what is there can be removed.
 */
int hotplug_add(const char *xenbus_path);
int hotplug_remove(const char *xenbus_path);

/*
 * The reservation, for `add`. From its start a guest's disk is its host's: no other host can start
 * it. A guest that vstor receives is its receiver's business; one that xl receives takes it from
 * the host that it comes from, where it is suspended by now. 0, *reserved: it is held now; or
 * -errno with one line in error.
 */
int hotplug_reserve(struct xs_handle *xs, const char *backend, const struct iscsi_disk *d,
		    bool *reserved, char error[ATTACH_ERROR]);

/*
 * True when a guest's disk backend (other than `except`, an xenbus path or NULL) is served by that
 * block device, or by the dm-multipath map that it is a path of; who ("guest d1, disk 51712") then.
 * False without xenstore.
 */
bool hotplug_guest_of(dev_t dev, const char *except, char *who, size_t size);

#endif
