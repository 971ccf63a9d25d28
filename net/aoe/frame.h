/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ATA over Ethernet on the wire (AoEr11): where each field lies in a frame, from its Ethernet
 * header on, and what may be in it. All numbers are big-endian, but for an ATA command's LBA.
 */
#ifndef NET_AOE_FRAME_H
#define NET_AOE_FRAME_H

#include <stdbool.h>
#include <stdint.h>

#define AOE_ETHERTYPE  0x88a2
#define AOE_VERSION    1
#define AOE_MAC	       6
#define AOE_SECTOR     512u
#define AOE_SHELF_ALL  0xffffu
#define AOE_SLOT_ALL   0xffu
#define AOE_FRAME_MIN  60u /* Ethernet's, without its checksum */
#define AOE_ETHER      14u /* the Ethernet header */
#define AOE_CONFIG_MAX 1024u
#define AOE_MACS_MAX   128u /* in a list: so that it fits in a frame */

/* The header of every frame (2). */
#define AOE_DST	    0
#define AOE_SRC	    6
#define AOE_TYPE    12
#define AOE_FLAGS   14 /* the version in its upper half */
#define AOE_ERROR   15
#define AOE_SHELF   16
#define AOE_SLOT    18
#define AOE_COMMAND 19
#define AOE_TAG	    20
#define AOE_ARG	    24

#define AOE_RESPONSE  0x08
#define AOE_IS_ERROR  0x04
#define AOE_VERSION_1 (AOE_VERSION << 4)

enum aoe_command {
	AOE_ATA = 0,
	AOE_CONFIG = 1,
	AOE_MASK = 2,
	AOE_RESERVE = 3,
};

enum aoe_error {
	AOE_OK = 0,
	AOE_BAD_COMMAND = 1,
	AOE_BAD_ARGUMENT = 2,
	AOE_UNAVAILABLE = 3,
	AOE_CONFIG_PRESENT = 4,
	AOE_BAD_VERSION = 5,
	AOE_RESERVED = 6,
};

/* Issue ATA Command (3.1). */
#define AOE_ATA_FLAGS	24
#define AOE_ATA_FEATURE 25 /* in a response: the error register */
#define AOE_ATA_COUNT	26
#define AOE_ATA_COMMAND 27 /* in a response: the status register */
#define AOE_ATA_LBA	28 /* six bytes, the lowest first */
#define AOE_ATA_DATA	36
#define AOE_ATA_WRITE	0x01
#define AOE_ATA_EXT	0x40 /* 48-bit */

/* Query Config Information (3.2). */
#define AOE_CFG_BUFFERS	 24
#define AOE_CFG_FIRMWARE 26
#define AOE_CFG_SECTORS	 28
#define AOE_CFG_COMMAND	 29 /* the version in its upper half */
#define AOE_CFG_LENGTH	 30
#define AOE_CFG_STRING	 32
enum aoe_config_command {
	AOE_CFG_READ = 0,
	AOE_CFG_TEST = 1,   /* answered if it is this string */
	AOE_CFG_PREFIX = 2, /* answered if it begins so */
	AOE_CFG_SET = 3,    /* if there is none */
	AOE_CFG_FORCE = 4,
};

/* MAC Mask List (3.3). */
#define AOE_MASK_COMMAND    25
#define AOE_MASK_ERROR	    26
#define AOE_MASK_COUNT	    27
#define AOE_MASK_DIRECTIVES 28 /* eight bytes each: 0, what to do, the address */
#define AOE_DIRECTIVE	    8u
enum aoe_mask_command { AOE_MASK_READ = 0, AOE_MASK_EDIT = 1 };
enum aoe_mask_directive { AOE_MASK_NONE = 0, AOE_MASK_ADD = 1, AOE_MASK_DELETE = 2 };
enum aoe_mask_error { AOE_MASK_UNSPECIFIED = 1, AOE_MASK_BAD_DIRECTIVE = 2, AOE_MASK_FULL = 3 };

/* Reserve / Release (3.4). */
#define AOE_RES_COMMAND 24
#define AOE_RES_COUNT	25
#define AOE_RES_MACS	26
enum aoe_reserve_command {
	AOE_RES_READ = 0,
	AOE_RES_SET = 1, /* if there is none, or by one who is in it: a test-and-set */
	AOE_RES_FORCE = 2,
};

/* ATA (ACS-3): commands, and the bits of the status and error registers. */
enum {
	ATA_READ = 0x20,
	ATA_READ_EXT = 0x24,
	ATA_WRITE = 0x30,
	ATA_WRITE_EXT = 0x34,
	ATA_CHECK_POWER = 0xe5,
	ATA_FLUSH = 0xe7,
	ATA_FLUSH_EXT = 0xea,
	ATA_IDENTIFY = 0xec,
};
#define ATA_ERR	   0x01
#define ATA_DF	   0x20
#define ATA_DRDY   0x40
#define ATA_ABRT   0x04
#define ATA_IDNF   0x10
#define ATA_UNC	   0x40
#define ATA_LBA_28 0x0fffffffull
#define ATA_LBA_48 0xffffffffffffull

static inline uint64_t aoe_lba(const uint8_t *frame)
{
	uint64_t v = 0;
	for (unsigned i = 6; i-- > 0;)
		v = v << 8 | frame[AOE_ATA_LBA + i];
	return v;
}

static inline void aoe_put_lba(uint8_t *frame, uint64_t lba)
{
	for (unsigned i = 0; i < 6; i++, lba >>= 8)
		frame[AOE_ATA_LBA + i] = (uint8_t)lba;
}

/* Sectors of data that fit in a frame of this MTU, in whole pages where a page fits: a write of
 * whole pages has nothing to read first. 0: not one. */
static inline unsigned aoe_sectors(unsigned mtu)
{
	unsigned head = AOE_ATA_DATA - AOE_ETHER, n = mtu < head ? 0 : (mtu - head) / AOE_SECTOR;
	if (n > 255)
		n = 255; /* the count is a byte */
	return n < 8 ? n : n & ~7u;
}

#endif
