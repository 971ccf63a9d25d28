/* SPDX-License-Identifier: BSD-2-Clause */
#include "net/iscsi/initiator_login.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

#include "core/bytes.h"
#include "core/crc32c.h"
#include "core/digest.h"

#define NAME_FILE  "/etc/iscsi/initiatorname.iscsi"
#define MAX_ROUNDS 32
#define MAX_TEXT   65536
#define ITT_LOGIN  1 /* where nobody else chooses it */

void initiator_isid(const char *host, uint16_t port, uint8_t isid[ISCSI_ISID])
{
	char text[SOCK_HOST_MAX + 8];
	int n = snprintf(text, sizeof(text), "%s %u", host, port);
	uint32_t hash = crc32c(0, text, (size_t)n);

	memset(isid, 0, ISCSI_ISID);
	isid[0] = 0x80; /* T = 10b: random */
	put_be24(isid + 1, hash >> 8);
	isid[5] = (uint8_t)hash;
}

void initiator_default_name(char out[ISCSI_NAME + 1])
{
	static const char key[] = "InitiatorName=";
	FILE *f = fopen(NAME_FILE, "re");
	char line[512], *name;
	struct utsname u;
	size_t n = 0;

	out[0] = '\0';
	while (f && !out[0] && fgets(line, sizeof(line), f)) {
		name = line + strspn(line, " \t");
		if (strncmp(name, key, strlen(key)))
			continue;
		name += strlen(key);
		name[strcspn(name, " \t\r\n")] = '\0';
		if (iscsi_name_valid(name))
			strcpy(out, name);
	}
	if (f)
		fclose(f);
	if (out[0])
		return;
	/* Host names may have letters and characters that names may not (RFC 7143, 4.2.7.2). */
	uname(&u);
	n = (size_t)snprintf(out, ISCSI_NAME + 1, "iqn.2026-11.local.vstor:");
	for (const char *p = u.nodename; *p && n < ISCSI_NAME; p++) {
		int c = tolower((unsigned char)*p);

		out[n++] = (char)(isalnum(c) || c == '.' ? c : '-');
	}
	out[n] = '\0';
}

static int fail(struct iscsi_login *l, int err, const char *text)
{
	snprintf(l->error, sizeof(l->error), "%s", text);
	return err;
}

/* One request in the current stage; `next` is the stage asked for, or the current one. */
static int send_request(struct iscsi_login *l, enum iscsi_stage next, bool transit,
			const struct buf *text)
{
	uint8_t bhs[ISCSI_BHS] = {0};
	int err;

	bhs[0] = ISCSI_LOGIN_REQUEST | ISCSI_IMMEDIATE;
	bhs[1] = (uint8_t)((unsigned)l->stage << 2);
	if (transit)
		bhs[1] |= (uint8_t)(ISCSI_LOGIN_TRANSIT | next);
	put_be24(bhs + PDU_DATA_LEN, (uint32_t)text->len);
	memcpy(bhs + LOGIN_ISID, l->id.isid, ISCSI_ISID);
	put_be16(bhs + LOGIN_TSIH, l->tsih);
	put_be32(bhs + PDU_ITT, ITT_LOGIN);
	put_be32(bhs + PDU_CMDSN, l->cmdsn);
	put_be32(bhs + PDU_EXPSTATSN, l->exp_statsn);
	if (text->failed)
		return fail(l, -ENOMEM, "out of memory");
	err = l->send(l->arg, bhs, text->data, text->len);
	if (err)
		snprintf(l->error, sizeof(l->error), "sending the login: %s", strerror(-err));
	return err;
}

int iscsi_login_start(struct iscsi_login *l)
{
	const struct chap_credentials *chap = &l->id.chap;
	struct buf b = {0};
	int err;

	l->stage = ISCSI_STAGE_SECURITY;
	/* Error recovery level 0 is all that the kernel does. It takes large bursts, and an R2T
	 * costs a round trip. What the target leaves unsaid keeps its default. */
	iscsi_params_default(&l->params, INITIATOR_MAX_RECV);
	l->offer = l->params;
	l->offer.initial_r2t = false;
	l->offer.max_burst = 16776192;
	l->offer.first_burst = 262144;
	l->offer.header_digest = l->offer.data_digest = l->id.digests;
	text_put(&b, "InitiatorName", "%s", l->id.initiator);
	if (l->id.target)
		text_put(&b, "TargetName", "%s", l->id.target);
	text_put(&b, "SessionType", "%s", l->id.target ? "Normal" : "Discovery");
	/* Who must prove what it is cannot choose to do without. */
	text_put(&b, "AuthMethod", "%s",
		 !chap->user	     ? "None"
		 : chap->mutual_user ? "CHAP"
				     : "CHAP,None");
	l->chap.step = chap->user ? CHAP_OFFERED : CHAP_NONE;
	err = send_request(l, ISCSI_STAGE_OPERATIONAL, !chap->user, &b);
	buf_free(&b);
	return err;
}

static int ask_again(struct iscsi_login *l)
{
	const struct buf none = {0};

	return send_request(
		l, l->stage == ISCSI_STAGE_SECURITY ? ISCSI_STAGE_OPERATIONAL : ISCSI_STAGE_FULL,
		true, &none);
}

/* CHAP_A: RFC 7143, 12.1.3 */
static int list_algorithms(struct iscsi_login *l)
{
	struct buf b = {0};
	int err;

	if (!l->chap.method || strcmp(l->chap.method, "CHAP")) {
		l->chap.step = CHAP_NONE;
		return l->id.chap.mutual_user
			       ? fail(l, -EACCES, "the target does not want to show who it is")
			       : ask_again(l);
	}
	text_put(&b, "CHAP_A", "%s", l->id.chap.without_sha256 ? CHAP_OFFER_TGT : CHAP_OFFER);
	l->chap.step = CHAP_LISTED;
	err = send_request(l, ISCSI_STAGE_OPERATIONAL, false, &b);
	buf_free(&b);
	return err;
}

/* Our response to the target's challenge, and our challenge to it. */
static int answer_challenge(struct iscsi_login *l)
{
	const struct chap_credentials *chap = &l->id.chap;
	uint8_t challenge[CHAP_CHALLENGE_MAX], response[CHAP_DIGEST_MAX];
	char text[CHAP_TEXT_MAX];
	struct buf b = {0};
	uint64_t algorithm = 0, id;
	size_t digest;
	int len, err;

	if (!l->chap.a || !l->chap.i || !l->chap.c)
		return fail(l, -EPROTO, "the target sends no CHAP challenge");
	if (text_number(l->chap.a, UINT32_MAX, &algorithm))
		algorithm = 0;
	l->chap.algorithm = (unsigned)algorithm;
	digest = chap_digest_len(l->chap.algorithm);
	len = chap_decode(l->chap.c, challenge, sizeof(challenge));
	if (!digest || text_number(l->chap.i, 255, &id) || len < 0)
		return fail(l, -EPROTO, "the target's CHAP challenge makes no sense");
	chap_response(l->chap.algorithm, (uint8_t)id, chap->secret, challenge, (size_t)len,
		      response);
	text_put(&b, "CHAP_N", "%s", chap->user);
	text_put(&b, "CHAP_R", "%s", chap_encode(response, digest, text));
	if (chap->mutual_user) {
		err = random_bytes(l->chap.challenge, sizeof(l->chap.challenge));
		if (!err)
			err = random_bytes(&l->chap.id, 1);
		if (err) {
			buf_free(&b);
			return fail(l, err, "no random bytes");
		}
		text_put(&b, "CHAP_I", "%u", l->chap.id);
		text_put(&b, "CHAP_C", "%s",
			 chap_encode(l->chap.challenge, sizeof(l->chap.challenge), text));
	}
	l->chap.step = CHAP_ANSWERED;
	err = send_request(l, ISCSI_STAGE_OPERATIONAL, true, &b);
	buf_free(&b);
	return err;
}

/* The target's response to our challenge; 0 when it is who it must be. */
static int check_target(struct iscsi_login *l)
{
	const struct chap_credentials *chap = &l->id.chap;
	uint8_t expected[CHAP_DIGEST_MAX], got[CHAP_DIGEST_MAX];
	const size_t len = chap_digest_len(l->chap.algorithm);

	if (!chap->mutual_user) {
		l->chap.step = CHAP_DONE;
		return 0;
	}
	chap_response(l->chap.algorithm, l->chap.id, chap->mutual_secret, l->chap.challenge,
		      sizeof(l->chap.challenge), expected);
	if (!l->chap.n || !l->chap.r || strcmp(l->chap.n, chap->mutual_user) ||
	    chap_decode(l->chap.r, got, sizeof(got)) != (int)len ||
	    !equal_secret(got, expected, len))
		return fail(l, -EACCES,
			    "the target is not who it must be: check the mutual user and secret");
	l->chap.step = CHAP_DONE;
	return 0;
}

/* The target stays in the security stage: the next step of CHAP, if there is one. */
static int authenticate(struct iscsi_login *l)
{
	int err;

	switch (l->chap.step) {
	case CHAP_OFFERED: return list_algorithms(l);
	case CHAP_LISTED: return answer_challenge(l);
	case CHAP_ANSWERED: err = check_target(l); return err ? err : ask_again(l);
	default: return ask_again(l);
	}
}

/* The target leaves the security stage: only once all is proven that must be. */
static int check_authenticated(struct iscsi_login *l)
{
	switch (l->chap.step) {
	case CHAP_ANSWERED: return check_target(l);
	case CHAP_LISTED: return fail(l, -EPROTO, "the target breaks CHAP off");
	case CHAP_OFFERED:
		return l->id.chap.mutual_user
			       ? fail(l, -EACCES, "the target does not want to show who it is")
			       : 0;
	default: return 0;
	}
}

static int offer_params(struct iscsi_login *l)
{
	struct buf b = {0};
	int err;

	text_offer(&l->offer, &b);
	err = send_request(l, ISCSI_STAGE_FULL, true, &b);
	buf_free(&b);
	return err;
}

static int offer_after_security(struct iscsi_login *l)
{
	int err = check_authenticated(l);

	return err ? err : offer_params(l);
}

static int finish(struct iscsi_login *l)
{
	/* RFC 7143, 13.14; the kernel would not start the session otherwise. */
	l->params.first_burst = MIN(l->params.first_burst, l->params.max_burst);
	if (l->id.target && !l->tsih)
		return fail(l, -EPROTO, "the target gave the session no handle (TSIH 0)");
	return 1;
}

static int finish_after_security(struct iscsi_login *l)
{
	int err = check_authenticated(l);

	return err ? err : finish(l);
}

/* RFC 7143, 6.3: the stage we are in, whether the target agrees to leave it, and for which. */
static const struct row {
	enum iscsi_stage stage;
	bool transit;
	enum iscsi_stage next;
	int (*act)(struct iscsi_login *l);
} rows[] = {
	{ISCSI_STAGE_SECURITY, false, ISCSI_STAGE_SECURITY, authenticate},
	{ISCSI_STAGE_SECURITY, true, ISCSI_STAGE_OPERATIONAL, offer_after_security},
	{ISCSI_STAGE_SECURITY, true, ISCSI_STAGE_FULL, finish_after_security},
	{ISCSI_STAGE_OPERATIONAL, false, ISCSI_STAGE_OPERATIONAL, ask_again},
	{ISCSI_STAGE_OPERATIONAL, true, ISCSI_STAGE_FULL, finish},
};

static int refused(struct iscsi_login *l, unsigned status)
{
	const char *why;
	int err = -EACCES;

	switch (status) {
	case LOGIN_MOVED_TEMP:
	case LOGIN_MOVED_PERM:
		if (l->moved_to[0])
			return fail(l, -EREMOTE, "the target has moved");
		return fail(l, -EPROTO, "the target has moved, but does not say where to");
	case LOGIN_AUTH_FAILED:
		why = l->id.chap.user
			      ? "authentication failed: check user and secret on both sides"
			      : "the target wants authentication: give a CHAP user and secret";
		break;
	case LOGIN_FORBIDDEN: why = "not allowed: let this initiator in at the target"; break;
	case LOGIN_NOT_FOUND:
	case LOGIN_REMOVED:
		err = -ENOENT;
		why = "no such target there: see `vstor discover`";
		break;
	case LOGIN_TOO_MANY_CONNECTIONS:
		err = -EAGAIN;
		why = "the target allows no more connections";
		break;
	case LOGIN_SERVICE_UNAVAILABLE:
	case LOGIN_OUT_OF_RESOURCES:
	case LOGIN_TARGET_ERROR:
		err = -EAGAIN;
		why = "the target cannot serve now: try again";
		break;
	default: why = "the target refuses the login"; break;
	}
	snprintf(l->error, sizeof(l->error), "%s (login status %04x)", why, status);
	if (l->chap.step == CHAP_ANSWERED && l->chap.algorithm == CHAP_SHA256 &&
	    !l->id.chap.without_sha256) {
		l->id.chap.without_sha256 = true;
		return -ERESTART;
	}
	return err;
}

/* Notes the keys of CHAP; false for others. */
static bool take_chap(struct iscsi_login *l, const struct text_pair *p)
{
	const struct {
		const char *key, **to;
	} keys[] = {
		{"CHAP_A", &l->chap.a}, {"CHAP_I", &l->chap.i}, {"CHAP_C", &l->chap.c},
		{"CHAP_N", &l->chap.n}, {"CHAP_R", &l->chap.r},
	};

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		if (text_is(p, keys[i].key)) {
			*keys[i].to = p->val;
			return true;
		}
	}
	return false;
}

/* Takes all the pairs of one answer. */
static int take_text(struct iscsi_login *l)
{
	struct reader r = reader_of(l->text.data, l->text.len);
	struct text_pair p;
	uint64_t tag;
	int n;

	l->chap.method = l->chap.a = l->chap.i = l->chap.c = l->chap.n = l->chap.r = NULL;
	while ((n = text_next(&r, &p)) > 0) {
		if (text_is(&p, "TargetAddress")) {
			snprintf(l->moved_to, sizeof(l->moved_to), "%.*s", (int)strcspn(p.val, ","),
				 p.val);
		} else if (text_is(&p, "TargetPortalGroupTag")) {
			if (text_number(p.val, UINT16_MAX, &tag))
				return fail(l, -EPROTO,
					    "the target's portal group tag makes no sense");
			l->tpgt = (uint16_t)tag;
		} else if (text_is(&p, "AuthMethod")) {
			l->chap.method = p.val;
			if (strcmp(p.val, "None") && !l->id.chap.user)
				return fail(l, -EACCES,
					    "the target wants authentication: give a CHAP user and "
					    "secret");
		} else if (take_chap(l, &p)) {
			continue;
		} else if (text_negotiate(&l->params, &l->offer, &p, NULL) == TEXT_REJECTED) {
			snprintf(l->error, sizeof(l->error), "the target answers %.*s=%.60s",
				 (int)p.key_len, p.key, p.val);
			return -EPROTO;
		}
		/* Other keys are for information: TargetAlias, X- keys. */
	}
	return n < 0 ? fail(l, -EPROTO, "text of the target is not key=value") : 0;
}

/* Takes a complete answer. */
static int take_answer(struct iscsi_login *l, const uint8_t *bhs, unsigned status)
{
	const uint8_t flags = bhs[1];
	const bool transit = flags & ISCSI_LOGIN_TRANSIT;
	int err = take_text(l);

	if (status != LOGIN_OK)
		return refused(l, status);
	if (err)
		return err;
	if (get_be16(bhs + LOGIN_TSIH))
		l->tsih = get_be16(bhs + LOGIN_TSIH);
	if (ISCSI_LOGIN_CSG(flags) != l->stage)
		return fail(l, -EPROTO, "the target is in another stage of the login");
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct row *row = &rows[i];

		if (row->stage != l->stage || row->transit != transit ||
		    (transit && row->next != ISCSI_LOGIN_NSG(flags)))
			continue;
		l->stage = row->next;
		return row->act(l);
	}
	return fail(l, -EPROTO, "the target changes to an impossible stage of the login");
}

int iscsi_login_input(struct iscsi_login *l, const uint8_t *bhs, const uint8_t *data, size_t len)
{
	const struct buf none = {0};
	const uint8_t flags = bhs[1];
	unsigned status;
	int rc;

	if ((bhs[0] & ISCSI_OPCODE_MASK) != ISCSI_LOGIN_RESPONSE)
		return fail(l, -EPROTO, "not an iSCSI target: no login response");
	if (++l->rounds > MAX_ROUNDS)
		return fail(l, -EPROTO, "the login does not come to an end");
	status = get_be16(bhs + LOGIN_STATUS);
	l->exp_statsn = get_be32(bhs + PDU_STATSN) + 1;
	l->exp_cmdsn = get_be32(bhs + PDU_EXPCMDSN);
	l->max_cmdsn = get_be32(bhs + PDU_MAXCMDSN);
	buf_put(&l->text, data, len);
	if (l->text.failed || l->text.len > MAX_TEXT)
		return fail(l, -EPROTO, "too much text in the login");
	if (flags & ISCSI_LOGIN_CONTINUE && status == LOGIN_OK) {
		if (flags & ISCSI_LOGIN_TRANSIT)
			return fail(l, -EPROTO, "the target leaves a stage in mid-text");
		return send_request(l, l->stage, false, &none);
	}
	rc = take_answer(l, bhs, status);
	l->text.len = 0;
	return rc;
}

void iscsi_login_free(struct iscsi_login *l)
{
	buf_free(&l->text);
	wipe(&l->chap, sizeof(l->chap));
}
