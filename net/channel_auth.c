/* SPDX-License-Identifier: BSD-2-Clause */
#include "net/channel_auth.h"

#include <string.h>

#include "core/bytes.h"

#define VERSION 1

const uint8_t channel_magic[CHANNEL_MAGIC_LEN] = {'v', 's', 't', 'o', 'r', '-', 'c', 'h'};

/* Where things are in a hello */
enum { AT_VERSION = 8, AT_ROLE = 10, AT_AUTH = 11, AT_DEAD_MS = 12, AT_NONCE = 16 };

static uint8_t role(bool server)
{
	return server ? 'S' : 'C';
}

int channel_hello_make(uint8_t hello[CHANNEL_HELLO_LEN], bool server, bool auth, uint64_t dead_ns)
{
	memcpy(hello, channel_magic, CHANNEL_MAGIC_LEN);
	put_be16(hello + AT_VERSION, VERSION);
	hello[AT_ROLE] = role(server);
	hello[AT_AUTH] = auth;
	put_be32(hello + AT_DEAD_MS, (uint32_t)MIN(dead_ns / MS_NS, UINT32_MAX));
	return random_bytes(hello + AT_NONCE, CHANNEL_HELLO_LEN - AT_NONCE);
}

const char *channel_hello_check(const uint8_t mine[CHANNEL_HELLO_LEN],
				const uint8_t theirs[CHANNEL_HELLO_LEN], uint64_t *dead_ns)
{
	if (memcmp(theirs, channel_magic, CHANNEL_MAGIC_LEN) != 0)
		return "does not speak vstor's protocol";
	if (get_be16(theirs + AT_VERSION) != VERSION)
		return "is a vstor with another version of the channel: install the same vstor on "
		       "both hosts";
	if (theirs[AT_ROLE] != role(mine[AT_ROLE] == role(false)) ||
	    memcmp(mine + AT_NONCE, theirs + AT_NONCE, CHANNEL_HELLO_LEN - AT_NONCE) == 0)
		return "is not the other end: one side must be `vstor migrate`, the other `vstor "
		       "receive`";
	if (theirs[AT_AUTH] != mine[AT_AUTH])
		return mine[AT_AUTH] ? "has no key: give --key-file on both sides"
				     : "asks for a key: give --key-file on both sides";
	*dead_ns = get_be32(theirs + AT_DEAD_MS) * MS_NS;
	return NULL;
}

static void frame_key(const uint8_t prk[SHA256_LEN], bool server, struct channel_mac *m)
{
	char info[] = "vstor channel 1 frames ?";
	info[sizeof(info) - 2] = (char)role(server);
	hkdf_sha256_expand(prk, info, sizeof(info) - 1, m->key, sizeof(m->key));
	m->n = 0;
}

void channel_auth_init(struct channel_auth *a, const struct channel_key *key, bool server,
		       const uint8_t mine[CHANNEL_HELLO_LEN],
		       const uint8_t theirs[CHANNEL_HELLO_LEN])
{
	static const char info[] = "vstor channel 1 proof";
	uint8_t prk[SHA256_LEN];
	struct sha256 s;
	sha256_init(&s);
	sha256_update(&s, server ? theirs : mine, CHANNEL_HELLO_LEN);
	sha256_update(&s, server ? mine : theirs, CHANNEL_HELLO_LEN);
	sha256_final(&s, a->transcript);
	hkdf_sha256_extract(a->transcript, sizeof(a->transcript), key->data, key->len, prk);
	hkdf_sha256_expand(prk, info, sizeof(info) - 1, a->proof_key, sizeof(a->proof_key));
	frame_key(prk, server, &a->send);
	frame_key(prk, !server, &a->receive);
	a->server = server;
	wipe(prk, sizeof(prk));
}

static void prove(const struct channel_auth *a, bool server, uint8_t out[SHA256_LEN])
{
	struct hmac_sha256 h;
	uint8_t r = role(server);
	hmac_sha256_init(&h, a->proof_key, sizeof(a->proof_key));
	hmac_sha256_update(&h, &r, 1);
	hmac_sha256_update(&h, a->transcript, sizeof(a->transcript));
	hmac_sha256_final(&h, out);
}

void channel_auth_prove(const struct channel_auth *a, uint8_t proof[CHANNEL_PROOF_LEN])
{
	proof[0] = CHANNEL_PROOF;
	prove(a, a->server, proof + 1);
}

bool channel_auth_verify(const struct channel_auth *a, const uint8_t proof[CHANNEL_PROOF_LEN])
{
	uint8_t want[SHA256_LEN];
	prove(a, !a->server, want);
	return proof[0] == CHANNEL_PROOF && equal_secret(proof + 1, want, sizeof(want));
}

void channel_mac_next(struct channel_mac *m, const uint8_t *head, const uint8_t *payload, size_t n,
		      uint8_t mac[CHANNEL_MAC_LEN])
{
	uint8_t nonce[CHACHA20_NONCE_LEN] = {0}, block[CHACHA20_BLOCK_LEN];
	struct poly1305 p;
	put_be64(nonce + 4, m->n++);
	chacha20_block(m->key, 0, nonce, block);
	poly1305_init(&p, block);
	/* The header is of fixed length and names the payload's: nothing else can read the same. */
	poly1305_update(&p, head, CHANNEL_HEAD_LEN);
	poly1305_update(&p, payload, n);
	poly1305_final(&p, mac);
	wipe(block, sizeof(block));
}
