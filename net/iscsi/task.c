/* SPDX-License-Identifier: BSD-2-Clause */
/* The full feature phase: SCSI commands with their data, and the small PDUs beside them. */
#include "net/iscsi/conn.h"

#include <stdlib.h>
#include <string.h>

#include "core/log.h"
#include "storage/scsi/limits.h"

#define FREE_TASKS_MAX 64 /* kept for reuse */

/* ---- tasks ---- */

static struct task **hash_slot(struct conn *c, uint32_t itt)
{
	return &c->hash[(itt ^ itt >> 8) % TASK_HASH];
}

struct task *task_find(struct conn *c, uint32_t itt)
{
	struct task *t = *hash_slot(c, itt);
	while (t && t->itt != itt)
		t = t->next;
	return t;
}

static struct task *task_new(struct conn *c, const uint8_t *bhs)
{
	struct target_server *s = c->server;
	struct task *t = s->free_tasks, **slot;
	if (t) {
		s->free_tasks = t->next;
		s->free_tasks_n--;
	} else {
		t = malloc(sizeof(*t));
		if (!t)
			return NULL;
	}
	memset(t, 0, sizeof(*t));
	t->conn = c;
	t->itt = get_be32(bhs + PDU_ITT);
	t->edtl = get_be32(bhs + CMD_EDTL);
	t->ttt = ISCSI_NO_TAG;
	t->read = bhs[1] & ISCSI_CMD_READ;
	t->write = bhs[1] & ISCSI_CMD_WRITE;
	memcpy(t->lun, bhs + PDU_LUN, 8);
	t->out = t->out_inline;
	t->out_chunk = t->out_chunk_inline;
	t->out_cap = ARRAY_SIZE(t->out_inline);
	slot = hash_slot(c, t->itt);
	t->next = *slot;
	*slot = t;
	c->tasks++;
	return t;
}

static void task_free(struct task *t)
{
	struct conn *c = t->conn;
	struct target_server *s = c->server;
	struct task **p = hash_slot(c, t->itt);
	while (*p != t)
		p = &(*p)->next;
	*p = t->next;
	c->tasks--;
	data_out_end(t);
	data_in_end(t);
	scsi_cmd_fini(&t->cmd);
	if (t->session_lun)
		session_lun_release(t->session_lun);
	while (t->borrowed) {
		struct borrowed *b = t->borrowed;
		t->borrowed = b->next;
		session_lun_release(b->lun);
		free(b);
	}
	conn_in_bytes(c, -(int64_t)t->in_bytes);
	if (s->free_tasks_n < FREE_TASKS_MAX) {
		t->next = s->free_tasks;
		s->free_tasks = t;
		s->free_tasks_n++;
	} else {
		free(t);
	}
}

void tmf_part(struct tmf *f)
{
	if (--f->left)
		return;
	if (!f->conn) {
		free(f);
		return;
	}
	f->conn->tmf_due = true;
	loop_defer(f->conn->loop, &f->conn->flush);
}

static void await(struct task *t, struct tmf *f)
{
	struct tmf_wait *w = malloc(sizeof(*w));
	if (!w) {
		if (f->conn) { /* better no answer than a wrong one */
			log_error("%s: out of memory; dropped", conn_name(f->conn));
			conn_close(f->conn);
		}
		return;
	}
	*w = (struct tmf_wait){.tmf = f, .next = t->awaited_by};
	t->awaited_by = w;
	f->left++;
}

void task_abort(struct task *t, struct tmf *f)
{
	if (!t->running) {
		task_free(t);
		return;
	}
	if (f)
		await(t, f);
	if (!t->aborted) {
		t->aborted = true;
		scsi_abort(&t->cmd);
	}
}

void tasks_abort_all(struct conn *c)
{
	for (unsigned i = 0; i < TASK_HASH; i++) {
		struct task *t, *next;
		for (t = c->hash[i]; t; t = next) {
			next = t->next;
			task_abort(t, NULL);
		}
	}
}

/* ---- the response ---- */

static void send_response(struct task *t)
{
	struct conn *c = t->conn;
	uint32_t len = t->cmd.sense_len ? 2u + t->cmd.sense_len : 0;
	uint8_t *data, *r = conn_pdu(c, ISCSI_SCSI_RESPONSE, len, &data);
	if (!r)
		return;
	r[1] = (uint8_t)(ISCSI_FINAL | task_residual(t, r + RESP_RESIDUAL));
	r[RESP_STATUS] = t->cmd.status;
	put_be32(r + PDU_ITT, t->itt);
	if (len) { /* SenseLength, then the sense data (11.4.7.2) */
		put_be16(data, t->cmd.sense_len);
		memcpy(data + 2, t->cmd.sense, t->cmd.sense_len);
	}
	conn_send_pdu(c, r, len, true);
}

static void task_done(struct scsi_cmd *cmd)
{
	struct task *t = container_of(cmd, struct task, cmd);
	struct conn *c = t->conn;
	struct tmf_wait *w;
	if (!t->aborted && c->state != CONN_CLOSED) {
		/* One fewer is under way: the window that the response announces opens by it. */
		c->tasks--;
		if (cmd->in_len && cmd->status == SCSI_GOOD)
			data_in_send(t);
		else
			send_response(t);
		c->tasks++;
	}
	w = t->awaited_by; /* perhaps only since its answer was made */
	t->running = false;
	c->running--;
	task_free(t);
	for (struct tmf_wait *next; w; w = next) {
		next = w->next;
		tmf_part(w->tmf);
		free(w);
	}
	conn_task_gone(c);
}

static unsigned list_luns(struct scsi_cmd *cmd, unsigned *numbers, unsigned max)
{
	struct conn *c = container_of(cmd, struct task, cmd)->conn;
	for (unsigned i = 0; i < c->luns_n; i++) {
		if (i < max)
			numbers[i] = c->luns[i]->number;
		if (cmd->cdb[0] == 0xa0) /* REPORT LUNS by one is news no longer to any (6.33) */
			lun_attention_clear(&c->luns[i]->nexus, ASC_REPORTED_LUNS_CHANGED);
	}
	return c->luns_n;
}

static struct lun_nexus *find_nexus(struct scsi_cmd *cmd, unsigned number)
{
	struct task *t = container_of(cmd, struct task, cmd);
	struct session_lun *l = session_lun_find(t->conn, number);
	struct borrowed *b = t->borrowed;
	while (b && b->lun != l)
		b = b->next;
	if (!l || b)
		return l ? &l->nexus : NULL;
	b = malloc(sizeof(*b));
	if (!b)
		return NULL;
	*b = (struct borrowed){.lun = l, .next = t->borrowed};
	t->borrowed = b;
	l->uses++;
	return &l->nexus;
}

static unsigned abort_tasks(struct lun_nexus *n)
{
	struct session_lun *l = container_of(n, struct session_lun, nexus);
	return tmf_abort_on_lun(l->conn, (int)n->lun->number, NULL);
}

const struct scsi_transport target_transport = {.reserve_in = data_in_reserve,
						.done = task_done,
						.list_luns = list_luns,
						.find_nexus = find_nexus,
						.abort_tasks = abort_tasks};

/* ---- commands ---- */

void task_run(struct task *t)
{
	struct conn *c = t->conn;
	struct scsi_cmd *cmd = &t->cmd;
	int number = iscsi_lun_get(t->lun);
	cmd->transport = &target_transport;
	cmd->engine = c->home->engine;
	t->session_lun = number < 0 ? NULL : session_lun_find(c, (unsigned)number);
	if (t->session_lun) {
		t->session_lun->uses++;
		cmd->nexus = &t->session_lun->nexus;
		cmd->lun = t->session_lun->lun;
	}
	cmd->out = t->out;
	cmd->out_n = t->out_n;
	cmd->out_len = t->out_len;
	cmd->in_max = t->read ? t->edtl : 0;
	cmd->lend_min = data_in_lend_min(c);
	t->running = true;
	c->running++;
	scsi_execute(cmd);
}

void task_fail(struct task *t, uint8_t key, uint16_t asc)
{
	t->cmd.transport = &target_transport;
	t->running = true;
	t->conn->running++;
	scsi_check(&t->cmd, key, asc);
}

/*
 * May a further PDU be taken that brings so many bytes under way? What waits to be sent counts: a
 * peer that does not read must not make us hold more and more for it.
 */
static bool admit(struct conn *c, uint32_t bytes)
{
	struct target_server *s = c->server;
	struct conn **p;
	if (c->waits) {
		c->stalled = true; /* until session_over() */
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

/* TASK SET FULL (SAM-5, 5.3.1): the initiator is to send it again when others have ended. */
static void refuse_full(struct conn *c, const uint8_t *bhs)
{
	uint8_t *r = conn_pdu(c, ISCSI_SCSI_RESPONSE, 0, NULL);
	if (!r)
		return;
	r[1] = ISCSI_FINAL | ISCSI_RESP_UNDERFLOW;
	r[RESP_STATUS] = SCSI_TASK_SET_FULL;
	memcpy(r + PDU_ITT, bhs + PDU_ITT, 4);
	memcpy(r + RESP_RESIDUAL, bhs + CMD_EDTL, 4);
	conn_send_pdu(c, r, 0, true);
}

static bool command(struct conn *c, const uint8_t *bhs, uint8_t *data, uint32_t len,
		    struct chunk *chunk)
{
	uint32_t edtl = get_be32(bhs + CMD_EDTL);
	bool write = bhs[1] & ISCSI_CMD_WRITE, final = bhs[1] & ISCSI_FINAL;
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
	if (len && c->tasks > 1 && c->server->out_bytes >= SERVER_OUT_LAST) {
		refuse_full(c, bhs);
		return true;
	}
	t = task_new(c, bhs);
	if (!t || !data_out_keep(t, data, len, chunk)) {
		if (t)
			task_free(t);
		log_error("%s: out of memory; dropped", conn_name(c));
		conn_close(c);
		return true;
	}
	if (t->read) {
		t->in_bytes = MIN(edtl, LIMIT_TRANSFER_BYTES);
		conn_in_bytes(c, t->in_bytes);
	}
	memcpy(t->cmd.cdb, bhs + CMD_CDB, SCSI_CDB_MAX);
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

bool full_pdu(struct conn *c, const uint8_t *bhs, uint8_t *data, uint32_t len, struct chunk *chunk)
{
	uint8_t opcode = bhs[0] & ISCSI_OPCODE_MASK;
	uint32_t answer = 0; /* bytes that it makes us send */
	data_in_confirmed(c, get_be32(bhs + PDU_EXPSTATSN));
	if (opcode == ISCSI_DATA_OUT) {
		data_out_pdu(c, bhs, data, len, chunk);
		return true;
	}
	if (opcode == ISCSI_SNACK) { /* only with recovery level 1 (11.16) */
		conn_reject(c, bhs, REJECT_SNACK);
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
	case ISCSI_LOGIN_REQUEST: conn_protocol_error(c, bhs, "login after login"); return true;
	default: conn_reject(c, bhs, REJECT_NOT_SUPPORTED); return true;
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
