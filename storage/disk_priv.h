/* SPDX-License-Identifier: BSD-2-Clause */
/* Inside a disk: what disk.c, disk_engine.c and disk_send.c share. */
#ifndef STORAGE_DISK_PRIV_H
#define STORAGE_DISK_PRIV_H

#include "storage/disk.h"

#ifndef RWF_DSYNC
#define RWF_DSYNC 2
#endif
#ifndef RWF_NOWAIT
#define RWF_NOWAIT 8
#endif

struct disk {
	char *path;
	int fd;
	uint64_t size;
	uint32_t granularity; /* of discards, bytes */
	bool readonly, writethrough, blockdev;
	bool in_memory; /* tmpfs: no medium to wait for */
	bool no_nowait; /* this file system refuses RWF_NOWAIT */
	bool no_rwf;	/* a kernel before 4.7, or a seccomp filter without preadv2 */
	bool no_punch;
	bool no_ring;	 /* io_uring does not wait for this file system: workers do */
	int flush_error; /* errno of the flush that failed; 0: none has (see disk_flush_error()) */

	/* disk_engine.c's: loops do not write before (clock_ns()), and how long that pause is */
	uint64_t writes_from, pause;
	uint64_t written;	/* clock_ns() of when a buffered write has ended last */
	struct disk_pool *pool; /* its workers; NULL before it needs any */
	bool no_pool;		/* there were no threads for it */
	unsigned jobs;		/* that they have */
	uint64_t stirred;	/* clock_ns() of when one has ended, or the first of these began */
	unsigned left;		/* writes of loops that have been taken over */

	/* disk_send.c's: a mapping that is only asked about, never touched */
	uint8_t *map;
	uint64_t map_len; /* bytes; 0: there is none */
	int8_t may_ask;	  /* the kernel tells us what is resident: 1 yes, -1 no, 0 not known yet */
};

/* What one thread has found out about the disk, all may know. */
static inline bool disk_is_set(const bool *flag)
{
	return __atomic_load_n(flag, __ATOMIC_RELAXED);
}

static inline void disk_set(bool *flag)
{
	__atomic_store_n(flag, true, __ATOMIC_RELAXED);
}

/* A flush has failed: from now on all do. */
void disk_flush_failed(struct disk *d, int err);

/* preadv2(2) or pwritev2(2): bytes, or -1 with errno. */
ssize_t disk_rw(struct disk *d, bool write, const struct iovec *iov, unsigned n, uint64_t off,
		int flags);
/* Transfers all of iov, going on after short counts; changes iov, and moves *off on past what has
 * been transferred: to what could not be, when there is an error. With RWF_DSYNC it is also an
 * error when a flush has failed before; *off is then what it was. 0 or -errno. */
int disk_transfer(struct disk *d, bool write, struct iovec *iov, unsigned n, uint64_t *off,
		  int flags);

/* disk_engine.c: a disk is about to be closed. Waits for its workers. */
void disk_pool_free(struct disk *d);

/* disk_send.c: a disk has been opened, is about to be closed. */
void disk_send_begin(struct disk *d);
void disk_send_end(struct disk *d);

#endif
