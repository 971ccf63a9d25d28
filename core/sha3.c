/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/sha3.h"

#include "core/digest.h"

#define ROUNDS 24
#define RATE   136 /* bytes a block: FIPS 202, 6.1, capacity 512 bits */

static uint64_t rotate(uint64_t v, unsigned n)
{
	return n ? v << n | v >> (64 - n) : v;
}

/* The round constants' bits come from a shift register (FIPS 202, 3.2.5, algorithm 5). */
static uint64_t round_constant(uint8_t *r)
{
	uint64_t rc = 0;

	for (unsigned j = 0; j <= 6; j++) {
		if (*r & 1)
			rc |= 1ull << ((1u << j) - 1);
		*r = (uint8_t)(*r << 1 ^ (*r & 0x80 ? 0x71 : 0));
	}
	return rc;
}

/* Keccak-f[1600]: FIPS 202, 3.2; lane (x, y) is s[x + 5 * y]. */
static void keccak(uint64_t s[25])
{
	uint64_t c[5], d, t, row[5];
	uint8_t r = 1;

	for (unsigned round = 0; round < ROUNDS; round++) {
		/* theta */
		for (unsigned x = 0; x < 5; x++)
			c[x] = s[x] ^ s[x + 5] ^ s[x + 10] ^ s[x + 15] ^ s[x + 20];
		for (unsigned x = 0; x < 5; x++) {
			d = c[(x + 4) % 5] ^ rotate(c[(x + 1) % 5], 1);
			for (unsigned y = 0; y < 25; y += 5)
				s[x + y] ^= d;
		}
		/* rho and pi, along the one orbit of pi */
		t = s[1];
		for (unsigned i = 0, x = 1, y = 0; i < 24; i++) {
			unsigned next = (2 * x + 3 * y) % 5;
			uint64_t saved;

			x = y;
			y = next;
			saved = s[x + 5 * y];
			s[x + 5 * y] = rotate(t, (i + 1) * (i + 2) / 2 % 64);
			t = saved;
		}
		/* chi */
		for (unsigned y = 0; y < 25; y += 5) {
			for (unsigned x = 0; x < 5; x++)
				row[x] = s[y + x];
			for (unsigned x = 0; x < 5; x++)
				s[y + x] = row[x] ^ (~row[(x + 1) % 5] & row[(x + 2) % 5]);
		}
		/* iota */
		s[0] ^= round_constant(&r);
	}
}

void sha3_256(const void *p, size_t n, uint8_t out[SHA3_256_LEN])
{
	const uint8_t *b = p;
	uint64_t s[25] = {0};
	size_t at = 0;

	for (size_t i = 0; i < n; i++) {
		s[at / 8] ^= (uint64_t)b[i] << 8 * (at % 8);
		if (++at == RATE) {
			keccak(s);
			at = 0;
		}
	}
	s[at / 8] ^= 0x06ull << 8 * (at % 8); /* the suffix 01 and the padding (6.1, B.2) */
	s[RATE / 8 - 1] ^= 0x80ull << 56;
	keccak(s);
	for (unsigned i = 0; i < SHA3_256_LEN; i++)
		out[i] = (uint8_t)(s[i / 8] >> 8 * (i % 8));
	wipe(s, sizeof(s));
}
