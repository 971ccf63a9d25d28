/* SPDX-License-Identifier: BSD-2-Clause */
/* CHAP in the target's login phase (RFC 7143, 12.1.3): the exchange, without the wire. */
#ifndef NET_ISCSI_LOGIN_CHAP_H
#define NET_ISCSI_LOGIN_CHAP_H

#include <stdbool.h>
#include <stdint.h>

#include "core/buf.h"
#include "net/iscsi/chap.h"
#include "net/iscsi/text.h"

#define LOGIN_CHALLENGE_LEN 32

/* All zero: nothing has been said yet. */
struct login_chap {
	enum { LOGIN_CHAP_NONE, LOGIN_CHAP_CHOSEN, LOGIN_CHAP_CHALLENGED, LOGIN_CHAP_DONE } stage;
	unsigned algorithm;
	uint8_t id;
	uint8_t challenge[LOGIN_CHALLENGE_LEN];
	/* keys of the request at hand, in place */
	const char *algorithms, *name, *response, *their_id, *their_challenge;
};

/* Notes a CHAP_ key; false: it is none. */
bool login_chap_key(struct login_chap *c, const struct text_pair *p);

/*
 * Takes the step that the keys noted ask for and appends the answer. NULL: go on (authenticated
 * when c->stage is LOGIN_CHAP_DONE); else why the login is refused. Forgets the noted keys.
 */
const char *login_chap_step(struct login_chap *c, const struct chap_credentials *cred,
			    struct buf *reply);

#endif
