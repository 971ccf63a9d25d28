/* SPDX-License-Identifier: BSD-2-Clause */
/* Commands that no other may come between: each runs alone on its LUN (see scsi_run_alone()). */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/bytes.h"
#include "storage/scsi/journal.h"
#include "storage/scsi/limits.h"
#include "storage/scsi/scsi.h"

#define STEP (256u << 10)

#define FUA 0x08

/* What the three CDBs share. False: the command has ended. */
static bool prepare(struct scsi_cmd *cmd, uint64_t count, uint64_t max, unsigned count_byte)
{
	cmd->lba = get_be64(cmd->cdb + 2);
	cmd->count = count;
	if (cmd->cdb[1] & 0xe0) { /* WRPROTECT: there is no protection information */
		scsi_invalid_cdb(cmd, 1, 7);
		return false;
	}
	if (!scsi_range_ok(cmd, cmd->lba, count))
		return false;
	if (count > max) {
		scsi_invalid_cdb(cmd, count_byte, -1);
		return false;
	}
	return true;
}

/* ---- COMPARE AND WRITE (SBC-3, 5.2) ---- */

static int miscompare(struct scsi_cmd *cmd, uint64_t off)
{
	struct sense_extra x = {.field = -1, .has_info = true, .info = off};
	cmd->status = SCSI_CHECK_CONDITION;
	cmd->sense_len = (uint8_t)sense_build(cmd->sense, cmd->d_sense, SENSE_MISCOMPARE,
					      ASC_MISCOMPARE_VERIFY, &x);
	return -ECANCELED;
}

static int compare_and_write_work(struct scsi_cmd *cmd)
{
	struct lun *l = cmd->lun;
	uint64_t off = cmd->lba << l->block_shift;
	uint32_t n = (uint32_t)(cmd->count << l->block_shift), i = 0;
	uint8_t *medium = malloc(2 * (size_t)n), *data;
	int rc;

	if (!medium)
		return -ENOMEM;
	data = medium + n;
	rc = disk_read(l->disk, medium, n, off, &cmd->io.off);
	if (rc == 0) {
		scsi_copy_out(cmd, data, 0, n);
		while (i < n && medium[i] == data[i])
			i++;
		if (i < n) {
			rc = miscompare(cmd, i);
		} else {
			scsi_copy_out(cmd, data, n, n);
			rc = disk_write(l->disk, data, n, off, cmd->cdb[1] & FUA, &cmd->io.off);
		}
	}
	free(medium);
	return rc;
}

static void compare_and_write_alone(struct scsi_cmd *cmd)
{
	scsi_run_blocking(cmd, compare_and_write_work);
}

void scsi_compare_and_write(struct scsi_cmd *cmd)
{
	if (!prepare(cmd, cmd->cdb[13], LIMIT_CAW_BLOCKS, 13))
		return;
	/* Two halves: with a part of them missing there is nothing to compare, or to write. */
	cmd->transfer_len = 2 * cmd->count << cmd->lun->block_shift;
	if (cmd->out_len != cmd->transfer_len)
		scsi_invalid_cdb(cmd, 13, -1);
	else if (cmd->count == 0)
		scsi_good(cmd);
	else
		scsi_run_alone(cmd, compare_and_write_alone);
}

/* ---- ORWRITE(16) (SBC-3, 5.7) ---- */

static int orwrite_work(struct scsi_cmd *cmd)
{
	struct lun *l = cmd->lun;
	uint64_t off = cmd->lba << l->block_shift;
	uint32_t total = (uint32_t)MIN(cmd->transfer_len, (uint64_t)cmd->out_len);
	uint8_t *medium = malloc(2 * STEP), *data;
	int rc = 0;

	if (!medium)
		return -ENOMEM;
	data = medium + STEP;

	for (uint32_t at = 0, step; at < total && rc == 0; at += step) {
		step = MIN(total - at, STEP);
		rc = disk_read(l->disk, medium, step, off + at, &cmd->io.off);
		if (rc)
			break;
		scsi_copy_out(cmd, data, at, step);
		for (uint32_t i = 0; i < step; i++)
			data[i] |= medium[i];
		rc = disk_write(l->disk, data, step, off + at, cmd->cdb[1] & FUA, &cmd->io.off);
	}
	free(medium);
	return rc;
}

static void orwrite_alone(struct scsi_cmd *cmd)
{
	scsi_run_blocking(cmd, orwrite_work);
}

void scsi_orwrite(struct scsi_cmd *cmd)
{
	uint64_t max = LIMIT_TRANSFER_BYTES >> cmd->lun->block_shift;
	if (!prepare(cmd, get_be32(cmd->cdb + 10), max, 10))
		return;
	cmd->transfer_len = cmd->count << cmd->lun->block_shift;
	if (!scsi_whole_blocks(cmd))
		return;
	if (MIN(cmd->transfer_len, (uint64_t)cmd->out_len) == 0)
		scsi_good(cmd);
	else
		scsi_run_alone(cmd, orwrite_alone);
}

/* ---- WRITE ATOMIC(16) (SBC-4, 5.48) ---- */

/* Without a state directory it is all or nothing for other commands only, not for a crash. */

static int write_atomic_work(struct scsi_cmd *cmd)
{
	struct lun *l = cmd->lun;
	uint32_t n = (uint32_t)cmd->transfer_len;
	uint8_t *data = malloc(n);
	int rc = -ENOMEM;

	if (data) {
		uint64_t off = cmd->lba << l->block_shift;
		bool fua = cmd->cdb[1] & FUA;
		scsi_copy_out(cmd, data, 0, n);
		/* All or nothing: a full file system must show before the first block. */
		rc = disk_allocate(l->disk, off, n);
		if (rc == 0)
			rc = l->journal ? journal_write(l->journal, data, n, off)
					: disk_write(l->disk, data, n, off, fua, &cmd->io.off);
	}
	free(data);
	return rc;
}

static void write_atomic_alone(struct scsi_cmd *cmd)
{
	scsi_run_blocking(cmd, write_atomic_work);
}

void scsi_write_atomic(struct scsi_cmd *cmd)
{
	if (!prepare(cmd, get_be16(cmd->cdb + 12), LIMIT_ATOMIC_BLOCKS, 12))
		return;
	if (get_be16(cmd->cdb + 10)) { /* ATOMIC BOUNDARY: none is offered */
		scsi_invalid_cdb(cmd, 10, -1);
		return;
	}
	cmd->transfer_len = cmd->count << cmd->lun->block_shift;
	if (cmd->out_len < cmd->transfer_len) /* all or nothing */
		scsi_check(cmd, SENSE_ABORTED_COMMAND, ASC_INVALID_INFORMATION_UNIT);
	else if (cmd->count == 0)
		scsi_good(cmd);
	else
		scsi_run_alone(cmd, write_atomic_alone);
}
