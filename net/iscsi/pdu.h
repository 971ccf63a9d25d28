/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * iSCSI PDUs on the wire: opcodes, flags and the places of the fields in the 48-byte basic header
 * segment (RFC 7143, section 11). Fields are read and written in place with core/bytes.h.
 */
#ifndef NET_ISCSI_PDU_H
#define NET_ISCSI_PDU_H

#include <stdint.h>

#include "core/bytes.h"

#define ISCSI_PORT   3260
#define ISCSI_BHS    48		 /* bytes of the basic header segment */
#define ISCSI_NAME   223	 /* longest iSCSI name (RFC 7143, 4.2.7.1) */
#define ISCSI_NO_TAG 0xffffffffu /* the reserved ITT and TTT */

/* byte 0: opcode, with the immediate-delivery bit */
#define ISCSI_IMMEDIATE	  0x40
#define ISCSI_OPCODE_MASK 0x3f

enum iscsi_opcode {
	ISCSI_NOP_OUT = 0x00,
	ISCSI_SCSI_COMMAND = 0x01,
	ISCSI_TMF_REQUEST = 0x02,
	ISCSI_LOGIN_REQUEST = 0x03,
	ISCSI_TEXT_REQUEST = 0x04,
	ISCSI_DATA_OUT = 0x05,
	ISCSI_LOGOUT_REQUEST = 0x06,
	ISCSI_SNACK = 0x10,

	ISCSI_NOP_IN = 0x20,
	ISCSI_SCSI_RESPONSE = 0x21,
	ISCSI_TMF_RESPONSE = 0x22,
	ISCSI_LOGIN_RESPONSE = 0x23,
	ISCSI_TEXT_RESPONSE = 0x24,
	ISCSI_DATA_IN = 0x25,
	ISCSI_LOGOUT_RESPONSE = 0x26,
	ISCSI_R2T = 0x31,
	ISCSI_ASYNC_MESSAGE = 0x32,
	ISCSI_REJECT = 0x3f,
};

/* byte 1: flags */
#define ISCSI_FINAL	     0x80
#define ISCSI_CMD_READ	     0x40 /* SCSI Command */
#define ISCSI_CMD_WRITE	     0x20
#define ISCSI_CMD_ATTR	     0x07 /* 1 simple, 2 ordered, 3 head of queue, 4 ACA */
#define ISCSI_DATA_IN_STATUS 0x01 /* Data-In: status is in this PDU */
#define ISCSI_DATA_IN_ACK    0x40
#define ISCSI_RESP_OVERFLOW  0x04 /* SCSI Response and last Data-In: residuals */
#define ISCSI_RESP_UNDERFLOW 0x02
#define ISCSI_LOGIN_TRANSIT  0x80
#define ISCSI_LOGIN_CONTINUE 0x40 /* also Text: more text follows */
#define ISCSI_LOGIN_CSG(f)   ((f) >> 2 & 3)
#define ISCSI_LOGIN_NSG(f)   ((f)&3)
#define ISCSI_TEXT_CONTINUE  0x40

enum iscsi_stage { ISCSI_STAGE_SECURITY = 0, ISCSI_STAGE_OPERATIONAL = 1, ISCSI_STAGE_FULL = 3 };

/* offsets in the BHS */
#define PDU_AHS_LEN	     4	/* u8: total AHS length in 4-byte words */
#define PDU_DATA_LEN	     5	/* u24: data segment length, without padding */
#define PDU_LUN		     8	/* 8 bytes */
#define PDU_ITT		     16 /* u32: initiator task tag */
#define PDU_TTT		     20 /* u32: target transfer tag (NOP, Data, Text, R2T) */
#define PDU_CMDSN	     24 /* u32: requests */
#define PDU_EXPSTATSN	     28 /* u32: requests */
#define PDU_STATSN	     24 /* u32: responses */
#define PDU_EXPCMDSN	     28 /* u32: responses */
#define PDU_MAXCMDSN	     32 /* u32: responses */
#define CMD_EDTL	     20 /* u32: expected data transfer length */
#define CMD_CDB		     32 /* 16 bytes */
#define RESP_RESPONSE	     2	/* u8 */
#define RESP_STATUS	     3	/* u8: SCSI status; also in Data-In */
#define RESP_EXPDATASN	     36 /* u32 */
#define RESP_RESIDUAL	     44 /* u32; also in Data-In */
#define DATA_SN		     36 /* u32: Data-Out and Data-In */
#define DATA_OFFSET	     40 /* u32 */
#define R2T_SN		     36 /* u32 */
#define R2T_OFFSET	     40 /* u32 */
#define R2T_LENGTH	     44 /* u32 */
#define LOGIN_VERSION_MAX    2	/* u8; active version in responses at 3 */
#define LOGIN_VERSION_ACTIVE 3
#define LOGIN_ISID	     8	/* 6 bytes */
#define LOGIN_TSIH	     14 /* u16 */
#define LOGIN_CID	     20 /* u16, requests */
#define LOGIN_STATUS	     36 /* u16: class and detail, responses */
#define TMF_FUNCTION	     1	/* u8, low 7 bits */
#define TMF_RTT		     20 /* u32: referenced task tag */
#define TMF_REFCMDSN	     32 /* u32 */
#define TMF_RESPONSE	     2	/* u8 */
#define LOGOUT_REASON	     1	/* u8, low 7 bits */
#define LOGOUT_CID	     20 /* u16 */
#define REJECT_REASON	     2	/* u8 */

/* login status: class << 8 | detail (RFC 7143, 11.13.5) */
enum iscsi_login_status {
	LOGIN_OK = 0x0000,
	LOGIN_MOVED_TEMP = 0x0101,
	LOGIN_MOVED_PERM = 0x0102,
	LOGIN_INITIATOR_ERROR = 0x0200,
	LOGIN_AUTH_FAILED = 0x0201,
	LOGIN_FORBIDDEN = 0x0202,
	LOGIN_NOT_FOUND = 0x0203,
	LOGIN_REMOVED = 0x0204,
	LOGIN_BAD_VERSION = 0x0205,
	LOGIN_TOO_MANY_CONNECTIONS = 0x0206,
	LOGIN_MISSING_PARAMETER = 0x0207,
	LOGIN_NO_INCLUDE = 0x0208,
	LOGIN_BAD_SESSION_TYPE = 0x0209,
	LOGIN_NO_SESSION = 0x020a,
	LOGIN_INVALID_REQUEST = 0x020b,
	LOGIN_TARGET_ERROR = 0x0300,
	LOGIN_SERVICE_UNAVAILABLE = 0x0301,
	LOGIN_OUT_OF_RESOURCES = 0x0302,
};

/* task management functions and responses (11.5.1, 11.6.1) */
enum iscsi_tmf {
	TMF_ABORT_TASK = 1,
	TMF_ABORT_TASK_SET = 2,
	TMF_CLEAR_ACA = 3,
	TMF_CLEAR_TASK_SET = 4,
	TMF_LUN_RESET = 5,
	TMF_TARGET_WARM_RESET = 6,
	TMF_TARGET_COLD_RESET = 7,
	TMF_TASK_REASSIGN = 8,
};
enum iscsi_tmf_response {
	TMF_COMPLETE = 0,
	TMF_NO_TASK = 1,
	TMF_NO_LUN = 2,
	TMF_STILL_ALLEGIANT = 3,
	TMF_NO_REASSIGN = 4,
	TMF_NOT_SUPPORTED = 5,
	TMF_AUTH_FAILED = 6,
	TMF_REJECTED = 255,
};

/* reject reasons (11.17.1) */
enum iscsi_reject {
	REJECT_DATA_DIGEST = 0x02,
	REJECT_SNACK = 0x03,
	REJECT_PROTOCOL_ERROR = 0x04,
	REJECT_NOT_SUPPORTED = 0x05,
	REJECT_IMMEDIATE = 0x06,
	REJECT_TASK_IN_PROGRESS = 0x07,
	REJECT_INVALID_DATA_ACK = 0x08,
	REJECT_INVALID_FIELD = 0x09,
	REJECT_LONG_OPERATION = 0x0a,
	REJECT_WAITING_LOGOUT = 0x0c,
};

/* Data segments are padded to four bytes. */
static inline uint32_t iscsi_pad(uint32_t n)
{
	return (n + 3) & ~3u;
}

/* Serial numbers compare modulo 2^32 (RFC 1982). */
static inline int sn_before(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b) < 0;
}

/* Single-level LUN address, peripheral or flat method (SAM-5, 4.7); -1 for other formats. */
static inline int iscsi_lun_get(const uint8_t *p)
{
	if (p[2] | p[3] | p[4] | p[5] | p[6] | p[7])
		return -1;
	switch (p[0] >> 6) {
	case 0: return p[0] ? -1 : p[1];
	case 1: return (p[0] & 0x3f) << 8 | p[1];
	default: return -1;
	}
}

static inline void iscsi_lun_put(uint8_t *p, unsigned lun)
{
	memset(p, 0, 8);
	p[0] = (uint8_t)(lun < 256 ? 0 : 0x40 | lun >> 8);
	p[1] = (uint8_t)lun;
}

#endif
