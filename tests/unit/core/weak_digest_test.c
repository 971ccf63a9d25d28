/* SPDX-License-Identifier: BSD-2-Clause */
/* MD5 and SHA-1 against the vectors of their standards, and SHA3-256 beside them. */
#include "core/weak_digest.h"

#include "core/sha3.h"
#include "tests/unit/check.h"

static const char *hex(const uint8_t *p, size_t n)
{
	static char text[65];

	for (size_t i = 0; i < n; i++)
		snprintf(text + 2 * i, 3, "%02x", p[i]);
	return text;
}

static const char *md5_of(const char *s)
{
	uint8_t out[MD5_LEN];

	md5(s, strlen(s), out);
	return hex(out, sizeof(out));
}

static const char *sha1_of(const char *s)
{
	uint8_t out[SHA1_LEN];

	sha1(s, strlen(s), out);
	return hex(out, sizeof(out));
}

static const char *sha3_of(const char *s, size_t n)
{
	uint8_t out[SHA3_256_LEN];

	sha3_256(s, n, out);
	return hex(out, sizeof(out));
}

#define DIGITS "12345678901234567890123456789012345678901234567890123456789012345678901234567890"
#define ABC56  "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"

static void test_md5(void) /* RFC 1321, A.5 */
{
	CHECK_STR(md5_of(""), "d41d8cd98f00b204e9800998ecf8427e");
	CHECK_STR(md5_of("abc"), "900150983cd24fb0d6963f7d28e17f72");
	CHECK_STR(md5_of("abcdefghijklmnopqrstuvwxyz"), "c3fcd3d76192e4007dfb496cca67e13b");
	CHECK_STR(md5_of(DIGITS), "57edf4a22be3c955ac49da2e2107b67a");
}

static void test_sha1(void) /* FIPS 180, examples */
{
	CHECK_STR(sha1_of(""), "da39a3ee5e6b4b0d3255bfef95601890afd80709");
	CHECK_STR(sha1_of("abc"), "a9993e364706816aba3e25717850c26c9cd0d89d");
	CHECK_STR(sha1_of(ABC56), "84983e441c3bd26ebaae4aa1f95129e5e54670f1");
}

static void test_sha3(void) /* FIPS 202, examples */
{
	char a3[200];

	CHECK_STR(sha3_of("", 0),
		  "a7ffc6f8bf1ed76651c14756a061d662f580ff4de43b49fa82d80a4b80f8434a");
	CHECK_STR(sha3_of("abc", 3),
		  "3a985da74fe225b2045c172d6bd390bd855f086e3e9d525b46bfe24511431532");
	memset(a3, 0xa3, sizeof(a3));
	CHECK_STR(sha3_of(a3, sizeof(a3)),
		  "79f38adec5c20307a98ef76e8324afbfd46cfd81b22e3973c65fa1bd9de31787");
}

int main(void)
{
	CHECK_RUN(test_md5);
	CHECK_RUN(test_sha1);
	CHECK_RUN(test_sha3);
	return CHECK_DONE();
}
