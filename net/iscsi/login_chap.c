/* SPDX-License-Identifier: BSD-2-Clause */
#include "net/iscsi/login_chap.h"

#include <stdio.h>
#include <string.h>

#include "core/bytes.h"
#include "core/digest.h"

bool login_chap_key(struct login_chap *c, const struct text_pair *p)
{
	if (text_is(p, "CHAP_A"))
		c->algorithms = p->val;
	else if (text_is(p, "CHAP_N"))
		c->name = p->val;
	else if (text_is(p, "CHAP_R"))
		c->response = p->val;
	else if (text_is(p, "CHAP_I"))
		c->their_id = p->val;
	else if (text_is(p, "CHAP_C"))
		c->their_challenge = p->val;
	else
		return false;
	return true;
}

static bool offers(const char *list, unsigned algorithm)
{
	while (*list) {
		size_t n = strcspn(list, ",");
		char word[32];
		uint64_t v;
		snprintf(word, sizeof(word), "%.*s", (int)MIN(n, sizeof(word)), list);
		if (n < sizeof(word) && text_number(word, UINT64_MAX, &v) == 0 && v == algorithm)
			return true;
		list += n;
		list += *list == ',';
	}
	return false;
}

/* CHAP_A: the strongest that both have, whatever the initiator's order; then the challenge. */
static const char *challenge(struct login_chap *c, struct buf *reply)
{
	static const unsigned strongest_first[] = {CHAP_SHA3_256, CHAP_SHA256, CHAP_SHA1, CHAP_MD5};
	char text[CHAP_TEXT_MAX];
	for (unsigned i = 0; i < ARRAY_SIZE(strongest_first) && !c->algorithm; i++)
		if (offers(c->algorithms, strongest_first[i]))
			c->algorithm = strongest_first[i];
	if (!c->algorithm)
		return "it offers no CHAP algorithm that is known here";
	if (random_bytes(c->challenge, sizeof(c->challenge)) || random_bytes(&c->id, 1))
		return "no random bytes for a challenge";
	text_put(reply, "CHAP_A", "%u", c->algorithm);
	text_put(reply, "CHAP_I", "%u", c->id);
	text_put(reply, "CHAP_C", "%s", chap_encode(c->challenge, sizeof(c->challenge), text));
	c->stage = LOGIN_CHAP_CHALLENGED;
	return NULL;
}

/* Name and response; the same work and the same words whichever of them is wrong. */
static bool proven(const struct login_chap *c, const struct chap_credentials *cred)
{
	uint8_t want[CHAP_DIGEST_MAX], got[CHAP_DIGEST_MAX];
	size_t n = chap_digest_len(c->algorithm);
	int len = chap_decode(c->response, got, sizeof(got));
	bool name_ok = strcmp(c->name, cred->user) == 0, ok;
	chap_response(c->algorithm, c->id, cred->secret, c->challenge, sizeof(c->challenge), want);
	ok = len == (int)n && equal_secret(want, got, n);
	wipe(want, sizeof(want));
	return ok && name_ok;
}

/* The initiator wants to know who we are. */
static const char *prove(const struct login_chap *c, const struct chap_credentials *cred,
			 struct buf *reply)
{
	uint8_t theirs[CHAP_CHALLENGE_MAX], response[CHAP_DIGEST_MAX];
	char text[CHAP_TEXT_MAX];
	uint64_t id;
	int n;
	if (!cred->mutual_user)
		return "it asks for mutual CHAP, and there is no --mutual-user";
	if (!c->their_id || !c->their_challenge || text_number(c->their_id, 255, &id))
		return "malformed mutual CHAP";
	n = chap_decode(c->their_challenge, theirs, sizeof(theirs));
	if (n < 1)
		return "malformed CHAP challenge";
	/* A challenge sent back would make us compute the answer to our own (12.1.3). */
	if (n == LOGIN_CHALLENGE_LEN && memcmp(theirs, c->challenge, (size_t)n) == 0)
		return "it sends our own CHAP challenge back";
	chap_response(c->algorithm, (uint8_t)id, cred->mutual_secret, theirs, (size_t)n, response);
	text_put(reply, "CHAP_N", "%s", cred->mutual_user);
	text_put(reply, "CHAP_R", "%s", chap_encode(response, chap_digest_len(c->algorithm), text));
	return NULL;
}

const char *login_chap_step(struct login_chap *c, const struct chap_credentials *cred,
			    struct buf *reply)
{
	const char *why = NULL;
	if (c->algorithms) {
		why = c->stage == LOGIN_CHAP_CHOSEN ? challenge(c, reply)
						    : "CHAP keys out of order";
	} else if (c->name || c->response) {
		if (c->stage != LOGIN_CHAP_CHALLENGED || !c->name || !c->response)
			why = "CHAP keys out of order";
		else if (!proven(c, cred))
			why = "wrong CHAP user or secret";
		else if (c->their_id || c->their_challenge)
			why = prove(c, cred, reply);
		if (!why)
			c->stage = LOGIN_CHAP_DONE;
	}
	c->algorithms = c->name = c->response = c->their_id = c->their_challenge = NULL;
	return why;
}
