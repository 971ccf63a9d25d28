/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Logs in, with CHAP or without, by the rules or not, and prints what came of it in a line.
 * usage: visitor HOST PORT IQN VERB [WORD...]      IQN "-": a discovery session
 *   login [WORD...]     the status, "0000" for good, or "closed"; with CHAP the algorithm; with
 *                       mutual CHAP "shown" or "not shown"; in discovery how many targets it sees
 *     name=IQN               who we are
 *     user=U secret=S        CHAP; offer=LIST of algorithms, in this order; else None is offered
 *     mutual=U mutual-secret=S   who the target must show to be
 *     reflect                our challenge is the target's own
 *     hex                    our challenge's CHAP_I in hexadecimal
 *     hasty                  answers before there is a challenge
 *     skip                   straight to the operational stage
 *   many N WORD...      login N times, each a connection: how many had which status
 *   garbage N           N connections that say 512 random bytes
 *   half-open N         N connections that stay without a login; then a login: its status, and
 *                       how many of the N are still open
 *   sessions N          N sessions at once, one more, the first once more, one after a logout:
 *                       their states
 *   idle                        a session that says nothing more: "closed" when the target ends it
 *   linger              one connection without a login: "closed" when the target ends it
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "core/digest.h"
#include "net/iscsi/chap.h"
#include "tests/iscsi/raw.h"

#define SECURITY_STAYS	  (ISCSI_STAGE_SECURITY << 2)
#define SECURITY_TO_FULL  (ISCSI_LOGIN_TRANSIT | ISCSI_STAGE_SECURITY << 2 | ISCSI_STAGE_FULL)
#define OPERATIONAL_STAGE (ISCSI_LOGIN_TRANSIT | ISCSI_STAGE_OPERATIONAL << 2 | ISCSI_STAGE_FULL)
#define LINGER_MS	  75000	 /* five times what a target gives a login */
#define IDLE_MS		  150000 /* and a discovery session */

static struct {
	const char *name, *user, *secret, *offer, *mutual, *mutual_secret;
	bool reflect, hasty, skip, hex;
} how = {.name = "iqn.2026-11.local.test:visitor", .offer = "8,7,6,5"};
static bool discovery;

static struct {
	int status; /* -1: the connection was closed */
	unsigned algorithm;
	bool shown;
} result;

static char initiator_key[300], target_key[300];

/* The value of a key in an answer; NULL: it is not there. */
static const char *value(const struct pdu *p, const char *key)
{
	size_t n = strlen(key);

	for (size_t at = 0; at < p->len; at += strlen((const char *)p->data + at) + 1) {
		const char *s = (const char *)p->data + at;
		if (strncmp(s, key, n) == 0 && s[n] == '=')
			return s + n + 1;
	}
	return NULL;
}

static const char *pair(const char *key, const char *val)
{
	static char text[4][CHAP_TEXT_MAX + 64];
	static unsigned next;
	char *s = text[next++ % 4];

	snprintf(s, sizeof(text[0]), "%s=%s", key, val);
	return s;
}

/* One step of the login; false when it is over. */
static bool step(struct raw *r, uint8_t flags, const char *const *keys, struct pdu *p)
{
	if (!raw_login_step(r, flags, keys, p)) {
		result.status = -1;
		return false;
	}
	result.status = get_be16(p->bhs + LOGIN_STATUS);
	return result.status == LOGIN_OK;
}

/* Answers the challenge in p, and sends one of ours where that is wanted. */
static bool respond(struct raw *r, struct pdu *p)
{
	const char *a = value(p, "CHAP_A"), *i = value(p, "CHAP_I"), *c = value(p, "CHAP_C"), *got;
	uint8_t challenge[CHAP_CHALLENGE_MAX], digest[CHAP_DIGEST_MAX], mine[32], id = 77;
	char text[CHAP_TEXT_MAX], id_text[8];
	const char *keys[5] = {NULL};
	size_t n = sizeof(mine), digest_len;
	int len = c ? chap_decode(c, challenge, sizeof(challenge)) : -1;
	bool ok;

	if (!a || !i || len < 0) {
		puts("no challenge");
		exit(1);
	}
	result.algorithm = (unsigned)atoi(a);
	digest_len = chap_digest_len(result.algorithm);
	chap_response(result.algorithm, (uint8_t)atoi(i), how.secret, challenge, (size_t)len,
		      digest);
	keys[0] = pair("CHAP_N", how.user);
	keys[1] = pair("CHAP_R", chap_encode(digest, digest_len, text));
	if (how.mutual || how.reflect) {
		if (random_bytes(mine, sizeof(mine)))
			return false;
		if (how.reflect) {
			memcpy(mine, challenge, MIN((size_t)len, sizeof(mine)));
			id = (uint8_t)atoi(i);
		}
		snprintf(id_text, sizeof(id_text), how.hex ? "0x%x" : "%u", id);
		keys[2] = pair("CHAP_I", id_text);
		keys[3] = pair("CHAP_C", chap_encode(mine, n, text));
	}
	raw_pdu_free(p);
	ok = step(r, SECURITY_TO_FULL, keys, p);
	if (!ok || !how.mutual)
		return ok;
	chap_response(result.algorithm, id, how.mutual_secret, mine, n, digest);
	got = value(p, "CHAP_R");
	result.shown = got && strcasecmp(got, chap_encode(digest, digest_len, text)) == 0 &&
		       value(p, "CHAP_N") && strcmp(value(p, "CHAP_N"), how.mutual) == 0;
	return ok;
}

/* A whole login; what came of it is in result. */
static bool login(struct raw *r)
{
	const char *first[5] = {initiator_key, discovery ? "SessionType=Discovery" : target_key,
				how.user && !how.skip ? "AuthMethod=CHAP" : NULL},
		   *hasty[] = {pair("CHAP_N", how.user ? how.user : "x"), "CHAP_R=0x00", NULL},
		   *offer[] = {pair("CHAP_A", how.offer), NULL};
	bool security = how.user && !how.skip, ok;
	struct pdu p = {0};

	snprintf(initiator_key, sizeof(initiator_key), "InitiatorName=%s", how.name);
	memset(&result, 0, sizeof(result));
	result.status = -1;
	if (!raw_connect(r))
		return false;
	if (how.skip)
		ok = step(r, OPERATIONAL_STAGE, first, &p);
	else if (!how.user) {
		first[2] = "AuthMethod=None";
		ok = step(r, SECURITY_TO_FULL, first, &p);
	} else
		ok = step(r, SECURITY_STAYS, first, &p);
	raw_pdu_free(&p);
	if (security && ok) {
		ok = step(r, SECURITY_STAYS, how.hasty ? hasty : offer, &p) && respond(r, &p);
		raw_pdu_free(&p);
	}
	return ok;
}

/* How many targets are seen. */
static unsigned targets(struct raw *r)
{
	static const char all[] = "SendTargets=All";
	struct buf b = {0};
	struct pdu p = {0};
	unsigned n = 0;
	uint8_t *h = raw_put_next(r, &b, ISCSI_TEXT_REQUEST, ISCSI_FINAL, all, sizeof(all));

	put_be32(h + PDU_TTT, ISCSI_NO_TAG);
	if (raw_send(r, &b) && raw_recv(r, &p) == RAW_PDU)
		for (size_t at = 0; at < p.len; at += strlen((char *)p.data + at) + 1)
			n += strncmp((char *)p.data + at, "TargetName=", 11) == 0;
	raw_pdu_free(&p);
	return n;
}

static void say_status(int status)
{
	if (status < 0)
		printf("closed");
	else
		printf("%04x", (unsigned)status);
}

static void one_login(void)
{
	struct raw r;
	bool ok = login(&r);

	say_status(result.status);
	if (result.algorithm)
		printf(" %u", result.algorithm);
	if (ok && how.mutual)
		printf(" %s", result.shown ? "shown" : "not shown");
	if (ok && discovery)
		printf(" %u", targets(&r));
	putchar('\n');
	raw_close(&r);
}

static void many(unsigned n)
{
	int status = -2;
	unsigned same = 0;

	for (unsigned i = 0; i < n; i++) {
		struct raw r;

		login(&r);
		raw_close(&r);
		if (i == 0)
			status = result.status;
		same += result.status == status;
	}
	printf("%u ", same);
	say_status(status);
	putchar('\n');
}

static void garbage(unsigned n)
{
	uint8_t noise[512];

	for (unsigned i = 0; i < n; i++) {
		struct raw r;

		if (random_bytes(noise, sizeof(noise)) || !raw_connect(&r))
			exit(1);
		raw_send_bytes(&r, noise, sizeof(noise));
		shutdown(r.fd, SHUT_WR);
		raw_drain(&r);
		raw_close(&r);
	}
	puts("done");
}

/* Not yet closed by the target? */
static bool still_open(struct raw *r)
{
	struct pollfd p = {.fd = r->fd, .events = POLLIN};
	char byte;

	return poll(&p, 1, 0) == 0 || recv(r->fd, &byte, 1, MSG_DONTWAIT) > 0;
}

static void half_open(unsigned n)
{
	struct raw *r = calloc(n, sizeof(*r)), good;
	unsigned left = 0;

	for (unsigned i = 0; i < n; i++)
		if (raw_connect(&r[i]) && i % 2) /* a part of a login */
			raw_send_bytes(&r[i], "\x43\x87\0\0", 4);
	login(&good);
	say_status(result.status);
	for (unsigned i = 0; i < n; i++) {
		left += still_open(&r[i]);
		raw_close(&r[i]);
	}
	printf(" %u\n", left);
	raw_close(&good);
	free(r);
}

static void sessions(unsigned n)
{
	struct raw *r = calloc(n, sizeof(*r)), one;
	unsigned good = 0;

	/* One initiator: its sessions differ by the ISID, of which raw.c makes the middle. */
	for (unsigned i = 0; i < n; i++) {
		raw_target.isid = i + 1;
		good += login(&r[i]);
	}
	printf("%u ", good);
	raw_target.isid = n + 1;
	login(&one);
	say_status(result.status);
	raw_close(&one);
	raw_target.isid = 1;
	putchar(' ');
	raw_close(&r[0]);
	login(&r[0]);
	say_status(result.status);
	good = raw_logout(&r[1]);
	raw_target.isid = n + 2;
	login(&one);
	putchar(' ');
	say_status(good ? result.status : -1);
	putchar('\n');
	raw_close(&one);
	for (unsigned i = 0; i < n; i++)
		raw_close(&r[i]);
	free(r);
}

static void linger(void)
{
	struct raw r;
	struct pdu p;

	if (!raw_connect(&r) || !raw_send_bytes(&r, "\x43\x87", 2))
		exit(1);
	puts(raw_recv_within(&r, &p, LINGER_MS) == RAW_CLOSED ? "closed" : "open");
	raw_close(&r);
}

static void idle(void)
{
	struct raw r;
	struct pdu p;

	if (!login(&r))
		exit(1);
	puts(raw_recv_within(&r, &p, IDLE_MS) == RAW_CLOSED ? "closed" : "open");
	raw_close(&r);
}

static void take_word(const char *w)
{
	const struct {
		const char *key, **to;
	} words[] = {
		{"name=", &how.name},	  {"user=", &how.user},
		{"secret=", &how.secret}, {"offer=", &how.offer},
		{"mutual=", &how.mutual}, {"mutual-secret=", &how.mutual_secret},
	};

	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (strncmp(w, words[i].key, strlen(words[i].key)) == 0)
			*words[i].to = w + strlen(words[i].key);
	how.reflect |= strcmp(w, "reflect") == 0;
	how.hex |= strcmp(w, "hex") == 0;
	how.hasty |= strcmp(w, "hasty") == 0;
	how.skip |= strcmp(w, "skip") == 0;
}

int main(int argc, char **argv)
{
	unsigned n;

	if (argc < 5)
		return 2;
	raw_target = (struct raw_target){.host = argv[1], .port = argv[2], .iqn = argv[3]};
	discovery = strcmp(argv[3], "-") == 0;
	snprintf(target_key, sizeof(target_key), "TargetName=%s", argv[3]);
	for (int i = 5; i < argc; i++)
		take_word(argv[i]);
	n = argc > 5 ? (unsigned)atoi(argv[5]) : 0;
	if (strcmp(argv[4], "login") == 0)
		one_login();
	else if (strcmp(argv[4], "many") == 0)
		many(n);
	else if (strcmp(argv[4], "garbage") == 0)
		garbage(n);
	else if (strcmp(argv[4], "half-open") == 0)
		half_open(n);
	else if (strcmp(argv[4], "sessions") == 0)
		sessions(n);
	else if (strcmp(argv[4], "idle") == 0)
		idle();
	else if (strcmp(argv[4], "linger") == 0)
		linger();
	else
		return 2;
	return 0;
}
