/* SPDX-License-Identifier: BSD-2-Clause */
/* A disk by several paths: a map of dm-multipath, and the SCSI disks that it is made of (Linux:
 * Documentation/ABI, sysfs-block and sysfs-block-dm; multipath-tools' maps have a uuid
 * "mpath-..."). sysfs is where disk_id_sysfs (xen/disk_id.h) says. */
#ifndef XEN_PATHS_H
#define XEN_PATHS_H

#include <stdbool.h>
#include <sys/types.h>

#define PATHS_MAX 32

struct paths {
	unsigned n;
	char path[PATHS_MAX][32]; /* "/dev/sdb" */
};

/* Whether a device of the referee's, "/dev/dm-3", is such a map; a disk by one path is none. */
bool paths_is_map(const char *device);
/* Its paths, in the order in which they came; only those that the kernel sends commands by, or
 * `all`. 0; -ENXIO: there are none; -E2BIG. */
int paths_list(const char *map, bool all, struct paths *p);
/* NULL when the block device that sysfs has in `dir` is such a map of SCSI disks; or why it is
 * none, until the next call. */
const char *paths_misfit(const char *dir);
/* The map that a block device is a path of: false when of none. */
bool paths_map_of(dev_t number, char map[32], dev_t *map_number);

#endif
