/* SPDX-License-Identifier: BSD-2-Clause */
/* A SCSI command from its PDU to its response: task.c is its life, data_in.c its data-in. */
#ifndef NET_ISCSI_TASK_H
#define NET_ISCSI_TASK_H

#include "net/iscsi/conn.h"
#include "net/iscsi/gather.h"
#include "net/iscsi/session.h"
#include "storage/scsi/scsi.h"

/* A read whose data are the page cache's own, until the initiator has them. See data_in.c. */
struct loan {
	struct tx_owner owner;
	struct session_lun *lun;
	struct loan *next;
	uint32_t stat_sn;
};

struct borrowed {
	struct session_lun *lun;
	struct borrowed *next;
};

/* One SCSI command from its PDU to its response. */
struct task {
	struct scsi_cmd cmd;
	struct conn *conn;
	struct task *next; /* in the hash chain, or free */
	uint32_t itt, edtl;
	uint32_t in_bytes, asked_bytes; /* its share of conn.in_bytes and conn.asked_bytes */
	bool in_line;			/* in conn.r2t_wait */
	struct task *r2t_next;
	struct session_lun *session_lun; /* NULL: no such LUN */
	struct borrowed *borrowed;	 /* other LUNs that it works on */
	bool read, write;
	bool running; /* in the device server */
	bool aborted; /* no response is owed */
	bool cleared; /* another session has ended it before it ran: TASK ABORTED is owed */
	bool orphan;  /* for another disk than the one that has the number now, or may have it */
	struct tmf_wait *awaited_by;
	uint8_t lun[8];

	struct gather out;  /* data-out that has come */
	uint32_t solicited; /* end of what has been asked for */
	uint32_t ttt, r2t_sn, data_sn;

	/* data-in: one region with the places of its headers */
	struct chunk *in_chunk;
	uint8_t *in_base;
	uint32_t in_seg; /* data in a PDU: what is laid out is not changed by what is declared later
			  */
	uint32_t in_region;
	struct iovec in_inline[4];
	struct loan *loan; /* until there is data to be sent */
};

/* A task management function that waits for the tasks it has aborted, whose connections may be
 * others, and outlive its own. */
struct tmf {
	struct conn *conn; /* NULL: nobody waits for the answer any more */
	uint32_t itt;
	uint8_t function;
	unsigned left; /* tasks that still run; 0: flush() answers */
	bool failed;   /* out of memory: some are not waited for */
	struct tmf *next;
};

struct tmf_wait {
	struct tmf *tmf;
	struct tmf_wait *next;
};

/* ---- task.c ---- */
/* Of a SCSI Command PDU; NULL: out of memory. */
struct task *task_new(struct conn *c, const uint8_t *bhs);
/* One that does not run. */
void task_free(struct task *t);
struct task *task_find(struct conn *c, uint32_t itt);
/* All its data is here. */
void task_run(struct task *t);
/* Ends a command that the device server never gets. */
void task_fail(struct task *t, uint8_t key, uint16_t asc);
/* The same by TASK SET FULL (SAM-5, 5.3.1): the initiator is to send it again when others have
 * ended. */
void task_refuse(struct task *t);
/* Ends a task without a response, now or when the device server gives it back; `f`, if not NULL,
 * waits for that. */
void task_abort(struct task *t, struct tmf *f);
/* The same for all of a connection's on a LUN (-1: on all). `by_other`: another session ends them,
 * and theirs gets a response, TASK ABORTED (SAM-5, 5.6, and TAS of the control mode page). */
void tasks_abort(struct conn *c, int lun, struct tmf *f, bool by_other);
/* Ends those that others have ended, in its connection's loop. */
void tasks_tell_cleared(struct conn *c);
/* The LUN of this number is being removed: those that wait for their data find none when they come
 * to run, also where its number has been given to another by then. */
void tasks_orphan(struct conn *c, unsigned lun);
/* What `f` waited for has ended, or been given up. */
void tmf_part(struct tmf *f);
/* Puts the residual count (RFC 7143, 11.4.5) in its place; returns the flag that goes with it. */
uint8_t task_residual(const struct task *t, uint8_t *at);

/* ---- data_in.c ---- */
/* See scsi_transport.reserve_in. */
int data_in_reserve(struct scsi_cmd *cmd, uint32_t len);
/* Sends the data; the last PDU carries the status, which is GOOD. */
void data_in_send(struct task *t);
/* A task ends. */
void data_in_end(struct task *t);
/* The least that is worth lending on this connection; see scsi_cmd.lend_min. */
uint32_t data_in_lend_min(const struct conn *c);
/* Statuses before this one have been received. */
void data_in_confirmed(struct conn *c, uint32_t exp_stat_sn);
/* Ends the loans that may end. */
void data_in_settle(struct conn *c);
/* Some are wanted back: conn.recalled. */
void data_in_return(struct conn *c);

#endif
