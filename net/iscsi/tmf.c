/* SPDX-License-Identifier: BSD-2-Clause */
/* Task management (RFC 7143, 11.5 and 11.6; SAM-5, clause 7). */
#include "net/iscsi/conn.h"

#include "core/log.h"

static void respond(struct conn *c, uint32_t itt, uint8_t response)
{
	uint8_t *r = conn_pdu(c, ISCSI_TMF_RESPONSE, 0, NULL);
	if (!r)
		return;
	r[1] = ISCSI_FINAL;
	r[TMF_RESPONSE] = response;
	put_be32(r + PDU_ITT, itt);
	conn_send_pdu(c, r, 0, true);
}

unsigned tmf_abort_on_lun(struct conn *c, int lun)
{
	unsigned n = 0;
	for (unsigned i = 0; i < TASK_HASH; i++) {
		struct task *t, *next;
		for (t = c->hash[i]; t; t = next) {
			next = t->next;
			if (lun >= 0 && iscsi_lun_get(t->lun) != lun)
				continue;
			task_abort(t);
			n++;
		}
	}
	return n;
}

/* The same on every connection to this target. */
static void abort_everywhere(struct conn *c, int lun)
{
	for (struct conn *o = c->server->conns; o; o = o->next)
		if (o->target == c->target && o->state == CONN_FULL)
			tmf_abort_on_lun(o, lun);
}

static uint8_t abort_task(struct conn *c, const uint8_t *bhs)
{
	struct task *t = task_find(c, get_be32(bhs + TMF_RTT));
	if (!t || iscsi_lun_get(t->lun) != iscsi_lun_get(bhs + PDU_LUN))
		return TMF_NO_TASK;
	task_abort(t);
	return TMF_COMPLETE;
}

static void reset_all(struct conn *c)
{
	abort_everywhere(c, -1);
	for (unsigned i = 0; i < c->luns_n; i++)
		lun_reset(c->luns[i]->lun);
}

static uint8_t do_function(struct conn *c, const uint8_t *bhs, uint8_t function)
{
	int number = iscsi_lun_get(bhs + PDU_LUN);
	struct session_lun *l = number < 0 ? NULL : session_lun_find(c, (unsigned)number);

	switch (function) {
	case TMF_ABORT_TASK:
	case TMF_ABORT_TASK_SET:
	case TMF_CLEAR_TASK_SET:
	case TMF_LUN_RESET:
		if (!l)
			return TMF_NO_LUN;
		break;
	}
	switch (function) {
	case TMF_ABORT_TASK: return abort_task(c, bhs);
	case TMF_ABORT_TASK_SET: tmf_abort_on_lun(c, number); return TMF_COMPLETE;
	case TMF_CLEAR_TASK_SET:
		abort_everywhere(c, number);
		lun_attention_all(l->lun, &l->nexus, ASC_COMMANDS_CLEARED);
		return TMF_COMPLETE;
	case TMF_LUN_RESET:
		abort_everywhere(c, number);
		lun_reset(l->lun);
		return TMF_COMPLETE;
	case TMF_TARGET_WARM_RESET:
	case TMF_TARGET_COLD_RESET: reset_all(c); return TMF_COMPLETE;
	default: return TMF_NOT_SUPPORTED; /* CLEAR ACA, TASK REASSIGN */
	}
}

/* A cold reset also ends every session of the target (11.5.1). */
static void drop_sessions(struct conn *c)
{
	for (struct conn *o = c->server->conns; o; o = o->next)
		if (o->target == c->target && o->state == CONN_FULL)
			conn_finish(o);
}

static void finish(struct conn *c, uint32_t itt, uint8_t function)
{
	respond(c, itt, TMF_COMPLETE);
	if (function == TMF_TARGET_COLD_RESET)
		drop_sessions(c);
}

void tmf_request(struct conn *c, const uint8_t *bhs)
{
	uint8_t function = bhs[TMF_FUNCTION] & 0x7f, response;
	uint32_t itt = get_be32(bhs + PDU_ITT);
	struct tmf *wait = NULL;

	for (unsigned i = 0; i < ARRAY_SIZE(c->tmf); i++)
		if (!c->tmf[i].used)
			wait = &c->tmf[i];
	if (!wait || !c->target) {
		respond(c, itt, TMF_REJECTED);
		return;
	}
	log_info("%s: task management function %u", conn_name(c), function);
	response = do_function(c, bhs, function);
	if (response != TMF_COMPLETE)
		respond(c, itt, response);
	else if (c->server->aborting) /* answered when nothing of the aborted tasks runs on */
		*wait = (struct tmf){.itt = itt, .function = function, .used = true};
	else
		finish(c, itt, function);
}

void tmf_answer(struct conn *c)
{
	c->tmf_due = false;
	for (unsigned i = 0; i < ARRAY_SIZE(c->tmf); i++) {
		struct tmf *f = &c->tmf[i];
		if (!f->due)
			continue;
		f->used = f->due = false;
		if (c->state == CONN_FULL)
			finish(c, f->itt, f->function);
	}
}

void tmf_aborts_done(struct target_server *s)
{
	for (struct conn *c = s->conns; c; c = c->next) {
		for (unsigned i = 0; i < ARRAY_SIZE(c->tmf); i++) {
			if (!c->tmf[i].used)
				continue;
			c->tmf[i].due = c->tmf_due = true;
			loop_defer(c->loop, &c->flush);
		}
	}
}
