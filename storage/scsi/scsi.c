/* SPDX-License-Identifier: BSD-2-Clause */
/* The way of a command through the device server: checks, dispatch, and how it ends. */
#include "storage/scsi/scsi.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/bytes.h"
#include "core/log.h"
#include "storage/scsi/journal.h"
#include "storage/scsi/pr_state.h"

/* A full or failing disk fails every command. */
static struct log_limit errors = {.burst = 10, .period_ns = 10 * SEC_NS};

static bool medium_ready(struct scsi_cmd *cmd);

/* ---- the end of a command ---- */

void scsi_status(struct scsi_cmd *cmd, uint8_t status)
{
	cmd->status = status;
	if (status != SCSI_GOOD)
		cmd->in_len = 0;
	scsi_leave(cmd);
	cmd->transport->done(cmd);
}

void scsi_good(struct scsi_cmd *cmd)
{
	scsi_status(cmd, SCSI_GOOD);
}

static void set_sense(struct scsi_cmd *cmd, uint8_t key, uint16_t asc, const struct sense_extra *x)
{
	cmd->status = SCSI_CHECK_CONDITION;
	cmd->sense_len = (uint8_t)sense_build(cmd->sense, cmd->d_sense, key, asc, x);
}

void scsi_check(struct scsi_cmd *cmd, uint8_t key, uint16_t asc)
{
	set_sense(cmd, key, asc, NULL);
	scsi_status(cmd, SCSI_CHECK_CONDITION);
}

int scsi_work_check(struct scsi_cmd *cmd, uint8_t key, uint16_t asc)
{
	set_sense(cmd, key, asc, NULL);
	return -ECANCELED;
}

static void invalid_field(struct scsi_cmd *cmd, uint16_t asc, bool in_cdb, unsigned byte, int bit)
{
	struct sense_extra x = {.field = (int)byte, .bit = bit, .in_cdb = in_cdb};
	set_sense(cmd, SENSE_ILLEGAL_REQUEST, asc, &x);
	scsi_status(cmd, SCSI_CHECK_CONDITION);
}

void scsi_invalid_cdb(struct scsi_cmd *cmd, unsigned byte, int bit)
{
	invalid_field(cmd, ASC_INVALID_FIELD_IN_CDB, true, byte, bit);
}

void scsi_invalid_param(struct scsi_cmd *cmd, unsigned byte, int bit)
{
	invalid_field(cmd, ASC_INVALID_FIELD_IN_PARAMETER, false, byte, bit);
}

static void count(struct scsi_cmd *cmd, bool ok, bool write)
{
	enum stats_kind kind = cmd->io.op == DISK_SYNC ? STATS_FLUSH
			       : write		       ? STATS_WRITE
						       : STATS_READ;
	if (cmd->op->flags & OP_MEDIUM)
		stats_add(&cmd->lun->stats, disk_engine_loop(cmd->engine), kind, cmd->began,
			  write ? cmd->out_len : cmd->in_len, ok);
}

/* The sense of a disk's error, at a block or (NULL) none in particular. */
static void set_error(struct scsi_cmd *cmd, int rc, bool write, const struct sense_extra *at)
{
	switch (rc) {
	case -ENOSPC:
	case -EDQUOT: set_sense(cmd, SENSE_DATA_PROTECT, ASC_SPACE_ALLOCATION_FAILED, at); break;
	case -ENOMEM: set_sense(cmd, SENSE_HARDWARE_ERROR, ASC_INTERNAL_FAILURE, NULL); break;
	default:
		set_sense(cmd, SENSE_MEDIUM_ERROR,
			  write ? ASC_WRITE_ERROR : ASC_UNRECOVERED_READ_ERROR, at);
	}
}

int scsi_work_sync(struct scsi_cmd *cmd)
{
	int rc = disk_sync(cmd->lun->disk);
	if (rc == 0)
		return 0;
	log_error("%s: cannot flush: %s", disk_path(cmd->lun->disk), strerror(-rc));
	set_error(cmd, rc, true, NULL);
	return rc;
}

void scsi_io_result(struct scsi_cmd *cmd, int rc, bool write)
{
	uint64_t lba = cmd->io.off >> cmd->lun->block_shift;
	bool sync = cmd->io.op == DISK_SYNC;
	struct sense_extra at = {.field = -1, .has_info = true, .info = lba};
	unsigned more;
	count(cmd, rc == 0 || rc == -ECANCELED, write);
	if (cmd->status != SCSI_GOOD) { /* the work has set it */
		scsi_status(cmd, cmd->status);
		return;
	}
	if (rc == 0) {
		scsi_good(cmd);
		return;
	}
	if (log_allowed(&errors, &more)) {
		if (more)
			log_error("%u more disk errors", more);
		if (sync)
			log_error("%s: cannot flush: %s", disk_path(cmd->lun->disk), strerror(-rc));
		else
			log_error("%s: %s at block %llu: %s", disk_path(cmd->lun->disk),
				  write ? "write" : "read", (unsigned long long)lba, strerror(-rc));
	}
	set_error(cmd, rc, write, sync ? NULL : &at);
	scsi_status(cmd, SCSI_CHECK_CONDITION);
}

/* ---- data ---- */

static void copy(const struct iovec *v, unsigned n, uint32_t off, void *p, uint32_t len, bool out)
{
	uint8_t *b = p;
	for (; n && len; v++, n--) {
		size_t step;
		if (off >= v->iov_len) {
			off -= (uint32_t)v->iov_len;
			continue;
		}
		step = MIN(v->iov_len - off, len);
		if (out)
			memcpy(b, (char *)v->iov_base + off, step);
		else
			memcpy((char *)v->iov_base + off, b, step);
		b += step;
		len -= (uint32_t)step;
		off = 0;
	}
}

void scsi_copy_out(const struct scsi_cmd *cmd, void *to, uint32_t off, uint32_t len)
{
	copy(cmd->out, cmd->out_n, off, to, len, true);
}

void scsi_copy_in(struct scsi_cmd *cmd, uint32_t off, const void *from, uint32_t len)
{
	copy(cmd->in, cmd->in_n, off, (void *)from, len, false);
}

void scsi_reply(struct scsi_cmd *cmd, const void *data, uint32_t len, uint32_t alloc_len)
{
	uint32_t n = MIN(len, alloc_len);
	cmd->transfer_len = n;
	n = MIN(n, cmd->in_max);
	if (n) {
		if (cmd->transport->reserve_in(cmd, n)) {
			scsi_status(cmd, SCSI_BUSY);
			return;
		}
		scsi_copy_in(cmd, 0, data, n);
	}
	cmd->in_len = n;
	scsi_good(cmd);
}

const uint8_t *scsi_param(struct scsi_cmd *cmd, uint32_t need)
{
	if (cmd->out_len < need || cmd->out_len == 0) {
		scsi_check(cmd, SENSE_ILLEGAL_REQUEST, ASC_PARAMETER_LIST_LENGTH);
		return NULL;
	}
	if (cmd->out_n == 1)
		return cmd->out[0].iov_base;
	free(cmd->param);
	cmd->param = malloc(cmd->out_len);
	if (!cmd->param) {
		scsi_status(cmd, SCSI_BUSY);
		return NULL;
	}
	scsi_copy_out(cmd, cmd->param, 0, cmd->out_len);
	return cmd->param;
}

bool scsi_range_ok(struct scsi_cmd *cmd, uint64_t lba, uint64_t count)
{
	struct sense_extra x = {.field = -1, .has_info = true, .info = lba};
	uint64_t blocks = cmd->lun->blocks;
	if (lba < blocks && count <= blocks - lba)
		return true;
	set_sense(cmd, SENSE_ILLEGAL_REQUEST, ASC_LBA_OUT_OF_RANGE, &x);
	scsi_status(cmd, SCSI_CHECK_CONDITION);
	return false;
}

bool scsi_whole_blocks(struct scsi_cmd *cmd)
{
	if (cmd->out_len >= cmd->transfer_len || cmd->out_len % cmd->lun->block_size == 0)
		return true;
	scsi_check(cmd, SENSE_ILLEGAL_REQUEST, ASC_INVALID_INFORMATION_UNIT);
	return false;
}

/* ---- blocking work and commands that run alone ---- */

static int do_work(struct disk_io *io)
{
	struct scsi_cmd *cmd = container_of(io, struct scsi_cmd, io);
	return cmd->work(cmd);
}

static void work_done(struct disk_io *io)
{
	struct scsi_cmd *cmd = container_of(io, struct scsi_cmd, io);
	scsi_io_result(cmd, io->rc, (cmd->op->flags & OP_MODIFY) != 0);
}

void scsi_run_blocking(struct scsi_cmd *cmd, int (*work)(struct scsi_cmd *cmd))
{
	cmd->work = work;
	cmd->io = (struct disk_io){.op = DISK_CALL,
				   .disk = cmd->lun->disk,
				   .off = cmd->lba << cmd->lun->block_shift,
				   .call = do_work,
				   .done = work_done};
	if (disk_submit(cmd->engine, &cmd->io))
		work_done(&cmd->io);
}

/*
 * A command either runs beside others or alone. One that must run alone waits for those that run,
 * and everything after it waits for it: nothing overtakes, so nothing starves. One that has waited
 * starts from its own loop: whoever lets it in may be deep in another command, or be another loop.
 */
static bool must_wait(const struct scsi_cmd *cmd)
{
	const struct lun *l = cmd->lun;
	if (l->alone)
		return true;
	if (!cmd->alone)
		return false;
	return l->running || (l->lent && cmd->op->flags & OP_MODIFY);
}

static void enter(struct scsi_cmd *cmd)
{
	struct lun *l = cmd->lun;
	if (l->waiting || must_wait(cmd)) {
		cmd->next = NULL;
		*l->waiting_tail = cmd;
		l->waiting_tail = &cmd->next;
		return;
	}
	l->running++;
	l->alone = cmd->alone;
	cmd->entered = true;
	cmd->start(cmd);
}

/* START STOP UNIT that starts, and PREVENT ALLOW that allows, harm nobody (SBC-3, table 13). */
static bool harmless(const struct scsi_cmd *cmd)
{
	return (cmd->cdb[0] == 0x1b && (cmd->cdb[4] & 0xf1) == 0x01) ||
	       (cmd->cdb[0] == 0x1e && (cmd->cdb[4] & 0x03) == 0);
}

/* May this nexus run the command beside the reservations in force (SPC-4, table 66)? */
static bool reservations_allow(const struct scsi_cmd *cmd)
{
	uint8_t conflicts = OP_CONFLICT_READ | OP_CONFLICT_WRITE;
	return reservations_permit(cmd->nexus,
				   cmd->op->flags & (harmless(cmd) ? ~conflicts : 0xff));
}

static void take_turn(void *arg)
{
	struct scsi_cmd *cmd = arg;
	/* What ran alone may have been a reservation against it, or SANITIZE. */
	if (cmd->aborted)
		scsi_status(cmd, SCSI_TASK_ABORTED);
	else if (!reservations_allow(cmd))
		scsi_status(cmd, SCSI_RESERVATION_CONFLICT);
	else if (medium_ready(cmd))
		cmd->start(cmd);
}

static void let_in(struct lun *l)
{
	struct scsi_cmd *next;
	while ((next = l->waiting) && !must_wait(next)) {
		l->waiting = next->next;
		if (!l->waiting)
			l->waiting_tail = &l->waiting;
		l->running++;
		l->alone = next->alone;
		next->entered = true;
		next->turn = (struct loop_task){.fn = take_turn, .arg = next};
		loop_defer(disk_engine_loop(next->engine), &next->turn);
	}
}

void scsi_leave(struct scsi_cmd *cmd)
{
	struct lun *l = cmd->lun;
	if (!cmd->entered)
		return;
	cmd->entered = false;
	if (cmd->alone)
		l->alone = false;
	scsi_part(l);
}

bool scsi_join(struct lun *l)
{
	if (l->alone || l->waiting)
		return false;
	l->running++;
	return true;
}

void scsi_part(struct lun *l)
{
	l->running--;
	if (l->waiting)
		let_in(l);
	if (l->retiring && !l->running)
		lun_ended(l);
}

void scsi_give_back(struct lun *l)
{
	if (--l->lent == 0)
		let_in(l);
}

/* What is lent would show an atomic write half done, and to get it back takes time: who writes
 * atomically will do so again, so that from the first time on nothing is lent. */
static void stop_lending(struct lun *l)
{
	l->lend_none = true;
	for (struct lun_nexus *n = l->lent ? l->nexuses : NULL; n; n = n->next)
		if (n->recall)
			n->recall(n);
}

void scsi_run_alone(struct scsi_cmd *cmd, void (*start)(struct scsi_cmd *cmd))
{
	struct lun *l = cmd->lun;
	if (cmd->op->flags & OP_MODIFY)
		stop_lending(l);
	/* It was let in beside others: step out and queue again as one that runs alone. */
	cmd->alone = true;
	cmd->start = start;
	if (cmd->entered) {
		cmd->entered = false;
		l->running--;
	}
	enter(cmd);
	let_in(l); /* it may have been all that those before it in the line waited for */
}

/* ---- dispatch ---- */

static const struct scsi_op *find_op(const struct scsi_cmd *cmd, bool *action_unknown)
{
	static uint8_t first[256]; /* 1 + row of the opcode's first entry */
	static bool built;
	unsigned n;
	const struct scsi_op *ops = scsi_ops(&n), *op;
	int action = cmd->cdb[1] & 0x1f;

	if (!built) {
		for (unsigned i = n; i-- > 0;)
			first[ops[i].opcode] = (uint8_t)(i + 1);
		built = true;
	}
	*action_unknown = false;
	if (!first[cmd->cdb[0]])
		return NULL;
	op = &ops[first[cmd->cdb[0]] - 1];
	if (op->action < 0)
		return op;
	for (; op < ops + n && op->opcode == cmd->cdb[0]; op++)
		if (op->action == action)
			return op;
	*action_unknown = true;
	return NULL;
}

/* Can this LUN do op at all? */
bool scsi_op_supported(const struct lun *l, const struct scsi_op *op)
{
	return !(op->flags & OP_THIN && !l->thin) && !(op->flags & OP_REMOVABLE && !l->removable);
}

static bool attention_pending(struct scsi_cmd *cmd)
{
	struct lun_nexus *n = cmd->nexus;
	uint16_t code;
	if (!n->ua_n || cmd->attention_over || cmd->op->flags & OP_NO_ATTENTION)
		return false;
	code = n->ua[0];
	n->ua_n--;
	memmove(n->ua, n->ua + 1, n->ua_n * sizeof(n->ua[0]));
	scsi_check(cmd, SENSE_UNIT_ATTENTION, code);
	return true;
}

bool scsi_write_protected(const struct lun *l)
{
	return l->swp || disk_readonly(l->disk) || journal_stuck(l->journal);
}

static bool medium_ready(struct scsi_cmd *cmd)
{
	struct lun *l = cmd->lun;
	if (cmd->op->flags & OP_NO_ATTENTION) /* what tells about the LUN, in whatever state */
		return true;
	if (l->sanitize) {
		struct sense_extra x = {.field = -1, .progress = sanitize_progress(l)};
		set_sense(cmd, SENSE_NOT_READY, ASC_SANITIZE_IN_PROGRESS, &x);
		scsi_status(cmd, SCSI_CHECK_CONDITION);
		return false;
	}
	if (l->sanitize_failed && cmd->cdb[0] != 0x48) {
		scsi_check(cmd, SENSE_MEDIUM_ERROR, ASC_SANITIZE_FAILED);
		return false;
	}
	if (!(cmd->op->flags & OP_MEDIUM))
		return true;
	if (l->ejected) {
		scsi_check(cmd, SENSE_NOT_READY, ASC_MEDIUM_NOT_PRESENT);
		return false;
	}
	if (cmd->op->flags & OP_MODIFY && scsi_write_protected(l)) {
		scsi_check(cmd, SENSE_DATA_PROTECT, ASC_WRITE_PROTECTED);
		return false;
	}
	return true;
}

/* A LUN that does not exist answers these three only (SAM-5, 5.11.4). */
static bool answers_without_lun(uint8_t opcode)
{
	return opcode == 0x12 || opcode == 0x03 || opcode == 0xa0;
}

void scsi_execute(struct scsi_cmd *cmd)
{
	bool action_unknown;
	cmd->op = find_op(cmd, &action_unknown);
	if (!cmd->lun) {
		if (cmd->op && answers_without_lun(cmd->cdb[0]))
			cmd->op->run(cmd);
		else
			scsi_check(cmd, SENSE_ILLEGAL_REQUEST, ASC_LUN_NOT_SUPPORTED);
		return;
	}
	cmd->d_sense = cmd->lun->d_sense;
	if (!cmd->op || !scsi_op_supported(cmd->lun, cmd->op)) {
		if (action_unknown)
			scsi_invalid_cdb(cmd, 1, 4);
		else
			scsi_check(cmd, SENSE_ILLEGAL_REQUEST, ASC_INVALID_OPCODE);
		return;
	}
	if (attention_pending(cmd))
		return;
	if (!reservations_allow(cmd)) {
		scsi_status(cmd, SCSI_RESERVATION_CONFLICT);
		return;
	}
	if (!medium_ready(cmd))
		return;
	if (cmd->op->flags & OP_MEDIUM) {
		cmd->began = loop_now(disk_engine_loop(cmd->engine));
		cmd->start = cmd->op->run;
		enter(cmd);
	} else {
		cmd->op->run(cmd);
	}
}

void scsi_abort(struct scsi_cmd *cmd)
{
	__atomic_store_n(&cmd->aborted, true, __ATOMIC_RELAXED); /* workers look at it */
	if (cmd->on_abort)
		cmd->on_abort(cmd);
}

void scsi_cmd_fini(struct scsi_cmd *cmd)
{
	free(cmd->param);
	free(cmd->state);
	cmd->param = NULL;
	cmd->state = NULL;
}
