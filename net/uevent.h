/* SPDX-License-Identifier: BSD-2-Clause */
/* What the kernel tells of its devices (NETLINK_KOBJECT_UEVENT): that there is something new. */
#ifndef NET_UEVENT_H
#define NET_UEVENT_H

#include <stdint.h>

/* A socket on which the kernel tells of devices, the nodes in devtmpfs of new ones being there by
 * then. Or -errno. */
int uevents_open(void);
/* Waits until it tells of any, or clock_ns() is `until`. */
void uevents_wait(int fd, uint64_t until);

#endif
