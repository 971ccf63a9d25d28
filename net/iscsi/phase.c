/* SPDX-License-Identifier: BSD-2-Clause */
/* The full feature phase: what each PDU is, and whether it may come now. */
#include <string.h>

#include "core/log.h"
#include "net/iscsi/crowd.h"
#include "net/iscsi/phase.h"
#include "storage/scsi/limits.h"

#define DISCOVERY_IDLE (30 * SEC_NS)

/*
 * May a further PDU be taken that brings so many bytes under way? What waits to be sent counts: a
 * peer that does not read must not make us hold more and more for it.
 */
static bool admit(struct conn *c, uint32_t bytes)
{
	struct target_server *s = c->server;
	struct conn **p;
	if (c->waits) {
		c->stalled = true; /* until that one ends */
		return false;
	}
	if (c->in_bytes == 0)
		return true; /* nobody is starved by others */
	if (c->in_bytes + bytes > CONN_BYTES_MAX) {
		c->stalled = true; /* until some of its own are gone */
		return false;
	}
	if (s->in_bytes + bytes <= SERVER_BYTES_MAX)
		return true;
	c->stalled = true;
	for (p = &s->stalled; *p && *p != c; p = &(*p)->stalled_next)
		;
	if (!*p) {
		c->stalled_next = NULL;
		*p = c;
	}
	return false;
}

static bool attention_pending(struct conn *c, const uint8_t *lun)
{
	int number = iscsi_lun_get(lun);
	const struct session_lun *l = number < 0 ? NULL : session_lun_find(c, (unsigned)number);
	return !l || l->nexus.ua_n;
}

static bool command(struct conn *c, const uint8_t *bhs, uint8_t *data, uint32_t len,
		    struct chunk *chunk)
{
	uint32_t edtl = get_be32(bhs + CMD_EDTL);
	bool write = bhs[1] & ISCSI_CMD_WRITE, final = bhs[1] & ISCSI_FINAL, full;
	struct task *t;

	if (!c->target) {
		conn_protocol_error(c, bhs, "SCSI command in a discovery session");
		return true;
	}
	if (task_find(c, get_be32(bhs + PDU_ITT))) {
		conn_reject(c, bhs, REJECT_TASK_IN_PROGRESS);
		return true;
	}
	/* The window holds back all but what is marked for immediate delivery (4.2.2.1). */
	if (c->tasks >= QUEUE_DEPTH && bhs[0] & ISCSI_IMMEDIATE) {
		conn_reject(c, bhs, REJECT_IMMEDIATE);
		return true;
	}
	if (len &&
	    (!write || !c->params.immediate_data || len > edtl || len > c->params.first_burst)) {
		conn_protocol_error(c, bhs, "immediate data that was not agreed on");
		return true;
	}
	if (write && !final && c->params.initial_r2t) {
		conn_protocol_error(c, bhs, "unsolicited data that was not agreed on");
		return true;
	}
	full = len && gather_full(c);
	t = task_new(c, bhs);
	if (t && full) {
		task_refuse(t);
		return true;
	}
	if (!t || !gather_add(&t->out, c, data, len, chunk, false)) {
		if (t)
			task_free(t);
		log_error("%s: out of memory; dropped", conn_name(c));
		conn_close(c);
		return true;
	}
	if (t->read && !crowd_lets(c, c->server->in_bytes, MIN(edtl, LIMIT_TRANSFER_BYTES))) {
		task_refuse(t);
		return true;
	}
	if (t->read) {
		t->in_bytes = MIN(edtl, LIMIT_TRANSFER_BYTES);
		conn_in_bytes(c, t->in_bytes);
	}
	memcpy(t->cmd.cdb, bhs + CMD_CDB, SCSI_CDB_MAX);
	t->orphan = !session_lun_meant(c, iscsi_lun_get(t->lun), t->cmd.cdb[0]);
	t->cmd.attention_over = write && edtl > len && !attention_pending(c, t->lun);
	t->solicited = write ? MIN(edtl, c->params.first_burst) : 0;
	if (write && (t->read || edtl > LIMIT_TRANSFER_BYTES))
		/* Before any of it is gathered; no command here goes both ways. */
		task_fail(t, SENSE_ILLEGAL_REQUEST, ASC_INVALID_FIELD_IN_CDB);
	else
		data_out_advance(t, final || !write);
	return true;
}

/* ---- NOP and logout ---- */

static void nop_out(struct conn *c, const uint8_t *bhs, const uint8_t *data, uint32_t len)
{
	uint8_t *echo, *r;
	if (get_be32(bhs + PDU_ITT) == ISCSI_NO_TAG)
		return;
	len = MIN(len, c->params.max_send);
	r = conn_pdu(c, ISCSI_NOP_IN, len, &echo);
	if (!r)
		return;
	r[1] = ISCSI_FINAL;
	memcpy(r + PDU_LUN, bhs + PDU_LUN, 8);
	memcpy(r + PDU_ITT, bhs + PDU_ITT, 4);
	put_be32(r + PDU_TTT, ISCSI_NO_TAG);
	if (len)
		memcpy(echo, data, len);
	conn_send_pdu(c, r, len, true);
}

static void logout(struct conn *c, const uint8_t *bhs)
{
	uint8_t reason = bhs[LOGOUT_REASON] & 0x7f, response = 0, *r;
	if (reason == 2)
		response = 2; /* recovery is not supported */
	else if (reason > 2 || (reason == 1 && get_be16(bhs + LOGOUT_CID) != c->cid))
		response = 1; /* CID not found */
	r = conn_pdu(c, ISCSI_LOGOUT_RESPONSE, 0, NULL);
	if (!r)
		return;
	r[1] = ISCSI_FINAL;
	r[2] = response;
	memcpy(r + PDU_ITT, bhs + PDU_ITT, 4);
	conn_send_pdu(c, r, 0, true);
	if (response == 0) {
		log_info("%s: logged out", conn_name(c));
		conn_finish(c);
	}
}

/* ---- dispatch ---- */

/* Command numbering (4.2.2.1). False: the PDU is to be ignored. */
static bool in_order(struct conn *c, const uint8_t *bhs)
{
	uint32_t sn = get_be32(bhs + PDU_CMDSN);
	if (bhs[0] & ISCSI_IMMEDIATE)
		return true;
	if (sn == c->exp_cmd_sn && !sn_before(c->max_cmd_sn, sn)) {
		c->exp_cmd_sn++;
		window_note(c, get_be32(bhs + PDU_EXPSTATSN));
		return true;
	}
	/* One connection keeps the order: what is not the next is a repetition or beyond the
	 * window, and is silently ignored. */
	log_debug("%s: CmdSN %u where %u is next, up to %u; ignored", conn_name(c), sn,
		  c->exp_cmd_sn, c->max_cmd_sn);
	return false;
}

static void idle(void *arg)
{
	struct conn *c = arg;
	log_info("%s: idle for %llu s, in discovery; dropped", conn_name(c),
		 (unsigned long long)(DISCOVERY_IDLE / SEC_NS));
	conn_close(c);
}

/* Discovery is asked and answered: who stays only takes a place of others. */
static void watch_idle(struct conn *c)
{
	if (!c->target)
		loop_timer_set(c->loop, &c->timer, DISCOVERY_IDLE, idle, c);
}

void full_begin(struct conn *c)
{
	watch_idle(c);
}

bool full_pdu(struct conn *c, const uint8_t *bhs, uint8_t *data, uint32_t len, struct chunk *chunk)
{
	uint8_t opcode = bhs[0] & ISCSI_OPCODE_MASK;
	uint32_t answer = 0; /* bytes that it makes us send */
	data_in_confirmed(c, get_be32(bhs + PDU_EXPSTATSN));
	watch_idle(c);
	if (opcode == ISCSI_DATA_OUT) {
		data_out_pdu(c, bhs, data, len, chunk);
		return true;
	}
	if (opcode != ISCSI_SCSI_COMMAND)
		answer = len;
	else if (bhs[1] & ISCSI_CMD_READ)
		answer = MIN(get_be32(bhs + CMD_EDTL), LIMIT_TRANSFER_BYTES);
	if (!admit(c, answer))
		return false;
	switch (opcode) {
	case ISCSI_NOP_OUT:
	case ISCSI_SCSI_COMMAND:
	case ISCSI_TMF_REQUEST:
	case ISCSI_TEXT_REQUEST:
	case ISCSI_LOGOUT_REQUEST:
		if (!in_order(c, bhs))
			return true;
		break;
	case ISCSI_SNACK:
		conn_reject(c, bhs, REJECT_SNACK);
		return true; /* recovery level 1 (11.16) */
	case ISCSI_LOGIN_REQUEST: conn_protocol_error(c, bhs, "login after login"); return true;
	default:
		if (opcode < ISCSI_NOP_IN)
			in_order(c, bhs); /* its number has been received (11.17.1) */
		conn_reject(c, bhs, REJECT_NOT_SUPPORTED);
		return true;
	}
	switch (opcode) {
	case ISCSI_NOP_OUT: nop_out(c, bhs, data, len); break;
	case ISCSI_SCSI_COMMAND: return command(c, bhs, data, len, chunk);
	case ISCSI_TMF_REQUEST: tmf_request(c, bhs); break;
	case ISCSI_TEXT_REQUEST: text_request(c, bhs, data, len); break;
	case ISCSI_LOGOUT_REQUEST: logout(c, bhs); break;
	}
	return true;
}
