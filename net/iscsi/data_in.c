/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Data-in: room for it, and its way out (RFC 7143, 11.7). Large reads are loans: their data go from
 * the page cache to the socket (tx.c) by reference, so that a later write shows in what the
 * initiator has not received yet. For plain writes that is as good as any other order of two
 * commands under way at a time. What must be atomic to readers waits for the end of all loans,
 * which is when the initiator has acknowledged the status by its ExpStatSN.
 */
#include <stdlib.h>
#include <string.h>

#include "core/log.h"
#include "net/iscsi/task.h"

/* Below this much a copy costs no more: it stays in the processor's cache, as measured on loopback
 * with 4 KiB pages. */
#define LEND_MIN       (256u << 10)
#define LEND_PDU_MIN   (64u << 10)
#define RECALL_TIMEOUT (5 * SEC_NS)
#define PING_TAG       1u /* one at a time, and its answer needs no looking up */

/* The most data in one Data-In PDU. */
static uint32_t segment(const struct conn *c)
{
	return MIN(c->params.max_send, c->params.max_burst) & ~3u;
}

/* ---- loans ---- */

/* Wanted back: not to be read from the disk any more. */
static bool recalled(const struct tx_owner *o)
{
	const struct loan *l = container_of(o, struct loan, owner);
	return l->lun->removed || l->lun->lun->lend_none;
}

/* Is the loan at its end? */
static bool settled(const struct conn *c, const struct loan *l)
{
	return !l->owner.parts && (!l->owner.by_ref || l->lun->removed || c->state == CONN_CLOSED ||
				   sn_before(l->stat_sn, c->confirmed_sn));
}

void data_in_settle(struct conn *c)
{
	struct loan **p = &c->loans, *l;
	while ((l = *p)) {
		struct session_lun *s = l->lun;
		if (!settled(c, l)) {
			p = &l->next;
			continue;
		}
		*p = l->next;
		free(l);
		scsi_give_back(s->lun);
		session_lun_release(s);
	}
	c->loans_tail = p;
}

/* Does the initiator keep an atomic write waiting? */
static bool owes(const struct conn *c)
{
	for (const struct loan *l = c->loans; l; l = l->next)
		if (l->lun->lun->lend_none && !l->lun->removed)
			return true;
	return false;
}

void data_in_confirmed(struct conn *c, uint32_t exp_stat_sn)
{
	if (c->loans && sn_before(exp_stat_sn, c->confirmed_sn))
		return; /* has been seen in a later PDU, while that waited */
	c->confirmed_sn = exp_stat_sn;
	if (c->loans && settled(c, c->loans))
		data_in_settle(c);
	if (c->ahead && !owes(c))
		conn_look_ahead(c, false);
}

/* The header is out, so that there is no way left to tell the initiator but to drop the session:
 * whatever else is sent would be taken for data. */
static void lost(const struct tx_owner *o, uint64_t off, uint32_t n, int rc)
{
	const struct loan *loan = container_of(o, struct loan, owner);
	const struct lun *l = loan->lun->lun;
	log_error("%s: read of blocks %llu to %llu: %s", disk_path(l->disk),
		  (unsigned long long)(off >> l->block_shift),
		  (unsigned long long)((off + n - 1) >> l->block_shift), strerror(-rc));
}

static void overdue(void *arg)
{
	struct conn *c = arg;
	if (!owes(c))
		return;
	log_warn("%s: does not take its data, and an atomic write waits for that; dropped",
		 conn_name(c));
	conn_close(c);
}

/* Asks the initiator to tell what it has (11.19). */
static void ping(struct conn *c)
{
	uint8_t *r = conn_pdu(c, ISCSI_NOP_IN, 0, NULL);
	if (!r)
		return;
	r[1] = ISCSI_FINAL;
	iscsi_lun_put(r + PDU_LUN, c->loans->lun->number);
	put_be32(r + PDU_ITT, ISCSI_NO_TAG);
	put_be32(r + PDU_TTT, PING_TAG);
	conn_send_pdu(c, r, 0, false);
}

void data_in_return(struct conn *c)
{
	c->recalled = false;
	conn_load(c, recalled);
	data_in_settle(c);
	if (c->state != CONN_FULL || !owes(c))
		return;
	loop_timer_set(c->loop, &c->timer, RECALL_TIMEOUT, overdue, c);
	ping(c);
	/* The answer may lie behind commands that there is no room for, and that wait for the same
	 * atomic write. */
	conn_look_ahead(c, true);
}

uint32_t data_in_lend_min(const struct conn *c)
{
	return c->data_digest || segment(c) < LEND_PDU_MIN || c->home->pipe[0] < 0 ? 0 : LEND_MIN;
}

static int reserve_headers(struct task *t, uint32_t pdus)
{
	uint32_t size = pdus * conn_pdu_size(t->conn, 0);
	t->loan = calloc(1, sizeof(*t->loan));
	if (!t->loan)
		return -1;
	t->loan->owner = (struct tx_owner){.loaded = data_in_settle, .lost = lost};
	t->in_base = conn_room(t->conn, size, &t->in_chunk);
	if (!t->in_base)
		return -1;
	memset(t->in_base, 0, size);
	return 0;
}

/* The data are the connection's to give back, no longer the task's. */
static void loan_begin(struct task *t)
{
	struct conn *c = t->conn;
	struct loan *l = t->loan;
	l->lun = t->session_lun;
	l->lun->uses++;
	*c->loans_tail = l;
	c->loans_tail = &l->next;
	t->loan = NULL;
	t->cmd.lent = false;
}

void data_in_end(struct task *t)
{
	chunk_unref(t->in_chunk);
	if (t->cmd.in != t->in_inline)
		free(t->cmd.in);
	free(t->loan);
	if (t->cmd.lent)
		scsi_give_back(t->cmd.lun);
}

/* ---- data-in as PDUs ---- */

int data_in_reserve(struct scsi_cmd *cmd, uint32_t len)
{
	struct task *t = container_of(cmd, struct task, cmd);
	struct conn *c = t->conn;
	uint32_t seg = t->in_seg = segment(c), pdus = (len + seg - 1) / seg, left = len;
	uint64_t size = (uint64_t)pdus * conn_pdu_size(c, seg);
	uint8_t *p;

	if (cmd->lent)
		return reserve_headers(t, pdus);
	if (pdus > ARRAY_SIZE(t->in_inline)) {
		cmd->in = calloc(pdus, sizeof(*cmd->in));
		if (!cmd->in)
			return -1;
	} else {
		cmd->in = t->in_inline;
	}
	if (pdus == 1)
		size = conn_pdu_size(c, len);
	if (size > UINT32_MAX)
		return -1;
	/* What fits shares a chunk, so that many responses become one piece for the kernel. */
	if (size > CHUNK_LARGE / 2) {
		t->in_chunk = chunk_get(c->server->pool, (uint32_t)size);
		if (!t->in_chunk)
			return -1;
		t->in_base = t->in_chunk->data;
	} else {
		t->in_base = conn_room(c, (uint32_t)size, &t->in_chunk);
		if (!t->in_base)
			return -1;
	}
	p = t->in_base;
	for (cmd->in_n = 0; cmd->in_n < pdus; cmd->in_n++) {
		uint32_t n = MIN(left, seg);
		uint8_t *data = p + ISCSI_BHS + (c->header_digest ? 4 : 0);
		memset(p, 0, ISCSI_BHS);
		if (n & 3)
			memset(data + (n & ~3u), 0, 4); /* padding */
		cmd->in[cmd->in_n] = (struct iovec){data, n};
		p += conn_pdu_size(c, n);
		left -= n;
	}
	return 0;
}

void data_in_send(struct task *t)
{
	struct conn *c = t->conn;
	uint32_t off = 0, left = t->cmd.in_len, seg = t->in_seg, sn = 0, room = 0, burst = 0;
	uint8_t *p = t->in_base;
	struct loan *loan = t->loan;

	if (loan)
		loan_begin(t);

	while (left) {
		uint32_t n = MIN(left, seg), size = conn_pdu_size(c, loan ? 0 : n);
		bool last = n == left;
		/* A sequence ends with F, before the next PDU would make it too long (11.7.1). */
		bool final = last || burst + n + MIN(left - n, seg) > c->params.max_burst;
		burst = final ? 0 : burst + n;
		p[0] = ISCSI_DATA_IN;
		p[1] = final ? ISCSI_FINAL : 0;
		memcpy(p + PDU_LUN, t->lun, 8);
		put_be24(p + PDU_DATA_LEN, n);
		put_be32(p + PDU_ITT, t->itt);
		put_be32(p + PDU_TTT, ISCSI_NO_TAG);
		put_be32(p + DATA_SN, sn++);
		put_be32(p + DATA_OFFSET, off);
		conn_put_sn(c, p, last);
		if (last) {
			p[1] |= (uint8_t)(ISCSI_DATA_IN_STATUS |
					  task_residual(t, p + RESP_RESIDUAL));
			p[RESP_STATUS] = t->cmd.status;
		} else {
			put_be32(p + PDU_STATSN, 0);
		}
		if (c->data_digest)
			loop_unlock(c->loop);
		conn_put_digests(c, p, loan ? 0 : n);
		if (c->data_digest)
			loop_lock(c->loop);
		if (loan) {
			if (last)
				loan->stat_sn = c->stat_sn - 1;
			conn_queue(c, p, size, chunk_ref(t->in_chunk));
			conn_queue_disk(c, &loan->owner, loan->lun->lun->disk,
					t->cmd.lend_off + off, n);
		}
		p += size;
		room += size;
		off += n;
		left -= n;
	}
	if (loan) {
		data_in_settle(c); /* in case that nothing could be queued */
		return;
	}
	conn_queue(c, t->in_base, room, t->in_chunk);
	t->in_chunk = NULL;
}
