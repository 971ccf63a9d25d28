/* SPDX-License-Identifier: BSD-2-Clause */
/* Which blocks have space behind them: UNMAP, WRITE SAME, GET LBA STATUS (SBC-3, 4.7). */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/bytes.h"
#include "storage/scsi/limits.h"
#include "storage/scsi/scsi.h"

#define FILL_STEP (1u << 20)

/* ---- UNMAP (SBC-3, 5.28) ---- */

#define UNMAP_HEADER	 8
#define UNMAP_DESCRIPTOR 16

/* cmd->count: how many descriptors the data-out has */
static int unmap_work(struct scsi_cmd *cmd)
{
	struct lun *l = cmd->lun;
	int rc = 0;

	for (uint64_t i = 0; i < cmd->count && rc == 0; i++) {
		uint8_t d[UNMAP_DESCRIPTOR];
		scsi_copy_out(cmd, d, (uint32_t)(UNMAP_HEADER + i * sizeof(d)), sizeof(d));
		cmd->io.off = get_be64(d) << l->block_shift;
		rc = disk_discard(l->disk, cmd->io.off,
				  (uint64_t)get_be32(d + 8) << l->block_shift);
	}
	return rc;
}

/* Are the descriptors all in order? Nothing is unmapped when one is not. */
static bool unmap_check(struct scsi_cmd *cmd, const uint8_t *p)
{
	uint64_t total = 0;
	for (uint64_t i = 0; i < cmd->count; i++, p += UNMAP_DESCRIPTOR) {
		uint64_t lba = get_be64(p), blocks = get_be32(p + 8);
		total += blocks;
		/* No blocks at all may start at the end, too. */
		if (!(blocks == 0 && lba == cmd->lun->blocks) && !scsi_range_ok(cmd, lba, blocks))
			return false;
		if (total > LIMIT_UNMAP_BLOCKS) {
			scsi_invalid_param(cmd, (unsigned)(UNMAP_HEADER + i * UNMAP_DESCRIPTOR + 8),
					   -1);
			return false;
		}
	}
	return true;
}

void scsi_unmap(struct scsi_cmd *cmd)
{
	uint32_t len = get_be16(cmd->cdb + 7);
	const uint8_t *p;

	cmd->transfer_len = len;
	if (cmd->cdb[1] & 0x01) { /* ANCHOR: ANC_SUP is 0 */
		scsi_invalid_cdb(cmd, 1, 0);
		return;
	}
	if (len == 0) {
		scsi_good(cmd);
		return;
	}
	if (len < UNMAP_HEADER) {
		scsi_check(cmd, SENSE_ILLEGAL_REQUEST, ASC_PARAMETER_LIST_LENGTH);
		return;
	}
	p = scsi_param(cmd, len);
	if (!p)
		return;
	/* A descriptor that is there in part only is ignored. */
	cmd->count = MIN((uint32_t)get_be16(p + 2), len - UNMAP_HEADER) / UNMAP_DESCRIPTOR;
	if (cmd->count > LIMIT_UNMAP_DESCRIPTORS)
		scsi_invalid_param(cmd, 2, -1);
	else if (unmap_check(cmd, p + UNMAP_HEADER))
		scsi_run_blocking(cmd, unmap_work);
}

/* ---- WRITE SAME(10) and (16) (SBC-3, 5.44 and 5.45) ---- */

enum { WS_NDOB = 0x01, WS_LBDATA = 0x02, WS_PBDATA = 0x04, WS_UNMAP = 0x08, WS_ANCHOR = 0x10 };

static bool all_zeros(const uint8_t *p, size_t n)
{
	return p[0] == 0 && memcmp(p, p + 1, n - 1) == 0;
}

static int write_same_work(struct scsi_cmd *cmd)
{
	struct lun *l = cmd->lun;
	uint64_t off = cmd->lba << l->block_shift, left = cmd->count << l->block_shift;
	size_t size = l->block_size, fill = (size_t)MIN(left, (uint64_t)FILL_STEP);
	uint8_t *p = calloc(1, fill);
	int rc = 0;

	if (!p)
		return -ENOMEM;
	if (cmd->out_len)
		scsi_copy_out(cmd, p, 0, (uint32_t)size);
	/* UNMAP allows it, where what is read then is what would have been written (SBC-3, 5.44):
	 * unmapped blocks read as zeros here. */
	if (cmd->cdb[1] & WS_UNMAP && all_zeros(p, size)) {
		rc = disk_discard(l->disk, off, left);
		left = 0;
	}
	for (size_t at = size; left && at < fill; at += size)
		memcpy(p + at, p, size);
	for (; left && rc == 0; off += fill, left -= fill) {
		fill = (size_t)MIN(left, (uint64_t)fill);
		rc = disk_write(l->disk, p, fill, off, false, &cmd->io.off);
	}
	free(p);
	return rc;
}

/* The bit of byte 1 that cannot be had, or -1. */
static int write_same_bad_flag(const struct scsi_cmd *cmd, bool sixteen)
{
	uint8_t flags = cmd->cdb[1];
	if (flags & 0xe0)
		return 7; /* WRPROTECT: there is no protection information */
	if (flags & WS_ANCHOR)
		return 4; /* ANC_SUP is 0 */
	if (flags & WS_UNMAP && !cmd->lun->thin)
		return 3;
	if (flags & WS_PBDATA)
		return 2;
	if (flags & WS_LBDATA)
		return 1;
	return flags & WS_NDOB && !sixteen ? 0 : -1;
}

void scsi_write_same(struct scsi_cmd *cmd)
{
	bool sixteen = cmd->cdb[0] == 0x93, no_data = sixteen && cmd->cdb[1] & WS_NDOB;
	int bad = write_same_bad_flag(cmd, sixteen);

	cmd->lba = sixteen ? get_be64(cmd->cdb + 2) : get_be32(cmd->cdb + 2);
	cmd->count = sixteen ? get_be32(cmd->cdb + 10) : get_be16(cmd->cdb + 7);
	if (bad >= 0) {
		scsi_invalid_cdb(cmd, 1, bad);
		return;
	}
	if (!scsi_range_ok(cmd, cmd->lba, cmd->count))
		return;
	if (cmd->count == 0) /* the rest of the medium */
		cmd->count = cmd->lun->blocks - cmd->lba;
	if (cmd->count > LIMIT_WRITE_SAME_BLOCKS) {
		scsi_invalid_cdb(cmd, sixteen ? 10 : 7, -1);
		return;
	}
	cmd->transfer_len = no_data ? 0 : cmd->lun->block_size;
	if (cmd->out_len != cmd->transfer_len)
		scsi_invalid_cdb(cmd, 1, -1);
	else
		scsi_run_blocking(cmd, write_same_work);
}

/* ---- GET LBA STATUS (SBC-3, 5.3) ---- */

#define STATUS_HEADER	  8
#define STATUS_DESCRIPTOR 16
#define STATUS_MAX	  64 /* descriptors in one answer; the initiator goes on from the last */

enum { MAPPED = 0, DEALLOCATED = 1 };

/* The blocks from lba on that are alike. A block with any data behind it counts as mapped. */
static int lba_extent(struct lun *l, uint64_t lba, uint8_t *state, uint64_t *count)
{
	bool mapped;
	uint64_t run;
	int rc = disk_map(l->disk, lba << l->block_shift, &mapped, &run);

	if (rc)
		return rc;
	*state = mapped || run < l->block_size ? MAPPED : DEALLOCATED;
	if (*state == MAPPED)
		run += l->block_size - 1;
	*count = MIN(MIN(run >> l->block_shift, l->blocks - lba), (uint64_t)UINT32_MAX);
	return 0;
}

static int lba_status_work(struct scsi_cmd *cmd)
{
	uint8_t p[STATUS_HEADER + STATUS_MAX * STATUS_DESCRIPTOR] = {0};
	uint32_t room = (uint32_t)cmd->transfer_len, len = STATUS_HEADER;
	uint64_t lba = cmd->lba;

	while (lba < cmd->lun->blocks && len + STATUS_DESCRIPTOR <= sizeof(p) &&
	       (len == STATUS_HEADER || len + STATUS_DESCRIPTOR <= room)) {
		uint8_t *d = p + len;
		uint64_t count;
		int rc = lba_extent(cmd->lun, lba, d + 12, &count);
		if (rc)
			return rc;
		put_be64(d, lba);
		put_be32(d + 8, (uint32_t)count);
		lba += count;
		len += STATUS_DESCRIPTOR;
	}
	put_be32(p, len - 4);
	cmd->transfer_len = MIN(room, len);
	cmd->in_len = (uint32_t)MIN(cmd->transfer_len, (uint64_t)cmd->in_max);
	scsi_copy_in(cmd, 0, p, cmd->in_len);
	return 0;
}

void scsi_get_lba_status(struct scsi_cmd *cmd)
{
	uint32_t room = MIN(get_be32(cmd->cdb + 10),
			    (uint32_t)(STATUS_HEADER + STATUS_MAX * STATUS_DESCRIPTOR));

	cmd->lba = get_be64(cmd->cdb + 2);
	if (!scsi_range_ok(cmd, cmd->lba, 0))
		return;
	cmd->transfer_len = room;
	if (MIN(room, cmd->in_max) == 0)
		scsi_good(cmd);
	else if (cmd->transport->reserve_in(cmd, MIN(room, cmd->in_max)))
		scsi_status(cmd, SCSI_BUSY);
	else
		scsi_run_blocking(cmd, lba_status_work);
}
