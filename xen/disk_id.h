/* SPDX-License-Identifier: BSD-2-Clause */
/* Which disk a block device is: the same text on every host that sees the same disk. */
#ifndef XEN_DISK_ID_H
#define XEN_DISK_ID_H

#include <stddef.h>
#include <stdint.h>
#include <stdbool.h>
#include <sys/types.h>

#include "core/buf.h"

#define DISK_ID_MAX 160

/* The world wide name of the disk behind a block device, or device mapper's uuid (Linux:
 * Documentation/ABI sysfs-block, sysfs-block-dm), and the number of the partition if it is one; or
 * the serial number that an AoE target tells. -ENOENT: it has none, as a file has. */
int disk_id(dev_t device, char id[DISK_ID_MAX]);

/* Whether this host has the same disk by another device, too: its name, "sdb". */
bool disk_id_twin(const char *device, char twin[32]);

/* Adds a field `disk=VDEV ID` for each disk of a domain of this host whose id is known. */
void disk_ids_put(uint32_t domid, struct buf *b);
/* The id in such fields of the disk `vdev`; -ENOENT. */
int disk_ids_get(const uint8_t *p, size_t n, const char *vdev, char id[DISK_ID_MAX]);

/* Where sysfs is; a test changes it. */
extern const char *disk_id_sysfs;

#endif
