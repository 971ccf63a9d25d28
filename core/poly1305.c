/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/poly1305.h"

#include <string.h>

#include "core/bytes.h"
#include "core/digest.h"

__extension__ typedef unsigned __int128 u128;

#define M44 0xfffffffffffull
#define M42 0x3ffffffffffull

static uint32_t get_le32(const void *p)
{
	uint32_t v;
	memcpy(&v, p, sizeof(v));
	return v;
}

static uint64_t get_le64(const void *p)
{
	uint64_t v;
	memcpy(&v, p, sizeof(v));
	return v;
}

static inline uint32_t rol(uint32_t v, unsigned n)
{
	return v << n | v >> (32 - n);
}

static inline void quarter(uint32_t s[16], unsigned a, unsigned b, unsigned c, unsigned d)
{
	s[a] += s[b];
	s[d] = rol(s[d] ^ s[a], 16);
	s[c] += s[d];
	s[b] = rol(s[b] ^ s[c], 12);
	s[a] += s[b];
	s[d] = rol(s[d] ^ s[a], 8);
	s[c] += s[d];
	s[b] = rol(s[b] ^ s[c], 7);
}

void chacha20_block(const uint8_t key[CHACHA20_KEY_LEN], uint32_t counter,
		    const uint8_t nonce[CHACHA20_NONCE_LEN], uint8_t out[CHACHA20_BLOCK_LEN])
{
	uint32_t start[16] = {0x61707865, 0x3320646e, 0x79622d32, 0x6b206574}, s[16];
	for (unsigned i = 0; i < 8; i++)
		start[4 + i] = get_le32(key + 4 * i);
	start[12] = counter;
	for (unsigned i = 0; i < 3; i++)
		start[13 + i] = get_le32(nonce + 4 * i);
	memcpy(s, start, sizeof(s));
	for (unsigned i = 0; i < 10; i++) {
		quarter(s, 0, 4, 8, 12);
		quarter(s, 1, 5, 9, 13);
		quarter(s, 2, 6, 10, 14);
		quarter(s, 3, 7, 11, 15);
		quarter(s, 0, 5, 10, 15);
		quarter(s, 1, 6, 11, 12);
		quarter(s, 2, 7, 8, 13);
		quarter(s, 3, 4, 9, 14);
	}
	for (unsigned i = 0; i < 16; i++)
		s[i] += start[i];
	memcpy(out, s, sizeof(s));
	wipe(s, sizeof(s));
	wipe(start, sizeof(start));
}

void poly1305_init(struct poly1305 *p, const uint8_t key[POLY1305_KEY_LEN])
{
	/* The clamp of RFC 8439, 2.5, then cut into limbs. */
	uint64_t lo = get_le64(key) & 0x0ffffffc0fffffff;
	uint64_t hi = get_le64(key + 8) & 0x0ffffffc0ffffffc;
	*p = (struct poly1305){
		.r = {lo & M44, (lo >> 44 | hi << 20) & M44, hi >> 24},
		.pad = {get_le64(key + 16), get_le64(key + 24)},
	};
	/* A product's limb at 2^132 comes back at 2^2 * 5, since 2^130 is 5 modulo 2^130 - 5. */
	p->s[1] = p->r[1] * 20;
	p->s[2] = p->r[2] * 20;
}

/* h = (h + block) * r for each block; top is the bit above a block: 1 << 40 for a full one. */
static void blocks(struct poly1305 *p, const uint8_t *m, size_t n, uint64_t top)
{
	uint64_t h0 = p->h[0], h1 = p->h[1], h2 = p->h[2];
	const uint64_t r0 = p->r[0], r1 = p->r[1], r2 = p->r[2], s1 = p->s[1], s2 = p->s[2];
	for (; n; n--, m += 16) {
		uint64_t lo = get_le64(m), hi = get_le64(m + 8);
		u128 d0, d1, d2;
		h0 += lo & M44;
		h1 += (lo >> 44 | hi << 20) & M44;
		h2 += hi >> 24 | top;
		d0 = (u128)h0 * r0 + (u128)h1 * s2 + (u128)h2 * s1;
		d1 = (u128)h0 * r1 + (u128)h1 * r0 + (u128)h2 * s2;
		d2 = (u128)h0 * r2 + (u128)h1 * r1 + (u128)h2 * r0;
		h0 = (uint64_t)d0 & M44;
		d1 += (uint64_t)(d0 >> 44);
		h1 = (uint64_t)d1 & M44;
		d2 += (uint64_t)(d1 >> 44);
		h2 = (uint64_t)d2 & M42;
		h0 += (uint64_t)(d2 >> 42) * 5;
		h1 += h0 >> 44;
		h0 &= M44;
	}
	p->h[0] = h0;
	p->h[1] = h1;
	p->h[2] = h2;
}

void poly1305_update(struct poly1305 *p, const void *data, size_t n)
{
	const uint8_t *m = data;
	if (!n)
		return;
	if (p->have) {
		size_t take = MIN(n, 16 - p->have);
		memcpy(p->block + p->have, m, take);
		p->have += take;
		if (p->have < 16)
			return;
		blocks(p, p->block, 1, 1ull << 40);
		m += take;
		n -= take;
	}
	blocks(p, m, n / 16, 1ull << 40);
	p->have = n % 16;
	memcpy(p->block, m + (n - p->have), p->have);
}

void poly1305_final(struct poly1305 *p, uint8_t tag[POLY1305_TAG_LEN])
{
	uint64_t h0, h1, h2, g0, g1, g2, carry, mask, lo, hi;
	if (p->have) {
		p->block[p->have] = 1;
		memset(p->block + p->have + 1, 0, 15 - p->have);
		blocks(p, p->block, 1, 0);
	}
	h0 = p->h[0];
	h1 = p->h[1];
	h2 = p->h[2];
	/* Carry twice round, so that every limb is within its bits. */
	for (unsigned i = 0; i < 2; i++) {
		h1 += h0 >> 44;
		h0 &= M44;
		h2 += h1 >> 44;
		h1 &= M44;
		h0 += (h2 >> 42) * 5;
		h2 &= M42;
	}
	h1 += h0 >> 44;
	h0 &= M44;
	/* g = h - (2^130 - 5); taken when that is not negative, without a branch. */
	g0 = h0 + 5;
	carry = g0 >> 44;
	g0 &= M44;
	g1 = h1 + carry;
	carry = g1 >> 44;
	g1 &= M44;
	g2 = h2 + carry - (1ull << 42);
	mask = (g2 >> 63) - 1;
	h0 = (h0 & ~mask) | (g0 & mask);
	h1 = (h1 & ~mask) | (g1 & mask);
	h2 = (h2 & ~mask) | (g2 & mask);
	/* (h + pad) modulo 2^128 */
	lo = h0 | h1 << 44;
	hi = h1 >> 20 | h2 << 24;
	lo += p->pad[0];
	hi += p->pad[1] + (lo < p->pad[0]);
	memcpy(tag, &lo, 8);
	memcpy(tag + 8, &hi, 8);
	wipe(p, sizeof(*p));
}
