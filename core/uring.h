/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * io_uring (io_uring(7)), by system calls: reads that the kernel finishes by itself.
 * What is started in one turn of the loop goes to the kernel at its end, by one call. A ring
 * belongs to one loop, and takes no operation but these reads, whoever gives it others.
 */
#ifndef CORE_URING_H
#define CORE_URING_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "core/loop.h"

struct uring;

struct uring_op {
	/* In the loop: res is the bytes moved, which may be fewer than were asked for, or -errno.
	 */
	void (*done)(struct uring_op *op, int res);
};

/* A ring for so many operations at a time, to be made before the sandbox, which allows no more of
 * them. NULL with errno: the kernel has none that can be restricted (Linux 5.10; before 5.9 reads
 * of what is not in the page cache are no better than threads), or forbids it. */
struct uring *uring_new(struct loop *l, unsigned entries);
/* Waits for what is under way; done() is not called any more. */
void uring_free(struct uring *u);

/* Starts it; op and the memory are the ring's until done(). False: it has no room for more. To end,
 * it needs the thread that has started it to run, or to wait where it can be woken. */
bool uring_read(struct uring *u, struct uring_op *op, int fd, const struct iovec *iov, unsigned n,
		uint64_t off);

#endif
