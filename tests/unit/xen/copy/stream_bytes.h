/* SPDX-License-Identifier: BSD-2-Clause */
/* What the streams of libxl and libxc are made of, for tests that make one. */
#ifndef TESTS_UNIT_XEN_STREAM_BYTES_H
#define TESTS_UNIT_XEN_STREAM_BYTES_H

#include <string.h>

#include "core/buf.h"
#include "core/bytes.h"

static inline void le32(struct buf *b, uint32_t v)
{
	uint8_t p[4];

	put_le32(p, v);
	buf_put(b, p, sizeof(p));
}

static inline void zeros(struct buf *b, size_t n)
{
	memset(buf_reserve(b, n), 0, n);
	b->len += n;
}

#endif
