/* SPDX-License-Identifier: BSD-2-Clause */
/* The rules of sessions and of task management. */
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "core/loop.h"
#include "tests/iscsi/rules.h"

#define SPAN   32768u /* blocks of a write that does, the most that are taken */
#define WRITES 8u
#define OTHER  1  /* the large LUN */
#define TURNS  40 /* tries of what is a race */

/* Logs in with this TSIH and CID; the status, or -1. */
static int join(struct raw *r, const char *name, uint16_t tsih, uint16_t cid, uint16_t *got)
{
	char initiator[128], target[256];
	struct buf b = {0}, text = {0};
	struct pdu p = {0};
	int status = -1;
	uint8_t *h;

	if (!raw_connect(r))
		return -1;
	snprintf(initiator, sizeof(initiator), "InitiatorName=%s", name);
	snprintf(target, sizeof(target), "TargetName=%s", raw_target.iqn);
	buf_put(&text, initiator, strlen(initiator) + 1);
	buf_put(&text, target, strlen(target) + 1);
	h = raw_put(&b, ISCSI_LOGIN_REQUEST | ISCSI_IMMEDIATE, ISCSI_LOGIN_TRANSIT | 1 << 2 | 3,
		    text.data, text.len);
	buf_free(&text);
	h[LOGIN_ISID] = 0x80;
	put_be16(h + LOGIN_TSIH, tsih);
	put_be16(h + LOGIN_CID, cid);
	put_be32(h + PDU_CMDSN, r->cmdsn);
	if (raw_send(r, &b) && raw_recv(r, &p) == RAW_PDU) {
		status = get_be16(p.bhs + LOGIN_STATUS);
		*got = get_be16(p.bhs + LOGIN_TSIH);
	}
	raw_pdu_free(&p);
	return status;
}

/* A login with the TSIH of a session (6.3.1): its connection anew, but no second one. */
bool second_connection(void)
{
	static const char name[] = "iqn.2026-11.local.test:second";
	static const char capitals[] = "iqn.2026-11.local.test:SECOND";
	uint16_t tsih = 0, got = 0;
	struct raw a, b;
	bool ok = join(&a, name, 0, 1, &tsih) == 0 && tsih;

	ok = ok && join(&b, name, tsih, 2, &got) == LOGIN_TOO_MANY_CONNECTIONS;
	raw_close(&b);
	ok = ok && join(&b, name, (uint16_t)(tsih + 77), 1, &got) == LOGIN_NO_SESSION;
	raw_close(&b);
	ok = ok && join(&b, "iqn.2026-11.local.test:third", tsih, 1, &got) == LOGIN_NO_SESSION;
	raw_close(&b);
	ok = ok && (raw_ping(&a) || rules_fail("the session has ended"));
	ok = ok && join(&b, capitals, tsih, 1, &got) == 0 && got == tsih && raw_drain(&a) &&
	     raw_ping(&b);
	raw_close(&a);
	raw_close(&b);
	return ok;
}

/* Names are the same in any case (4.2.7.1): the session is reinstated. */
bool name_in_capitals(void)
{
	struct pdu p = {0};
	struct raw a, b;
	bool ok = raw_connect(&a) && raw_login(&a, "iqn.2026-11.local.test:Case", NULL, &p);

	raw_pdu_free(&p);
	ok = ok && raw_connect(&b) && raw_login(&b, "iqn.2026-11.LOCAL.test:case", NULL, &p) &&
	     raw_drain(&a) && raw_ping(&b);
	raw_pdu_free(&p);
	raw_close(&a);
	raw_close(&b);
	return ok;
}

/* ---- what both of the next use: commands that end late ---- */

/* Writes to the other LUN that take their time. */
static void put_long_writes(struct raw *r, struct buf *b, uint8_t value)
{
	uint8_t cdb[10], block[BLOCK];

	memset(block, value, sizeof(block));
	for (unsigned i = 0; i < WRITES; i++) {
		raw_rw10(cdb, true, i * SPAN, SPAN);
		cdb[0] = 0x41; /* WRITE SAME */
		raw_put_command(r, b, cdb, 10, ISCSI_CMD_WRITE, BLOCK, block, BLOCK)[PDU_LUN + 1] =
			OTHER;
	}
}

/* Takes the attention of the other LUN. */
static bool other_ready(struct raw *r)
{
	uint8_t cdb[10], block[BLOCK], lun = raw_target.lun;
	bool ok;

	raw_rw10(cdb, false, 0, 1);
	raw_target.lun = OTHER;
	ok = raw_run(r, cdb, 10, NULL, 0, block, BLOCK) == 0;
	raw_target.lun = lun;
	return ok;
}

/* ---- the end ---- */

/* Answers are not lost because more has been sent than is read (RFC 1122, 4.2.2.13): behind a
 * logout there is its answer, then the end. Who goes on in spite of that is cut off in time. */
bool ends_in_order(void)
{
	static const uint8_t much[65536];
	struct pollfd reset = {.events = 0};
	uint64_t deadline;
	struct raw r;
	struct buf b = {0};
	struct pdu p = {0};
	uint8_t byte;
	bool ok = rules_enter(&r, 11, NULL);

	raw_put_next(&r, &b, ISCSI_LOGOUT_REQUEST | ISCSI_IMMEDIATE, ISCSI_FINAL, NULL, 0);
	for (unsigned i = 0; i < 32; i++)
		raw_put_next(&r, &b, ISCSI_NOP_OUT | ISCSI_IMMEDIATE, ISCSI_FINAL, much,
			     sizeof(much));
	ok = ok && (raw_send(&r, &b) || rules_fail("not all is taken"));
	ok = ok && (raw_recv(&r, &p) == RAW_PDU || rules_fail("no answer")) &&
	     p.bhs[0] == ISCSI_LOGOUT_RESPONSE;
	raw_pdu_free(&p);
	ok = ok && recv(r.fd, &byte, 1, 0) == 0;
	reset.fd = r.fd;
	ok = ok && (poll(&reset, 1, 200) == 0 || rules_fail("a reset"));
	deadline = clock_ns() + RAW_LIMIT * MS_NS;
	while (ok && send(r.fd, much, 1, MSG_NOSIGNAL) == 1)
		ok = (poll(NULL, 0, 20), clock_ns() < deadline) || rules_fail("it is never closed");
	raw_close(&r);
	return ok;
}

/* ---- reinstatement ---- */

/* The status of the command that has been sent last, behind others; -1: the connection fails. */
static int last_status(struct raw *r)
{
	for (;;) {
		int status = -2;
		struct pdu p;

		if (raw_recv(r, &p) != RAW_PDU)
			return -1;
		if (get_be32(p.bhs + PDU_ITT) == r->itt)
			status = p.bhs[0] == ISCSI_SCSI_RESPONSE ? p.bhs[RESP_STATUS] : -1;
		raw_pdu_free(&p);
		if (status != -2)
			return status;
	}
}

/* What its old session has reserved is not in the way of the new one (SAM-5, 6.3.4), though that
 * one's commands end late. */
bool reservation_ends(void)
{
	static const uint8_t test_unit_ready[6], reserve[6] = {0x16};
	struct raw a, b;
	struct buf o = {0};
	int status = -1;
	bool ok = rules_enter(&a, 10, NULL) && other_ready(&a) &&
		  raw_run(&a, reserve, 6, NULL, 0, NULL, 0) == 0;

	put_long_writes(&a, &o, 'r');
	ok = ok && raw_send(&a, &o) && raw_ping(&a) && rules_log_in(&b, 10, NULL);
	if (ok) { /* the first one takes the unit attention */
		raw_put_command(&b, &o, test_unit_ready, 6, 0, 0, NULL, 0);
		raw_put_command(&b, &o, test_unit_ready, 6, 0, 0, NULL, 0);
		status = raw_send(&b, &o) ? last_status(&b) : -1;
		raw_close(&b);
	}
	raw_close(&a);
	if (status)
		printf("# status %d\n", status);
	return status == 0;
}

/* ---- task management ---- */

static uint32_t put_function(struct raw *r, struct buf *b, uint8_t function, uint8_t lun)
{
	uint8_t *h = raw_put_next(r, b, ISCSI_TMF_REQUEST | ISCSI_IMMEDIATE,
				  (uint8_t)(ISCSI_FINAL | function), NULL, 0);

	h[PDU_LUN + 1] = lun;
	put_be32(h + TMF_RTT, ISCSI_NO_TAG);
	return r->itt;
}

/* The tag of the next answer to a task management function; ISCSI_NO_TAG: there is none. */
static uint32_t function_done(struct raw *r)
{
	for (;;) {
		uint32_t itt = ISCSI_NO_TAG;
		struct pdu p;
		bool done;

		if (raw_recv(r, &p) != RAW_PDU)
			return itt;
		done = p.bhs[0] == ISCSI_TMF_RESPONSE;
		if (done && p.bhs[TMF_RESPONSE] == TMF_COMPLETE)
			itt = get_be32(p.bhs + PDU_ITT);
		raw_pdu_free(&p);
		if (done)
			return itt;
	}
}

/* A function is answered when what it aborted has ended (11.5.1): a write that begins after the
 * answer is not overwritten by an aborted one. `function`: which; by `other` for all sessions. */
static bool aborted_are_over(uint8_t function, bool by_other)
{
	for (unsigned turn = 0; turn < TURNS; turn++) {
		uint8_t cdb[10], barrier[16] = {0x89}, want[2 * BLOCK], got[BLOCK];
		struct raw a, b;
		struct buf o = {0};
		bool ok = rules_enter(&a, 7, NULL) && rules_enter(&b, 8, NULL) && other_ready(&a) &&
			  other_ready(&b);
		struct raw *who = by_other ? &b : &a;

		put_long_writes(&a, &o, 'a');
		ok = ok && raw_send(&a, &o);
		if (by_other)
			ok = ok && raw_ping(&a); /* they have come */
		put_function(who, &o, function, OTHER);
		ok = ok && raw_send(who, &o) && function_done(who) != ISCSI_NO_TAG;
		raw_target.lun = OTHER;
		memset(want, 'b', sizeof(want));
		barrier[13] = 1;
		for (unsigned i = 0; i < WRITES && ok; i++) {
			raw_rw10(cdb, true, (i + 1) * SPAN - 1, 1);
			ok = raw_run(&b, cdb, 10, want, BLOCK, NULL, 0) == 0;
		}
		/* COMPARE AND WRITE waits for all that runs. */
		ok = ok && raw_run(&b, barrier, 16, want, 2 * BLOCK, NULL, 0) >= 0;
		for (unsigned i = 0; i < WRITES && ok; i++) {
			raw_rw10(cdb, false, (i + 1) * SPAN - 1, 1);
			ok = raw_run(&b, cdb, 10, NULL, 0, got, BLOCK) == 0 &&
			     (memcmp(got, want, BLOCK) == 0 ||
			      rules_fail("an aborted write comes after a later one"));
		}
		raw_target.lun = 0;
		raw_close(&a);
		raw_close(&b);
		if (!ok)
			return false;
	}
	return true;
}

bool abort_is_over(void)
{
	return aborted_are_over(TMF_ABORT_TASK_SET, false);
}

bool reset_is_over(void)
{
	return aborted_are_over(TMF_LUN_RESET, true);
}

/* A function on one LUN does not wait for what another one has aborted on another: it may overtake
 * it, and does at least once. */
bool functions_apart(void)
{
	struct raw r;
	bool overtaken = false, ok = rules_enter(&r, 9, NULL) && other_ready(&r);

	for (unsigned turn = 0; ok && turn < TURNS && !overtaken; turn++) {
		struct buf b = {0};
		uint32_t first, second, answer[2];

		put_long_writes(&r, &b, 'c');
		first = put_function(&r, &b, TMF_ABORT_TASK_SET, OTHER);
		second = put_function(&r, &b, TMF_ABORT_TASK_SET, 0);
		ok = raw_send(&r, &b);
		for (unsigned i = 0; i < 2 && ok; i++) {
			answer[i] = function_done(&r);
			ok = answer[i] == first || answer[i] == second;
		}
		overtaken = ok && answer[0] == second;
	}
	raw_close(&r);
	return ok && (overtaken || rules_fail("it always waits"));
}

/* One that another session's function has ended gets TASK ABORTED (SAM-5, 5.6), no silence, and is
 * not done; before the function's own answer, as far as it had begun (RFC 7143, 4.2.3.3). */
static bool others_are_told(uint8_t function, bool attention)
{
	static const uint8_t test_unit_ready[6];
	uint8_t cdb[10], data[2 * BLOCK], got[BLOCK], caw[16] = {0x89};
	uint32_t first, waiting;
	unsigned answered = 0;
	int status = -1;
	struct raw a, b;
	struct buf o = {0};
	struct pdu r2t = {0}, p;
	bool ok = rules_enter(&a, 12, NULL) && rules_enter(&b, 13, NULL) && other_ready(&a) &&
		  other_ready(&b);

	memset(data, 'w', sizeof(data));
	first = a.itt + 1;
	raw_target.lun = OTHER;
	raw_rw10(cdb, true, WRITES * SPAN, 1);
	raw_put_command(&a, &o, cdb, 10, ISCSI_CMD_WRITE, BLOCK, NULL, 0);
	waiting = a.itt;
	ok = ok && raw_send(&a, &o) && raw_recv(&a, &r2t) == RAW_PDU && r2t.bhs[0] == ISCSI_R2T;
	put_long_writes(&a, &o, 't');
	caw[13] = 1;
	raw_put_command(&a, &o, caw, 16, ISCSI_CMD_WRITE, sizeof(data), data, sizeof(data));
	ok = ok && raw_send(&a, &o);
	raw_put_next(&a, &o, ISCSI_NOP_OUT | ISCSI_IMMEDIATE, ISCSI_FINAL, NULL, 0);
	/* its answer comes before those of what runs, and tells that all of them have come */
	for (bool come = false; ok && !come; raw_pdu_free(&p)) {
		ok = (!o.len || raw_send(&a, &o)) && raw_recv(&a, &p) == RAW_PDU;
		come = p.bhs[0] == ISCSI_NOP_IN;
		answered += ok && !come;
	}
	put_function(&b, &o, function, OTHER);
	ok = ok && raw_send(&b, &o) && function_done(&b) != ISCSI_NO_TAG;
	raw_put_next(&a, &o, ISCSI_NOP_OUT | ISCSI_IMMEDIATE, ISCSI_FINAL, NULL, 0);
	ok = ok && raw_send(&a, &o);
	for (bool pong = false; ok && !pong; raw_pdu_free(&p)) {
		ok = raw_recv(&a, &p) == RAW_PDU;
		pong = p.bhs[0] == ISCSI_NOP_IN;
		answered += ok && p.bhs[0] == ISCSI_SCSI_RESPONSE;
		if (ok && get_be32(p.bhs + PDU_ITT) == waiting)
			status = p.bhs[RESP_STATUS];
	}
	if (ok && (status != 0x40 || answered != a.itt - first - 1)) {
		printf("# status %d, %u answers\n", status, answered);
		ok = false;
	}
	/* What comes of it late is nobody's. */
	ok = ok && raw_send_data(&a, &r2t, data, BLOCK);
	raw_put_command(&a, &o, test_unit_ready, 6, 0, 0, NULL, 0);
	ok = ok && raw_send(&a, &o) && last_status(&a) == (attention ? 2 : 0);
	raw_rw10(cdb, false, WRITES * SPAN, 1);
	ok = ok && raw_run(&b, cdb, 10, NULL, 0, got, BLOCK) == 0 && got[0] != 'w';
	raw_target.lun = 0;
	raw_pdu_free(&r2t);
	raw_close(&a);
	raw_close(&b);
	return ok;
}

/* As TAS of the control mode page says (SPC-4, 7.5.8). */
bool aborted_are_told(void)
{
	static const uint8_t sense[6] = {0x1a, 8, 0x0a, 0, 64, 0};
	uint8_t page[64] = {0};
	struct raw r;
	bool ok = rules_enter(&r, 12, NULL) &&
		  raw_run(&r, sense, 6, NULL, 0, page, sizeof(page)) == 0 &&
		  (page[4 + 5] & 0x40 || rules_fail("TAS is not set"));

	raw_close(&r);
	return ok && others_are_told(TMF_LUN_RESET, true) &&
	       others_are_told(TMF_CLEAR_TASK_SET, false);
}
