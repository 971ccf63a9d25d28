/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Digests and authenticators at every length from 0 to some blocks, against another implementation:
 * Python's hashlib and hmac, and Poly1305 by its definition in big integers. Of each, the results
 * for all messages are one message again, whose digest is compared. Message i has i bytes, the j-th
 * of them (i * 7 + j * 13 + (j >> 8)) & 255.
 */
#include "core/digest.h"
#include "core/poly1305.h"
#include "core/sha3.h"
#include "core/weak_digest.h"
#include "tests/unit/check.h"

#define COUNT 600

static uint8_t all[20000]; /* the results, one after the other */

static const uint8_t *message(unsigned i)
{
	static uint8_t m[3][COUNT];
	static unsigned turn;
	uint8_t *p = m[turn++ % 3];

	for (unsigned j = 0; j < i; j++)
		p[j] = (uint8_t)(i * 7 + j * 13 + (j >> 8));
	return p;
}

static void sha256(const void *p, size_t n, uint8_t out[SHA256_LEN])
{
	struct sha256 s;

	sha256_init(&s);
	sha256_update(&s, p, n);
	sha256_final(&s, out);
}

static void check_all(void (*of)(const void *p, size_t n, uint8_t *out), size_t n, size_t len,
		      const char *want)
{
	uint8_t out[SHA256_LEN];
	char text[2 * SHA256_LEN + 1];

	of(all, n, out);
	for (size_t i = 0; i < len; i++)
		snprintf(text + 2 * i, 3, "%02x", out[i]);
	CHECK_STR(text, want);
}

static void check_digest(void (*of)(const void *p, size_t n, uint8_t *out), size_t len,
			 const char *want)
{
	for (unsigned i = 0; i < COUNT; i++)
		of(message(i), i, all + i * len);
	check_all(of, COUNT * len, len, want);
}

static void test_digests(void)
{
	check_digest(md5, MD5_LEN, "b19cfa90706a12102e63ce1a2a878f01");
	check_digest(sha1, SHA1_LEN, "d2080b02bd952ecfebdb63fbfd32b0cece5b545b");
	check_digest(sha256, SHA256_LEN,
		     "9c8188c7017334ff126f0c4093e77f2fb468f3a22f7a4f6c92522a87f597a3d6");
	check_digest(sha3_256, SHA3_256_LEN,
		     "c8a1e81aab0744be5b23e4d2567bfba1e457e430ca2a055f4558ea5d83251caf");
}

/* Keys from 0 to 299 bytes, messages from 300 to 1. */
static void test_hmac(void)
{
	for (unsigned i = 0; i < 300; i++) {
		struct hmac_sha256 h;

		hmac_sha256_init(&h, message(i), i);
		hmac_sha256_update(&h, message(300 - i), 300 - i);
		hmac_sha256_final(&h, all + i * SHA256_LEN);
	}
	check_all(sha256, 300 * SHA256_LEN, SHA256_LEN,
		  "c4a6247ada9230dee68d058dd16ecb628f92b48f2e3e5316e1cec6a39bab5f2e");
}

/* Keys of 1 to 199 bytes, one after the other. */
static void test_hkdf(void)
{
	uint8_t prk[SHA256_LEN];
	size_t n = 0;

	for (unsigned i = 1; i < 200; i++) {
		hkdf_sha256_extract(message(i), i, message(200 - i), 200 - i, prk);
		hkdf_sha256_expand(prk, message(i / 3), i / 3, all + n, i);
		n += i;
	}
	check_all(sha256, n, SHA256_LEN,
		  "6ed75a589368771a39658f9280a784e4996f9e584baf4c563bfc1d3ad8376050");
}

/* Keys from SHA-256, some of all ones in both halves or in the one that is added; messages, a third
 * of them of all ones: the longest carries. */
static void test_poly1305(void)
{
	static uint8_t ones[COUNT];

	memset(ones, 0xff, sizeof(ones));
	for (unsigned i = 0; i < COUNT; i++) {
		struct poly1305 p;
		uint8_t key[POLY1305_KEY_LEN];

		sha256(message(i), i, key);
		if (i % 4 == 1)
			memset(key, 0xff, 32);
		if (i % 4 == 2)
			memset(key + 16, 0xff, 16);
		poly1305_init(&p, key);
		poly1305_update(&p, i % 3 == 1 ? ones : message(i), i);
		poly1305_final(&p, all + i * POLY1305_TAG_LEN);
	}
	check_all(sha256, COUNT * POLY1305_TAG_LEN, SHA256_LEN,
		  "a380d4fe9c502fc56663aed7b3252624ccd56f1b14823f4f90015e8260f414bf");
}

int main(void)
{
	CHECK_RUN(test_digests);
	CHECK_RUN(test_hmac);
	CHECK_RUN(test_hkdf);
	CHECK_RUN(test_poly1305);
	return CHECK_DONE();
}
