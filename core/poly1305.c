/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/poly1305.h"

#include <string.h>

#include "core/bytes.h"
#include "core/digest.h"

__extension__ typedef unsigned __int128 u128;

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
	/* The clamp of RFC 8439, 2.5. */
	*p = (struct poly1305){
		.r = {get_le64(key) & 0x0ffffffc0fffffff, get_le64(key + 8) & 0x0ffffffc0ffffffc},
		.pad = {get_le64(key + 16), get_le64(key + 24)},
	};
}

/* *h += v; what does not fit. */
static inline uint64_t add(uint64_t *h, uint64_t v)
{
	*h += v;
	return *h < v;
}

/* h = (h + block) * r for each block; top is the bit above a block: 1 for a full one. */
static void blocks(struct poly1305 *p, const uint8_t *m, size_t n, uint64_t top)
{
	uint64_t h0 = p->h[0], h1 = p->h[1], h2 = p->h[2];
	/*
	 * A product's part from 2^128 on, 4 * r1 * x, comes back as 5 * r1 * x / 4 at 1, since
	 * 2^130 is 5 modulo 2^130 - 5; the clamp makes r1 a multiple of 4.
	 */
	const uint64_t r0 = p->r[0], r1 = p->r[1], s1 = r1 + (r1 >> 2);
	for (; n; n--, m += 16) {
		u128 d0, d1;
		uint64_t carry = add(&h0, get_le64(m));
		carry = add(&h1, carry);
		h2 += carry + add(&h1, get_le64(m + 8)) + top;
		/* r is below 2^124 and h2 below 8: nothing here reaches 2^128, nor h2 2^64. */
		d0 = (u128)h0 * r0 + (u128)h1 * s1;
		d1 = (u128)h0 * r1 + (u128)h1 * r0 + h2 * s1 + (uint64_t)(d0 >> 64);
		h0 = (uint64_t)d0;
		h1 = (uint64_t)d1;
		h2 = h2 * r0 + (uint64_t)(d1 >> 64);
		/* What is above 2^130, times 5. */
		carry = add(&h0, (h2 >> 2) + (h2 & ~3ull));
		h2 = (h2 & 3) + add(&h1, carry);
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
		blocks(p, p->block, 1, 1);
		m += take;
		n -= take;
	}
	blocks(p, m, n / 16, 1);
	p->have = n % 16;
	memcpy(p->block, m + (n - p->have), p->have);
}

void poly1305_final(struct poly1305 *p, uint8_t tag[POLY1305_TAG_LEN])
{
	uint64_t h0, h1, g0, g1, g2, carry, mask;
	if (p->have) {
		p->block[p->have] = 1;
		memset(p->block + p->have + 1, 0, 15 - p->have);
		blocks(p, p->block, 1, 0);
	}
	h0 = p->h[0];
	h1 = p->h[1];
	/* g = h + 5 reaches 2^130 unless h is below 2^130 - 5; then it is what is left. */
	g0 = h0;
	g1 = h1;
	carry = add(&g0, 5);
	carry = add(&g1, carry);
	g2 = p->h[2] + carry;
	mask = -(g2 >> 2);
	h0 = (h0 & ~mask) | (g0 & mask);
	h1 = (h1 & ~mask) | (g1 & mask);
	/* (h + pad) modulo 2^128 */
	carry = add(&h0, p->pad[0]);
	h1 += p->pad[1] + carry;
	memcpy(tag, &h0, 8);
	memcpy(tag + 8, &h1, 8);
	wipe(p, sizeof(*p));
}
