/* SPDX-License-Identifier: BSD-2-Clause */
/* Task management (RFC 7143, 11.5 and 11.6; SAM-5, clause 7). */
#include <stdlib.h>

#include "core/log.h"
#include "net/iscsi/phase.h"

#define WAITING_MAX 4 /* functions of one session that wait for what they have aborted */

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

/* The same on every connection to this target, those included that are about to end: what these
 * have in the device server would go on. */
static void abort_everywhere(struct conn *c, int lun, struct tmf *f)
{
	for (struct conn *o = c->server->conns; o; o = o->next)
		if (o->target == c->target)
			tasks_abort(o, lun, f, o != c);
}

/* Its LUN may have been removed meanwhile: what that still has can be aborted all the same. */
static uint8_t abort_task(struct conn *c, const uint8_t *bhs, bool lun, struct tmf *f)
{
	struct task *t = task_find(c, get_be32(bhs + TMF_RTT));
	if (!t || iscsi_lun_get(t->lun) != iscsi_lun_get(bhs + PDU_LUN))
		return lun ? TMF_NO_TASK : TMF_NO_LUN;
	task_abort(t, f);
	return TMF_COMPLETE;
}

static void reset_all(struct conn *c, struct tmf *f)
{
	abort_everywhere(c, -1, f);
	for (unsigned i = 0; i < c->luns_n; i++)
		lun_reset(c->luns[i]->lun);
}

static uint8_t do_function(struct conn *c, const uint8_t *bhs, struct tmf *f)
{
	int number = iscsi_lun_get(bhs + PDU_LUN);
	struct session_lun *l = number < 0 ? NULL : session_lun_find(c, (unsigned)number);

	switch (f->function) {
	case TMF_ABORT_TASK_SET:
	case TMF_CLEAR_TASK_SET:
	case TMF_LUN_RESET:
		if (!l)
			return TMF_NO_LUN;
		break;
	}
	switch (f->function) {
	case TMF_ABORT_TASK: return abort_task(c, bhs, l != NULL, f);
	case TMF_ABORT_TASK_SET: tasks_abort(c, number, f, false); return TMF_COMPLETE;
	case TMF_CLEAR_TASK_SET:
		/* Those who hear of each of their tasks get no unit attention (SAM-5, 5.14). */
		abort_everywhere(c, number, f);
		return TMF_COMPLETE;
	case TMF_LUN_RESET:
		abort_everywhere(c, number, f);
		lun_reset(l->lun);
		return TMF_COMPLETE;
	case TMF_TARGET_WARM_RESET:
	case TMF_TARGET_COLD_RESET: reset_all(c, f); return TMF_COMPLETE;
	case TMF_TASK_REASSIGN: return TMF_NO_REASSIGN;
	default: return TMF_NOT_SUPPORTED; /* CLEAR ACA */
	}
}

/* A cold reset also ends every session of the target (11.5.1). */
static void drop_sessions(struct conn *c)
{
	for (struct conn *o = c->server->conns; o; o = o->next)
		if (o->target == c->target && o->state == CONN_FULL)
			conn_finish(o);
}

/* What it aborted has ended. */
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
	unsigned waiting = 0;
	struct tmf *f;

	for (f = c->tmfs; f; f = f->next)
		waiting++;
	f = waiting < WAITING_MAX && c->target ? malloc(sizeof(*f)) : NULL;
	if (!f) {
		respond(c, itt, TMF_REJECTED);
		return;
	}
	log_info("%s: task management function %u", conn_name(c), function);
	/* Until all has been aborted it waits for itself as well. */
	*f = (struct tmf){.conn = c, .itt = itt, .function = function, .left = 1, .next = c->tmfs};
	c->tmfs = f;
	response = do_function(c, bhs, f);
	if (f->failed && c->state != CONN_CLOSED) { /* better no answer than a wrong one */
		log_error("%s: out of memory; dropped", conn_name(c));
		conn_close(c);
	}
	if (c->state == CONN_CLOSED) { /* tmf_abandon() has been here */
		tmf_part(f);
	} else if (response == TMF_COMPLETE && f->left > 1) {
		f->left--;
	} else {
		c->tmfs = f->next;
		free(f);
		if (response == TMF_COMPLETE)
			finish(c, itt, function);
		else
			respond(c, itt, response);
	}
}

void tmf_answer(struct conn *c)
{
	struct tmf **p = &c->tmfs, *f;
	c->tmf_due = false;
	while ((f = *p)) {
		if (f->left) {
			p = &f->next;
			continue;
		}
		*p = f->next;
		if (c->state == CONN_FULL)
			finish(c, f->itt, f->function);
		free(f);
		if (c->state == CONN_CLOSED)
			return;
	}
}

void tmf_abandon(struct conn *c)
{
	while (c->tmfs) {
		struct tmf *f = c->tmfs;
		c->tmfs = f->next;
		f->conn = NULL;
		if (!f->left)
			free(f);
	}
}
