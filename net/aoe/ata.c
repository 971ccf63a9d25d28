/* SPDX-License-Identifier: BSD-2-Clause */
#include "net/aoe/ata.h"

#include <string.h>

#include "core/bytes.h"

bool ata_parse(const uint8_t *frame, uint32_t len, unsigned most, struct ata_request *r)
{
	uint8_t command;
	if (len < AOE_ATA_DATA)
		return false;
	command = frame[AOE_ATA_COMMAND];
	*r = (struct ata_request){
		.kind = ATA_IS_OTHER, .lba = aoe_lba(frame), .count = frame[AOE_ATA_COUNT]};
	switch (command) {
	case ATA_READ:
	case ATA_WRITE: r->lba &= ATA_LBA_28; /* fall through */
	case ATA_READ_EXT:
	case ATA_WRITE_EXT: break;
	case ATA_FLUSH:
	case ATA_FLUSH_EXT: r->kind = ATA_IS_FLUSH; return true;
	case ATA_CHECK_POWER: r->kind = ATA_IS_POWER; return true;
	case ATA_IDENTIFY: r->kind = ATA_IS_IDENTIFY; return r->count == 1;
	default: return true;
	}
	r->kind = command == ATA_READ || command == ATA_READ_EXT ? ATA_IS_READ : ATA_IS_WRITE;
	/* A count of 0 stands for more than any frame has. */
	if (!r->count || r->count > most)
		return false;
	return r->kind == ATA_IS_READ || len - AOE_ATA_DATA >= r->count * AOE_SECTOR;
}

/* ---- IDENTIFY DEVICE ---- */

static void put_word(uint8_t *data, unsigned word, uint16_t v)
{
	data[2 * word] = (uint8_t)v;
	data[2 * word + 1] = (uint8_t)(v >> 8);
}

/* The two bytes of a word lie the other way round; blanks behind the text. */
static void put_text(uint8_t *data, unsigned word, unsigned bytes, const char *text)
{
	size_t len = strlen(text);
	for (unsigned i = 0; i < bytes; i++)
		data[2 * word + (i ^ 1)] = i < len ? (uint8_t)text[i] : ' ';
}

uint64_t ata_sectors(const struct lun *l)
{
	return MIN(l->blocks, ATA_LBA_48);
}

void ata_identify(const struct lun *l, uint8_t data[AOE_SECTOR])
{
	uint64_t sectors = ata_sectors(l);
	uint8_t sum = 0;

	memset(data, 0, AOE_SECTOR);
	put_word(data, 0, 0x0040); /* not removable */
	put_text(data, 10, 20, l->id.serial);
	put_text(data, 23, 8, "1");
	put_text(data, 27, 40, "vstor");
	put_word(data, 47, 0x8000);
	put_word(data, 49, 0x0200); /* LBA */
	put_word(data, 50, 0x4000);
	put_word(data, 53, 0x0002);
	put_le32(data + 2 * 60, (uint32_t)MIN(sectors, ATA_LBA_28));
	put_word(data, 80, 0x0100); /* ATA8-ACS */
	put_word(data, 82, 0x0020); /* a write cache, which may be off; 85: whether it is */
	put_word(data, 83, 0x7400); /* FLUSH CACHE (EXT), 48-bit */
	put_word(data, 84, 0x4000);
	put_word(data, 86, 0x3400);
	put_word(data, 87, 0x4000);
	put_word(data, 93,
		 0x400b); /* the kernel's driver takes these for a disk that has been reset */
	put_le64(data + 2 * 100, sectors);
	put_word(data, 106, 0x6003); /* 8 sectors a physical one */
	data[510] = 0xa5;
	for (unsigned i = 0; i < 511; i++)
		sum = (uint8_t)(sum + data[i]);
	data[511] = (uint8_t)-sum;
}

/* ---- results ---- */

/* The key and code of sense data of either format (SPC-4, 4.5). */
static uint16_t sense_code(const struct scsi_cmd *cmd, uint8_t *key)
{
	bool descriptors = (cmd->sense[0] & 0x7e) == 0x72;
	*key = cmd->sense[descriptors ? 1 : 2] & 0x0f;
	return descriptors ? get_be16(cmd->sense + 2) : get_be16(cmd->sense + 12);
}

bool ata_result(const struct scsi_cmd *cmd, bool write, uint8_t *status, uint8_t *error)
{
	uint8_t key;
	uint16_t code;
	*status = ATA_DRDY;
	*error = 0;
	if (cmd->status == SCSI_GOOD)
		return true;
	if (cmd->status != SCSI_CHECK_CONDITION)
		return false;
	code = sense_code(cmd, &key);
	*status = ATA_DRDY | ATA_ERR;
	if (code == ASC_LBA_OUT_OF_RANGE)
		*error = ATA_IDNF;
	else if (key == SENSE_MEDIUM_ERROR && !write)
		*error = ATA_UNC;
	else
		*error = ATA_ABRT;
	if (write && (key == SENSE_MEDIUM_ERROR || key == SENSE_HARDWARE_ERROR))
		*status |= ATA_DF;
	return true;
}
