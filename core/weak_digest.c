/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/weak_digest.h"

#include <stdbool.h>
#include <string.h>

#include "core/bytes.h"
#include "core/digest.h"

#define BLOCK 64

static uint32_t rotate(uint32_t v, unsigned n)
{
	return v << n | v >> (32 - n);
}

/* Runs the blocks of a message with its padding; the length at the end has the given byte order. */
static void run(uint32_t *h, const void *p, size_t n, bool big_endian,
		void (*block)(uint32_t *h, const uint8_t *b))
{
	const uint64_t bits = (uint64_t)n * 8;
	const uint8_t *b = p;
	uint8_t last[2 * BLOCK] = {0};
	size_t left = n, tail;

	for (; left >= BLOCK; left -= BLOCK, b += BLOCK)
		block(h, b);
	if (left)
		memcpy(last, b, left);
	last[left] = 0x80;
	tail = left < BLOCK - 8 ? BLOCK : 2 * BLOCK;
	for (unsigned i = 0; i < 8; i++)
		last[tail - 8 + i] = (uint8_t)(bits >> (big_endian ? 56 - 8 * i : 8 * i));
	for (size_t at = 0; at < tail; at += BLOCK)
		block(h, last + at);
	wipe(last, sizeof(last));
}

static void md5_block(uint32_t *h, const uint8_t *b)
{
	/* floor(2^32 * abs(sin(i + 1))): RFC 1321, 3.4 */
	static const uint32_t k[64] = {
		0xd76aa478, 0xe8c7b756, 0x242070db, 0xc1bdceee, 0xf57c0faf, 0x4787c62a, 0xa8304613,
		0xfd469501, 0x698098d8, 0x8b44f7af, 0xffff5bb1, 0x895cd7be, 0x6b901122, 0xfd987193,
		0xa679438e, 0x49b40821, 0xf61e2562, 0xc040b340, 0x265e5a51, 0xe9b6c7aa, 0xd62f105d,
		0x02441453, 0xd8a1e681, 0xe7d3fbc8, 0x21e1cde6, 0xc33707d6, 0xf4d50d87, 0x455a14ed,
		0xa9e3e905, 0xfcefa3f8, 0x676f02d9, 0x8d2a4c8a, 0xfffa3942, 0x8771f681, 0x6d9d6122,
		0xfde5380c, 0xa4beea44, 0x4bdecfa9, 0xf6bb4b60, 0xbebfbc70, 0x289b7ec6, 0xeaa127fa,
		0xd4ef3085, 0x04881d05, 0xd9d4d039, 0xe6db99e5, 0x1fa27cf8, 0xc4ac5665, 0xf4292244,
		0x432aff97, 0xab9423a7, 0xfc93a039, 0x655b59c3, 0x8f0ccc92, 0xffeff47d, 0x85845dd1,
		0x6fa87e4f, 0xfe2ce6e0, 0xa3014314, 0x4e0811a1, 0xf7537e82, 0xbd3af235, 0x2ad7d2bb,
		0xeb86d391};
	static const uint8_t turns[4][4] = {
		{7, 12, 17, 22}, {5, 9, 14, 20}, {4, 11, 16, 23}, {6, 10, 15, 21}};
	uint32_t a = h[0], bb = h[1], c = h[2], d = h[3], f, t;
	unsigned g;

	for (unsigned i = 0; i < 64; i++) {
		switch (i / 16) {
		case 0:
			f = (bb & c) | (~bb & d);
			g = i;
			break;
		case 1:
			f = (d & bb) | (~d & c);
			g = (5 * i + 1) % 16;
			break;
		case 2:
			f = bb ^ c ^ d;
			g = (3 * i + 5) % 16;
			break;
		default:
			f = c ^ (bb | ~d);
			g = 7 * i % 16;
			break;
		}
		t = d;
		d = c;
		c = bb;
		bb += rotate(a + f + k[i] + get_le32(b + 4 * (size_t)g), turns[i / 16][i % 4]);
		a = t;
	}
	h[0] += a;
	h[1] += bb;
	h[2] += c;
	h[3] += d;
}

void md5(const void *p, size_t n, uint8_t out[MD5_LEN])
{
	uint32_t h[4] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476};

	run(h, p, n, false, md5_block);
	for (unsigned i = 0; i < MD5_LEN; i++)
		out[i] = (uint8_t)(h[i / 4] >> 8 * (i % 4));
}

static void sha1_block(uint32_t *h, const uint8_t *p)
{
	uint32_t w[80], a = h[0], b = h[1], c = h[2], d = h[3], e = h[4], f, k, t;

	for (unsigned i = 0; i < 16; i++)
		w[i] = get_be32(p + 4 * (size_t)i);
	for (unsigned i = 16; i < 80; i++)
		w[i] = rotate(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
	for (unsigned i = 0; i < 80; i++) {
		if (i < 20) {
			f = (b & c) | (~b & d);
			k = 0x5a827999;
		} else if (i < 40) {
			f = b ^ c ^ d;
			k = 0x6ed9eba1;
		} else if (i < 60) {
			f = (b & c) | (b & d) | (c & d);
			k = 0x8f1bbcdc;
		} else {
			f = b ^ c ^ d;
			k = 0xca62c1d6;
		}
		t = rotate(a, 5) + f + e + k + w[i];
		e = d;
		d = c;
		c = rotate(b, 30);
		b = a;
		a = t;
	}
	h[0] += a;
	h[1] += b;
	h[2] += c;
	h[3] += d;
	h[4] += e;
	wipe(w, sizeof(w));
}

void sha1(const void *p, size_t n, uint8_t out[SHA1_LEN])
{
	uint32_t h[5] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};

	run(h, p, n, true, sha1_block);
	for (unsigned i = 0; i < 5; i++)
		put_be32(out + 4 * (size_t)i, h[i]);
}
