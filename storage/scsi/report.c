/* SPDX-License-Identifier: BSD-2-Clause */
/* What the device server tells about itself: sense, LUNs, operation codes, port groups. */
#include <stdlib.h>
#include <string.h>

#include "core/bytes.h"
#include "storage/scsi/scsi.h"

#define LUNS_MAX 256

void scsi_request_sense(struct scsi_cmd *cmd)
{
	uint8_t p[SENSE_MAX];
	bool descriptor = cmd->cdb[1] & 1;
	uint8_t key = SENSE_NONE;
	uint16_t asc = ASC_NONE;
	struct sense_extra x = {.field = -1};
	unsigned n;

	if (!cmd->lun) {
		key = SENSE_ILLEGAL_REQUEST;
		asc = ASC_LUN_NOT_SUPPORTED;
	} else if (cmd->nexus->ua_n) { /* reported this way, it is no longer pending */
		struct lun_nexus *me = cmd->nexus;
		key = SENSE_UNIT_ATTENTION;
		asc = me->ua[0];
		me->ua_n--;
		memmove(me->ua, me->ua + 1, me->ua_n * sizeof(me->ua[0]));
	} else if (cmd->lun->sanitize) {
		key = SENSE_NOT_READY;
		asc = ASC_SANITIZE_IN_PROGRESS;
		x.progress = sanitize_progress(cmd->lun);
	} else if (cmd->lun->sanitize_failed) {
		key = SENSE_MEDIUM_ERROR;
		asc = ASC_SANITIZE_FAILED;
	} else if (cmd->lun->ejected) {
		key = SENSE_NOT_READY;
		asc = ASC_MEDIUM_NOT_PRESENT;
	}
	n = sense_build(p, descriptor, key, asc, &x);
	scsi_reply(cmd, p, n, cmd->cdb[4]);
}

/* SPC-4, 6.33 */
void scsi_report_luns(struct scsi_cmd *cmd)
{
	unsigned numbers[LUNS_MAX], n;
	uint32_t alloc = get_be32(cmd->cdb + 6);
	uint8_t *p;

	if (alloc < 16) {
		scsi_invalid_cdb(cmd, 6, -1);
		return;
	}
	switch (cmd->cdb[2]) { /* select report */
	case 0x00:
	case 0x02:
		n = cmd->transport->list_luns(cmd, numbers, LUNS_MAX);
		n = MIN(n, LUNS_MAX);
		break;
	case 0x01: n = 0; break; /* no well-known logical units */
	default: scsi_invalid_cdb(cmd, 2, -1); return;
	}
	p = calloc(1, 8 + 8 * (size_t)n);
	if (!p) {
		scsi_status(cmd, SCSI_BUSY);
		return;
	}
	put_be32(p, 8 * n);
	for (unsigned i = 0; i < n; i++) {
		uint8_t *e = p + 8 + 8 * i;
		if (numbers[i] > 255) /* flat space addressing (SAM-5, 4.7.7.3) */
			e[0] = (uint8_t)(0x40 | numbers[i] >> 8);
		e[1] = (uint8_t)numbers[i];
	}
	scsi_reply(cmd, p, 8 + 8 * n, alloc);
	free(p);
}

/* Command timeouts descriptor: nominal and recommended timeouts not given (SPC-4, 6.35.4). */
static unsigned put_timeouts(uint8_t *p)
{
	memset(p, 0, 12);
	put_be16(p, 0x0a);
	return 12;
}

static void report_all(struct scsi_cmd *cmd, const struct scsi_op *ops, unsigned n, bool timeouts)
{
	uint32_t len = 4, alloc = get_be32(cmd->cdb + 6);
	uint8_t *p = calloc(1, 4 + n * 20);
	if (!p) {
		scsi_status(cmd, SCSI_BUSY);
		return;
	}
	for (unsigned i = 0; i < n; i++) {
		const struct scsi_op *op = &ops[i];
		uint8_t *e = p + len;
		if (!scsi_op_supported(cmd->lun, op))
			continue;
		e[0] = op->opcode;
		if (op->action >= 0) {
			put_be16(e + 2, (uint16_t)op->action);
			e[5] |= 0x01; /* SERVACTV */
		}
		put_be16(e + 6, op->cdb_len);
		len += 8;
		if (timeouts) {
			e[5] |= 0x02; /* CTDP */
			len += put_timeouts(e + 8);
		}
	}
	put_be32(p, len - 4);
	scsi_reply(cmd, p, len, alloc);
	free(p);
}

static void report_one(struct scsi_cmd *cmd, const struct scsi_op *op, bool timeouts)
{
	uint8_t p[4 + SCSI_CDB_MAX + 12] = {0};
	uint32_t len = 4;
	if (op && scsi_op_supported(cmd->lun, op)) {
		p[1] = (uint8_t)(0x03 | (timeouts ? 0x80 : 0)); /* supported per standard */
		put_be16(p + 2, op->cdb_len);
		memcpy(p + 4, op->usage, op->cdb_len);
		len += op->cdb_len;
		if (timeouts)
			len += put_timeouts(p + len);
	} else {
		p[1] = 0x01; /* not supported */
	}
	scsi_reply(cmd, p, len, get_be32(cmd->cdb + 6));
}

/* SPC-4, 6.35 */
void scsi_report_opcodes(struct scsi_cmd *cmd)
{
	unsigned n;
	const struct scsi_op *ops = scsi_ops(&n), *op = NULL;
	uint8_t options = cmd->cdb[2] & 7, opcode = cmd->cdb[3];
	uint16_t action = get_be16(cmd->cdb + 4);
	bool timeouts = cmd->cdb[2] & 0x80, has_actions = false, known = false;

	if (options == 0) {
		report_all(cmd, ops, n, timeouts);
		return;
	}
	for (unsigned i = 0; i < n; i++) {
		if (ops[i].opcode != opcode)
			continue;
		known = true;
		has_actions = ops[i].action >= 0;
		if (!has_actions || ops[i].action == action)
			op = &ops[i];
	}
	switch (options) {
	case 1: /* an opcode without service actions */
		if (known && has_actions) {
			scsi_invalid_cdb(cmd, 2, 2);
			return;
		}
		break;
	case 2: /* an opcode with this service action */
		if (known && !has_actions) {
			scsi_invalid_cdb(cmd, 2, 2);
			return;
		}
		break;
	case 3: /* either: the service action must be 0 where the opcode has none */
		if (op && op->action < 0 && action != 0)
			op = NULL;
		break;
	default: scsi_invalid_cdb(cmd, 2, 2); return;
	}
	report_one(cmd, op, timeouts);
}

/* SPC-4, 6.36: abort task, abort task set, clear task set, LUN reset; I_T nexus reset is not ours
 */
void scsi_report_tmfs(struct scsi_cmd *cmd)
{
	uint8_t p[16] = {0x80 | 0x40 | 0x10 | 0x08};
	uint32_t alloc = get_be32(cmd->cdb + 6);
	bool extended = cmd->cdb[2] & 0x80;
	if (alloc < 4) {
		scsi_invalid_cdb(cmd, 6, -1);
		return;
	}
	p[3] = extended ? 0x0c : 0;
	scsi_reply(cmd, p, extended ? 16 : 4, alloc);
}

/* SPC-4, 6.37: one group, active/optimised, with one port */
void scsi_report_port_groups(struct scsi_cmd *cmd)
{
	uint8_t p[8 + 12] = {0}, *g = p + 4;
	unsigned len = 4 + 8 + 4;
	bool extended = cmd->cdb[1] >> 5 == 1;
	if (extended) { /* extended header: implicit transition time */
		len += 4;
		g += 4;
		p[4] = 0x10;
	}
	put_be32(p, len - 4);
	g[1] = 0x01; /* T_SUP off; AO_SUP */
	put_be16(g + 2, 1);
	g[7] = 1;
	put_be16(g + 10, 1);
	scsi_reply(cmd, p, len, get_be32(cmd->cdb + 6));
}
