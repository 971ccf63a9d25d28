/* SPDX-License-Identifier: BSD-2-Clause */
/* The initiator's login against scripted targets, in memory. */
#include <errno.h>
#include <stdlib.h>

#include "core/bytes.h"
#include "net/iscsi/initiator_login.h"
#include "tests/unit/check.h"

#define TARGET	  "iqn.2026-11.local.vstor:t"
#define INITIATOR "iqn.2026-11.local.vstor:i"

struct wire {
	uint8_t bhs[ISCSI_BHS];
	char text[2048];
	size_t len;
	unsigned requests;
};

static int catch_request(void *arg, const uint8_t *bhs, const void *data, size_t len)
{
	struct wire *w = arg;

	memcpy(w->bhs, bhs, ISCSI_BHS);
	memset(w->text, 0, sizeof(w->text));
	if (CHECK(len < sizeof(w->text)) && len)
		memcpy(w->text, data, len);
	w->len = len;
	w->requests++;
	return 0;
}

/* True when the request has that pair. */
static bool asked(const struct wire *w, const char *pair)
{
	for (size_t at = 0; at < w->len; at += strlen(w->text + at) + 1)
		if (strcmp(w->text + at, pair) == 0)
			return true;
	return false;
}

static void begin(struct iscsi_login *l, struct wire *w)
{
	memset(l, 0, sizeof(*l));
	memset(w, 0, sizeof(*w));
	l->id = (struct initiator_id){.initiator = INITIATOR, .target = TARGET};
	initiator_isid("192.0.2.1", 3260, l->id.isid);
	l->cmdsn = 7;
	l->send = catch_request;
	l->arg = w;
	CHECK_EQ(iscsi_login_start(l), 0);
}

/* A login response; text holds pairs that each end with a NUL. */
static int answer(struct iscsi_login *l, unsigned flags, unsigned status, unsigned tsih,
		  const char *text, size_t len)
{
	static uint32_t statsn = 41;
	uint8_t bhs[ISCSI_BHS] = {ISCSI_LOGIN_RESPONSE, (uint8_t)flags};

	put_be24(bhs + PDU_DATA_LEN, (uint32_t)len);
	put_be16(bhs + LOGIN_TSIH, (uint16_t)tsih);
	put_be32(bhs + PDU_STATSN, statsn);
	put_be16(bhs + LOGIN_STATUS, (uint16_t)status);
	return iscsi_login_input(l, bhs, (const uint8_t *)text, len);
}
#define ANSWER(l, flags, status, tsih, text) answer(l, flags, status, tsih, text, sizeof(text) - 1)

enum {
	SECURITY_TO_OPERATIONAL = 0x81,
	SECURITY_TO_FULL = 0x83,
	SECURITY_STAYS = 0x00,
	OPERATIONAL_TO_FULL = 0x87,
	OPERATIONAL_STAYS = 0x04,
	OPERATIONAL_CONTINUES = 0x44,
};

static void test_login(void)
{
	struct iscsi_login l;
	struct wire w;

	begin(&l, &w);
	CHECK_EQ(w.bhs[0], ISCSI_LOGIN_REQUEST | ISCSI_IMMEDIATE);
	CHECK_EQ(w.bhs[1], 0x81);
	CHECK_EQ(get_be24(w.bhs + PDU_DATA_LEN), w.len);
	CHECK_EQ(get_be32(w.bhs + PDU_CMDSN), 7);
	CHECK_MEM(w.bhs + LOGIN_ISID, l.id.isid, ISCSI_ISID);
	CHECK(asked(&w, "InitiatorName=" INITIATOR));
	CHECK(asked(&w, "TargetName=" TARGET));
	CHECK(asked(&w, "SessionType=Normal"));
	CHECK_EQ(ANSWER(&l, SECURITY_TO_OPERATIONAL, 0, 0,
			"TargetPortalGroupTag=3\0AuthMethod=None\0TargetAlias=x\0"),
		 0);
	CHECK_EQ(w.bhs[1], 0x87);
	CHECK_EQ(get_be32(w.bhs + PDU_EXPSTATSN), 42);
	CHECK(asked(&w, "InitialR2T=No"));
	CHECK(asked(&w, "MaxRecvDataSegmentLength=262144"));
	CHECK_EQ(ANSWER(&l, OPERATIONAL_TO_FULL, 0, 9,
			"InitialR2T=No\0ImmediateData=No\0MaxBurstLength=65536\0"
			"FirstBurstLength=131072\0MaxRecvDataSegmentLength=32768\0"
			"HeaderDigest=None\0DefaultTime2Wait=5\0"),
		 1);
	CHECK_EQ(l.tpgt, 3);
	CHECK_EQ(l.tsih, 9);
	CHECK_EQ(l.exp_statsn, 42);
	CHECK_EQ(l.params.max_send, 32768);
	CHECK_EQ(l.params.max_recv, INITIATOR_MAX_RECV);
	CHECK_EQ(l.params.max_burst, 65536);
	/* beyond the burst, which the kernel would refuse */
	CHECK_EQ(l.params.first_burst, 65536);
	CHECK_EQ(l.params.initial_r2t, false);
	CHECK_EQ(l.params.immediate_data, false);
	iscsi_login_free(&l);
}

static void test_unsaid_keeps_default(void)
{
	struct iscsi_login l;
	struct wire w;

	begin(&l, &w);
	CHECK_EQ(ANSWER(&l, SECURITY_TO_FULL, 0, 1, ""), 1);
	CHECK_EQ(l.params.initial_r2t, true);
	CHECK_EQ(l.params.max_burst, 262144);
	CHECK_EQ(l.params.first_burst, 65536);
	CHECK_EQ(l.params.max_send, 8192);
	iscsi_login_free(&l);
}

static void test_text_in_pieces(void)
{
	struct iscsi_login l;
	struct wire w;

	begin(&l, &w);
	CHECK_EQ(ANSWER(&l, SECURITY_TO_OPERATIONAL, 0, 0, ""), 0);
	CHECK_EQ(answer(&l, OPERATIONAL_CONTINUES, 0, 0, "MaxBurstLen", 11), 0);
	/* RFC 7143, 6.2: an empty request for the rest, in the same stage */
	CHECK_EQ(w.bhs[1], 0x04);
	CHECK_EQ(w.len, 0);
	CHECK_EQ(answer(&l, OPERATIONAL_TO_FULL, 0, 5, "gth=4096\0", 9), 1);
	CHECK_EQ(l.params.max_burst, 4096);
	iscsi_login_free(&l);
}

static void test_target_stays(void)
{
	struct iscsi_login l;
	struct wire w;
	int rc = 0;

	begin(&l, &w);
	CHECK_EQ(ANSWER(&l, SECURITY_STAYS, 0, 0, ""), 0);
	CHECK_EQ(w.bhs[1], 0x81);
	CHECK_EQ(ANSWER(&l, SECURITY_TO_OPERATIONAL, 0, 0, ""), 0);
	for (unsigned i = 0; i < 1000 && rc == 0; i++)
		rc = ANSWER(&l, OPERATIONAL_STAYS, 0, 0, "");
	CHECK_EQ(rc, -EPROTO);
	iscsi_login_free(&l);
}

static void test_refusals(void)
{
	static const struct {
		unsigned status;
		int err;
	} cases[] = {
		{LOGIN_AUTH_FAILED, -EACCES},
		{LOGIN_FORBIDDEN, -EACCES},
		{LOGIN_NOT_FOUND, -ENOENT},
		{LOGIN_REMOVED, -ENOENT},
		{LOGIN_TOO_MANY_CONNECTIONS, -EAGAIN},
		{LOGIN_SERVICE_UNAVAILABLE, -EAGAIN},
		{LOGIN_BAD_VERSION, -EACCES},
		{0x7fff, -EACCES},
		{LOGIN_MOVED_TEMP, -EPROTO}, /* without an address */
	};
	struct iscsi_login l;
	struct wire w;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		begin(&l, &w);
		CHECK_EQ(ANSWER(&l, 0, cases[i].status, 0, ""), cases[i].err);
		CHECK(l.error[0]);
		CHECK_EQ(w.requests, 1);
		iscsi_login_free(&l);
	}
}

static void test_moved(void)
{
	struct iscsi_login l;
	struct wire w;

	begin(&l, &w);
	CHECK_EQ(ANSWER(&l, 0, LOGIN_MOVED_PERM, 0, "TargetAddress=[fd00::2]:3261,1\0"), -EREMOTE);
	CHECK_STR(l.moved_to, "[fd00::2]:3261");
	iscsi_login_free(&l);
}

/* Nothing that a target says may lead to a session that is not as agreed. */
static void test_bad_answers(void)
{
	static const struct {
		unsigned flags, tsih;
		const char *text;
		size_t len;
		int err;
	} cases[] = {
		{OPERATIONAL_TO_FULL, 1, "", 0, -EPROTO}, /* a stage we are not in */
		{0x82, 1, "", 0, -EPROTO},		  /* the reserved stage */
		{0x80, 1, "", 0, -EPROTO},		  /* to the stage we are in */
		{SECURITY_TO_FULL, 0, "", 0, -EPROTO},	  /* no TSIH */
		{0xc1, 0, "", 0, -EPROTO},		  /* goes on and continues */
		{SECURITY_TO_OPERATIONAL, 0, "novalue\0", 8, -EPROTO},
		{SECURITY_TO_OPERATIONAL, 0, "A=unended", 9, -EPROTO},
		{SECURITY_TO_OPERATIONAL, 0, "AuthMethod=CHAP\0", 16, -EACCES},
		{SECURITY_TO_FULL, 1, "HeaderDigest=CRC32C\0", 20, -EPROTO}, /* not offered */
		{SECURITY_TO_FULL, 1, "ErrorRecoveryLevel=2\0", 21, -EPROTO},
		{SECURITY_TO_FULL, 1, "MaxBurstLength=99999999999\0", 27, -EPROTO},
	};
	struct iscsi_login l;
	struct wire w;
	uint8_t nop[ISCSI_BHS] = {ISCSI_NOP_IN};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		begin(&l, &w);
		if (!CHECK_EQ(answer(&l, cases[i].flags, 0, cases[i].tsih, cases[i].text,
				     cases[i].len),
			      cases[i].err))
			printf("# case %zu\n", i);
		CHECK(l.error[0]);
		iscsi_login_free(&l);
	}
	begin(&l, &w);
	CHECK_EQ(iscsi_login_input(&l, nop, NULL, 0), -EPROTO);
	iscsi_login_free(&l);
}

static void begin_chap(struct iscsi_login *l, struct wire *w, bool mutual)
{
	memset(l, 0, sizeof(*l));
	memset(w, 0, sizeof(*w));
	l->id = (struct initiator_id){.initiator = INITIATOR, .target = TARGET};
	l->id.chap = (struct chap_credentials){.user = "u", .secret = "secretsecret"};
	if (mutual) {
		l->id.chap.mutual_user = "t";
		l->id.chap.mutual_secret = "othersecret1";
	}
	l->send = catch_request;
	l->arg = w;
	CHECK_EQ(iscsi_login_start(l), 0);
}

/* As far as our response. */
static void challenge(struct iscsi_login *l, struct wire *w)
{
	CHECK_EQ(ANSWER(l, SECURITY_STAYS, 0, 0, "AuthMethod=CHAP\0"), 0);
	CHECK_EQ(w->bhs[1], 0x00);
	CHECK(asked(w, "CHAP_A=8,7,6,5"));
	CHECK_EQ(ANSWER(l, SECURITY_STAYS, 0, 0,
			"CHAP_A=5\0CHAP_I=7\0CHAP_C=0x6368616c6c656e6765\0"),
		 0);
	CHECK_EQ(w->bhs[1], 0x81);
	CHECK(asked(w, "CHAP_N=u"));
	CHECK(asked(w, "CHAP_R=0x86c83b16dc3ccdec6e4c7abd9ec85125"));
}

static void test_chap(void)
{
	struct iscsi_login l;
	struct wire w;

	begin_chap(&l, &w, false);
	CHECK_EQ(w.bhs[1], 0x00);
	CHECK(asked(&w, "AuthMethod=CHAP,None"));
	challenge(&l, &w);
	CHECK_EQ(ANSWER(&l, SECURITY_TO_OPERATIONAL, 0, 0, ""), 0);
	CHECK_EQ(ANSWER(&l, OPERATIONAL_TO_FULL, 0, 1, ""), 1);
	iscsi_login_free(&l);

	/* a target that wants none */
	begin_chap(&l, &w, false);
	CHECK_EQ(ANSWER(&l, SECURITY_STAYS, 0, 0, "AuthMethod=None\0"), 0);
	CHECK_EQ(w.bhs[1], 0x81);
	CHECK_EQ(ANSWER(&l, SECURITY_TO_OPERATIONAL, 0, 0, ""), 0);
	iscsi_login_free(&l);

	begin_chap(&l, &w, false);
	challenge(&l, &w);
	CHECK_EQ(ANSWER(&l, 0, LOGIN_AUTH_FAILED, 0, ""), -EACCES);
	iscsi_login_free(&l);
}

/* The target's answer to our challenge in w. */
static int show_target(struct iscsi_login *l, const struct wire *w, const char *name,
		       const char *secret)
{
	uint8_t theirs[CHAP_DIGEST_MAX], c[CHAP_CHALLENGE_MAX];
	char pairs[256], text[CHAP_TEXT_MAX];
	const char *id = NULL, *value = NULL;
	int n;

	for (size_t at = 0; at < w->len; at += strlen(w->text + at) + 1) {
		if (strncmp(w->text + at, "CHAP_I=", 7) == 0)
			id = w->text + at + 7;
		if (strncmp(w->text + at, "CHAP_C=", 7) == 0)
			value = w->text + at + 7;
	}
	if (!CHECK(id && value))
		return 0;
	n = chap_decode(value, c, sizeof(c));
	chap_response(CHAP_MD5, (uint8_t)atoi(id), secret, c, (size_t)n, theirs);
	n = snprintf(pairs, sizeof(pairs), "CHAP_N=%s%cCHAP_R=%s", name, 0,
		     chap_encode(theirs, chap_digest_len(CHAP_MD5), text));
	return answer(l, SECURITY_TO_OPERATIONAL, 0, 0, pairs, (size_t)n + 1);
}

static void test_mutual_chap(void)
{
	struct iscsi_login l;
	struct wire w;

	begin_chap(&l, &w, true);
	CHECK(asked(&w, "AuthMethod=CHAP"));
	challenge(&l, &w);
	CHECK_EQ(show_target(&l, &w, "t", "othersecret1"), 0);
	iscsi_login_free(&l);

	begin_chap(&l, &w, true);
	challenge(&l, &w);
	CHECK_EQ(show_target(&l, &w, "t", "wrongsecret1"), -EACCES);
	iscsi_login_free(&l);

	begin_chap(&l, &w, true);
	challenge(&l, &w);
	CHECK_EQ(show_target(&l, &w, "x", "othersecret1"), -EACCES);
	iscsi_login_free(&l);

	/* going on without having shown anything */
	begin_chap(&l, &w, true);
	challenge(&l, &w);
	CHECK_EQ(ANSWER(&l, SECURITY_TO_OPERATIONAL, 0, 0, ""), -EACCES);
	iscsi_login_free(&l);

	begin_chap(&l, &w, true);
	CHECK_EQ(ANSWER(&l, SECURITY_STAYS, 0, 0, "AuthMethod=None\0"), -EACCES);
	iscsi_login_free(&l);

	begin_chap(&l, &w, true);
	CHECK_EQ(ANSWER(&l, SECURITY_TO_FULL, 0, 1, ""), -EACCES);
	iscsi_login_free(&l);
}

/* tgtd takes SHA-256's number for SHA-1's. */
static void test_chap_again(void)
{
	struct iscsi_login l;
	struct wire w;

	begin_chap(&l, &w, false);
	CHECK_EQ(ANSWER(&l, SECURITY_STAYS, 0, 0, "AuthMethod=CHAP\0"), 0);
	CHECK_EQ(ANSWER(&l, SECURITY_STAYS, 0, 0, "CHAP_A=7\0CHAP_I=7\0CHAP_C=0x00\0"), 0);
	CHECK_EQ(ANSWER(&l, 0, LOGIN_INITIATOR_ERROR, 0, ""), -ERESTART);
	CHECK(l.id.chap.without_sha256);
	iscsi_login_free(&l);
}

static void test_bad_chap(void)
{
	static const struct {
		const char *text;
		size_t len;
	} cases[] = {
#define CASE(t) {t, sizeof(t) - 1}
		CASE(""),
		CASE("CHAP_A=5\0CHAP_I=7\0"),
		CASE("CHAP_A=4\0CHAP_I=7\0CHAP_C=0x00\0"),
		CASE("CHAP_A=5\0CHAP_I=256\0CHAP_C=0x00\0"),
		CASE("CHAP_A=5\0CHAP_I=7\0CHAP_C=\0"),
		CASE("CHAP_A=5\0CHAP_I=7\0CHAP_C=zz\0"),
#undef CASE
	};
	struct iscsi_login l;
	struct wire w;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		begin_chap(&l, &w, false);
		CHECK_EQ(ANSWER(&l, SECURITY_STAYS, 0, 0, "AuthMethod=CHAP\0"), 0);
		CHECK_EQ(answer(&l, SECURITY_STAYS, 0, 0, cases[i].text, cases[i].len), -EPROTO);
		iscsi_login_free(&l);
	}
	/* broken off between question and answer */
	begin_chap(&l, &w, false);
	CHECK_EQ(ANSWER(&l, SECURITY_STAYS, 0, 0, "AuthMethod=CHAP\0"), 0);
	CHECK_EQ(ANSWER(&l, SECURITY_TO_FULL, 0, 1, ""), -EPROTO);
	iscsi_login_free(&l);
}

static void test_names(void)
{
	uint8_t a[ISCSI_ISID], b[ISCSI_ISID];
	char name[ISCSI_NAME + 1];

	initiator_isid("192.0.2.1", 3260, a);
	initiator_isid("192.0.2.1", 3260, b);
	CHECK_MEM(a, b, ISCSI_ISID);
	CHECK_EQ(a[0], 0x80);
	initiator_isid("192.0.2.2", 3260, b);
	CHECK(memcmp(a, b, ISCSI_ISID) != 0);
	initiator_default_name(name);
	CHECK(iscsi_name_valid(name));
}

int main(void)
{
	CHECK_RUN(test_login);
	CHECK_RUN(test_unsaid_keeps_default);
	CHECK_RUN(test_text_in_pieces);
	CHECK_RUN(test_target_stays);
	CHECK_RUN(test_refusals);
	CHECK_RUN(test_moved);
	CHECK_RUN(test_bad_answers);
	CHECK_RUN(test_chap);
	CHECK_RUN(test_mutual_chap);
	CHECK_RUN(test_chap_again);
	CHECK_RUN(test_bad_chap);
	CHECK_RUN(test_names);
	return CHECK_DONE();
}
