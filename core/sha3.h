/* SPDX-License-Identifier: BSD-2-Clause */
/* SHA3-256 (FIPS 202). */
#ifndef CORE_SHA3_H
#define CORE_SHA3_H

#include <stddef.h>
#include <stdint.h>

#define SHA3_256_LEN 32

void sha3_256(const void *p, size_t n, uint8_t out[SHA3_256_LEN]);

#endif
