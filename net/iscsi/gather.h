/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The data-out of a command while it comes: kept where it was received, in pieces. What came before
 * it was asked for is counted in server.out_bytes.
 */
#ifndef NET_ISCSI_GATHER_H
#define NET_ISCSI_GATHER_H

#include <sys/uio.h>

#include "net/iscsi/server.h"

struct gather {
	struct iovec *iov;
	struct chunk **chunk; /* of each piece */
	unsigned n, cap;
	uint32_t len;	  /* bytes in all */
	uint32_t unasked; /* of these the ones that nobody asked for */
	struct iovec iov_inline[2];
	struct chunk *chunk_inline[2];
};

/* The rest of it is zero. */
void gather_init(struct gather *g);
/* Adds what lies in a chunk. False: out of memory. */
bool gather_add(struct gather *g, struct target_server *s, const uint8_t *data, uint32_t len,
		struct chunk *chunk, bool asked);
void gather_fini(struct gather *g, struct target_server *s);

#endif
