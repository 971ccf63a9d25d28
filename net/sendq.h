/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Bytes on their way out of a descriptor: filled in place, given to the kernel many pieces at once,
 * and kept in chunks that are used again (fresh memory costs a page fault for each page).
 */
#ifndef NET_SENDQ_H
#define NET_SENDQ_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* The largest frame of a channel, or several that are as long together; pages come as they are
 * used.
 */
#define SENDQ_CHUNK ((1u << 20) + 256)

struct sendq_chunk;

/* All zero is an empty queue. */
struct sendq {
	struct sendq_chunk *head, *tail, *spare;
	size_t queued;	 /* bytes that wait */
	unsigned spares; /* chunks kept */
	unsigned keep;	 /* how many may be kept: the user's choice */
};

void sendq_free(struct sendq *q);
/* A place for n bytes in a row behind what is queued; NULL when out of memory. */
uint8_t *sendq_room(struct sendq *q, size_t n);
/* Queues the first n bytes of the place that sendq_room() gave last. */
void sendq_add(struct sendq *q, size_t n);
/*
 * One write of as much as waits, without raising SIGPIPE on a socket. The bytes written, which may
 * be fewer than wait; or -errno: -EAGAIN when fd takes nothing for now.
 */
ssize_t sendq_write(struct sendq *q, int fd);

#endif
