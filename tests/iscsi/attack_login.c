/* SPDX-License-Identifier: BSD-2-Clause */
/* Attacks on the login and on text negotiation (RFC 7143, sections 6, 11.10 to 11.13 and 13). */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/iscsi/hostile.h"

#define NAME		    "InitiatorName=iqn.2026-11.local.test:login"
#define OPERATIONAL_TO_FULL (ISCSI_LOGIN_TRANSIT | ISCSI_STAGE_OPERATIONAL << 2 | ISCSI_STAGE_FULL)

#define FLOOD (32u << 20) /* much more than sockets hold */

static char target_key[300];

/* A login of one PDU; status: what has to come back, class 0 or 2, or -1 for any answer or close.
 */
static bool login_case(uint8_t flags, uint8_t version_min, const char *const *keys, int class,
		       int detail)
{
	struct raw r;
	struct pdu p = {0};
	struct buf b = {0}, text = {0};
	int status = -1;
	uint8_t *h;

	if (!raw_connect(&r))
		return false;
	for (const char *const *k = keys; *k; k++) {
		const char *word = strcmp(*k, "TARGET") ? *k : target_key;

		buf_put(&text, word, strlen(word) + 1);
	}
	h = raw_put(&b, ISCSI_LOGIN_REQUEST | ISCSI_IMMEDIATE, flags, text.data, text.len);
	buf_free(&text);
	h[LOGIN_VERSION_MAX] = h[LOGIN_VERSION_MAX + 1] = version_min;
	h[LOGIN_ISID] = 0x80;
	put_be32(h + PDU_CMDSN, 1);
	raw_send(&r, &b);
	if (raw_recv(&r, &p) == RAW_PDU && p.bhs[0] == ISCSI_LOGIN_RESPONSE)
		status = get_be16(p.bhs + LOGIN_STATUS);
	raw_pdu_free(&p);
	raw_close(&r);
	if (class < 0)
		return true;
	if (status >> 8 == class && (detail < 0 || (status & 0xff) == detail))
		return true;
	hostile_fail("status 0x%04x, not class %d, for flags 0x%02x and keys",
		     (unsigned)status & 0xffff, class, flags);
	for (; *keys; keys++)
		printf("#   %s\n", *keys);
	return false;
}

static bool refusals(void)
{
	static const struct {
		uint8_t flags, version_min;
		int class, detail;
		const char *keys[6];
	} cases[] = {
		{OPERATIONAL_TO_FULL, 0, 0, 0, {NAME, "TARGET", "SessionType=Normal"}},
		{OPERATIONAL_TO_FULL, 0, 2, 7, {"TARGET", "SessionType=Normal"}},
		{OPERATIONAL_TO_FULL, 0, 2, 7, {NAME, "SessionType=Normal"}},
		{OPERATIONAL_TO_FULL, 0, 2, 3, {NAME, "TargetName=iqn.2026-11.local:none"}},
		{OPERATIONAL_TO_FULL, 1, 2, 5, {NAME, "TARGET"}},
		{OPERATIONAL_TO_FULL, 0, 2, -1, {NAME, "TARGET", "SessionType=Curious"}},
		/* stages that do not exist or go nowhere */
		{ISCSI_LOGIN_TRANSIT | 2 << 2 | 3, 0, 2, -1, {NAME, "TARGET"}},
		{ISCSI_LOGIN_TRANSIT | 3 << 2 | 3, 0, 2, -1, {NAME, "TARGET"}},
		{ISCSI_LOGIN_TRANSIT | 1 << 2 | 0, 0, 2, -1, {NAME, "TARGET"}},
		{ISCSI_LOGIN_TRANSIT | 1 << 2 | 2, 0, 2, -1, {NAME, "TARGET"}},
		/* transit while the text goes on (RFC 7143, 11.12.2) */
		{OPERATIONAL_TO_FULL | ISCSI_LOGIN_CONTINUE, 0, 2, -1, {NAME, "TARGET"}},
		/* values that no key may have: an answer, whichever */
		{OPERATIONAL_TO_FULL, 0, -1, 0, {NAME, "TARGET", "MaxRecvDataSegmentLength=511"}},
		{OPERATIONAL_TO_FULL, 0, -1, 0, {NAME, "TARGET", "MaxRecvDataSegmentLength=0"}},
		{OPERATIONAL_TO_FULL,
		 0,
		 -1,
		 0,
		 {NAME, "TARGET", "MaxRecvDataSegmentLength=99999999999999999999"}},
		{OPERATIONAL_TO_FULL, 0, -1, 0, {NAME, "TARGET", "MaxBurstLength=-1"}},
		{OPERATIONAL_TO_FULL, 0, -1, 0, {NAME, "TARGET", "MaxBurstLength=0x"}},
		{OPERATIONAL_TO_FULL, 0, -1, 0, {NAME, "TARGET", "InitialR2T=Perhaps"}},
		{OPERATIONAL_TO_FULL, 0, -1, 0, {NAME, "TARGET", "HeaderDigest="}},
		{OPERATIONAL_TO_FULL, 0, -1, 0, {NAME, "TARGET", "HeaderDigest=,,,,"}},
		{OPERATIONAL_TO_FULL, 0, -1, 0, {NAME, "TARGET", "=", "==", "no equals sign"}},
		{OPERATIONAL_TO_FULL, 0, -1, 0, {NAME, "TARGET", "", "", "\xff\xfe\x80=\x01"}},
		{OPERATIONAL_TO_FULL, 0, -1, 0, {NAME, NAME, "TARGET", "TARGET"}},
		{OPERATIONAL_TO_FULL, 0, -1, 0, {NAME, "TARGET", "ErrorRecoveryLevel=2"}},
		{OPERATIONAL_TO_FULL, 0, -1, 0, {NAME, "TARGET", "MaxConnections=65535"}},
		{OPERATIONAL_TO_FULL, 0, -1, 0, {"InitiatorName=", "TARGET"}},
		{OPERATIONAL_TO_FULL, 0, -1, 0, {"InitiatorName=%s%n%s\x1b[2J", "TARGET"}},
		{OPERATIONAL_TO_FULL, 0, -1, 0, {NULL}},
	};
	bool ok = true;

	snprintf(target_key, sizeof(target_key), "TargetName=%s", raw_target.iqn);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		ok = login_case(cases[i].flags, cases[i].version_min, cases[i].keys, cases[i].class,
				cases[i].detail) &&
		     ok;
	return ok;
}

/* Keys that nobody knows are answered so, and values within limits (RFC 7143, 6.2 and 13). */
static bool negotiation(void)
{
	static const char *const keys[] = {"X-org.example.unheard-of=1",
					   "MaxBurstLength=16776192",
					   "DefaultTime2Wait=2",
					   "HeaderDigest=None",
					   "MaxOutstandingR2T=1",
					   "ErrorRecoveryLevel=0",
					   NULL};
	struct raw r;
	struct pdu p = {0};
	bool ok = raw_connect(&r) && raw_login(&r, "iqn.2026-11.local.test:keys", keys, &p);

	raw_close(&r);
	if (!ok || !p.data)
		return hostile_fail("no login");
	ok = (raw_has_key(&p, "X-org.example.unheard-of=NotUnderstood") ||
	      hostile_fail("an unknown key is not answered by NotUnderstood")) &&
	     (raw_has_key(&p, "HeaderDigest=None") ||
	      hostile_fail("HeaderDigest=None is not kept"));
	raw_pdu_free(&p);
	return ok;
}

/* A key is cut over two PDUs by the C bit (RFC 7143, 6.2). */
static bool continued_text(void)
{
	char text[600];
	size_t len, half;
	struct raw r;
	struct pdu p = {0};
	struct buf b = {0};
	uint8_t *h;
	bool ok;

	len = (size_t)snprintf(text, sizeof(text), "%s%cTargetName=%s%cSessionType=Normal", NAME, 0,
			       raw_target.iqn, 0) +
	      1;
	half = len / 2;
	if (!raw_connect(&r))
		return false;
	h = raw_put(&b, ISCSI_LOGIN_REQUEST | ISCSI_IMMEDIATE,
		    ISCSI_LOGIN_CONTINUE | ISCSI_STAGE_OPERATIONAL << 2, text, half);
	h[LOGIN_ISID] = 0x80;
	ok = raw_send(&r, &b) && raw_recv(&r, &p) == RAW_PDU && p.bhs[0] == ISCSI_LOGIN_RESPONSE &&
	     get_be16(p.bhs + LOGIN_STATUS) == 0 && p.len == 0;
	raw_pdu_free(&p);
	h = raw_put(&b, ISCSI_LOGIN_REQUEST | ISCSI_IMMEDIATE, OPERATIONAL_TO_FULL, text + half,
		    len - half);
	h[LOGIN_ISID] = 0x80;
	put_be32(h + PDU_EXPSTATSN, r.expstatsn);
	ok = ok && raw_send(&r, &b) && raw_recv(&r, &p) == RAW_PDU &&
	     get_be16(p.bhs + LOGIN_STATUS) == 0;
	raw_pdu_free(&p);
	buf_free(&b);
	raw_close(&r);
	return ok || hostile_fail("a login in two parts does not succeed");
}

/* A text that goes on for ever is ended by the target before it costs memory. */
static bool endless_text(void)
{
	unsigned long before = hostile_target_kib(), after;
	static char noise[8192];
	struct raw r;
	bool open = true;

	memset(noise, 'x', sizeof(noise));
	if (!raw_connect(&r))
		return false;
	for (int i = 0; i < 20000 && open; i++) {
		struct buf b = {0};
		struct pdu p = {0};
		uint8_t *h = raw_put(&b, ISCSI_LOGIN_REQUEST | ISCSI_IMMEDIATE,
				     ISCSI_LOGIN_CONTINUE | 1 << 2, noise, sizeof(noise));

		h[LOGIN_ISID] = 0x80;
		open = raw_send(&r, &b) && raw_recv(&r, &p) == RAW_PDU &&
		       get_be16(p.bhs + LOGIN_STATUS) == 0;
		raw_pdu_free(&p);
	}
	after = hostile_target_kib();
	raw_close(&r);
	if (open)
		return hostile_fail("160 MB of login text were taken");
	return after < before + 8192 || hostile_fail("memory grew to %lu KiB", after);
}

/* Every opcode in every byte 1, before login: an answer or an end, no hang. */
static bool opcodes_before_login(void)
{
	for (unsigned op = 0; op < 256; op++) {
		struct buf b = {0};
		struct raw r;
		bool ok;

		if (!raw_connect(&r))
			return false;
		raw_put(&b, (uint8_t)op, (uint8_t)hostile_random(), NULL, 0);
		ok = raw_send(&r, &b);
		shutdown(r.fd, SHUT_WR);
		ok = ok && raw_drain(&r);
		raw_close(&r);
		if (!ok)
			return hostile_fail("opcode 0x%02x", op);
	}
	return true;
}

/* Lengths that promise what never comes, before the peer is known: no memory for them. */
static bool huge_lengths(void)
{
	unsigned long before = hostile_target_kib(), after;
	struct raw r[64];

	for (unsigned i = 0; i < ARRAY_SIZE(r); i++) {
		struct buf b = {0};
		uint8_t *h = raw_put(&b, ISCSI_LOGIN_REQUEST | ISCSI_IMMEDIATE, 0x87, NULL, 0);

		put_be24(h + PDU_DATA_LEN, 0xffffff);
		if (i % 2)
			h[PDU_AHS_LEN] = 0xff;
		if (raw_connect(&r[i]))
			raw_send_bytes(&r[i], b.data, b.len);
		buf_free(&b);
	}
	hostile_pause();
	after = hostile_target_kib();
	for (unsigned i = 0; i < ARRAY_SIZE(r); i++)
		raw_close(&r[i]);
	return after < before + 16384 ||
	       hostile_fail("memory grew from %lu to %lu KiB", before, after);
}

/* SendTargets, and nothing else, in a discovery session (RFC 7143, 4.3). */
static bool discovery(void)
{
	static const char *const keys[] = {NAME, "SessionType=Discovery", NULL};
	static const char all[] = "SendTargets=All", other[] = "SendTargets=iqn.2026-11.local:none";
	static const uint8_t inquiry[6] = {0x12, 0, 0, 0, 96};
	char name[300];
	struct raw r;
	struct pdu p = {0};
	struct buf b = {0};
	uint8_t *h, in[96];
	bool ok;

	snprintf(name, sizeof(name), "TargetName=%s", raw_target.iqn);
	ok = raw_connect(&r) && raw_login_step(&r, OPERATIONAL_TO_FULL, keys, &p) &&
	     get_be16(p.bhs + LOGIN_STATUS) == 0;
	raw_pdu_free(&p);
	h = raw_put_next(&r, &b, ISCSI_TEXT_REQUEST, ISCSI_FINAL, all, sizeof(all));
	put_be32(h + PDU_TTT, ISCSI_NO_TAG);
	ok = ok && raw_send(&r, &b) && raw_recv(&r, &p) == RAW_PDU &&
	     p.bhs[0] == ISCSI_TEXT_RESPONSE && raw_has_key(&p, name);
	raw_pdu_free(&p);
	if (!ok)
		hostile_fail("SendTargets=All does not show the target");
	h = raw_put_next(&r, &b, ISCSI_TEXT_REQUEST, ISCSI_FINAL, other, sizeof(other));
	put_be32(h + PDU_TTT, ISCSI_NO_TAG);
	if (ok && !(raw_send(&r, &b) && raw_recv(&r, &p) == RAW_PDU && p.len == 0))
		ok = hostile_fail("SendTargets of an unknown name is answered by something");
	raw_pdu_free(&p);
	if (ok && raw_run(&r, inquiry, sizeof(inquiry), NULL, 0, in, sizeof(in)) == 0)
		ok = hostile_fail("INQUIRY is answered in a discovery session");
	buf_free(&b);
	raw_close(&r);
	return ok;
}

/* The same initiator and ISID once more: the old session ends (RFC 7143, 6.3.5). */
static bool reinstatement(void)
{
	struct raw old, new;
	bool ok = raw_open(&old, 7) && raw_open(&new, 7);

	if (ok && !raw_drain(&old))
		ok = hostile_fail("the old session goes on");
	if (ok && !raw_ping(&new))
		ok = hostile_fail("the new session does not work");
	raw_close(&old);
	raw_close(&new);
	return ok;
}

/* A session that does not exist, and a second connection for one. */
static bool foreign_tsih(void)
{
	static const char *const keys[] = {NAME, target_key, NULL};
	struct raw r;
	struct pdu p = {0};
	struct buf b = {0}, text = {0};
	uint8_t *h;
	int status = -1;

	for (const char *const *k = keys; *k; k++)
		buf_put(&text, *k, strlen(*k) + 1);
	h = raw_put(&b, ISCSI_LOGIN_REQUEST | ISCSI_IMMEDIATE, OPERATIONAL_TO_FULL, text.data,
		    text.len);
	h[LOGIN_ISID] = 0x80;
	put_be16(h + LOGIN_TSIH, 0xbeef);
	buf_free(&text);
	if (raw_connect(&r) && raw_send(&r, &b) && raw_recv(&r, &p) == RAW_PDU)
		status = get_be16(p.bhs + LOGIN_STATUS);
	raw_pdu_free(&p);
	raw_close(&r);
	return status >> 8 == 2 || hostile_fail("status 0x%04x", (unsigned)status & 0xffff);
}

/* Sends the PDU over and over and reads no answer: the target has to stop taking it. */
static bool flood(struct raw *r, const uint8_t *bhs)
{
	static uint8_t many[ISCSI_BHS * 1024];
	struct pollfd out = {.fd = r->fd, .events = POLLOUT};
	size_t sent = 0;

	for (size_t i = 0; i < sizeof(many); i += ISCSI_BHS)
		memcpy(many + i, bhs, ISCSI_BHS);
	while (sent < FLOOD) {
		size_t at = sent % sizeof(many);
		ssize_t n = send(r->fd, many + at, sizeof(many) - at, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0 && errno == EAGAIN && poll(&out, 1, 1000) == 0)
			return true;
		if (n < 0 && errno != EAGAIN)
			return true; /* or ends the connection */
		sent += n > 0 ? (size_t)n : 0;
	}
	return hostile_fail("%zu bytes are taken, and no answer is read", sent);
}

/* Answers that nobody reads, before and after the login: their memory is bounded. */
static bool unread_answers(void)
{
	uint8_t login[ISCSI_BHS] = {ISCSI_LOGIN_REQUEST | ISCSI_IMMEDIATE,
				    ISCSI_LOGIN_CONTINUE | ISCSI_STAGE_OPERATIONAL << 2},
		snack[ISCSI_BHS] = {ISCSI_SNACK, ISCSI_FINAL};
	struct raw r;
	bool ok = raw_connect(&r) && flood(&r, login);

	raw_reset(&r);
	ok = ok && raw_open(&r, 3) && flood(&r, snack);
	raw_reset(&r);
	return ok;
}

const struct attack login_attacks[] = {
	{"logins that have to be refused", refusals},
	{"negotiation of keys", negotiation},
	{"a login text in two PDUs", continued_text},
	{"a login text without end", endless_text},
	{"every opcode before login", opcodes_before_login},
	{"huge lengths before login", huge_lengths},
	{"discovery", discovery},
	{"session reinstatement", reinstatement},
	{"a session that does not exist", foreign_tsih},
	{"answers that nobody reads", unread_answers},
	{NULL, NULL},
};
