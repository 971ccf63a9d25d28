/* SPDX-License-Identifier: BSD-2-Clause */
/* Reading and writing blocks (SBC-3, section 5). */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/bytes.h"
#include "storage/scsi/limits.h"
#include "storage/scsi/scsi.h"

#define COMPARE_STEP (256u << 10)

/* LBA and transfer length of the 6, 10, 12 and 16-byte CDBs. */
static void decode(struct scsi_cmd *cmd)
{
	const uint8_t *c = cmd->cdb;
	switch (c[0] >> 5) { /* the group code gives the length (SPC-4, 4.2.5.1) */
	case 0:
		cmd->lba = get_be24(c + 1) & 0x1fffff;
		cmd->count = c[4] ? c[4] : 256;
		break;
	case 1:
	case 2:
		cmd->lba = get_be32(c + 2);
		cmd->count = get_be16(c + 7);
		break;
	case 5:
		cmd->lba = get_be32(c + 2);
		cmd->count = get_be32(c + 6);
		break;
	default: cmd->lba = get_be64(c + 2); cmd->count = get_be32(c + 10);
	}
}

/* Decodes and checks what all block commands share. False: the command has ended. */
static bool prepare(struct scsi_cmd *cmd)
{
	uint8_t opcode = cmd->cdb[0];
	decode(cmd);
	/* No protection information: RDPROTECT, WRPROTECT, VRPROTECT must be 0. */
	if (opcode >= 0x20 && cmd->cdb[1] & 0xe0) {
		scsi_invalid_cdb(cmd, 1, 7);
		return false;
	}
	if (cmd->count << cmd->lun->block_shift > LIMIT_TRANSFER_BYTES) {
		scsi_invalid_cdb(cmd, opcode < 0x80 ? 7 : 10, -1);
		return false;
	}
	return scsi_range_ok(cmd, cmd->lba, cmd->count);
}

static void io_done(struct disk_io *io)
{
	struct scsi_cmd *cmd = container_of(io, struct scsi_cmd, io);
	scsi_io_result(cmd, io->rc, io->op != DISK_READ);
}

static void submit(struct scsi_cmd *cmd, enum disk_op op, struct iovec *v, unsigned n, bool fua)
{
	cmd->io = (struct disk_io){.op = op,
				   .fua = fua,
				   .disk = cmd->lun->disk,
				   .iov = v,
				   .niov = n,
				   .off = cmd->lba << cmd->lun->block_shift,
				   .done = io_done};
	if (disk_submit(cmd->engine, &cmd->io))
		io_done(&cmd->io);
}

/* Not for an atomic write's sake, nor when the LUN goes: that has been recalled already. */
static bool lends(const struct lun *l)
{
	return !l->lend_none && !l->retiring;
}

/* Large reads need not be copied when they are whole and in the page cache. */
static bool lend(struct scsi_cmd *cmd, uint32_t n)
{
	struct loop *loop = disk_engine_loop(cmd->engine);
	bool resident;
	if (!cmd->lend_min || n < cmd->lend_min || n != cmd->transfer_len || !lends(cmd->lun) ||
	    disk_hangs(cmd->lun->disk, loop_now(loop)))
		return false;
	cmd->lend_off = cmd->lba << cmd->lun->block_shift;
	loop_unlock(loop);
	resident = disk_resident(cmd->lun->disk, cmd->lend_off, n);
	loop_lock(loop);
	return resident && lends(cmd->lun);
}

void scsi_read(struct scsi_cmd *cmd)
{
	uint32_t n;
	if (!prepare(cmd))
		return;
	cmd->transfer_len = cmd->count << cmd->lun->block_shift;
	n = (uint32_t)MIN(cmd->transfer_len, (uint64_t)cmd->in_max);
	if (n == 0) {
		scsi_good(cmd);
		return;
	}
	cmd->lent = lend(cmd, n);
	if (cmd->transport->reserve_in(cmd, n)) {
		cmd->lent = false;
		scsi_status(cmd, SCSI_BUSY);
		return;
	}
	cmd->in_len = n;
	if (cmd->lent) {
		cmd->lun->lent++;
		scsi_io_result(cmd, 0, false);
	} else {
		submit(cmd, DISK_READ, cmd->in, cmd->in_n, false);
	}
}

/* The data-out cut to what the CDB transfers (an initiator may announce more). */
static void trim_out(struct scsi_cmd *cmd)
{
	uint64_t left = cmd->transfer_len;
	for (unsigned i = 0; i < cmd->out_n; i++) {
		if (cmd->out[i].iov_len >= left) {
			cmd->out[i].iov_len = (size_t)left;
			cmd->out_n = left ? i + 1 : i;
			break;
		}
		left -= cmd->out[i].iov_len;
	}
	cmd->out_len = (uint32_t)MIN(cmd->transfer_len, (uint64_t)cmd->out_len);
}

void scsi_write(struct scsi_cmd *cmd)
{
	bool fua = cmd->cdb[0] >= 0x20 && cmd->cdb[1] & 0x08;
	if (!prepare(cmd))
		return;
	cmd->transfer_len = cmd->count << cmd->lun->block_shift;
	if (!scsi_whole_blocks(cmd))
		return;
	trim_out(cmd);
	if (cmd->out_len == 0) {
		scsi_good(cmd);
		return;
	}
	submit(cmd, DISK_WRITE, cmd->out, cmd->out_n, fua);
}

/* ---- VERIFY and WRITE AND VERIFY ---- */

/* Compares the medium with the data-out; with NULL data only reads it. */
static int compare(struct scsi_cmd *cmd, bool with_data)
{
	struct lun *l = cmd->lun;
	uint64_t total = cmd->count << l->block_shift, off = cmd->lba << l->block_shift;
	uint8_t *b = malloc(2 * COMPARE_STEP);
	int rc = b ? 0 : -ENOMEM;

	for (uint64_t at = 0; at < total && rc == 0;) {
		uint32_t step = (uint32_t)MIN(total - at, COMPARE_STEP);
		rc = disk_read(l->disk, b, step, off + at, &cmd->io.off);
		if (rc == 0 && with_data) {
			scsi_copy_out(cmd, b + COMPARE_STEP, (uint32_t)at, step);
			if (memcmp(b, b + COMPARE_STEP, step))
				rc = scsi_work_check(cmd, SENSE_MISCOMPARE, ASC_MISCOMPARE_VERIFY);
		}
		at += step;
	}
	free(b);
	return rc;
}

/* BYTCHK 3: one block of data-out, compared with each block. */
static int compare_each(struct scsi_cmd *cmd)
{
	struct lun *l = cmd->lun;
	uint32_t size = l->block_size;
	uint8_t *b = malloc(2 * (size_t)size);
	int rc = b ? 0 : -ENOMEM;

	if (rc == 0)
		scsi_copy_out(cmd, b + size, 0, size);
	for (uint64_t i = 0; i < cmd->count && rc == 0; i++) {
		rc = disk_read(l->disk, b, size, (cmd->lba + i) << l->block_shift, &cmd->io.off);
		if (rc == 0 && memcmp(b, b + size, size))
			rc = scsi_work_check(cmd, SENSE_MISCOMPARE, ASC_MISCOMPARE_VERIFY);
	}
	free(b);
	return rc;
}

static int verify_work(struct scsi_cmd *cmd)
{
	switch (cmd->cdb[1] >> 1 & 3) {
	case 0: return compare(cmd, false);
	case 3: return compare_each(cmd);
	default: return compare(cmd, true);
	}
}

static int write_verify_work(struct scsi_cmd *cmd)
{
	struct lun *l = cmd->lun;
	uint64_t off = cmd->lba << l->block_shift;
	int rc = 0;
	for (unsigned i = 0; i < cmd->out_n && rc == 0; i++) {
		rc = disk_write(l->disk, cmd->out[i].iov_base, cmd->out[i].iov_len, off, false,
				&cmd->io.off);
		off += cmd->out[i].iov_len;
	}
	if (rc == 0)
		rc = scsi_work_sync(cmd);
	/* An initiator that announced less than the CDB transfers gets that much verified. */
	if (rc == 0 && cmd->out_len == cmd->transfer_len)
		rc = compare(cmd, true);
	return rc;
}

/* Both commands. `bytchk`: 0 no data to compare, 1 all of it, 3 one block for all. */
static bool prepare_verify(struct scsi_cmd *cmd)
{
	unsigned bytchk = cmd->cdb[1] >> 1 & 3;
	if (!prepare(cmd))
		return false;
	if (bytchk == 2) {
		scsi_invalid_cdb(cmd, 1, 2);
		return false;
	}
	if (bytchk == 0)
		cmd->transfer_len = 0;
	else if (bytchk == 3)
		cmd->transfer_len = cmd->count ? cmd->lun->block_size : 0;
	else
		cmd->transfer_len = cmd->count << cmd->lun->block_shift;
	return true;
}

void scsi_verify(struct scsi_cmd *cmd)
{
	if (!prepare_verify(cmd))
		return;
	if (cmd->out_len < cmd->transfer_len) {
		scsi_check(cmd, SENSE_ABORTED_COMMAND, ASC_INVALID_INFORMATION_UNIT);
		return;
	}
	if (cmd->count == 0)
		scsi_good(cmd);
	else
		scsi_run_blocking(cmd, verify_work);
}

void scsi_write_verify(struct scsi_cmd *cmd)
{
	if (!prepare_verify(cmd))
		return;
	/* The data is always sent: BYTCHK tells only how to verify it (SBC-3, 5.40). */
	cmd->transfer_len = cmd->count << cmd->lun->block_shift;
	if (!scsi_whole_blocks(cmd))
		return;
	trim_out(cmd);
	if (cmd->out_len == 0)
		scsi_good(cmd);
	else
		scsi_run_blocking(cmd, write_verify_work);
}

/* ---- cache ---- */

void scsi_sync_cache(struct scsi_cmd *cmd)
{
	decode(cmd);
	if (!scsi_range_ok(cmd, cmd->lba, cmd->count))
		return;
	/* What it waits for is the medium, perhaps for long, and nothing that others do changes
	 * what it is for: writes that have ended. A reservation must not wait for a medium that
	 * hangs. */
	scsi_leave(cmd);
	/* All of the disk: the kernel has no way to sync a part that also syncs its metadata. */
	submit(cmd, DISK_SYNC, NULL, 0, false);
}

/* The page cache reads ahead by itself: the command is a hint (SBC-3, 5.8). */
void scsi_prefetch(struct scsi_cmd *cmd)
{
	decode(cmd);
	if (scsi_range_ok(cmd, cmd->lba, cmd->count))
		scsi_good(cmd);
}

/* ---- capacity ---- */

void scsi_read_capacity10(struct scsi_cmd *cmd)
{
	struct lun *l = cmd->lun;
	uint8_t p[8];
	if (!(cmd->cdb[8] & 1) && get_be32(cmd->cdb + 2)) {
		scsi_invalid_cdb(cmd, 2, -1);
		return;
	}
	put_be32(p, (uint32_t)MIN(l->blocks - 1, (uint64_t)UINT32_MAX));
	put_be32(p + 4, l->block_size);
	scsi_reply(cmd, p, sizeof(p), sizeof(p));
}

void scsi_read_capacity16(struct scsi_cmd *cmd)
{
	struct lun *l = cmd->lun;
	uint8_t p[32] = {0};
	put_be64(p, l->blocks - 1);
	put_be32(p + 8, l->block_size);
	if (l->block_size < 4096)
		p[13] = (uint8_t)__builtin_ctz(4096 / l->block_size); /* physical blocks of 4 KiB */
	if (l->thin)
		p[14] = 0xc0; /* LBPME, LBPRZ */
	scsi_reply(cmd, p, sizeof(p), get_be32(cmd->cdb + 10));
}
