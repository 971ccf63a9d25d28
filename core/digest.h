/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Message digests: SHA-256 (FIPS 180-4), HMAC (RFC 2104) and HKDF (RFC 5869); a constant-time
 * compare and a wipe.
 */
#ifndef CORE_DIGEST_H
#define CORE_DIGEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SHA256_LEN 32

struct sha256 {
	uint32_t h[8];
	uint64_t len;
	uint8_t block[64];
};

void sha256_init(struct sha256 *s);
void sha256_update(struct sha256 *s, const void *p, size_t n);
/* Also wipes s. */
void sha256_final(struct sha256 *s, uint8_t out[SHA256_LEN]);

struct hmac_sha256 {
	struct sha256 inner, outer;
};

void hmac_sha256_init(struct hmac_sha256 *h, const void *key, size_t len);
void hmac_sha256_update(struct hmac_sha256 *h, const void *p, size_t n);
void hmac_sha256_final(struct hmac_sha256 *h, uint8_t out[SHA256_LEN]);

/* HKDF, RFC 5869, 2.2: a key of full strength from a secret of any length. */
void hkdf_sha256_extract(const void *salt, size_t salt_len, const void *secret, size_t len,
			 uint8_t prk[SHA256_LEN]);
/* HKDF, RFC 5869, 2.3: a key for the purpose that info names; len is at most 255 * 32 bytes. */
void hkdf_sha256_expand(const uint8_t prk[SHA256_LEN], const void *info, size_t info_len, void *out,
			size_t len);

/* True when equal; the time does not depend on the contents. */
bool equal_secret(const void *a, const void *b, size_t n);
/* Overwrites a secret; not optimised away. */
void wipe(void *p, size_t n);
/* Fills p from the kernel's generator; 0 or -errno. */
int random_bytes(void *p, size_t n);

#endif
