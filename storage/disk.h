/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A disk: a file or a block device with asynchronous I/O. What the page cache can answer
 * or take is done at once; all else by the kernel or in worker threads, so that the loop does not
 * wait for a medium.
 */
#ifndef STORAGE_DISK_H
#define STORAGE_DISK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "core/loop.h"
#include "core/uring.h"
#include "core/workers.h"

struct disk;

/* Where the I/O of one loop runs. */
struct disk_engine;
/* `threads` workers for each disk that needs any; NULL with errno. Freeing waits for I/O in flight.
 */
struct disk_engine *disk_engine_new(struct loop *l, unsigned threads);
/* One for another loop, with e's workers; NULL with errno. To be freed before e. */
struct disk_engine *disk_engine_beside(const struct disk_engine *e, struct loop *l);
#define DISK_RING_ENTRIES 256u
/* What is better done by io_uring than by workers is, from now on, by this ring of the engine's
 * loop, which is the engine's to free; with NULL, workers go on doing it. */
void disk_engine_use_uring(struct disk_engine *e, struct uring *u);
void disk_engine_free(struct disk_engine *e);
struct loop *disk_engine_loop(const struct disk_engine *e);

struct disk_opts {
	bool readonly;
	bool writethrough;    /* every write reaches the medium before it is done */
	uint64_t create_size; /* not 0: create a sparse file of this size if there is none */
	/* Somebody has opened it already, by disk_open_file(): disk_open() takes a copy of this
	 * descriptor, and `path` is but a name. */
	bool opened;
	int fd;
};

/*
 * The first half of disk_open(), for those who may open what its user may not: opens `path` (a
 * block device exclusively) and locks it against a second user, for as long as the descriptor or a
 * copy of it is open. Returns that, or negative errno, logged with the path and what to do.
 * *created: there was no such file.
 */
int disk_open_file(const char *path, const struct disk_opts *opts, bool *created);

/* Opens `path` and locks it against a second user. The error (negative errno) is logged, with the
 * path and what to do. */
int disk_open(struct disk **out, const char *path, const struct disk_opts *opts);
/* No I/O may be in flight. Syncs what a write-back disk still holds; the error is logged. */
int disk_close(struct disk *d);

/*
 * Takes over the size that the file or device has by now: *size gets it. `grow` not 0: makes a file
 * that much longer first, if it is shorter (a device cannot be: -EOPNOTSUPP; a file that is longer:
 * -EINVAL, nothing is cut off). Blocks. The error (negative errno) is logged.
 */
int disk_resize(struct disk *d, uint64_t grow, uint64_t *size);

const char *disk_path(const struct disk *d);
uint64_t disk_size(const struct disk *d); /* bytes */
bool disk_readonly(const struct disk *d);
/* Tells a file from another that has its name later: its inode number; 0 for a device. */
uint64_t disk_inode(const struct disk *d);

/*
 * A flush that fails has lost what was written before it, and the kernel says so once: to whoever
 * flushes first, whereas all who have written are concerned. So the disk remembers: from then on
 * every DISK_SYNC, every write with `fua` and, if it writes through, every write fails with -EIO,
 * until it is acknowledged or the disk opened anew. The errno of that flush; 0: none has failed.
 * Both from any thread.
 */
int disk_flush_error(const struct disk *d);
void disk_flush_acknowledge(struct disk *d);

enum disk_op {
	DISK_READ,
	DISK_WRITE,
	DISK_SYNC, /* what was written before is on the medium afterwards (fdatasync) */
	/* call(io) runs in a worker: several steps as one. `disk` is NULL where it closes one. */
	DISK_CALL,
};

struct disk_io {
	enum disk_op op;
	bool fua; /* write: on the medium before it is done */
	struct disk *disk;
	struct iovec *iov; /* may be changed by the transfer */
	unsigned niov;
	uint64_t off; /* bytes; after an error of a read or write: of the first that failed */
	int (*call)(struct disk_io *io);
	/* Called in the loop, unless disk_submit() returned true. */
	void (*done)(struct disk_io *io);
	int rc; /* 0 or -errno; a file that ends early is -EIO */

	struct disk_io *next;
	struct job job;
};

/* Starts io, in the engine's loop. True: it is finished already, io->rc is set and done() will not
 * be called. What is done at once is done without the loop's lock (see loop_set_lock()). */
bool disk_submit(struct disk_engine *e, struct disk_io *io);

/* Do those who work on it wait for the medium, and no end of it, as of `now` (clock_ns())? What a
 * loop does on it may hang as well then, even where it is in the page cache: some file systems lock
 * a file against its readers while it is written. */
bool disk_hangs(const struct disk *d, uint64_t now);

/*
 * For data that go from the page cache to somewhere else without a copy here (disk_send.c). Can
 * [off, off + n) be had without waiting for a medium? Tells it without reading, and without
 * waiting; false where the kernel does not tell, as it does only to the file's owner and to
 * CAP_FOWNER.
 */
bool disk_resident(struct disk *d, uint64_t off, size_t n);
/* Moves pages to a pipe: how many bytes of n there was room for, -EAGAIN: for none. It refers to
 * the pages, so that what is written later may still be seen by who reads the pipe, or the socket
 * that it is moved on to. A file that ends before off + n gives less, in the end -EIO. */
int disk_send(struct disk *d, uint64_t off, size_t n, int pipe);

/* Blocking transfers of all n bytes, for DISK_CALL. 0 or -errno; *reached (may be NULL) gets how
 * far it came: after an error the place of the first byte that failed. */
int disk_read(struct disk *d, void *p, size_t n, uint64_t off, uint64_t *reached);
int disk_write(struct disk *d, const void *p, size_t n, uint64_t off, bool fua, uint64_t *reached);
int disk_sync(struct disk *d);
/* Makes [off, off + n) read as zeros and gives its space back where the medium can. */
int disk_discard(struct disk *d, uint64_t off, uint64_t n);
/* Gets the space for [off, off + n), whose content stays, where that can be done ahead. */
int disk_allocate(struct disk *d, uint64_t off, uint64_t n);
/* Is there data at off? *mapped tells, *run gets how many bytes on it stays so. */
int disk_map(struct disk *d, uint64_t off, bool *mapped, uint64_t *run);

#endif
