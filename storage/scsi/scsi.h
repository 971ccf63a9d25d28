/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The device server: takes a command with its data, does it, hands back status, sense and data.
 * The transport fills a struct scsi_cmd and calls scsi_execute(); all else happens in here.
 */
#ifndef STORAGE_SCSI_SCSI_H
#define STORAGE_SCSI_SCSI_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "storage/lun.h"
#include "storage/scsi/sense.h"

#define SCSI_CDB_MAX 16

/* status codes (SAM-5, 5.3.1) */
enum scsi_status {
	SCSI_GOOD = 0x00,
	SCSI_CHECK_CONDITION = 0x02,
	SCSI_BUSY = 0x08,
	SCSI_RESERVATION_CONFLICT = 0x18,
	SCSI_TASK_SET_FULL = 0x28,
	SCSI_TASK_ABORTED = 0x40,
};

struct scsi_op;
struct scsi_cmd;

/* What the transport gives. */
struct scsi_transport {
	/*
	 * Makes room for `len` bytes of data-in (never more than cmd->in_max): sets cmd->in, in_n;
	 * with cmd->lent for all but the data itself. 0 or -ENOMEM.
	 */
	int (*reserve_in)(struct scsi_cmd *cmd, uint32_t len);
	/* The command is finished: status, sense, in_len and transfer_len are set. */
	void (*done)(struct scsi_cmd *cmd);
	/* For REPORT LUNS: the numbers of the LUNs this nexus may see; returns how many there are,
	 * stores at most max. */
	unsigned (*list_luns)(struct scsi_cmd *cmd, unsigned *numbers, unsigned max);
	/* For EXTENDED COPY: the nexus that this command's session has with another LUN, by its
	 * number; NULL: it may see none. The target keeps it until the command is done. */
	struct lun_nexus *(*find_nexus)(struct scsi_cmd *cmd, unsigned number);
	/* For PREEMPT AND ABORT: aborts all commands of this nexus that the device server does not
	 * have yet (their data is still on the way) or has queued; they end by TASK ABORTED. */
	void (*abort_tasks)(struct lun_nexus *n);
};

struct scsi_cmd {
	/* set by the transport; all else zero */
	const struct scsi_transport *transport;
	struct disk_engine *engine;
	struct lun *lun;	 /* NULL: there is no such LUN */
	struct lun_nexus *nexus; /* NULL when lun is */
	uint8_t cdb[SCSI_CDB_MAX];
	struct iovec *out; /* all of the data-out; may be changed */
	unsigned out_n;
	uint32_t out_len;
	uint32_t in_max;   /* the most data-in that the initiator takes */
	uint32_t lend_min; /* data-in of so many bytes and more may be lent; 0: none */
	/* When it came there was no unit attention: what has arisen while its data were on their
	 * way is for the next command to tell (SAM-5, 5.14). */
	bool attention_over;

	/* result */
	uint8_t status;
	uint8_t sense_len;
	uint8_t sense[SENSE_MAX];
	struct iovec *in;
	unsigned in_n;
	uint32_t in_len;       /* data-in bytes in `in` */
	uint64_t transfer_len; /* what the CDB would transfer in all: for the residual count */
	/* The data-in is not in `in`: the transport fetches it by disk_send() from lend_off on. It
	 * has to be given back by scsi_give_back(), when the initiator has it all: until then what
	 * is written shows in it, and atomic writes wait. The nexus stays in place until then. */
	bool lent;
	uint64_t lend_off; /* bytes */

	/* the device server's own */
	const struct scsi_op *op;
	struct disk_io io;
	uint64_t began; /* loop_now() of when it came: for the statistics */
	uint64_t lba;
	uint64_t count;			     /* blocks */
	void (*start)(struct scsi_cmd *cmd); /* while waiting to run */
	struct loop_task turn;		     /* it has waited, and may start */
	int (*work)(struct scsi_cmd *cmd);   /* see scsi_run_blocking() */
	uint8_t *param;			     /* scsi_param()'s copy */
	void *state; /* what else a room allocates; freed with the command */
	void (*on_abort)(struct scsi_cmd *cmd); /* see scsi_abort() */
	struct scsi_cmd *next;
	bool alone, entered, aborted;
	bool d_sense; /* sense data has the LUN's format of when it came: workers build it, too */
};

/* Takes the command; transport->done() is called now or later, in the engine's loop. */
void scsi_execute(struct scsi_cmd *cmd);
/* The command is to end soon, by TASK ABORTED unless it has come too far. done() still comes, from
 * the loop: at once where the command has nothing left to wait for. */
void scsi_abort(struct scsi_cmd *cmd);
/* What a command has been lent is no longer used. */
void scsi_give_back(struct lun *l);
/* Frees what a finished command still holds. */
void scsi_cmd_fini(struct scsi_cmd *cmd);

/* ---- for the rooms of storage/scsi ---- */

enum scsi_op_flags {
	OP_NO_ATTENTION = 1,	/* runs with a unit attention pending (SPC-4 5.14) */
	OP_MEDIUM = 2,		/* needs a medium that is ready */
	OP_MODIFY = 4,		/* changes the medium: refused when write-protected */
	OP_CONFLICT_READ = 8,	/* conflicts with an exclusive access reservation of another */
	OP_CONFLICT_WRITE = 16, /* conflicts with any reservation type of another */
	OP_ALWAYS = 32,		/* not refused by RESERVE(6) of another nexus */
	OP_THIN = 64,		/* only where the LUN is thin provisioned */
	OP_REMOVABLE = 128,	/* only where the medium is removable */
};

struct scsi_op {
	uint8_t opcode;
	int16_t action; /* service action; -1: the opcode has none */
	uint8_t flags;
	uint8_t cdb_len;
	void (*run)(struct scsi_cmd *cmd);
	const char *name;
	uint8_t usage[SCSI_CDB_MAX]; /* CDB usage data of REPORT SUPPORTED OPERATION CODES */
};

/* The table (scsi/ops.c): rows sorted by opcode; `*n` gets their number. */
const struct scsi_op *scsi_ops(unsigned *n);
/* Does this LUN do op (thin, removable)? */
bool scsi_op_supported(const struct lun *l, const struct scsi_op *op);

/* Ends the command. */
void scsi_good(struct scsi_cmd *cmd);
void scsi_status(struct scsi_cmd *cmd, uint8_t status);
void scsi_check(struct scsi_cmd *cmd, uint8_t key, uint16_t asc);
/* INVALID FIELD IN CDB, pointing at byte (and bit, or -1). */
void scsi_invalid_cdb(struct scsi_cmd *cmd, unsigned byte, int bit);
/* INVALID FIELD IN PARAMETER LIST / PARAMETER LIST LENGTH ERROR and the like. */
void scsi_invalid_param(struct scsi_cmd *cmd, unsigned byte, int bit);
/* For the result of disk I/O: GOOD, or the sense that fits the error, with the first block that
 * failed: cmd->io.off is its place in bytes. `write`: the direction. */
void scsi_io_result(struct scsi_cmd *cmd, int rc, bool write);

/* Ends the command with GOOD and `len` bytes of data, cut to the CDB's allocation length. */
void scsi_reply(struct scsi_cmd *cmd, const void *data, uint32_t len, uint32_t alloc_len);
/* The data-out as one piece of at least `need` bytes; NULL (and the command has ended with
 * PARAMETER LIST LENGTH ERROR) when there is less. The copy is freed with the command. */
const uint8_t *scsi_param(struct scsi_cmd *cmd, uint32_t need);

/*
 * Runs work(cmd) in a worker thread; its result, 0 or -errno, ends the command by way of
 * scsi_io_result() unless work itself set cmd->status (with sense). work uses the blocking calls of
 * storage/disk.h, and lets them note in cmd->io.off how far they came.
 */
void scsi_run_blocking(struct scsi_cmd *cmd, int (*work)(struct scsi_cmd *cmd));
/* In work(): disk_sync(); when it fails the command ends with a write error of no block in
 * particular. */
int scsi_work_sync(struct scsi_cmd *cmd);
/* In work(): sets CHECK CONDITION. Returns -ECANCELED, for `return scsi_work_check(...)`. */
int scsi_work_check(struct scsi_cmd *cmd, uint8_t key, uint16_t asc);

/* Runs start(cmd) when no other command of the LUN is running, flushes apart, and holds back all
 * others until it ends (COMPARE AND WRITE and the like: SBC-4, 5.3). */
void scsi_run_alone(struct scsi_cmd *cmd, void (*start)(struct scsi_cmd *cmd));

/* The command goes on, but others need not wait for it any longer. */
void scsi_leave(struct scsi_cmd *cmd);

/* A command of another LUN works on this one as well: false when one that runs alone is at it or
 * waits. scsi_part() ends it. */
bool scsi_join(struct lun *l);
void scsi_part(struct lun *l);

/* May nothing be written, be it for now? */
bool scsi_write_protected(const struct lun *l);

/* Copies between data-out or data-in and plain memory. */
void scsi_copy_out(const struct scsi_cmd *cmd, void *to, uint32_t off, uint32_t len);
void scsi_copy_in(struct scsi_cmd *cmd, uint32_t off, const void *from, uint32_t len);

/* LBA and block count lie on the medium? Else the command has ended with LBA OUT OF RANGE. */
bool scsi_range_ok(struct scsi_cmd *cmd, uint64_t lba, uint64_t count);

/* Does the data-out end with a block? An initiator may announce less than the CDB transfers
 * (RFC 7143, 11.4.5.1), but a part of a block is never written. Else the command has ended. */
bool scsi_whole_blocks(struct scsi_cmd *cmd);

/* Commands, by room. */
/* block.c */
void scsi_read(struct scsi_cmd *cmd);
void scsi_write(struct scsi_cmd *cmd);
void scsi_verify(struct scsi_cmd *cmd);
void scsi_write_verify(struct scsi_cmd *cmd);
void scsi_sync_cache(struct scsi_cmd *cmd);
void scsi_prefetch(struct scsi_cmd *cmd);
void scsi_read_capacity10(struct scsi_cmd *cmd);
void scsi_read_capacity16(struct scsi_cmd *cmd);
/* atomic.c */
void scsi_compare_and_write(struct scsi_cmd *cmd);
void scsi_orwrite(struct scsi_cmd *cmd);
void scsi_write_atomic(struct scsi_cmd *cmd);
/* provision.c */
void scsi_unmap(struct scsi_cmd *cmd);
void scsi_write_same(struct scsi_cmd *cmd);
void scsi_get_lba_status(struct scsi_cmd *cmd);
/* inquiry.c */
void scsi_inquiry(struct scsi_cmd *cmd);
/* mode.c */
void scsi_mode_sense(struct scsi_cmd *cmd);
void scsi_mode_select(struct scsi_cmd *cmd);
/* medium.c */
void scsi_test_unit_ready(struct scsi_cmd *cmd);
void scsi_start_stop(struct scsi_cmd *cmd);
void scsi_prevent_allow(struct scsi_cmd *cmd);
void scsi_read_defect_data(struct scsi_cmd *cmd);
/* sanitize.c */
void scsi_sanitize(struct scsi_cmd *cmd);
/* When the LUN is opened: one that was cut off has failed. 0 or -ENOMEM. */
int sanitize_recall(struct lun *l);
/* report.c */
void scsi_request_sense(struct scsi_cmd *cmd);
void scsi_report_luns(struct scsi_cmd *cmd);
void scsi_report_opcodes(struct scsi_cmd *cmd);
void scsi_report_tmfs(struct scsi_cmd *cmd);
void scsi_report_port_groups(struct scsi_cmd *cmd);
/* reserve.c */
/* `state_path`: the file that keeps what must survive loss of power (APTPL), NULL: nothing does.
 * What it holds is in force again. `disk`: whose it is. 0 or negative errno; the error is logged.
 */
int reservations_new(struct reservations **out, const char *state_path, const char *disk);
void reservations_free(struct reservations *r);
void scsi_reserve6(struct scsi_cmd *cmd);
void scsi_release6(struct scsi_cmd *cmd);
void scsi_pr_out(struct scsi_cmd *cmd);
/* reserve_in.c */
void scsi_pr_in(struct scsi_cmd *cmd);
/* copy.c */
void scsi_extended_copy(struct scsi_cmd *cmd);
void scsi_receive_copy_results(struct scsi_cmd *cmd);
/* The Third-party Copy page (SPC-4, 7.8.17) but for its header; returns its length. */
unsigned copy_vpd_page(const struct lun *l, uint8_t *p);

#endif
