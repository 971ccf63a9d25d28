/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Linux's AoE initiator (module aoe; Documentation/admin-guide/aoe): a target becomes a block
 * device of this host, and goes again. The driver finds targets by itself, on all interfaces, asks
 * again for what has had no answer, and keeps a device when its target is away.
 */
#ifndef NET_AOE_INITIATOR_H
#define NET_AOE_INITIATOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "net/aoe/address.h"
#include "net/iscsi/sysfs.h"

struct aoe_device {
	struct aoe_address at;
	struct iscsi_disk disk; /* LUN 0 */
	char state[32];		/* "up", "down", as the driver has it */
	char target[64];	/* Ethernet addresses of who serves it */
};

/* Is it a device of this host? 0 or -ENOENT. */
int aoe_device_find(const struct aoe_address *at, struct aoe_device *d);
/* All of them, allocated: free(*v). 0 or -ENOMEM. */
int aoe_devices(struct aoe_device **v, size_t *n);
/* The device that a path leads to, or of that number. -ENOENT: there is none; -ENODEV: it is no AoE
 * device. */
int aoe_device_of(const char *path, struct aoe_device *d);
int aoe_device_numbered(dev_t number, struct aoe_device *d);
/* The serial number that the target has told; 0 or -errno: it has none. */
#define AOE_SERIAL 21
int aoe_device_serial(const struct aoe_device *d, char serial[AOE_SERIAL]);

/*
 * Makes the kernel look for the target, loading the module if need be, and waits until its device
 * can be opened, up to timeout_ns. 0, or -errno with one line in error: -ENODEV: the kernel has no
 * such driver; -EPERM; -ETIMEDOUT: nobody answers.
 */
int aoe_attach(const struct aoe_address *at, uint64_t timeout_ns, struct aoe_device *d,
	       bool *existed, char *error, size_t size);
/*
 * Writes back and takes the device away; the driver makes it anew when it next hears of the target,
 * within a minute. -EBUSY: it is in use; -EHOSTDOWN: its target is away, what is not written yet
 * would be lost (not asked when forced). One line in error.
 */
int aoe_detach(const struct aoe_device *d, bool force, char *error, size_t size);

#endif
