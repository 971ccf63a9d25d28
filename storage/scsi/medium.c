/* The medium as a whole: ready or not, start and stop, removal, defects, SANITIZE. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/bytes.h"
#include "storage/scsi/scsi.h"

#define SANITIZE_STEP (1u << 20)

void scsi_test_unit_ready(struct scsi_cmd *cmd)
{
	scsi_good(cmd);
}

static int sync_work(struct scsi_cmd *cmd)
{
	return disk_readonly(cmd->lun->disk) ? 0 : disk_sync(cmd->lun->disk);
}

static bool removal_prevented(const struct lun *l)
{
	for (const struct lun_nexus *n = l->nexuses; n; n = n->next)
		if (n->prevent)
			return true;
	return false;
}

/* SBC-3, 5.25 */
void scsi_start_stop(struct scsi_cmd *cmd)
{
	struct lun *l = cmd->lun;
	uint8_t power = cmd->cdb[4] >> 4;
	bool no_flush = cmd->cdb[4] & 0x04, loej = cmd->cdb[4] & 0x02, start = cmd->cdb[4] & 0x01;

	if (power) { /* power conditions: there is nothing to spin; START and LOEJ are ignored */
		static const uint16_t known =
			1u << 1 | 1u << 2 | 1u << 3 | 1u << 7 | 1u << 10 | 1u << 11;
		if (known & 1u << power)
			scsi_good(cmd);
		else
			scsi_invalid_cdb(cmd, 4, 7);
		return;
	}
	if (loej && l->removable) {
		if (!start && removal_prevented(l)) {
			scsi_check(cmd, SENSE_ILLEGAL_REQUEST, ASC_MEDIUM_REMOVAL_PREVENTED);
			return;
		}
		if (start && l->ejected)
			lun_attention_all(l, cmd->nexus, ASC_MEDIUM_CHANGED);
		l->ejected = !start;
	}
	/* Stopping a fixed disk that several hosts use would be one host taking it from all. */
	l->stopped = l->removable && !start;
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

/* ---- SANITIZE (SBC-3, 5.24) ---- */

enum {
	SANITIZE_OVERWRITE = 0x01,
	SANITIZE_BLOCK_ERASE = 0x02,
	SANITIZE_CRYPTO = 0x03,
	SANITIZE_EXIT_FAILURE = 0x1f
};

static int erase_work(struct scsi_cmd *cmd)
{
	struct lun *l = cmd->lun;
	int rc = disk_discard(l->disk, 0, l->blocks << l->block_shift);
	return rc ? rc : disk_sync(l->disk);
}

/* cmd->param: the pattern of cmd->count bytes, after the 4-byte header */
static int overwrite_work(struct scsi_cmd *cmd)
{
	struct lun *l = cmd->lun;
	const uint8_t *pattern = cmd->param + 4;
	size_t plen = (size_t)cmd->count, step = SANITIZE_STEP;
	uint64_t size = l->blocks << l->block_shift;
	uint8_t *chunk;
	int rc = 0;

	/* The pattern starts anew with each block. */
	chunk = malloc(step);
	if (!chunk)
		return -ENOMEM;
	for (size_t i = 0; i < step; i++)
		chunk[i] = pattern[(i & (l->block_size - 1)) % plen];
	for (uint64_t off = 0; off < size && rc == 0; off += step)
		rc = disk_write(l->disk, chunk, (size_t)MIN(size - off, step), off, false);
	free(chunk);
	return rc ? rc : disk_sync(l->disk);
}

static void overwrite_alone(struct scsi_cmd *cmd)
{
	scsi_run_blocking(cmd, overwrite_work);
}

static void erase_alone(struct scsi_cmd *cmd)
{
	scsi_run_blocking(cmd, erase_work);
}

static void overwrite(struct scsi_cmd *cmd)
{
	uint32_t len = get_be16(cmd->cdb + 7), plen;
	const uint8_t *p;
	if (len < 5 || len > 4 + cmd->lun->block_size) {
		scsi_invalid_cdb(cmd, 7, -1);
		return;
	}
	p = scsi_param(cmd, len);
	if (!p)
		return;
	plen = get_be16(p + 2);
	if (plen == 0 || plen != len - 4 || (p[0] & 0x1f) == 0) {
		scsi_invalid_param(cmd, plen == 0 || plen != len - 4 ? 2 : 0, -1);
		return;
	}
	if (p != cmd->param) { /* the worker needs it as long as it runs */
		cmd->param = malloc(len);
		if (!cmd->param) {
			scsi_status(cmd, SCSI_BUSY);
			return;
		}
		memcpy(cmd->param, p, len);
	}
	cmd->count = plen;
	scsi_run_alone(cmd, overwrite_alone);
}

void scsi_sanitize(struct scsi_cmd *cmd)
{
	uint32_t len = get_be16(cmd->cdb + 7);
	cmd->transfer_len = len;
	switch (cmd->cdb[1] & 0x1f) {
	case SANITIZE_OVERWRITE: overwrite(cmd); return;
	case SANITIZE_BLOCK_ERASE:
	case SANITIZE_CRYPTO: /* all old data becomes unreadable: discarded, it reads as zeros */
		if (len)
			scsi_invalid_cdb(cmd, 7, -1);
		else
			scsi_run_alone(cmd, erase_alone);
		return;
	case SANITIZE_EXIT_FAILURE:
		if (len) {
			scsi_invalid_cdb(cmd, 7, -1);
			return;
		}
		cmd->lun->sanitize_failed = false;
		scsi_good(cmd);
		return;
	default: scsi_invalid_cdb(cmd, 1, 4);
	}
}
