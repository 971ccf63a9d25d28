/* SPDX-License-Identifier: BSD-2-Clause */
/* The medium as a whole: ready or not, start and stop, removal, defects. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/bytes.h"
#include "storage/scsi/scsi.h"

void scsi_test_unit_ready(struct scsi_cmd *cmd)
{
	scsi_good(cmd);
}

static int sync_work(struct scsi_cmd *cmd)
{
	return disk_readonly(cmd->lun->disk) ? 0 : scsi_work_sync(cmd);
}

static bool removal_prevented(const struct lun *l)
{
	for (const struct lun_nexus *n = l->nexuses; n; n = n->next)
		if (n->prevent)
			return true;
	return false;
}

/* SBC-3, 5.25. There is nothing to spin: power conditions change nothing, and a stop without eject
 * only flushes. Stopping a disk that several hosts use would be one host taking it from all. */
void scsi_start_stop(struct scsi_cmd *cmd)
{
	struct lun *l = cmd->lun;
	uint8_t power = cmd->cdb[4] >> 4;
	bool no_flush = cmd->cdb[4] & 0x04, loej = cmd->cdb[4] & 0x02, start = cmd->cdb[4] & 0x01;

	if (power) { /* START and LOEJ are ignored */
		scsi_good(cmd);
		return;
	}
	if (loej && l->removable) {
		if (removal_prevented(l)) {
			scsi_check(cmd, SENSE_ILLEGAL_REQUEST, ASC_MEDIUM_REMOVAL_PREVENTED);
			return;
		}
		if (start && l->ejected)
			lun_attention_all(l, cmd->nexus, ASC_MEDIUM_CHANGED);
		l->ejected = !start;
	}
	if (!start && !no_flush)
		scsi_run_blocking(cmd, sync_work);
	else
		scsi_good(cmd);
}

/* SBC-3, 5.14 */
void scsi_prevent_allow(struct scsi_cmd *cmd)
{
	uint8_t prevent = cmd->cdb[4] & 3;
	if (!cmd->lun->removable) {
		scsi_check(cmd, SENSE_ILLEGAL_REQUEST, ASC_INVALID_OPCODE);
		return;
	}
	if (prevent > 1) {
		scsi_invalid_cdb(cmd, 4, 1);
		return;
	}
	cmd->nexus->prevent = prevent;
	scsi_good(cmd);
}

/* An empty list in the format asked for (SBC-3, 5.17 and 5.18). */
void scsi_read_defect_data(struct scsi_cmd *cmd)
{
	bool twelve = cmd->cdb[0] == 0xb7;
	uint8_t p[8] = {0};
	p[1] = cmd->cdb[twelve ? 1 : 2] & 0x1f;
	scsi_reply(cmd, p, twelve ? 8 : 4,
		   twelve ? get_be32(cmd->cdb + 6) : get_be16(cmd->cdb + 7));
}
