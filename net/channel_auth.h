/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What makes a channel trustworthy (net/channel.h): hello, proof, and the MAC of each frame. Pure
 * computation on bytes, no I/O. With K the shared secret, C and S the hellos of client and server:
 *
 *   t    = SHA-256(C | S)                               both nonces, versions and roles
 *   prk  = HKDF-Extract(salt t, K)                      RFC 5869; fresh for each connection
 *   a    = HKDF-Expand(prk, "vstor channel 1 proof")
 *   proof of a side = HMAC-SHA256(a, role | t)          role: 'C' or 'S', so no proof can be
 * reflected key of a direction = HKDF-Expand(prk, "vstor channel 1 frames" | role of the sender)
 *   MAC of frame n of a direction = Poly1305(ChaCha20(key, counter 0, nonce n), header | payload)
 *
 * The client proves first: who only knows a server's address learns nothing made from the key. n
 * counts from 0 and is not sent, so a frame that is replayed, lost, moved or spliced in from the
 * other direction or another connection does not verify.
 */
#ifndef NET_CHANNEL_AUTH_H
#define NET_CHANNEL_AUTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/digest.h"
#include "core/poly1305.h"
#include "net/channel.h"

#define CHANNEL_HELLO_LEN 48
#define CHANNEL_MAGIC_LEN 8
#define CHANNEL_PROOF_LEN (1 + SHA256_LEN)
#define CHANNEL_HEAD_LEN  8
#define CHANNEL_MAC_LEN	  POLY1305_TAG_LEN

extern const uint8_t channel_magic[CHANNEL_MAGIC_LEN];

/* Writes this side's hello; 0 or -errno of the random generator. dead_ns is told to the peer. */
int channel_hello_make(uint8_t hello[CHANNEL_HELLO_LEN], bool server, bool auth, uint64_t dead_ns);
/*
 * Compares the two sides' hellos: NULL when they fit, otherwise the cause and the way out.
 * *dead_ns: the peer's, from its hello.
 */
const char *channel_hello_check(const uint8_t mine[CHANNEL_HELLO_LEN],
				const uint8_t theirs[CHANNEL_HELLO_LEN], uint64_t *dead_ns);

struct channel_mac {
	uint8_t key[CHACHA20_KEY_LEN];
	uint64_t n; /* number of the next frame */
};

struct channel_auth {
	bool server;
	uint8_t transcript[SHA256_LEN], proof_key[SHA256_LEN];
	struct channel_mac send, receive;
};

/* Everything that follows from the key and two hellos that fit. */
void channel_auth_init(struct channel_auth *a, const struct channel_key *key, bool server,
		       const uint8_t mine[CHANNEL_HELLO_LEN],
		       const uint8_t theirs[CHANNEL_HELLO_LEN]);

/* kind of a proof message */
#define CHANNEL_PROOF 'P'
#define CHANNEL_REFUSAL                                                                            \
	'R' /* from the server: the client's proof was wrong; 32 bytes of zero follow */
void channel_auth_prove(const struct channel_auth *a, uint8_t proof[CHANNEL_PROOF_LEN]);
/* True when the peer's message proves that it holds the key. */
bool channel_auth_verify(const struct channel_auth *a, const uint8_t proof[CHANNEL_PROOF_LEN]);

/* The MAC of the direction's next frame. head is CHANNEL_HEAD_LEN bytes. */
void channel_mac_next(struct channel_mac *m, const uint8_t *head, const uint8_t *payload, size_t n,
		      uint8_t mac[CHANNEL_MAC_LEN]);

#endif
