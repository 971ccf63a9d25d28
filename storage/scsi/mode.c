/* SPDX-License-Identifier: BSD-2-Clause */
/* MODE SENSE and MODE SELECT (SPC-4 6.9 to 6.14, 7.5; SBC-3 6.5). */
#include <string.h>

#include "core/bytes.h"
#include "storage/scsi/scsi.h"

enum page_control { PC_CURRENT, PC_CHANGEABLE, PC_DEFAULT, PC_SAVED };

static void error_recovery(const struct lun *l, enum page_control pc, uint8_t *p)
{
	(void)l;
	if (pc != PC_CHANGEABLE)
		p[2] = 0x80; /* AWRE: the medium below reassigns by itself */
}

static void caching(const struct lun *l, enum page_control pc, uint8_t *p)
{
	if (pc != PC_CHANGEABLE && !l->writethrough)
		p[2] = 0x04; /* WCE */
}

static void control(const struct lun *l, enum page_control pc, uint8_t *p)
{
	if (pc == PC_CHANGEABLE) {
		p[2] = 0x04; /* D_SENSE */
		p[4] = 0x08; /* SWP */
		return;
	}
	p[3] = 0x10;		 /* unrestricted reordering */
	p[5] = 0x40;		 /* TAS: what another nexus ends, ends by TASK ABORTED */
	put_be16(p + 8, 0xffff); /* busy time-out: unlimited */
	if (pc == PC_CURRENT) {
		p[2] = l->d_sense ? 0x04 : 0;
		p[4] = l->swp ? 0x08 : 0;
	}
}

static void exceptions(const struct lun *l, enum page_control pc, uint8_t *p)
{
	(void)l;
	if (pc != PC_CHANGEABLE)
		p[2] = 0x08; /* DEXCPT: none are reported */
}

static const struct page {
	uint8_t code, len; /* len: with the two bytes of its header */
	void (*fill)(const struct lun *l, enum page_control pc, uint8_t *p);
} pages[] = {
	{0x01, 12, error_recovery},
	{0x08, 20, caching},
	{0x0a, 12, control},
	{0x1c, 12, exceptions},
};

static unsigned put_pages(const struct lun *l, uint8_t code, enum page_control pc, uint8_t *p)
{
	unsigned n = 0;
	for (unsigned i = 0; i < ARRAY_SIZE(pages); i++) {
		if (code != 0x3f && code != pages[i].code)
			continue;
		p[n] = pages[i].code;
		p[n + 1] = (uint8_t)(pages[i].len - 2);
		pages[i].fill(l, pc, p + n);
		n += pages[i].len;
	}
	return n;
}

/* Block descriptor, short or long (LLBAA). Returns its length. */
static unsigned put_descriptor(const struct lun *l, bool longlba, uint8_t *p)
{
	if (longlba) {
		put_be64(p, l->blocks);
		put_be32(p + 12, l->block_size);
		return 16;
	}
	put_be32(p, (uint32_t)MIN(l->blocks, (uint64_t)UINT32_MAX));
	put_be24(p + 5, l->block_size);
	return 8;
}

void scsi_mode_sense(struct scsi_cmd *cmd)
{
	struct lun *l = cmd->lun;
	bool ten = cmd->cdb[0] == 0x5a;
	bool dbd = cmd->cdb[1] & 0x08, longlba = ten && cmd->cdb[1] & 0x10;
	enum page_control pc = cmd->cdb[2] >> 6;
	uint8_t p[256] = {0};
	unsigned header = ten ? 8 : 4, desc = 0, n;

	if (pc == PC_SAVED) {
		scsi_check(cmd, SENSE_ILLEGAL_REQUEST, ASC_SAVING_NOT_SUPPORTED);
		return;
	}
	if (cmd->cdb[3] != 0 && cmd->cdb[3] != 0xff) { /* no subpages */
		scsi_invalid_cdb(cmd, 3, -1);
		return;
	}
	if (!dbd)
		desc = put_descriptor(l, longlba, p + header);
	n = put_pages(l, cmd->cdb[2] & 0x3f, pc, p + header + desc);
	if (n == 0) {
		scsi_invalid_cdb(cmd, 2, 5);
		return;
	}
	n += header + desc;
	/* device-specific parameter: WP and DPOFUA */
	p[ten ? 3 : 2] = (uint8_t)((scsi_write_protected(l) ? 0x80 : 0) | 0x10);
	if (ten) {
		put_be16(p, (uint16_t)(n - 2));
		p[4] = longlba ? 0x01 : 0;
		put_be16(p + 6, (uint16_t)desc);
	} else {
		p[0] = (uint8_t)(n - 1);
		p[3] = (uint8_t)desc;
	}
	scsi_reply(cmd, p, n, ten ? get_be16(cmd->cdb + 7) : cmd->cdb[4]);
}

/* One page of a MODE SELECT. False: the command has ended. `at` is its place in the list. */
static bool check_page(struct scsi_cmd *cmd, const uint8_t *p, unsigned left, unsigned at)
{
	uint8_t now[64] = {0}, mask[64] = {0};
	unsigned n = 0;
	if (left < 2 || p[0] & 0x40) {
		scsi_invalid_param(cmd, at, -1);
		return false;
	}
	for (unsigned i = 0; i < ARRAY_SIZE(pages); i++)
		if (pages[i].code == (p[0] & 0x3f))
			n = pages[i].len;
	if (n == 0) {
		scsi_invalid_param(cmd, at, -1);
		return false;
	}
	if (p[1] != n - 2 || left < n) {
		scsi_check(cmd, SENSE_ILLEGAL_REQUEST, ASC_PARAMETER_LIST_LENGTH);
		return false;
	}
	put_pages(cmd->lun, p[0] & 0x3f, PC_CURRENT, now);
	put_pages(cmd->lun, p[0] & 0x3f, PC_CHANGEABLE, mask);
	/* What cannot be changed must be sent as it is. */
	for (unsigned i = 2; i < n; i++) {
		if ((p[i] ^ now[i]) & (uint8_t)~mask[i]) {
			scsi_invalid_param(cmd, at + i, -1);
			return false;
		}
	}
	return true;
}

static void apply_page(struct scsi_cmd *cmd, const uint8_t *p)
{
	struct lun *l = cmd->lun;
	bool d_sense, swp;
	if ((p[0] & 0x3f) != 0x0a)
		return;
	d_sense = p[2] & 0x04;
	swp = p[4] & 0x08;
	if (d_sense == l->d_sense && swp == l->swp)
		return;
	l->d_sense = d_sense;
	l->swp = swp;
	lun_attention_all(l, cmd->nexus, ASC_MODE_PARAMETERS_CHANGED);
}

void scsi_mode_select(struct scsi_cmd *cmd)
{
	bool ten = cmd->cdb[0] == 0x55;
	unsigned header = ten ? 8 : 4, desc;
	uint32_t len = ten ? get_be16(cmd->cdb + 7) : cmd->cdb[4];
	const uint8_t *p;

	if (cmd->cdb[1] & 1) { /* SP: nothing can be saved */
		scsi_invalid_cdb(cmd, 1, 0);
		return;
	}
	cmd->transfer_len = len;
	if (len == 0) {
		scsi_good(cmd);
		return;
	}
	p = scsi_param(cmd, len);
	if (!p)
		return;
	desc = len < header ? 0 : ten ? get_be16(p + 6) : p[3];
	if (len < header + desc) {
		scsi_check(cmd, SENSE_ILLEGAL_REQUEST, ASC_PARAMETER_LIST_LENGTH);
		return;
	}
	if (desc) { /* only the block size that it has */
		bool longlba = ten && p[4] & 1;
		const uint8_t *d = p + header;
		uint32_t size = desc == 8 ? get_be24(d + 5) : desc == 16 ? get_be32(d + 12) : 0;
		if (desc != (longlba ? 16u : 8u) || (size && size != cmd->lun->block_size)) {
			scsi_invalid_param(cmd, header + 5, -1);
			return;
		}
	}
	/* All or nothing: look first, then change. */
	for (unsigned at = header + desc; at < len; at += 2u + p[at + 1])
		if (!check_page(cmd, p + at, len - at, at))
			return;
	for (unsigned at = header + desc; at < len; at += 2u + p[at + 1])
		apply_page(cmd, p + at);
	scsi_good(cmd);
}
