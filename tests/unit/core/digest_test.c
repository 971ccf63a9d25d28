/* SPDX-License-Identifier: BSD-2-Clause */
/* SHA-256, HMAC and HKDF against the vectors of their standards. */
#include "core/digest.h"

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

static bool is_hex(const uint8_t *p, const char *hex)
{
	uint8_t want[256];
	size_t n = unhex(hex, want);
	return CHECK_MEM(p, want, n);
}

static void sha(const void *p, size_t n, size_t step, uint8_t out[SHA256_LEN])
{
	struct sha256 s;
	sha256_init(&s);
	for (size_t at = 0; at < n; at += step)
		sha256_update(&s, (const uint8_t *)p + at, step < n - at ? step : n - at);
	sha256_final(&s, out);
}

/* FIPS 180-4's examples ("abc", two blocks, a million times "a"), and the empty message. */
static void test_sha256_vectors(void)
{
	static const char two[] = "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
	static uint8_t million[1000000];
	uint8_t out[SHA256_LEN];
	sha("", 0, 1, out);
	is_hex(out, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
	sha("abc", 3, 3, out);
	is_hex(out, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	sha(two, strlen(two), 64, out);
	is_hex(out, "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
	memset(million, 'a', sizeof(million));
	sha(million, sizeof(million), 997, out);
	is_hex(out, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

/* However the message is cut, and at every length around the padding's edges. */
static void test_sha256_pieces(void)
{
	uint8_t msg[200], whole[SHA256_LEN], cut[SHA256_LEN];
	for (size_t i = 0; i < sizeof(msg); i++)
		msg[i] = (uint8_t)(i * 7);
	for (size_t n = 0; n <= sizeof(msg); n++) {
		sha(msg, n, sizeof(msg), whole);
		for (size_t step = 1; step < 70; step++) {
			sha(msg, n, step, cut);
			if (!CHECK_MEM(whole, cut, SHA256_LEN))
				return;
		}
	}
	is_hex(whole, "b531abd8dae7232c861ac9f50aff9952d29c8d4c3772551cc5bce5d39d2cd08d");
}

static void hmac(const void *key, size_t key_len, const char *msg, size_t n,
		 uint8_t out[SHA256_LEN])
{
	struct hmac_sha256 h;
	hmac_sha256_init(&h, key, key_len);
	hmac_sha256_update(&h, msg, n);
	hmac_sha256_final(&h, out);
}

/* RFC 4231, 4.2 to 4.4 and 4.7 (a key longer than a block) */
static void test_hmac_vectors(void)
{
	uint8_t key[131], out[SHA256_LEN];
	char fifty[50];
	memset(key, 0x0b, 20);
	hmac(key, 20, "Hi There", 8, out);
	is_hex(out, "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
	hmac("Jefe", 4, "what do ya want for nothing?", 28, out);
	is_hex(out, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
	memset(key, 0xaa, sizeof(key));
	memset(fifty, 0xdd, sizeof(fifty));
	hmac(key, 20, fifty, 50, out);
	is_hex(out, "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe");
	hmac(key, 131, "Test Using Larger Than Block-Size Key - Hash Key First", 54, out);
	is_hex(out, "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
}

/* RFC 5869, appendices A.1 to A.3 */
static void test_hkdf_vectors(void)
{
	uint8_t ikm[80], salt[80], info[80], prk[SHA256_LEN], okm[82];
	memset(ikm, 0x0b, 22);
	for (unsigned i = 0; i < 13; i++)
		salt[i] = (uint8_t)i;
	for (unsigned i = 0; i < 10; i++)
		info[i] = (uint8_t)(0xf0 + i);
	hkdf_sha256_extract(salt, 13, ikm, 22, prk);
	is_hex(prk, "077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5");
	hkdf_sha256_expand(prk, info, 10, okm, 42);
	is_hex(okm, "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf"
		    "34007208d5b887185865");
	hkdf_sha256_extract(NULL, 0, ikm, 22, prk);
	is_hex(prk, "19ef24a32c717b167f33a91d6f648bdf96596776afdb6377ac434c1c293ccb04");
	hkdf_sha256_expand(prk, NULL, 0, okm, 42);
	is_hex(okm, "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d"
		    "9d201395faa4b61a96c8");
	for (unsigned i = 0; i < 80; i++) {
		ikm[i] = (uint8_t)i;
		salt[i] = (uint8_t)(0x60 + i);
		info[i] = (uint8_t)(0xb0 + i);
	}
	hkdf_sha256_extract(salt, 80, ikm, 80, prk);
	is_hex(prk, "06a6b88c5853361a06104c9ceb35b45cef760014904671014a193f40c15fc244");
	hkdf_sha256_expand(prk, info, 80, okm, 82);
	is_hex(okm, "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c"
		    "59045a99cac7827271cb41c65e590e09da3275600c2f09b8367793a9aca3db71"
		    "cc30c58179ec3e87c14c01d5c1f3434f1d87");
}

static void test_equal_wipe_random(void)
{
	uint8_t a[32] = {1, 2, 3}, b[32] = {1, 2, 3};
	CHECK(equal_secret(a, b, sizeof(a)));
	for (unsigned i = 0; i < sizeof(a); i++) {
		b[i] ^= 0x80;
		CHECK(!equal_secret(a, b, sizeof(a)));
		b[i] ^= 0x80;
	}
	wipe(b, sizeof(b));
	CHECK_MEM(b, (uint8_t[32]){0}, sizeof(b));
	CHECK_EQ(random_bytes(a, sizeof(a)), 0);
	CHECK_EQ(random_bytes(b, sizeof(b)), 0);
	CHECK(!equal_secret(a, b, sizeof(a)));
}

int main(void)
{
	CHECK_RUN(test_sha256_vectors);
	CHECK_RUN(test_sha256_pieces);
	CHECK_RUN(test_hmac_vectors);
	CHECK_RUN(test_hkdf_vectors);
	CHECK_RUN(test_equal_wipe_random);
	return CHECK_DONE();
}
