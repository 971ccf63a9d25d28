/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/digest.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

#include "core/bytes.h"

/* FIPS 180-4, 4.2.2 */
static const uint32_t k[64] = {
	0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4,
	0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe,
	0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f,
	0x4a7484aa, 0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7,
	0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc,
	0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b,
	0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116,
	0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
	0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7,
	0xc67178f2,
};

static inline uint32_t ror(uint32_t v, unsigned n)
{
	return v >> n | v << (32 - n);
}

/* FIPS 180-4, 6.2.2 */
static void compress(uint32_t h[8], const uint8_t *p, size_t blocks)
{
	for (; blocks; blocks--, p += 64) {
		uint32_t w[64], s[8];
		for (unsigned i = 0; i < 16; i++)
			w[i] = get_be32(p + 4 * i);
		for (unsigned i = 16; i < 64; i++) {
			uint32_t a = w[i - 15], b = w[i - 2];
			w[i] = w[i - 16] + w[i - 7] + (ror(a, 7) ^ ror(a, 18) ^ a >> 3) +
			       (ror(b, 17) ^ ror(b, 19) ^ b >> 10);
		}
		memcpy(s, h, sizeof(s));
		for (unsigned i = 0; i < 64; i++) {
			uint32_t a = s[0], b = s[1], c = s[2], e = s[4], f = s[5], g = s[6];
			uint32_t t1 = s[7] + (ror(e, 6) ^ ror(e, 11) ^ ror(e, 25)) +
				      ((e & f) ^ (~e & g)) + k[i] + w[i];
			uint32_t t2 = (ror(a, 2) ^ ror(a, 13) ^ ror(a, 22)) +
				      ((a & b) ^ (a & c) ^ (b & c));
			s[7] = g;
			s[6] = f;
			s[5] = e;
			s[4] = s[3] + t1;
			s[3] = c;
			s[2] = b;
			s[1] = a;
			s[0] = t1 + t2;
		}
		for (unsigned i = 0; i < 8; i++)
			h[i] += s[i];
	}
}

void sha256_init(struct sha256 *s)
{
	static const uint32_t start[8] = {
		0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
		0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
	};
	memcpy(s->h, start, sizeof(start));
	s->len = 0;
}

void sha256_update(struct sha256 *s, const void *data, size_t n)
{
	const uint8_t *p = data;
	size_t have = s->len % 64;
	if (!n)
		return;
	s->len += n;
	if (have) {
		size_t take = MIN(n, 64 - have);
		memcpy(s->block + have, p, take);
		if (have + take < 64)
			return;
		compress(s->h, s->block, 1);
		p += take;
		n -= take;
	}
	compress(s->h, p, n / 64);
	memcpy(s->block, p + n / 64 * 64, n % 64);
}

void sha256_final(struct sha256 *s, uint8_t out[SHA256_LEN])
{
	static const uint8_t pad[64] = {0x80};
	uint8_t bits[8];
	put_be64(bits, s->len * 8);
	sha256_update(s, pad, (119 - s->len % 64) % 64 + 1);
	sha256_update(s, bits, sizeof(bits));
	for (unsigned i = 0; i < 8; i++)
		put_be32(out + 4 * i, s->h[i]);
	wipe(s, sizeof(*s));
}

void hmac_sha256_init(struct hmac_sha256 *h, const void *key, size_t len)
{
	uint8_t block[64] = {0};
	if (len > sizeof(block)) {
		sha256_init(&h->inner);
		sha256_update(&h->inner, key, len);
		sha256_final(&h->inner, block);
	} else if (len) {
		memcpy(block, key, len);
	}
	for (unsigned i = 0; i < sizeof(block); i++)
		block[i] ^= 0x36;
	sha256_init(&h->inner);
	sha256_update(&h->inner, block, sizeof(block));
	for (unsigned i = 0; i < sizeof(block); i++)
		block[i] ^= 0x36 ^ 0x5c;
	sha256_init(&h->outer);
	sha256_update(&h->outer, block, sizeof(block));
	wipe(block, sizeof(block));
}

void hmac_sha256_update(struct hmac_sha256 *h, const void *p, size_t n)
{
	sha256_update(&h->inner, p, n);
}

void hmac_sha256_final(struct hmac_sha256 *h, uint8_t out[SHA256_LEN])
{
	sha256_final(&h->inner, out);
	sha256_update(&h->outer, out, SHA256_LEN);
	sha256_final(&h->outer, out);
}

void hkdf_sha256_extract(const void *salt, size_t salt_len, const void *secret, size_t len,
			 uint8_t prk[SHA256_LEN])
{
	struct hmac_sha256 h;
	hmac_sha256_init(&h, salt, salt_len);
	hmac_sha256_update(&h, secret, len);
	hmac_sha256_final(&h, prk);
}

void hkdf_sha256_expand(const uint8_t prk[SHA256_LEN], const void *info, size_t info_len, void *out,
			size_t len)
{
	struct hmac_sha256 h;
	uint8_t t[SHA256_LEN], *p = out;
	for (uint8_t i = 1; len; i++) {
		size_t take = MIN(len, sizeof(t));
		hmac_sha256_init(&h, prk, SHA256_LEN);
		if (i > 1)
			hmac_sha256_update(&h, t, sizeof(t));
		hmac_sha256_update(&h, info, info_len);
		hmac_sha256_update(&h, &i, 1);
		hmac_sha256_final(&h, t);
		memcpy(p, t, take);
		p += take;
		len -= take;
	}
	wipe(t, sizeof(t));
}

bool equal_secret(const void *a, const void *b, size_t n)
{
	const volatile uint8_t *x = a, *y = b;
	uint8_t diff = 0;
	for (size_t i = 0; i < n; i++)
		diff |= x[i] ^ y[i];
	return diff == 0;
}

void wipe(void *p, size_t n)
{
	explicit_bzero(p, n);
}

int random_bytes(void *p, size_t n)
{
	uint8_t *out = p;
	while (n) {
		ssize_t got = getrandom(out, n, 0);
		if (got < 0) {
			if (errno == EINTR)
				continue;
			return -errno;
		}
		out += got;
		n -= (size_t)got;
	}
	return 0;
}
