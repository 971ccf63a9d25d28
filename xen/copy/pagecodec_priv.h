/* SPDX-License-Identifier: BSD-2-Clause */
/* The bytes of our records, for the encoder and the decoder (xen/copy/pagecodec.h). */
#ifndef XEN_PAGECODEC_PRIV_H
#define XEN_PAGECODEC_PRIV_H

#include "core/bytes.h"
#include "xen/copy/pagecodec.h"

#define BEGIN_SIZE	 16u
#define PAGES_HEADER	 8u
#define BLOCK_HEADER	 16u
#define PAGE_DATA_HEADER 8u
#define PFN_BITS	 52
#define PFN_MASK	 ((1ull << PFN_BITS) - 1)
#define TYPE_SHIFT	 60
#define VARINT_MAX	 10u

static inline uint64_t zigzag(int64_t v)
{
	return v < 0 ? ~(uint64_t)v << 1 | 1 : (uint64_t)v << 1;
}

static inline int64_t unzigzag(uint64_t v)
{
	return (int64_t)(v >> 1 ^ -(v & 1));
}

#endif
