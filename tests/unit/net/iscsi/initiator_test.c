/* SPDX-License-Identifier: BSD-2-Clause */
/* The initiator over a socket, and discovery, against scripted targets. */
#include "net/iscsi/initiator.h"

#include <errno.h>
#include <unistd.h>

#include "core/bytes.h"
#include "tests/unit/check.h"

#define TARGET	  "iqn.2026-11.local.vstor:t"
#define INITIATOR "iqn.2026-11.local.vstor:i"

enum {
	SECURITY_TO_OPERATIONAL = 0x81,
	OPERATIONAL_TO_FULL = 0x87,
};

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
	CHECK_RUN(test_socket_login);
	CHECK_RUN(test_discovery);
	CHECK_RUN(test_closed_in_login);
	CHECK_RUN(test_not_iscsi);
	return CHECK_DONE();
}
