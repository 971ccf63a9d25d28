/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The data-out of a command while it comes: kept where it was received, in pieces, or copied where
 * that would hold much more memory than it is. What came before it was asked for is counted in
 * server.out_bytes.
 */
#ifndef NET_ISCSI_GATHER_H
#define NET_ISCSI_GATHER_H

#include <sys/uio.h>

#include "net/iscsi/conn.h"

struct gather_block;

struct gather {
	struct iovec *iov;
	struct chunk **chunk; /* of each piece; NULL: it is in a block */
	unsigned n, cap;
	uint32_t total;		     /* bytes that there will be at most */
	uint32_t len;		     /* bytes in all */
	uint32_t unasked;	     /* held of what nobody asked for */
	struct gather_block *blocks; /* of what has been copied, the newest first */
	struct iovec iov_inline[2];
	struct chunk *chunk_inline[2];
};

/* Is there too much already of what nobody asked for? Not for who has but one command under way. */
bool gather_full(const struct conn *c);
/* The rest of it is zero. `total`: bytes that there will be at most. */
void gather_init(struct gather *g, uint32_t total);
/* Adds what lies in a chunk, `len` bytes that are within total. False: out of memory. */
bool gather_add(struct gather *g, const struct conn *c, const uint8_t *data, uint32_t len,
		struct chunk *chunk, bool asked);
void gather_fini(struct gather *g, struct target_server *s);

#endif
