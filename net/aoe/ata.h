/* SPDX-License-Identifier: BSD-2-Clause */
/* A LUN as an ATA disk: what an ATA command asks of it, and what it says of itself (ACS-3). */
#ifndef NET_AOE_ATA_H
#define NET_AOE_ATA_H

#include <stdbool.h>
#include <stdint.h>

#include "net/aoe/frame.h"
#include "storage/lun.h"
#include "storage/scsi/scsi.h"

enum ata_kind {
	ATA_IS_READ,
	ATA_IS_WRITE,
	ATA_IS_FLUSH,
	ATA_IS_IDENTIFY,
	ATA_IS_POWER, /* is it awake? */
	ATA_IS_OTHER, /* nothing that it does */
};

struct ata_request {
	enum ata_kind kind;
	uint64_t lba;
	uint32_t count; /* sectors */
};

/* Reads what a frame of len bytes asks for; `most`: sectors that a frame may have. False: a bad
 * argument (data that are not all there, or more than fit). */
bool ata_parse(const uint8_t *frame, uint32_t len, unsigned most, struct ata_request *r);

/* IDENTIFY DEVICE (7.12): 48-bit addresses, the LUN's serial number and size. */
void ata_identify(const struct lun *l, uint8_t data[AOE_SECTOR]);
/* The LUN in sectors, as far as 48-bit addresses reach. */
uint64_t ata_sectors(const struct lun *l);

/*
 * How a command of the device server has ended, as the status and error registers tell it. False:
 * there is no such thing in ATA, and it is to be tried again (the LUN is busy).
 */
bool ata_result(const struct scsi_cmd *cmd, bool write, uint8_t *status, uint8_t *error);

#endif
