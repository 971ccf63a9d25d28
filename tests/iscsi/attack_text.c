/* SPDX-License-Identifier: BSD-2-Clause */
/* Text requests, and keys that are not in their place (RFC 7143, sections 6, 11.10, 11.11, 13 and
 * appendix C). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/iscsi/hostile.h"

#define NAME		    "InitiatorName=iqn.2026-11.local.test:text"
#define OPERATIONAL_TO_FULL (ISCSI_LOGIN_TRANSIT | ISCSI_STAGE_OPERATIONAL << 2 | ISCSI_STAGE_FULL)

static char target_key[300], send_own[300];

/* A session, for discovery or not, that takes segments of 512 bytes. */
static bool begin(struct raw *r, bool discovery)
{
	static const char *const keys[] = {NAME, "SessionType=Discovery",
					   "MaxRecvDataSegmentLength=512", NULL};
	struct pdu p = {0};
	bool ok = raw_connect(r) &&
		  (discovery ? raw_login_step(r, OPERATIONAL_TO_FULL, keys, &p)
			     : raw_login(r, NAME + strlen("InitiatorName="), NULL, &p));

	snprintf(target_key, sizeof(target_key), "TargetName=%s", raw_target.iqn);
	snprintf(send_own, sizeof(send_own), "SendTargets=%s", raw_target.iqn);
	ok = ok && get_be16(p.bhs + LOGIN_STATUS) == 0;
	raw_pdu_free(&p);
	return ok || hostile_fail("no login");
}

static bool ask(struct raw *r, uint8_t flags, uint32_t ttt, const void *text, size_t len,
		struct pdu *p)
{
	struct buf b = {0};
	uint8_t *h = raw_put_next(r, &b, ISCSI_TEXT_REQUEST | ISCSI_IMMEDIATE, flags, text, len);

	put_be32(h + PDU_TTT, ttt);
	return raw_send(r, &b) && raw_recv(r, p) == RAW_PDU;
}

/* Text requests of one key, and the whole answer; NULL: it has the target and its address. */
static bool keys_after_login(void)
{
	static const struct {
		bool discovery;
		const char *request, *answer;
	} cases[] = {
		{true, "SendTargets=All", NULL},
		{true, send_own, NULL},
		{true, "SendTargets=", "SendTargets=Reject"},
		{true, "SendTargets=iqn.2026-11.local:none", ""},
		{false, "SendTargets=", NULL},
		{false, send_own, NULL},
		{false, "SendTargets=All", "SendTargets=Reject"},
		{false, "SendTargets=iqn.2026-11.local:none", ""},
		{false, "MaxBurstLength=512", "MaxBurstLength=Reject"},
		{false, "HeaderDigest=None", "HeaderDigest=Reject"},
		{false, "InitiatorName=iqn.2026-11.local:me", "InitiatorName=Reject"},
		{false, "InitiatorAlias=me", ""},
		{false, "MaxRecvDataSegmentLength=4096", ""},
		{false, "MaxRecvDataSegmentLength=1", "MaxRecvDataSegmentLength=Reject"},
		{false, "X-org.example.key=1", "X-org.example.key=NotUnderstood"},
		{true, "Fortune=1", "Fortune=NotUnderstood"},
	};
	bool good = true;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const char *want = cases[i].answer;
		struct pdu p = {0};
		struct raw r;
		bool ok = begin(&r, cases[i].discovery) &&
			  ask(&r, ISCSI_FINAL, ISCSI_NO_TAG, cases[i].request,
			      strlen(cases[i].request) + 1, &p) &&
			  p.bhs[0] == ISCSI_TEXT_RESPONSE && p.bhs[1] == ISCSI_FINAL;

		if (ok && want)
			ok = *want ? p.len == strlen(want) + 1 && raw_has_key(&p, want)
				   : p.len == 0;
		else if (ok)
			ok = raw_has_key(&p, target_key) && p.len > strlen(target_key) + 1 &&
			     strncmp((char *)p.data + strlen(target_key) + 1,
				     "TargetAddress=", 14) == 0;
		if (!ok)
			good = hostile_fail("%s is answered by \"%.*s\"", cases[i].request,
					    (int)p.len, p.data ? (char *)p.data : "");
		raw_pdu_free(&p);
		raw_close(&r);
	}
	return good;
}

/* What breaks the rules of the exchange is rejected, and the session goes on. */
static bool broken_exchanges(void)
{
	static const char twice[] = "SendTargets=All\0SendTargets=All",
			  number_twice[] = "MaxBurstLength=512\0MaxBurstLength=1024",
			  no_sign[] = "SendTargets", one[] = "SendTargets=All";
	static const struct {
		const char *what, *text;
		size_t len;
		uint8_t flags;
		uint32_t ttt;
	} cases[] = {
		{"a key twice", twice, sizeof(twice), ISCSI_FINAL, ISCSI_NO_TAG},
		{"a number twice", number_twice, sizeof(number_twice), ISCSI_FINAL, ISCSI_NO_TAG},
		{"no value", no_sign, sizeof(no_sign), ISCSI_FINAL, ISCSI_NO_TAG},
		{"no NUL", one, sizeof(one) - 1, ISCSI_FINAL, ISCSI_NO_TAG},
		{"final and not", one, sizeof(one), ISCSI_FINAL | ISCSI_TEXT_CONTINUE,
		 ISCSI_NO_TAG},
		{"a tag from nowhere", one, sizeof(one), ISCSI_FINAL, 0xdeadbeef},
	};
	bool good = true;
	struct raw r;

	if (!begin(&r, true))
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(cases) && good; i++) {
		struct pdu p = {0};

		good = ask(&r, cases[i].flags, cases[i].ttt, cases[i].text, cases[i].len, &p) &&
		       p.bhs[0] == ISCSI_REJECT && p.bhs[REJECT_REASON] == REJECT_PROTOCOL_ERROR;
		raw_pdu_free(&p);
		if (!good)
			hostile_fail("%s: not rejected", cases[i].what);
	}
	good = good && raw_ping(&r);
	raw_close(&r);
	return good;
}

/* Who has not said its last word gets no last answer (11.11.1); who has asked in two parts gets one
 * answer to both. */
static bool not_final(void)
{
	static const char one[] = "SendTargets=All";
	struct pdu p = {0};
	struct raw r;
	bool ok = begin(&r, true) && ask(&r, 0, ISCSI_NO_TAG, one, sizeof(one), &p) &&
		  p.bhs[1] == 0 && get_be32(p.bhs + PDU_TTT) != ISCSI_NO_TAG &&
		  raw_has_key(&p, target_key);
	uint32_t ttt = get_be32(p.bhs + PDU_TTT);

	raw_pdu_free(&p);
	ok = ok && ask(&r, ISCSI_FINAL, ttt, NULL, 0, &p) && p.bhs[1] == ISCSI_FINAL &&
	     p.len == 0 && get_be32(p.bhs + PDU_TTT) == ISCSI_NO_TAG;
	raw_pdu_free(&p);
	ok = ok && ask(&r, ISCSI_TEXT_CONTINUE, ISCSI_NO_TAG, one, 7, &p) && p.bhs[1] == 0 &&
	     p.len == 0;
	ttt = get_be32(p.bhs + PDU_TTT);
	raw_pdu_free(&p);
	ok = ok && ask(&r, ISCSI_FINAL, ttt, one + 7, sizeof(one) - 7, &p) &&
	     p.bhs[1] == ISCSI_FINAL && raw_has_key(&p, target_key);
	raw_pdu_free(&p);
	raw_close(&r);
	return ok || hostile_fail("an exchange in parts goes wrong");
}

/* An answer longer than a segment comes in parts, each of them asked for. */
static bool long_answer(void)
{
	char text[8192];
	size_t len = 0, got = 0;
	struct pdu p = {0};
	struct raw r;
	unsigned parts = 1;
	bool ok;

	for (int i = 0; i < 300; i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len, "X-org.example.%d=1", i) +
		       1;
	ok = begin(&r, true) && ask(&r, ISCSI_FINAL, ISCSI_NO_TAG, text, len, &p);
	while (ok && p.bhs[1] == ISCSI_TEXT_CONTINUE && parts < 100) {
		uint32_t ttt = get_be32(p.bhs + PDU_TTT);

		ok = p.len <= 512 && ttt != ISCSI_NO_TAG;
		got += p.len;
		raw_pdu_free(&p);
		ok = ok && ask(&r, ISCSI_FINAL, ttt, NULL, 0, &p);
		parts++;
	}
	got += p.len;
	ok = ok && p.bhs[1] == ISCSI_FINAL && got == len + 300 * strlen("NotUnderstood") - 300;
	raw_pdu_free(&p);
	raw_close(&r);
	return ok || hostile_fail("%zu bytes in %u parts", got, parts);
}

/* Keys in a login: what is not for discovery, and what is told twice. */
static bool keys_in_login(void)
{
	static const char *const discovery[] = {NAME,
						"MaxBurstLength=65536",
						"SessionType=Discovery",
						"InitialR2T=No",
						"DataDigest=None",
						"SendTargets=All",
						"TaskReporting=RFC3720",
						NULL},
				 *const same[] = {NAME, NAME, "SessionType=Discovery",
						  "SessionType=Discovery", NULL},
				 *const other[] = {NAME, "InitiatorName=iqn.2026-11.local:other",
						   "SessionType=Discovery", NULL},
				 *const twice[] = {NAME, "SessionType=Discovery", "DataDigest=None",
						   "DataDigest=None", NULL},
				 *const later[] = {"InitiatorName=iqn.2026-11.local:other", NULL};
	static const struct {
		const char *const *keys;
		int status;
	} cases[] = {
		{same, LOGIN_OK}, {other, LOGIN_INITIATOR_ERROR}, {twice, LOGIN_INITIATOR_ERROR}};
	struct pdu p = {0};
	struct raw r;
	bool ok = raw_connect(&r) && raw_login_step(&r, OPERATIONAL_TO_FULL, discovery, &p) &&
		  get_be16(p.bhs + LOGIN_STATUS) == 0 &&
		  raw_has_key(&p, "MaxBurstLength=Irrelevant") &&
		  raw_has_key(&p, "InitialR2T=Irrelevant") && raw_has_key(&p, "DataDigest=None") &&
		  raw_has_key(&p, "SendTargets=Reject") &&
		  raw_has_key(&p, "TaskReporting=Irrelevant");

	raw_pdu_free(&p);
	raw_close(&r);
	if (!ok)
		hostile_fail("keys in a login for discovery");
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		int status = -1;

		if (raw_connect(&r) && raw_login_step(&r, OPERATIONAL_TO_FULL, cases[i].keys, &p))
			status = get_be16(p.bhs + LOGIN_STATUS);
		raw_pdu_free(&p);
		raw_close(&r);
		if (status != cases[i].status)
			ok = hostile_fail("login %zu: status 0x%04x", i, (unsigned)status & 0xffff);
	}
	/* found good as one, it goes on as another */
	ok = raw_connect(&r) && raw_login_step(&r, ISCSI_STAGE_OPERATIONAL << 2, same, &p) &&
	     get_be16(p.bhs + LOGIN_STATUS) == 0 && ok;
	raw_pdu_free(&p);
	ok = raw_login_step(&r, OPERATIONAL_TO_FULL, later, &p) &&
	     get_be16(p.bhs + LOGIN_STATUS) == LOGIN_INITIATOR_ERROR && ok;
	raw_pdu_free(&p);
	raw_close(&r);
	return ok;
}

const struct attack text_attacks[] = {
	{"keys after the login", keys_after_login},
	{"text requests that break the rules", broken_exchanges},
	{"text requests in parts", not_final},
	{"a long answer", long_answer},
	{"keys in their wrong places", keys_in_login},
	{NULL, NULL},
};
