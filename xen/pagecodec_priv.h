/* SPDX-License-Identifier: BSD-2-Clause */
/* The bytes of our records, for the encoder and the decoder (xen/pagecodec.h). */
#ifndef XEN_PAGECODEC_PRIV_H
#define XEN_PAGECODEC_PRIV_H

#include <string.h>

#include "xen/pagecodec.h"

#define BEGIN_SIZE	 16u
#define PAGES_HEADER	 8u
#define BLOCK_HEADER	 16u
#define PAGE_DATA_HEADER 8u
#define PFN_BITS	 52
#define PFN_MASK	 ((1ull << PFN_BITS) - 1)
#define TYPE_SHIFT	 60
#define VARINT_MAX	 10u

static inline void put_le32(uint8_t *p, uint32_t v)
{
	for (int i = 0; i < 4; i++)
		p[i] = (uint8_t)(v >> 8 * i);
}

static inline uint32_t get_le32(const uint8_t *p)
{
	return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static inline void put_le64(uint8_t *p, uint64_t v)
{
	put_le32(p, (uint32_t)v);
	put_le32(p + 4, (uint32_t)(v >> 32));
}

static inline uint64_t get_le64(const uint8_t *p)
{
	return get_le32(p) | (uint64_t)get_le32(p + 4) << 32;
}

static inline uint64_t zigzag(int64_t v)
{
	return v < 0 ? ~(uint64_t)v << 1 | 1 : (uint64_t)v << 1;
}

static inline int64_t unzigzag(uint64_t v)
{
	return (int64_t)(v >> 1 ^ -(v & 1));
}

#endif
