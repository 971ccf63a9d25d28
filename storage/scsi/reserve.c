/* SPDX-License-Identifier: BSD-2-Clause */
/* Reservations: who may use the LUN, and PERSISTENT RESERVE OUT (SPC-4, 5.13 and 6.16). */
#include "storage/scsi/register.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/bytes.h"
#include "core/log.h"
#include "storage/scsi/limits.h"
#include "storage/scsi/persist.h"
#include "storage/scsi/scsi.h"

#define PR_LIST 24 /* the parameter list, but for REGISTER's and REGISTER AND MOVE's additions */

enum pr_action {
	PR_REGISTER,
	PR_RESERVE,
	PR_RELEASE,
	PR_CLEAR,
	PR_PREEMPT,
	PR_PREEMPT_AND_ABORT,
	PR_REGISTER_AND_IGNORE,
	PR_REGISTER_AND_MOVE,
};

/* ---- RESERVE(6) and RELEASE(6) (SPC-2, 7.16 and 7.21) ---- */

/* What both share. False: the command has ended. */
static bool reserve6_ok(struct scsi_cmd *cmd)
{
	if (cmd->cdb[1] & 0x11) { /* third party, extent */
		scsi_invalid_cdb(cmd, 1, cmd->cdb[1] & 0x10 ? 4 : 0);
		return false;
	}
	/* The two kinds do not mix (SPC-4, 5.13.3). */
	if (cmd->lun->reservations->now.n) {
		scsi_status(cmd, SCSI_RESERVATION_CONFLICT);
		return false;
	}
	return true;
}

void scsi_reserve6(struct scsi_cmd *cmd)
{
	struct lun *l = cmd->lun;
	if (!reserve6_ok(cmd))
		return;
	if (l->reserved_by && l->reserved_by != cmd->nexus) {
		scsi_status(cmd, SCSI_RESERVATION_CONFLICT);
		return;
	}
	l->reserved_by = cmd->nexus;
	scsi_good(cmd);
}

void scsi_release6(struct scsi_cmd *cmd)
{
	if (!reserve6_ok(cmd))
		return;
	if (cmd->lun->reserved_by == cmd->nexus)
		cmd->lun->reserved_by = NULL;
	scsi_good(cmd);
}

/* ---- service actions; each returns like pr_register() ---- */

static bool conflict(struct scsi_cmd *cmd)
{
	scsi_status(cmd, SCSI_RESERVATION_CONFLICT);
	return false;
}

static bool unchanged(struct scsi_cmd *cmd)
{
	scsi_good(cmd);
	return false;
}

/* Scope (the logical unit, the only one) and type of the CDB. */
static bool scope_and_type_ok(struct scsi_cmd *cmd, const struct pr_request *req)
{
	if (req->scope == 0 && pr_type_valid(req->type))
		return true;
	scsi_invalid_cdb(cmd, 2, req->scope ? 7 : 3);
	return false;
}

static void take(struct pr_request *req)
{
	req->s->type = req->type;
	req->s->holder = pr_type_all(req->type) ? -1 : req->self;
}

/* 5.13.10 */
static bool reserve(struct scsi_cmd *cmd, struct pr_request *req)
{
	if (!scope_and_type_ok(cmd, req))
		return false;
	if (req->s->type == PR_NONE) {
		take(req);
		return true;
	}
	if (!pr_holds(req->s, req->self) || req->s->type != req->type)
		return conflict(cmd);
	return unchanged(cmd);
}

/* 5.13.11.2 */
static bool release_action(struct scsi_cmd *cmd, struct pr_request *req)
{
	struct pr_state *s = req->s;
	if (!pr_holds(s, req->self))
		return unchanged(cmd);
	if (req->scope || req->type != s->type) {
		scsi_check(cmd, SENSE_ILLEGAL_REQUEST, ASC_INVALID_RELEASE_OF_RESERVATION);
		return false;
	}
	if (pr_type_registrants(s->type))
		pr_notify(s, req->self, ASC_RESERVATIONS_RELEASED);
	pr_release(s);
	return true;
}

/* 5.13.11.6 */
static bool clear(struct scsi_cmd *cmd, struct pr_request *req)
{
	struct pr_state *s = req->s;
	(void)cmd;
	pr_notify(s, req->self, ASC_RESERVATIONS_PREEMPTED);
	for (unsigned i = 0; i < s->n; i++)
		s->reg[i].gone = true;
	pr_release(s);
	s->generation++;
	return true;
}

/* Takes away all registrations with `key` (0: all there are) but one; how many were found. */
static unsigned remove_key(struct pr_state *s, uint64_t key, int keep, int self)
{
	unsigned found = 0;
	for (unsigned i = 0; i < s->n; i++) {
		struct registration *reg = &s->reg[i];
		if (key && reg->key != key)
			continue;
		found++;
		if ((int)i == keep)
			continue;
		reg->gone = true;
		if ((int)i != self)
			reg->attention = ASC_REGISTRATIONS_PREEMPTED;
	}
	return found;
}

/* 5.13.11.4 and 5.13.11.5: with the holder's key (0 for all registrants) the reservation becomes
 * this nexus's, with another key only registrations go. */
static bool preempt(struct scsi_cmd *cmd, struct pr_request *req)
{
	struct pr_state *s = req->s;
	bool all = pr_type_all(s->type);
	bool holder = s->type != PR_NONE &&
		      (all ? req->new_key == 0 : s->reg[s->holder].key == req->new_key);

	if (req->new_key == 0 && !all) {
		scsi_invalid_param(cmd, 8, -1);
		return false;
	}
	if (holder) {
		if (!scope_and_type_ok(cmd, req))
			return false;
		remove_key(s, req->new_key, req->self, req->self);
		if (s->type != req->type)
			pr_notify(s, req->self, ASC_RESERVATIONS_RELEASED);
		take(req);
	} else {
		if (remove_key(s, req->new_key, -1, req->self) == 0)
			return conflict(cmd);
		if (!pr_any_left(s))
			pr_release(s);
	}
	s->generation++;
	return true;
}

/* ---- a change from start to end ---- */

/* Brings the change into force: tells the nexuses, and drops what is gone. */
static void commit(struct scsi_cmd *cmd, bool abort)
{
	struct reservations *r = cmd->lun->reservations;
	struct pr_state old = r->now, *s = &r->next;
	unsigned kept = 0;

	for (unsigned i = 0; i < s->n; i++) {
		struct registration *reg = &s->reg[i];
		for (struct lun_nexus *n = cmd->lun->nexuses; n; n = n->next) {
			if (!(reg->attention || reg->gone) || !pr_matches(reg, n))
				continue;
			if (abort && reg->gone && n != cmd->nexus && cmd->transport->abort_tasks)
				cmd->transport->abort_tasks(n);
			if (reg->attention)
				lun_attention(n, reg->attention);
		}
	}
	for (unsigned i = 0; i < s->n; i++) {
		if (s->reg[i].gone)
			continue;
		if (s->holder == (int)i)
			s->holder = (int)kept;
		s->reg[i].attention = 0;
		if (kept != i)
			s->reg[kept] = s->reg[i];
		kept++;
	}
	s->n = kept;
	r->now = *s;
	r->next = old;
	scsi_good(cmd);
}

static int save_work(struct disk_io *io)
{
	const struct reservations *r = container_of(io, struct scsi_cmd, io)->lun->reservations;
	return pr_save(r->path, r->disk, &r->next);
}

static void save_done(struct disk_io *io)
{
	struct scsi_cmd *cmd = container_of(io, struct scsi_cmd, io);
	struct reservations *r = cmd->lun->reservations;
	if (io->rc) { /* nothing has changed, but for the file perhaps: write it next time */
		r->kept = true;
		scsi_check(cmd, SENSE_HARDWARE_ERROR, ASC_INTERNAL_FAILURE);
		return;
	}
	r->kept = r->next.aptpl;
	commit(cmd, (cmd->cdb[1] & 0x1f) == PR_PREEMPT_AND_ABORT);
}

static void save_and_commit(struct scsi_cmd *cmd, const struct pr_request *req)
{
	struct reservations *r = cmd->lun->reservations;
	if (!pr_any_left(&r->next))
		r->next.aptpl = false;
	if (!r->kept && !r->next.aptpl) {
		commit(cmd, req->action == PR_PREEMPT_AND_ABORT);
		return;
	}
	/* Not by the disk's own workers, who may all be in flushes that hang. */
	cmd->io = (struct disk_io){.op = DISK_CALL, .call = save_work, .done = save_done};
	if (disk_submit(cmd->engine, &cmd->io))
		save_done(&cmd->io);
}

static bool do_action(struct scsi_cmd *cmd, struct pr_request *req)
{
	bool registered = req->self >= 0 && req->s->reg[req->self].key == req->key;
	switch (req->action) {
	case PR_REGISTER:
		if (req->self >= 0 ? !registered : req->key != 0)
			return conflict(cmd);
		return pr_register(cmd, req);
	case PR_REGISTER_AND_IGNORE: return pr_register(cmd, req);
	}
	if (!registered)
		return conflict(cmd);
	switch (req->action) {
	case PR_RESERVE: return reserve(cmd, req);
	case PR_RELEASE: return release_action(cmd, req);
	case PR_CLEAR: return clear(cmd, req);
	case PR_PREEMPT:
	case PR_PREEMPT_AND_ABORT: return preempt(cmd, req);
	default: return pr_register_and_move(cmd, req);
	}
}

/* Nothing else runs on the LUN: what was let in before has ended, so that a nexus which loses its
 * rights has no write under way when the initiator that took them hears of it. */
static void pr_out_alone(struct scsi_cmd *cmd)
{
	struct reservations *r = cmd->lun->reservations;
	struct pr_request req = {
		.s = &r->next,
		.self = pr_find(&r->now, cmd->nexus),
		.action = cmd->cdb[1] & 0x1f,
		.scope = cmd->cdb[2] >> 4,
		.type = cmd->cdb[2] & 0x0f,
		.len = get_be32(cmd->cdb + 5),
	};

	cmd->transfer_len = req.len;
	if (cmd->lun->reserved_by) { /* the two kinds do not mix */
		scsi_status(cmd, SCSI_RESERVATION_CONFLICT);
		return;
	}
	req.p = scsi_param(cmd, MAX(req.len, PR_LIST));
	if (!req.p)
		return;
	if (req.len < PR_LIST || (req.len > PR_LIST && req.action != PR_REGISTER_AND_MOVE &&
				  !(req.p[20] & PR_SPEC_I_PT))) {
		scsi_check(cmd, SENSE_ILLEGAL_REQUEST, ASC_PARAMETER_LIST_LENGTH);
		return;
	}
	if (req.p[20] & PR_SPEC_I_PT && req.action != PR_REGISTER &&
	    req.action != PR_REGISTER_AND_MOVE) {
		scsi_invalid_param(cmd, 20, 3);
		return;
	}
	req.key = get_be64(req.p);
	req.new_key = get_be64(req.p + 8);
	pr_copy(&r->next, &r->now);
	if (do_action(cmd, &req))
		save_and_commit(cmd, &req);
}

void scsi_pr_out(struct scsi_cmd *cmd)
{
	scsi_run_alone(cmd, pr_out_alone);
}

/* ---- the LUN's own ---- */

int reservations_new(struct reservations **out, const char *state_path, const char *disk)
{
	struct reservations *r = calloc(1, sizeof(*r));
	int rc = -ENOMEM;

	*out = r;
	if (!r)
		return rc;
	r->now.holder = -1;
	r->now.reg = calloc(LIMIT_REGISTRATIONS, sizeof(*r->now.reg));
	r->next.reg = calloc(LIMIT_REGISTRATIONS, sizeof(*r->next.reg));
	r->path = state_path ? strdup(state_path) : NULL;
	r->disk = strdup(disk);
	if (r->now.reg && r->next.reg && r->disk && (r->path || !state_path))
		rc = r->path ? pr_load(r->path, &r->now, &r->kept) : 0;
	if (rc) {
		reservations_free(r);
		*out = NULL;
	}
	return rc;
}

void reservations_free(struct reservations *r)
{
	if (!r)
		return;
	free(r->now.reg);
	free(r->next.reg);
	free(r->path);
	free(r->disk);
	free(r);
}
