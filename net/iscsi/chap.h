/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * CHAP (RFC 1994) as iSCSI uses it (RFC 7143, 12.1.3): the arithmetic, the text and the secrets,
 * for both sides.
 */
#ifndef NET_ISCSI_CHAP_H
#define NET_ISCSI_CHAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* CHAP_A: the number of a digest (RFC 7143, 12.1.3, and IANA's PPP authentication algorithms) */
enum chap_algorithm {
	CHAP_MD5 = 5,
	CHAP_SHA1 = 6,
	CHAP_SHA256 = 7,
	CHAP_SHA3_256 = 8,
};
#define CHAP_OFFER "8,7,6,5" /* all of them, the strongest first */
/* tgtd takes 7 for SHA-1, and can go no further then: the second try is without. */
#define CHAP_OFFER_TGT	   "8,6,5"
#define CHAP_DIGEST_MAX	   32
#define CHAP_CHALLENGE_MAX 1024
#define CHAP_SECRET_MAX	   256 /* with its NUL */
#define CHAP_TEXT_MAX	   (2 * CHAP_CHALLENGE_MAX + 3)

/* Who we are to the other side, and who it must be to us. The strings are the caller's. */
struct chap_credentials {
	const char *user, *secret;		 /* NULL: no CHAP */
	const char *mutual_user, *mutual_secret; /* NULL: the other side need not show who it is */
	bool without_sha256;			 /* see CHAP_OFFER_TGT */
};

/* Bytes of a response; 0 for an algorithm we do not know. */
size_t chap_digest_len(unsigned algorithm);
/* The response to a challenge of at most CHAP_CHALLENGE_MAX bytes: chap_digest_len() bytes. */
void chap_response(unsigned algorithm, uint8_t id, const char *secret, const uint8_t *challenge,
		   size_t len, uint8_t out[CHAP_DIGEST_MAX]);

/* A binary value as text: 0x and hexadecimal digits, or 0b and base64 (RFC 7143, 6.1). The number
 * of bytes, or -EINVAL. */
int chap_decode(const char *text, uint8_t *out, size_t max);
/* 0x and hexadecimal digits; n is at most CHAP_CHALLENGE_MAX. Returns out. */
const char *chap_encode(const uint8_t *p, size_t n, char out[CHAP_TEXT_MAX]);

/* Which of the options of vstor target and vstor attach do not go together, of those that are given
 * (not NULL); NULL: none. */
const char *chap_misfit(const char *user, const char *secret_file, const char *mutual_user,
			const char *mutual_file);

/*
 * The first line of a file that its owner alone can read. -EPERM: others can; -EMSGSIZE: the line
 * is empty or too long; another -errno.
 */
int chap_read_secret(const char *path, char out[CHAP_SECRET_MAX]);
/* The same of a file that somebody has opened; closes it. */
int chap_take_secret(int fd, char out[CHAP_SECRET_MAX]);
/* The message for an error of chap_read_secret(). */
const char *chap_secret_strerror(int err);

#endif
