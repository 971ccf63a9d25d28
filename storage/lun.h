/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A logical unit: a disk with its SCSI identity and the state of its device server. A nexus is one
 * initiator port's view of it (I_T_L nexus, SAM-5 4.8). How one comes and goes is in lun_open.h.
 */
#ifndef STORAGE_LUN_H
#define STORAGE_LUN_H

#include <stdbool.h>
#include <stdint.h>

#include "storage/disk.h"
#include "storage/scsi/limits.h"
#include "storage/stats.h"

struct scsi_cmd;
struct journal;
struct reservations;
struct sanitize;

/* What initiators know a disk by, wherever it is found: it must be that of no other. */
struct lun_identity {
	char serial[33];
	uint8_t naa[16]; /* NAA 6 identifier */
};

/* What is added to the name of the state file for those beside it. */
#define LUN_STATE_JOURNAL  ".atomic"
#define LUN_STATE_SANITIZE ".sanitize"

/* As many as there are different ones (the last group of sense.h), and some: none is lost. */
#define LUN_UA_MAX 16

/* How an EXTENDED COPY ended, until the nexus asks or starts more (SPC-4, 6.27.2). */
enum copy_state { COPY_NONE, COPY_RUNNING, COPY_DONE, COPY_FAILED };
struct copy_status {
	enum copy_state state;
	uint8_t list_id;
	uint16_t segments; /* processed */
	uint64_t bytes;	   /* written */
};

struct lun_nexus {
	struct lun *lun;
	const char *initiator; /* port name, "iqn...,i,0xISID"; the session's */
	uint16_t target_port;  /* relative target port identifier */
	bool prevent;	       /* PREVENT ALLOW MEDIUM REMOVAL is in force */
	uint8_t ua_n;
	uint16_t ua[LUN_UA_MAX]; /* pending unit attentions: asc << 8 | ascq, oldest first */
	struct copy_status copies[LIMIT_COPY_STATUSES]; /* newest first */
	/* Set by who added it: an end of what this nexus has been lent (see scsi_cmd.lent) is
	 * waited for. From then on no more of it may be read from the disk, and it is to be given
	 * back as soon as it can. NULL: it is lent nothing. */
	void (*recall)(struct lun_nexus *n);
	struct lun_nexus *next;
};

struct lun {
	unsigned number;
	struct disk *disk;
	uint32_t block_size;
	unsigned block_shift;
	uint64_t blocks;
	struct lun_identity id;
	bool thin, removable, writethrough;

	struct lun_nexus *nexuses;
	struct reservations *reservations; /* scsi/reserve.c's; never NULL */
	char *state_path;		   /* see struct lun_config; NULL: there is none */
	struct journal *journal;	   /* of WRITE ATOMIC; NULL without a state file */
	struct lun_nexus *reserved_by;	   /* RESERVE(6) holder */

	bool swp;	      /* software write protect (control mode page) */
	bool d_sense;	      /* descriptor format sense data */
	bool ejected;	      /* no medium */
	bool sanitize_failed; /* only REQUEST SENSE, INQUIRY and another SANITIZE work until then */
	struct sanitize *sanitize;  /* under way (scsi/sanitize.c), or NULL */
	uint16_t sanitize_progress; /* the worker's, of 65536: see sanitize_progress() */
	bool stopping;		    /* what runs in the background is to end soon */

	/* Commands that are atomic against all others run alone: see scsi_run_alone(). */
	unsigned running;
	bool alone;
	struct scsi_cmd *waiting, **waiting_tail;
	unsigned lent;	/* reads whose data are the page cache's own pages, see scsi_cmd.lent */
	bool lend_none; /* as of the first atomic write */

	struct stats stats;

	/* A resize or the end, under way (lun_resize(), lun_retire()). */
	struct lun_change {
		struct disk_engine *engine;
		void (*done)(void *arg, int rc);
		void *arg;
		uint64_t size; /* bytes */
		struct disk_io io;
		struct loop_task check;
	} change;
	bool retiring;
};

/* How much of a SANITIZE is done, of 65536; at least 1. */
static inline uint16_t sanitize_progress(const struct lun *l)
{
	uint16_t done = __atomic_load_n(&l->sanitize_progress, __ATOMIC_RELAXED);
	return done ? done : 1;
}

/* What may have kept a retiring LUN has ended. */
void lun_ended(struct lun *l);

/* A session begins or ends: `n` is the caller's and stays in place between the two. */
void lun_nexus_add(struct lun *l, struct lun_nexus *n, const char *initiator, uint16_t target_port);
void lun_nexus_remove(struct lun_nexus *n);

/* Queues a unit attention for one nexus, or for all but `except` (may be NULL). Codes in scsi.h. */
void lun_attention(struct lun_nexus *n, uint16_t code);
/* Takes one back that has been told in another way. */
void lun_attention_clear(struct lun_nexus *n, uint16_t code);
void lun_attention_all(struct lun *l, const struct lun_nexus *except, uint16_t code);

/* Logical unit reset (SAM-5 6.3.3): drops RESERVE(6), prevents and software write protection, and
 * tells every nexus. Persistent reservations stay. */
void lun_reset(struct lun *l);

#endif
