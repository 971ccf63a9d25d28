/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Poly1305 (RFC 8439, 2.5), a one-time authenticator: a key must never serve for two messages. The
 * ChaCha20 block function (2.3) makes such keys from a long-lived one and a counter (2.6).
 */
#ifndef CORE_POLY1305_H
#define CORE_POLY1305_H

#include <stddef.h>
#include <stdint.h>

#define CHACHA20_KEY_LEN   32
#define CHACHA20_NONCE_LEN 12
#define CHACHA20_BLOCK_LEN 64
#define POLY1305_KEY_LEN   32
#define POLY1305_TAG_LEN   16

/* One block of key stream. */
void chacha20_block(const uint8_t key[CHACHA20_KEY_LEN], uint32_t counter,
		    const uint8_t nonce[CHACHA20_NONCE_LEN], uint8_t out[CHACHA20_BLOCK_LEN]);

struct poly1305 {
	uint64_t r[2], h[3]; /* in words of 64 bits, the lowest first; h is below 2^130 + 2^66 */
	uint64_t pad[2];
	uint8_t block[16];
	size_t have; /* bytes in block */
};

void poly1305_init(struct poly1305 *p, const uint8_t key[POLY1305_KEY_LEN]);
void poly1305_update(struct poly1305 *p, const void *data, size_t n);
/* Also wipes p. */
void poly1305_final(struct poly1305 *p, uint8_t tag[POLY1305_TAG_LEN]);

#endif
