/* SPDX-License-Identifier: BSD-2-Clause */
/* Data-out: asking for it with R2Ts and keeping it where it was received (RFC 7143, 11.7 and 11.8).
 */
#include <string.h>

#include "core/log.h"
#include "net/iscsi/crowd.h"
#include "net/iscsi/phase.h"

/* Asks for the next burst (11.8). */
static void put_r2t(struct task *t)
{
	struct conn *c = t->conn;
	uint32_t n = MIN(t->edtl - t->out.len, c->params.max_burst);
	uint8_t *r = conn_pdu(c, ISCSI_R2T, 0, NULL);
	if (!r)
		return;
	r[1] = ISCSI_FINAL;
	memcpy(r + PDU_LUN, t->lun, 8);
	put_be32(r + PDU_ITT, t->itt);
	t->ttt = t->ttt + 1 == ISCSI_NO_TAG ? 0 : t->ttt + 1;
	put_be32(r + PDU_TTT, t->ttt);
	put_be32(r + R2T_SN, t->r2t_sn++);
	put_be32(r + R2T_OFFSET, t->out.len);
	put_be32(r + R2T_LENGTH, n);
	t->solicited = t->out.len + n;
	t->data_sn = 0;
	conn_send_pdu(c, r, 0, false);
}

void data_out_ask(struct conn *c)
{
	struct target_server *s = c->server;
	struct task *t;
	while ((t = c->r2t_wait) && c->state == CONN_FULL) {
		if (c->asked_bytes && (c->asked_bytes + t->edtl > CONN_BYTES_MAX ||
				       s->asked_bytes + t->edtl > SERVER_ASKED_MAX))
			return; /* the next of its tasks to end comes back here */
		if (!c->asked_bytes && !crowd_lets(c, s->asked_bytes, t->edtl)) {
			task_refuse(t);
			continue;
		}
		c->moved = loop_now(c->loop);
		c->r2t_wait = t->r2t_next;
		if (!c->r2t_wait)
			c->r2t_tail = &c->r2t_wait;
		t->in_line = false;
		t->asked_bytes = t->edtl;
		c->asked_bytes += t->edtl;
		s->asked_bytes += t->edtl;
		put_r2t(t);
	}
}

/* An R2T is a promise of memory: in line with the others for it. */
static void send_r2t(struct task *t)
{
	struct conn *c = t->conn;
	if (t->asked_bytes) {
		put_r2t(t);
		return;
	}
	t->in_line = true;
	*c->r2t_tail = t;
	t->r2t_next = NULL;
	c->r2t_tail = &t->r2t_next;
	data_out_ask(c);
}

void data_out_advance(struct task *t, bool final)
{
	if (t->write && t->out.len < t->edtl) {
		if (final) {
			t->solicited = t->out.len; /* nothing more until the R2T */
			send_r2t(t);
		}
		return;
	}
	task_run(t);
}

void data_out_pdu(struct conn *c, const uint8_t *bhs, uint8_t *data, uint32_t len,
		  struct chunk *chunk)
{
	struct task *t = task_find(c, get_be32(bhs + PDU_ITT));
	bool final = bhs[1] & ISCSI_FINAL;
	if (!t || t->running || t->cleared)
		return; /* data of a task that has been aborted meanwhile */
	/* At recovery level 0 nothing can be asked for again: the command ends (11.4.7.2). */
	if (t->in_line || get_be32(bhs + PDU_TTT) != t->ttt ||
	    get_be32(bhs + DATA_SN) != t->data_sn++ || get_be32(bhs + DATA_OFFSET) != t->out.len ||
	    len > t->solicited - t->out.len) {
		conn_warn(c, "data out of order or not asked for", "its command ends");
		task_fail(t, SENSE_ABORTED_COMMAND, ASC_INCORRECT_AMOUNT_OF_DATA);
		return;
	}
	c->moved = loop_now(c->loop);
	if (t->ttt == ISCSI_NO_TAG && gather_full(c)) {
		task_refuse(t); /* what else comes of it is nobody's */
		return;
	}
	if (!gather_add(&t->out, c, data, len, chunk, t->ttt != ISCSI_NO_TAG)) {
		log_error("%s: out of memory; dropped", conn_name(c));
		conn_close(c);
		return;
	}
	if (final && t->ttt != ISCSI_NO_TAG && t->out.len < t->solicited) {
		conn_warn(c, "a burst of data ends early", "its command ends");
		task_fail(t, SENSE_ABORTED_COMMAND, ASC_INCORRECT_AMOUNT_OF_DATA);
		return;
	}
	data_out_advance(t, final);
}
