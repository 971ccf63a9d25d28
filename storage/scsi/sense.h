/* SPDX-License-Identifier: BSD-2-Clause */
/* Sense data (SPC-4, 4.5) and the codes used here. */
#ifndef STORAGE_SCSI_SENSE_H
#define STORAGE_SCSI_SENSE_H

#include <stdbool.h>
#include <stdint.h>

#define SENSE_MAX 32

enum sense_key {
	SENSE_NONE = 0x0,
	SENSE_NOT_READY = 0x2,
	SENSE_MEDIUM_ERROR = 0x3,
	SENSE_HARDWARE_ERROR = 0x4,
	SENSE_ILLEGAL_REQUEST = 0x5,
	SENSE_UNIT_ATTENTION = 0x6,
	SENSE_DATA_PROTECT = 0x7,
	SENSE_COPY_ABORTED = 0xa,
	SENSE_ABORTED_COMMAND = 0xb,
	SENSE_MISCOMPARE = 0xe,
};

/* additional sense code << 8 | qualifier */
enum sense_code {
	ASC_NONE = 0x0000,
	ASC_OPERATION_IN_PROGRESS = 0x0016,
	ASC_SANITIZE_IN_PROGRESS = 0x041b,
	ASC_WRITE_ERROR = 0x0c00,
	ASC_INCORRECT_AMOUNT_OF_DATA = 0x0c0d, /* RFC 7143, 11.4.7.2 */
	ASC_INVALID_INFORMATION_UNIT = 0x0e03,
	ASC_SANITIZE_FAILED = 0x3103,
	ASC_UNREACHABLE_COPY_TARGET = 0x0804,
	ASC_COPY_TARGET_NOT_REACHABLE = 0x0d02,
	ASC_UNRECOVERED_READ_ERROR = 0x1100,
	ASC_PARAMETER_LIST_LENGTH = 0x1a00,
	ASC_MISCOMPARE_VERIFY = 0x1d00,
	ASC_INVALID_OPCODE = 0x2000,
	ASC_LBA_OUT_OF_RANGE = 0x2100,
	ASC_INVALID_FIELD_IN_CDB = 0x2400,
	ASC_LUN_NOT_SUPPORTED = 0x2500,
	ASC_INVALID_FIELD_IN_PARAMETER = 0x2600,
	ASC_TOO_MANY_TARGET_DESCRIPTORS = 0x2606,
	ASC_UNSUPPORTED_TARGET_DESCRIPTOR = 0x2607,
	ASC_TOO_MANY_SEGMENT_DESCRIPTORS = 0x2608,
	ASC_UNSUPPORTED_SEGMENT_DESCRIPTOR = 0x2609,
	ASC_INVALID_RELEASE_OF_RESERVATION = 0x2604,
	ASC_WRITE_PROTECTED = 0x2700,
	ASC_SPACE_ALLOCATION_FAILED = 0x2707,
	ASC_MEDIUM_CHANGED = 0x2800,
	ASC_POWER_ON = 0x2900,
	ASC_BUS_DEVICE_RESET = 0x2903,
	ASC_NEXUS_LOSS = 0x2907,
	ASC_MODE_PARAMETERS_CHANGED = 0x2a01,
	ASC_RESERVATIONS_PREEMPTED = 0x2a03,
	ASC_RESERVATIONS_RELEASED = 0x2a04,
	ASC_REGISTRATIONS_PREEMPTED = 0x2a05,
	ASC_CAPACITY_CHANGED = 0x2a09,
	ASC_SAVING_NOT_SUPPORTED = 0x3900,
	ASC_MEDIUM_NOT_PRESENT = 0x3a00,
	ASC_REPORTED_LUNS_CHANGED = 0x3f0e,
	ASC_INTERNAL_FAILURE = 0x4400,
	ASC_MEDIUM_REMOVAL_PREVENTED = 0x5302,
	ASC_INSUFFICIENT_REGISTRATION_RESOURCES = 0x5504,
};

/* What may be added to key and code; -1 / 0 where it does not apply. */
struct sense_extra {
	int field; /* sense-key specific: the CDB or parameter byte at fault, -1 none */
	int bit;   /* its bit, -1 none */
	bool in_cdb;
	uint16_t progress; /* of 65536, 0: not given; stands in the place of field */
	bool has_info;
	uint64_t info; /* the LBA, or the offset of a miscompare */
};

/* Writes sense data in fixed or descriptor format; returns its length (at most SENSE_MAX). */
unsigned sense_build(uint8_t *out, bool descriptor, uint8_t key, uint16_t asc,
		     const struct sense_extra *x);

#endif
