/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What one command may ask for: the Block Limits page tells it (SBC-3, 6.6.3), the commands hold
 * to it. Each bounds the memory or the time that an initiator can make one command take.
 */
#ifndef STORAGE_SCSI_LIMITS_H
#define STORAGE_SCSI_LIMITS_H

#define LIMIT_TRANSFER_BYTES	(8u << 20) /* data of READ, WRITE, ORWRITE, VERIFY */
#define LIMIT_CAW_BLOCKS	255u	   /* COMPARE AND WRITE: all that its CDB can say */
#define LIMIT_ATOMIC_BLOCKS	256u	   /* WRITE ATOMIC; alignment and granularity are 1 */
#define LIMIT_WRITE_SAME_BLOCKS 32768u
#define LIMIT_UNMAP_BLOCKS	(1u << 20) /* in all descriptors together */
#define LIMIT_UNMAP_DESCRIPTORS 256u

/* EXTENDED COPY (SPC-4, 6.18): told by RECEIVE COPY OPERATING PARAMETERS and page 8Fh. */
#define LIMIT_COPY_TARGETS	 16u
#define LIMIT_COPY_SEGMENTS	 64u
#define LIMIT_COPY_LIST_BYTES	 ((LIMIT_COPY_TARGETS + 1) * 32 + (LIMIT_COPY_SEGMENTS + 1) * 28)
#define LIMIT_COPY_SEGMENT_BYTES (16u << 20)
#define LIMIT_COPY_STATUSES	 4u /* results that a nexus may still ask for */

#define LIMIT_REGISTRATIONS 128u /* persistent reservations: registered nexuses of a LUN */

#endif
