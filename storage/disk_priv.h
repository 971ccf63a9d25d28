/* SPDX-License-Identifier: BSD-2-Clause */
/* Inside a disk: what disk.c and disk_send.c share. */
#ifndef STORAGE_DISK_PRIV_H
#define STORAGE_DISK_PRIV_H

#include "storage/disk.h"

struct disk {
	char *path;
	int fd;
	uint64_t size;
	bool readonly, writethrough, blockdev;
	bool in_memory; /* tmpfs: no medium to wait for */
	bool no_nowait; /* this file system refuses RWF_NOWAIT */
	bool no_rwf;	/* a kernel before 4.7, or a seccomp filter without preadv2 */
	bool no_punch;

	/* disk_send.c's: a mapping that is only asked about, never touched */
	uint8_t *map;
	uint64_t map_len; /* bytes; 0: there is none */
	int8_t may_ask;	  /* the kernel tells us what is resident: 1 yes, -1 no, 0 not known yet */
};

/* disk_send.c: a disk has been opened, is about to be closed. */
void disk_send_begin(struct disk *d);
void disk_send_end(struct disk *d);

#endif
