/* SPDX-License-Identifier: BSD-2-Clause */
/* Poly1305 and the ChaCha20 block function against the vectors of RFC 8439. */
#include "core/poly1305.h"

#include <stdlib.h>
#include <string.h>

#include "tests/unit/check.h"

static size_t unhex(const char *hex, uint8_t *out)
{
	size_t n = 0;
	for (; hex[0] && hex[1]; hex += 2) {
		char two[3] = {hex[0], hex[1], 0};
		out[n++] = (uint8_t)strtoul(two, NULL, 16);
	}
	return n;
}

static void tag_of(const char *key_hex, const void *msg, size_t n, size_t step, uint8_t tag[16])
{
	struct poly1305 p;
	uint8_t key[32];
	unhex(key_hex, key);
	poly1305_init(&p, key);
	for (size_t at = 0; at < n; at += step)
		poly1305_update(&p, (const uint8_t *)msg + at, step < n - at ? step : n - at);
	poly1305_final(&p, tag);
}

static void check_tag(const char *key_hex, const void *msg, size_t n, const char *tag_hex)
{
	uint8_t tag[16], want[16];
	unhex(tag_hex, want);
	for (size_t step = 1; step <= n + 1; step++) {
		tag_of(key_hex, msg, n, step, tag);
		if (!CHECK_MEM(tag, want, 16))
			return;
	}
}

/* 2.5.2, and A.3 #2, #3 */
static void test_poly1305_text(void)
{
	static const char ietf[] =
		"Any submission to the IETF intended by the Contributor for publication as all or "
		"part of an IETF Internet-Draft or RFC and any statement made within the context "
		"of an IETF activity is considered an \"IETF Contribution\". Such statements "
		"include oral statements in IETF sessions, as well as written and electronic "
		"communications made at any time or place, which are addressed to";
	check_tag("85d6be7857556d337f4452fe42d506a80103808afb0db2fd4abff6af4149f51b",
		  "Cryptographic Forum Research Group", 34, "a8061dc1305136c6c22b8baf0c0127a9");
	CHECK_EQ(strlen(ietf), 375);
	check_tag("0000000000000000000000000000000036e5f6b5c5e06070f0efca96227a863e", ietf, 375,
		  "36e5f6b5c5e06070f0efca96227a863e");
	check_tag("36e5f6b5c5e06070f0efca96227a863e00000000000000000000000000000000", ietf, 375,
		  "f3477e7cd95417af89a6b8794c310cf0");
}

/* A.3 #1 and #7 to #11: sums at and around 2^130 - 5 */
static void test_poly1305_edges(void)
{
	static const struct {
		const char *key, *msg, *tag;
	} v[] = {
		{"0000000000000000000000000000000000000000000000000000000000000000",
		 "00000000000000000000000000000000000000000000000000000000000000000000000000000000"
		 "000000000000000000000000000000000000000000000000",
		 "00000000000000000000000000000000"},
		{"0200000000000000000000000000000000000000000000000000000000000000",
		 "ffffffffffffffffffffffffffffffff", "03000000000000000000000000000000"},
		{"02000000000000000000000000000000ffffffffffffffffffffffffffffffff",
		 "02000000000000000000000000000000", "03000000000000000000000000000000"},
		{"0100000000000000000000000000000000000000000000000000000000000000",
		 "fffffffffffffffffffffffffffffffff0ffffffffffffffffffffffffffffff"
		 "11000000000000000000000000000000",
		 "05000000000000000000000000000000"},
		{"0100000000000000000000000000000000000000000000000000000000000000",
		 "fffffffffffffffffffffffffffffffffbfefefefefefefefefefefefefefefe"
		 "01010101010101010101010101010101",
		 "00000000000000000000000000000000"},
		{"0200000000000000000000000000000000000000000000000000000000000000",
		 "fdffffffffffffffffffffffffffffff", "faffffffffffffffffffffffffffffff"},
		{"0100000000000000040000000000000000000000000000000000000000000000",
		 "e33594d7505e43b900000000000000003394d7505e4379cd01000000000000000000000000000000"
		 "000000000000000001000000000000000000000000000000",
		 "14000000000000005500000000000000"},
		{"0100000000000000040000000000000000000000000000000000000000000000",
		 "e33594d7505e43b900000000000000003394d7505e4379cd01000000000000000000000000000000"
		 "0000000000000000",
		 "13000000000000000000000000000000"},
	};
	for (size_t i = 0; i < sizeof(v) / sizeof(v[0]); i++) {
		uint8_t msg[128];
		check_tag(v[i].key, msg, unhex(v[i].msg, msg), v[i].tag);
	}
}

/* 2.3.2 (a block) and 2.6.2 (a one-time key) */
static void test_chacha20_block(void)
{
	uint8_t key[32], nonce[12], out[64], want[64];
	unhex("000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f", key);
	unhex("000000090000004a00000000", nonce);
	unhex("10f1e7e4d13b5915500fdd1fa32071c4c7d1f4c733c068030422aa9ac3d46c4e"
	      "d2826446079faa0914c2d705d98b02a2b5129cd1de164eb9cbd083e8a2503c4e",
	      want);
	chacha20_block(key, 1, nonce, out);
	CHECK_MEM(out, want, 64);
	unhex("808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f", key);
	unhex("000000000001020304050607", nonce);
	unhex("8ad5a08b905f81cc815040274ab29471a833b637e3fd0da508dbb8e2fdd1a646", want);
	chacha20_block(key, 0, nonce, out);
	CHECK_MEM(out, want, 32);
}

int main(void)
{
	CHECK_RUN(test_poly1305_text);
	CHECK_RUN(test_poly1305_edges);
	CHECK_RUN(test_chacha20_block);
	return CHECK_DONE();
}
