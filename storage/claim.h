/* SPDX-License-Identifier: BSD-2-Clause */
/* Is a file or block device free for us? One that others write would be spoilt for both. */
#ifndef STORAGE_CLAIM_H
#define STORAGE_CLAIM_H

#include <stdbool.h>

/*
 * Claims what fd has open, as its only user (readonly: beside other readers), by flock(2) for as
 * long as it stays open. -EBUSY, logged with who has it: another program has it locked (flock, or
 * fcntl as QEMU does), or it is the medium of a loop device. A reader is let in beside a loop
 * device, as beside a file system that is mounted. That nobody holds a block device itself is for
 * open(2) with O_EXCL to find out.
 */
int claim_disk(int fd, const char *path, bool readonly);

/* open(2) with O_EXCL has found the block device in use: logs by whom, as far as the kernel tells.
 * Returns -EBUSY. */
int claim_refused(const char *path);

#endif
