/* The initiator's login against scripted targets, in memory and over a socket. */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/bytes.h"
#include "net/iscsi/initiator.h"
#include "tests/unit/check.h"

#define TARGET	  "iqn.2026-11.local.vstor:t"
#define INITIATOR "iqn.2026-11.local.vstor:i"

/* ---- the login in memory -------------------------------------------------------------------- */

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

/* ---- over a socket -------------------------------------------------------------------------- */

/* A target that answers each request with the next PDU of its script, one byte a write. */
struct script {
	struct loop *loop;
	struct sock_listener listener;
	struct loop_fd w;
	struct buf in;
	const struct script_pdu {
		uint8_t opcode, flags;
		uint16_t tsih;
		const char *text;
		size_t len;
	} * pdus;
	size_t n, next;
	uint32_t statsn;
};

static void reply(struct script *s)
{
	const struct script_pdu *p = &s->pdus[s->next++];
	uint8_t pdu[ISCSI_BHS + 512] = {p->opcode, p->flags};
	size_t total = ISCSI_BHS + iscsi_pad((uint32_t)p->len);

	put_be24(pdu + PDU_DATA_LEN, (uint32_t)p->len);
	if (p->opcode == ISCSI_LOGIN_RESPONSE)
		put_be16(pdu + LOGIN_TSIH, p->tsih);
	else
		put_be32(pdu + PDU_TTT, p->flags & ISCSI_FINAL ? ISCSI_NO_TAG : 77);
	put_be32(pdu + PDU_STATSN, s->statsn++);
	memcpy(pdu + ISCSI_BHS, p->text, p->len);
	for (size_t i = 0; i < total; i++)
		CHECK_EQ(write(s->w.fd, pdu + i, 1), 1);
}

static void on_request(void *arg, unsigned events)
{
	struct script *s = arg;
	uint8_t *p = buf_reserve(&s->in, 4096);
	ssize_t n = read(s->w.fd, p, 4096);

	(void)events;
	if (n <= 0) {
		loop_fd_del(s->loop, &s->w);
		close(s->w.fd);
		s->in.len = 0;
		return;
	}
	s->in.len += (size_t)n;
	while (s->in.len >= ISCSI_BHS) {
		size_t total = ISCSI_BHS + iscsi_pad(get_be24(s->in.data + PDU_DATA_LEN));

		if (s->in.len < total)
			break;
		buf_drop(&s->in, total);
		if (s->next < s->n) {
			reply(s);
		} else {
			loop_fd_del(s->loop, &s->w);
			close(s->w.fd);
			break;
		}
	}
}

static void on_accept(void *arg, int fd, const struct sock_addr *peer)
{
	struct script *s = arg;

	(void)peer;
	sock_nodelay(fd);
	CHECK_EQ(loop_fd_add(s->loop, &s->w, fd, LOOP_READ, on_request, s), 0);
}

static void on_done(void *arg, int err)
{
	loop_stop(arg, err);
}

/* Runs a login against the script; the target's name is NULL for a discovery. */
static int run_script(struct initiator *i, const char *target, const struct script_pdu *pdus,
		      size_t n)
{
	struct script s = {.loop = loop_new(), .pdus = pdus, .n = n, .statsn = 100};
	struct initiator_id id = {.initiator = INITIATOR, .target = target};
	struct sock_addrs to;
	int rc;

	CHECK_EQ(sock_listen(s.loop, &s.listener, "127.0.0.1", 0, on_accept, &s), 0);
	CHECK_EQ(sock_resolve("127.0.0.1", sock_listen_port(&s.listener), &to), 0);
	initiator_start(i, s.loop, &id, &to, 20 * SEC_NS, on_done, s.loop);
	rc = loop_run(s.loop);
	if (s.w.on) {
		loop_fd_del(s.loop, &s.w);
		close(s.w.fd);
	}
	sock_listen_close(&s.listener);
	buf_free(&s.in);
	loop_free(s.loop);
	return rc;
}

#define LOGIN(flags, tsih, text)                                                                   \
	{                                                                                          \
		ISCSI_LOGIN_RESPONSE, flags, tsih, text, sizeof(text) - 1                          \
	}
#define TEXT(flags, text)                                                                          \
	{                                                                                          \
		ISCSI_TEXT_RESPONSE, flags, 0, text, sizeof(text) - 1                              \
	}

static void test_socket_login(void)
{
	static const struct script_pdu pdus[] = {
		LOGIN(SECURITY_TO_OPERATIONAL, 0, "TargetPortalGroupTag=1\0"),
		LOGIN(OPERATIONAL_TO_FULL, 4, "MaxRecvDataSegmentLength=65536\0"),
	};
	struct initiator i;

	if (CHECK_EQ(run_script(&i, TARGET, pdus, ARRAY_SIZE(pdus)), 0)) {
		CHECK_EQ(i.login.exp_statsn, 102);
		CHECK_EQ(i.login.tsih, 4);
		CHECK(i.fd >= 0);
	}
	initiator_fini(&i);
}

static void test_discovery(void)
{
	static const struct script_pdu pdus[] = {
		LOGIN(SECURITY_TO_OPERATIONAL, 0, ""),
		LOGIN(OPERATIONAL_TO_FULL, 0, ""),
		TEXT(0x40, "TargetName=iqn.2026-11.local.vstor:a\0TargetAdd"),
		TEXT(0x80, "ress=192.0.2.7:3261,1\0TargetAddress=[fd00::7]:3260,2\0"
			   "TargetName=iqn.2026-11.local.vstor:b\0"),
		{ISCSI_LOGOUT_RESPONSE, 0x80, 0, "", 0},
	};
	struct found_target t;
	struct initiator i;
	size_t at = 0;

	if (CHECK_EQ(run_script(&i, NULL, pdus, ARRAY_SIZE(pdus)), 0)) {
		CHECK(initiator_found_next(&i, &at, &t));
		CHECK_STR(t.name, "iqn.2026-11.local.vstor:a");
		CHECK_STR(t.portal, "192.0.2.7:3261");
		CHECK(initiator_found_next(&i, &at, &t));
		CHECK_STR(t.portal, "[fd00::7]:3260");
		CHECK(initiator_found_next(&i, &at, &t));
		CHECK_STR(t.name, "iqn.2026-11.local.vstor:b");
		/* no address of its own: where we asked */
		CHECK(strncmp(t.portal, "127.0.0.1:", 10) == 0);
		CHECK(!initiator_found_next(&i, &at, &t));
		CHECK_EQ(i.fd, -1);
	}
	initiator_fini(&i);
}

static void test_closed_in_login(void)
{
	static const struct script_pdu pdus[] = {LOGIN(SECURITY_TO_OPERATIONAL, 0, "")};
	struct initiator i;

	CHECK_EQ(run_script(&i, TARGET, pdus, ARRAY_SIZE(pdus)), -ECONNRESET);
	CHECK(strstr(i.error, "127.0.0.1:"));
	CHECK_EQ(i.fd, -1);
	initiator_fini(&i);
}

static void test_not_iscsi(void)
{
	static const struct script_pdu pdus[] = {
		{'H', 'T', 0, "P/1.1 400 Bad Request\r\n\r\n", 25}};
	struct initiator i;

	CHECK_EQ(run_script(&i, TARGET, pdus, ARRAY_SIZE(pdus)), -EPROTO);
	initiator_fini(&i);
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
	CHECK_RUN(test_names);
	CHECK_RUN(test_socket_login);
	CHECK_RUN(test_discovery);
	CHECK_RUN(test_closed_in_login);
	CHECK_RUN(test_not_iscsi);
	return CHECK_DONE();
}
