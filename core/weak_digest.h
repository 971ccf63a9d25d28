/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * MD5 (RFC 1321) and SHA-1 (FIPS 180-4): broken as signatures, and here only because CHAP demands
 * them (RFC 7143, 9.2.1 and 12.1.3). New uses take core/digest.h or core/sha3.h.
 */
#ifndef CORE_WEAK_DIGEST_H
#define CORE_WEAK_DIGEST_H

#include <stddef.h>
#include <stdint.h>

#define MD5_LEN	 16
#define SHA1_LEN 20

void md5(const void *p, size_t n, uint8_t out[MD5_LEN]);
void sha1(const void *p, size_t n, uint8_t out[SHA1_LEN]);

#endif
