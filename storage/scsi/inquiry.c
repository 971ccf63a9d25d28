/* SPDX-License-Identifier: BSD-2-Clause */
/* INQUIRY and the vital product data pages (SPC-4 6.6 and 7.8; SBC-3 6.6). */
#include <stdio.h>
#include <string.h>

#include "core/bytes.h"
#include "storage/scsi/limits.h"
#include "storage/scsi/scsi.h"

#define VENDOR	 "VSTOR   "
#define PRODUCT	 "VIRTUAL-DISK    "
#define REVISION "0001"

#define NO_LUN 0x7f /* peripheral qualifier 3, device type 1Fh: no such logical unit */

static unsigned standard(const struct scsi_cmd *cmd, uint8_t *p)
{
	/* SAM-5, SPC-4, SBC-3, iSCSI */
	static const uint16_t versions[] = {0x00a0, 0x0460, 0x04c0, 0x0960};
	if (!cmd->lun)
		p[0] = NO_LUN;
	else if (cmd->lun->removable)
		p[1] = 0x80;
	p[2] = 0x06;	    /* SPC-4 */
	p[3] = 0x10 | 0x02; /* HISUP, response data format 2 */
	p[4] = 96 - 5;
	p[5] = 0x10 | 0x08; /* TPGS implicit, 3PC: third-party copy */
	p[7] = 0x02;	    /* CMDQUE */
	memcpy(p + 8, VENDOR PRODUCT REVISION, 28);
	for (unsigned i = 0; i < ARRAY_SIZE(versions); i++)
		put_be16(p + 58 + 2 * i, versions[i]);
	return 96;
}

static unsigned supported_pages(const struct lun *l, uint8_t *p);

static unsigned unit_serial(const struct lun *l, uint8_t *p)
{
	size_t n = strlen(l->id.serial);
	memcpy(p, l->id.serial, n);
	return (unsigned)n;
}

/* A designation descriptor (SPC-4, 7.8.6): returns its length. */
static unsigned designator(uint8_t *p, uint8_t code_set, uint8_t type, const void *id, size_t n)
{
	p[0] = code_set;
	p[1] = type;
	p[3] = (uint8_t)n;
	memcpy(p + 4, id, n);
	return 4 + (unsigned)n;
}

static unsigned device_id(const struct lun *l, uint8_t *p)
{
	char t10[8 + 32 + 1];
	uint8_t port[4] = {0};
	unsigned n = designator(p, 1, 3, l->id.naa, sizeof(l->id.naa)); /* NAA, binary */
	int len = snprintf(t10, sizeof(t10), "%s%s", VENDOR, l->id.serial);
	n += designator(p + n, 2, 1, t10, (size_t)len); /* T10 vendor ID, ASCII */
	put_be16(port + 2, 1);
	n += designator(p + n, 1, 0x80 | 0x10 | 4, port, 4); /* relative target port, iSCSI */
	p[n - 8] = 0x51;				     /* protocol identifier 5: iSCSI */
	n += designator(p + n, 1, 0x80 | 0x10 | 5, port, 4); /* target port group */
	p[n - 8] = 0x51;
	return n;
}

static unsigned extended(const struct lun *l, uint8_t *p)
{
	(void)l;
	/* Simple tasks. What ORDERED and HEAD OF QUEUE ask for would have to hold while their data
	 * is on the way, too. */
	p[1] = 0x01;
	p[2] = 0x01; /* V_SUP: a volatile cache */
	return 60;
}

static unsigned block_limits(const struct lun *l, uint8_t *p)
{
	p[0] = 0; /* WSNZ 0: WRITE SAME of "the rest of the medium" is allowed */
	p[1] = LIMIT_CAW_BLOCKS;
	put_be16(p + 2, 8); /* optimal granularity: 4 KiB with 512-byte blocks */
	put_be32(p + 4, LIMIT_TRANSFER_BYTES >> l->block_shift);
	put_be32(p + 8, (256u << 10) >> l->block_shift);
	put_be32(p + 12, LIMIT_TRANSFER_BYTES >> l->block_shift); /* prefetch */
	if (l->thin) {
		put_be32(p + 16, LIMIT_UNMAP_BLOCKS);
		put_be32(p + 20, LIMIT_UNMAP_DESCRIPTORS);
		put_be32(p + 24, MAX(4096u >> l->block_shift, 1u)); /* optimal granularity */
	}
	put_be64(p + 32, LIMIT_WRITE_SAME_BLOCKS);
	put_be32(p + 40, LIMIT_ATOMIC_BLOCKS);
	put_be32(p + 44, 1); /* atomic alignment and granularity */
	put_be32(p + 48, 1);
	return 60;
}

static unsigned characteristics(const struct lun *l, uint8_t *p)
{
	put_be16(p, 1);		   /* non-rotating: initiators need not sort for us */
	p[3] = l->thin ? 0x50 : 0; /* WABEREQ, WACEREQ: after an erase all can be read */
	return 60;
}

static unsigned provisioning(const struct lun *l, uint8_t *p)
{
	p[0] = 0; /* threshold exponent */
	/* LBPU, LBPWS, LBPWS10; unmapped blocks read as zeros (LBPRZ) */
	p[1] = 0x80 | 0x40 | 0x20 | 0x04;
	p[2] = l->thin ? 2 : 0; /* thin */
	return 4;
}

static const struct page {
	uint8_t code;
	bool thin; /* only for thin LUNs */
	unsigned (*fill)(const struct lun *l, uint8_t *p);
} pages[] = {
	{0x00, false, supported_pages}, {0x80, false, unit_serial},   {0x83, false, device_id},
	{0x86, false, extended},	{0x8f, false, copy_vpd_page}, {0xb0, false, block_limits},
	{0xb1, false, characteristics}, {0xb2, true, provisioning},
};

static unsigned supported_pages(const struct lun *l, uint8_t *p)
{
	unsigned n = 0;
	for (unsigned i = 0; i < ARRAY_SIZE(pages); i++)
		if (!pages[i].thin || l->thin)
			p[n++] = pages[i].code;
	return n;
}

void scsi_inquiry(struct scsi_cmd *cmd)
{
	uint8_t p[512] = {0};
	uint8_t code = cmd->cdb[2];
	uint32_t alloc = get_be16(cmd->cdb + 3);
	unsigned n;

	if (!(cmd->cdb[1] & 1)) {
		if (code) {
			scsi_invalid_cdb(cmd, 2, -1);
			return;
		}
		scsi_reply(cmd, p, standard(cmd, p), alloc);
		return;
	}
	for (unsigned i = 0; i < ARRAY_SIZE(pages) && cmd->lun; i++) {
		if (pages[i].code != code || (pages[i].thin && !cmd->lun->thin))
			continue;
		n = pages[i].fill(cmd->lun, p + 4);
		p[1] = code;
		put_be16(p + 2, (uint16_t)n);
		scsi_reply(cmd, p, n + 4, alloc);
		return;
	}
	scsi_invalid_cdb(cmd, 2, -1);
}
