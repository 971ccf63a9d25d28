/* SPDX-License-Identifier: BSD-2-Clause */
#include "net/iscsi/task.h"

#include <stdlib.h>
#include <string.h>

#include "core/log.h"

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

struct task *task_new(struct conn *c, const uint8_t *bhs)
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
	gather_init(&t->out, t->edtl);
	slot = hash_slot(c, t->itt);
	t->next = *slot;
	*slot = t;
	c->tasks++;
	return t;
}

/* Out of the line for R2Ts, or of those who have been granted one. */
static void leave_line(struct task *t)
{
	struct conn *c = t->conn;
	if (t->asked_bytes) {
		c->asked_bytes -= t->asked_bytes;
		c->server->asked_bytes -= t->asked_bytes;
		if (c->r2t_wait) /* flush() asks */
			loop_defer(c->loop, &c->flush);
		return;
	}
	if (!t->in_line)
		return;
	for (struct task **p = &c->r2t_wait; *p; p = &(*p)->r2t_next) {
		if (*p != t)
			continue;
		*p = t->r2t_next;
		if (!*p)
			c->r2t_tail = p;
		return;
	}
}

void task_free(struct task *t)
{
	struct conn *c = t->conn;
	struct target_server *s = c->server;
	struct task **p = hash_slot(c, t->itt);
	while (*p != t)
		p = &(*p)->next;
	*p = t->next;
	c->tasks--;
	leave_line(t);
	gather_fini(&t->out, s);
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
		f->failed = true;
		return;
	}
	*w = (struct tmf_wait){.tmf = f, .next = t->awaited_by};
	t->awaited_by = w;
	f->left++;
}

static void abort_running(struct task *t, struct tmf *f)
{
	if (f)
		await(t, f);
	if (!t->cmd.aborted)
		scsi_abort(&t->cmd);
}

void task_abort(struct task *t, struct tmf *f)
{
	if (!t->running) {
		task_free(t);
		return;
	}
	t->aborted = true;
	abort_running(t, f);
}

/* The device server ends one that runs, by TASK ABORTED or as it would have ended; one that it does
 * not have yet is told of from its connection's loop: tasks_tell_cleared(). */
static void task_clear(struct task *t, struct tmf *f)
{
	struct conn *c = t->conn;
	if (t->running) {
		abort_running(t, f);
		return;
	}
	t->cleared = c->cleared = true;
	loop_defer(c->loop, &c->flush);
}

void tasks_abort(struct conn *c, int lun, struct tmf *f, bool by_other)
{
	for (unsigned i = 0; i < TASK_HASH; i++) {
		struct task *t, *next;
		for (t = c->hash[i]; t; t = next) {
			next = t->next;
			if (lun >= 0 && iscsi_lun_get(t->lun) != lun)
				continue;
			if (by_other)
				task_clear(t, f);
			else
				task_abort(t, f);
		}
	}
}

void tasks_orphan(struct conn *c, unsigned lun)
{
	for (unsigned i = 0; i < TASK_HASH; i++)
		for (struct task *t = c->hash[i]; t; t = t->next)
			if (!t->running && iscsi_lun_get(t->lun) == (int)lun)
				t->orphan = true;
}

/* ---- the response ---- */

/* Residual counts (RFC 7143, 11.4.5): what the command would move against what was announced. */
uint8_t task_residual(const struct task *t, uint8_t *at)
{
	uint64_t wanted = t->cmd.transfer_len, moved = t->cmd.status == SCSI_GOOD ? wanted : 0;
	if (wanted > t->edtl) { /* also when it is refused for that */
		put_be32(at, (uint32_t)MIN(wanted - t->edtl, (uint64_t)UINT32_MAX));
		return ISCSI_RESP_OVERFLOW;
	}
	if (moved < t->edtl) {
		put_be32(at, t->edtl - (uint32_t)moved);
		return ISCSI_RESP_UNDERFLOW;
	}
	return 0;
}

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
	if (l && l->stranger)
		return NULL;
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

static void abort_tasks(struct lun_nexus *n)
{
	struct session_lun *l = container_of(n, struct session_lun, nexus);
	tasks_abort(l->conn, (int)n->lun->number, NULL, true);
}

static const struct scsi_transport transport = {.reserve_in = data_in_reserve,
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
	cmd->transport = &transport;
	cmd->engine = c->home->engine;
	t->session_lun = number < 0 || t->orphan ? NULL : session_lun_find(c, (unsigned)number);
	if (t->session_lun) {
		t->session_lun->uses++;
		cmd->nexus = &t->session_lun->nexus;
		cmd->lun = t->session_lun->lun;
	}
	cmd->out = t->out.iov;
	cmd->out_n = t->out.n;
	cmd->out_len = t->out.len;
	cmd->in_max = t->read ? t->edtl : 0;
	cmd->lend_min = data_in_lend_min(c);
	t->running = true;
	c->running++;
	scsi_execute(cmd);
}

/* It goes straight to its end. */
static struct scsi_cmd *skip(struct task *t)
{
	t->cmd.transport = &transport;
	t->running = true;
	t->conn->running++;
	return &t->cmd;
}

void task_fail(struct task *t, uint8_t key, uint16_t asc)
{
	scsi_check(skip(t), key, asc);
}

void task_refuse(struct task *t)
{
	scsi_status(skip(t), SCSI_TASK_SET_FULL);
}

static struct task *find_cleared(struct conn *c)
{
	for (unsigned i = 0; i < TASK_HASH; i++)
		for (struct task *t = c->hash[i]; t; t = t->next)
			if (t->cleared)
				return t;
	return NULL;
}

void tasks_tell_cleared(struct conn *c)
{
	struct task *t;
	c->cleared = false;
	/* From the start each time: to tell of one may close the connection, and end the others. */
	while ((t = find_cleared(c)))
		scsi_status(skip(t), SCSI_TASK_ABORTED);
}
