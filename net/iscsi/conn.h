/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Inside the target: a connection (which is a session: MaxConnections is 1), its tasks, and what
 * its rooms need of each other. conn.c is its life and what it receives, tx.c what it sends,
 * login.c the login phase, task.c the full feature phase, data_out.c and data_in.c its data,
 * session.c the LUNs of a session, target.c the server around them.
 *
 * With several loops (target_server_add_loop()) each connection belongs to one of them, and all of
 * them share one lock (loop_set_lock()): whoever runs has all of this state to itself, as with one
 * loop, and lets go of it only where bytes are moved: recv(), sendmsg(), a transfer that is done at
 * once (disk_submit()), the digests of data. There most of the time goes, so that the loops run
 * side by side; the rest is too short for finer locks to pay. Two rules keep that true:
 * - What belongs to the byte stream of a connection is touched by its own loop only: its fd, rx, tx
 *   and sequence numbers. Others change its state and its tasks (they close it, abort its tasks,
 * make room for what it waits for) and leave the rest to its flush task, in its loop.
 * - After a place that lets go of the lock the connection may be in another state, and any task
 * gone that is not in the device server; the connection itself and its buffers are still there, as
 * only its own loop frees them, from a task.
 */
#ifndef NET_ISCSI_CONN_H
#define NET_ISCSI_CONN_H

#include <stdbool.h>
#include <stdint.h>

#include "core/buf.h"
#include "core/chunk.h"
#include "core/loop.h"
#include "net/iscsi/pdu.h"
#include "net/iscsi/target.h"
#include "net/iscsi/text.h"
#include "net/sock.h"
#include "storage/scsi/scsi.h"

#define TARGET_MAX_RECV	   262144u /* MaxRecvDataSegmentLength that we declare */
#define TARGET_MAX_BURST   1048576u
#define TARGET_FIRST_BURST 65536u
#define QUEUE_DEPTH	   128u /* commands that an initiator may have under way */
#define TASK_HASH	   256u
#define LUN_RECENT	   32u
#define TEXT_MAX	   65536u /* most text of a login or text exchange: hostile peers */
#define HALF_OPEN_MAX	   64u	  /* connections that have not logged in, or not yet */
/*
 * Memory is bounded whatever initiators do. Data-in, from its read until it is sent: beyond this
 * much no further PDU is taken from the connection. Data-out: beyond this much no further R2T is
 * sent. What comes unsolicited, up to TARGET_FIRST_BURST with each command, is bounded by the
 * windows: they grow as they are used, and beyond SERVER_OUT_MAX not at all. Windows that were
 * given before may still be filled: beyond SERVER_OUT_LAST such a command is refused.
 */
#define CONN_BYTES_MAX	 (4u << 20)
#define SERVER_BYTES_MAX (24u << 20)
#define SERVER_ASKED_MAX (16u << 20)
#define SERVER_OUT_MAX	 (8u << 20)
#define SERVER_OUT_LAST	 (20u << 20)
#define WINDOW_MIN	 8u
#define WINDOWS		 256u /* commands that all sessions together may send at first */
#define FEW_CONNS	 8u   /* more of them receive into smaller pieces of memory */

enum conn_state {
	CONN_SECURITY,	  /* RFC 7143 7.1.3: S4 IN_LOGIN, security negotiation */
	CONN_OPERATIONAL, /* S4 IN_LOGIN, operational negotiation */
	CONN_FULL,	  /* S5 LOGGED_IN */
	CONN_LAST,	  /* what is queued is sent, then the connection is closed */
	CONN_CLOSED,	  /* only tasks that run keep it */
};

/* What is queued to be sent: bytes of a chunk, or of a disk. */
struct tx_part {
	uint8_t *p;
	struct chunk *chunk;
	uint32_t len;
	struct loan *loan;    /* NULL: memory */
	uint64_t off;	      /* on the disk */
	uint64_t asked;	      /* loop_now() of when its pages were in the page cache */
	struct tx_load *load; /* it is being read into memory, and will be a part of that */
};

/* A read whose data are the page cache's own, until the initiator has them. See data_in.c. */
struct loan {
	struct session_lun *lun;
	struct loan *next;
	uint32_t stat_sn;
	unsigned parts; /* that are queued, or being read */
	bool by_ref;	/* the socket may still have pages of it */
};

/* One SCSI command from its PDU to its response. */
struct task {
	struct scsi_cmd cmd;
	struct conn *conn;
	struct task *next; /* in the hash chain, or free */
	uint32_t itt, edtl;
	uint32_t in_bytes, asked_bytes;	 /* its share of conn.in_bytes and conn.asked_bytes */
	bool in_line;			 /* in conn.r2t_wait */
	struct task *r2t_next;		 /* see conn.r2t_wait */
	struct session_lun *session_lun; /* NULL: no such LUN */
	struct borrowed *borrowed;	 /* other LUNs that it works on */
	bool read, write;
	bool running; /* in the device server */
	bool aborted; /* no response is owed */
	struct tmf_wait *awaited_by;
	uint8_t lun[8];

	/* data-out, kept where it was received */
	struct iovec *out;
	struct chunk **out_chunk;
	unsigned out_n, out_cap;
	uint32_t out_len;   /* bytes received */
	uint32_t unasked;   /* of these the ones that came before any R2T: in server.out_bytes */
	uint32_t solicited; /* end of what has been asked for */
	uint32_t ttt, r2t_sn, data_sn;
	struct iovec out_inline[2];
	struct chunk *out_chunk_inline[2];

	/* data-in: one region with the places of its headers */
	struct chunk *in_chunk;
	uint8_t *in_base;
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
	struct tmf *next;
};

struct tmf_wait {
	struct tmf *tmf;
	struct tmf_wait *next;
};

/* A session's view of a LUN. One that is removed stays until the last command on it has ended. */
struct session_lun {
	struct lun_nexus nexus;
	struct lun *lun;
	struct conn *conn;
	unsigned number;
	unsigned uses; /* commands that hold on to it */
	bool removed;
};

struct borrowed {
	struct session_lun *lun;
	struct borrowed *next;
};

/* A loop that serves connections. */
struct server_loop {
	struct loop *loop;
	struct disk_engine *engine; /* that loop's */
	unsigned conns;
	int pipe[2], null; /* for tx.c; -1: there is none */
	struct server_loop *next;
};

struct conn {
	struct target_server *server;
	struct server_loop *home;
	struct loop *loop; /* home's */
	struct conn *next, **prev;
	unsigned id; /* for the log */
	int fd;	     /* -1: closed */
	struct sock_addr peer;
	struct loop_fd watch;
	struct loop_task flush;	 /* sends; in the end, takes the connection down */
	struct loop_timer timer; /* the login phase, then the closing one, is bounded */
	enum conn_state state;
	bool header_digest, data_digest; /* in force: from the full feature phase on */
	bool stalled;			 /* no further command is started for now */
	bool waits;   /* for commands of an earlier session of the same initiator port */
	bool awaited; /* for its commands another one waits */
	struct conn *stalled_next;

	/* receive: bytes [rx_pos, rx->used) are still to be parsed */
	struct chunk *rx;
	uint32_t rx_pos;

	/* send: parts tx[tx_head .. tx_head + tx_n), a ring of tx_cap */
	struct tx_part *tx;
	unsigned tx_head, tx_n, tx_cap;
	struct chunk *pdu_chunk; /* between conn_pdu() and conn_send_pdu() */
	struct chunk *tx_chunk;	 /* headers and small data are put here one behind the other */
	struct loan *loans, **loans_tail; /* by StatSN */
	uint32_t confirmed_sn;		  /* ExpStatSN of the last PDU */
	bool recalled;			  /* some of the loans are wanted back */
	uint64_t in_bytes;    /* data-in being read or waiting to be sent, responses too */
	uint64_t asked_bytes; /* data-out of tasks that have sent an R2T */
	struct task *r2t_wait, **r2t_tail; /* tasks in line for an R2T */

	/* session */
	struct login *login;   /* only in the login phase */
	struct target *target; /* NULL: discovery */
	struct iscsi_params params;
	char initiator[ISCSI_NAME + 1];
	char port_name[ISCSI_NAME + 32]; /* "name,i,0xISID" (RFC 7143, 4.4.1) */
	uint8_t isid[6];
	uint16_t tsih, cid;
	uint64_t since; /* clock_ns() of the login */
	uint32_t stat_sn, exp_cmd_sn, max_cmd_sn;
	uint32_t depth; /* commands that the initiator has had under way of late */
	struct session_lun **luns;
	unsigned luns_n;
	struct session_lun *recent[LUN_RECENT]; /* found last, by number modulo LUN_RECENT */
	struct buf text_in;			/* a text request that continues */
	struct buf text_out;			/* a text response that continues */

	struct task *hash[TASK_HASH];
	unsigned tasks, running;
	struct tmf *tmfs; /* that wait */
	bool tmf_due;	  /* one of them, at least, is to be answered */
};

struct target {
	char *name;
	struct lun **luns; /* by place, not by number */
	unsigned luns_n;
	struct target *next;
};

struct portal {
	struct target_server *server;
	char *address; /* as it was asked for */
	struct sock_listener listener;
	struct portal *next;
	char text[SOCK_TEXT_MAX];
};

struct target_server {
	struct target_server_config config;
	struct server_loop main; /* the config's loop; accepts, and the first of a list */
	struct chunk_pool *pool;
	struct target *targets;
	struct portal *portals;
	struct conn *conns;
	unsigned conns_n, next_id;
	uint64_t logins, refused; /* since the start */
	uint16_t next_tsih;
	uint64_t in_bytes, asked_bytes; /* the sums of all connections' */
	uint64_t out_bytes;		/* data-out that is held without having been asked for */
	struct conn *stalled;		/* in line for SERVER_BYTES_MAX */
	struct task *free_tasks;
	unsigned free_tasks_n;
	unsigned retiring; /* LUNs that have been removed and not yet closed */
	bool draining;
	void (*drained)(void *arg);
	void *drained_arg;
	struct loop_timer drain_timer;
};

/* ---- conn.c ---- */
void conn_new(struct target_server *s, struct server_loop *home, int fd,
	      const struct sock_addr *peer);
/* Ends it: its tasks at once, but those that run finish without an answer; the rest from its loop.
 */
void conn_close(struct conn *c);
/* A task of a connection has left the device server. */
void conn_task_gone(struct conn *c);
/* Sends what is queued, then closes. */
void conn_finish(struct conn *c);
/* Counts data-in under way; less of it lets stalled connections go on. */
void conn_in_bytes(struct conn *c, int64_t delta);
/* Begins parsing again after a stall. */
void conn_resume(struct conn *c);
/* A zeroed header with room for `data` bytes (and padding) behind it, not yet queued; NULL: the
 * connection has been closed, out of memory. *data_at points to the data. */
uint8_t *conn_pdu(struct conn *c, uint8_t opcode, uint32_t data, uint8_t **data_at);
/* Fills in the sequence numbers (StatSN is counted up when `status`), data length and digests, and
 * queues the PDU that conn_pdu() gave. */
void conn_send_pdu(struct conn *c, uint8_t *bhs, uint32_t data, bool status);
/* Sequence numbers for a response header. */
void conn_put_sn(struct conn *c, uint8_t *bhs, bool status);
/* Bytes a PDU with n bytes of data takes on the wire, header and digests included. */
uint32_t conn_pdu_size(const struct conn *c, uint32_t n);
/* Writes the digests of a PDU in place. */
void conn_put_digests(const struct conn *c, uint8_t *bhs, uint32_t data);
/* ---- tx.c ---- */
/* Room for n bytes in a chunk (small pieces share one); *chunk gets a reference. */
uint8_t *conn_room(struct conn *c, uint32_t n, struct chunk **chunk);
/* Queues bytes of a chunk; takes over the caller's reference. */
void conn_queue(struct conn *c, uint8_t *p, uint32_t n, struct chunk *chunk);
/* Queues bytes of the loan's disk, from off on. */
void conn_queue_loan(struct conn *c, struct loan *l, uint64_t off, uint32_t n);
/* Sends what can be sent now. False: the connection has been closed. */
bool conn_transmit(struct conn *c);
/* Is there something to send as soon as the socket has room? */
bool conn_tx_ready(const struct conn *c);
/* What has been recalled is read into memory, so that nothing queued refers to the disk then. */
void conn_load_recalled(struct conn *c);
void conn_drop_queue(struct conn *c);
/* Makes the pipe that data goes through; without one nothing is lent. */
void server_loop_open(struct server_loop *l);
void server_loop_close(struct server_loop *l);
/* Rejects a PDU (RFC 7143, 11.17). */
void conn_reject(struct conn *c, const uint8_t *bhs, uint8_t reason);
/* The log's name of it: "session 3 iqn... from 10.0.0.2:1234". Overwritten by the next call. */
const char *conn_name(const struct conn *c);
/* Logs "NAME: what; end" for what a peer has done, within limits: it can do so without end. */
void conn_warn(const struct conn *c, const char *what, const char *end);

/* ---- login.c ---- */
int login_begin(struct conn *c);
void login_end(struct conn *c);
void login_pdu(struct conn *c, const uint8_t *bhs, const uint8_t *data, uint32_t len);

/* ---- task.c ---- */
/* Handles a PDU of the full feature phase; `chunk` is where data lies. False: not now, offer it
 * again after conn_resume(). */
bool full_pdu(struct conn *c, const uint8_t *bhs, uint8_t *data, uint32_t len, struct chunk *chunk);
/* Drops all tasks that do not run, marks the others. */
void tasks_abort_all(struct conn *c);
extern const struct scsi_transport target_transport;
struct task *task_find(struct conn *c, uint32_t itt);
/* Ends a task without a response, now or when the device server gives it back; `f`, if not NULL,
 * waits for that. */
void task_abort(struct task *t, struct tmf *f);
/* What tmf waited for has ended, or been given up. */
void tmf_part(struct tmf *f);

/* Ends a command that the device server never gets. */
void task_fail(struct task *t, uint8_t key, uint16_t asc);
/* All its data is here. */
void task_run(struct task *t);
/* A peer that breaks the protocol: at recovery level 0 the session ends (RFC 7143, 7.1.4.1). */
void conn_protocol_error(struct conn *c, const uint8_t *bhs, const char *what);

/* ---- data_in.c ---- */
/* See scsi_transport.reserve_in. */
int data_in_reserve(struct scsi_cmd *cmd, uint32_t len);
/* Sends the data; the last PDU carries the status, which is GOOD. */
void data_in_send(struct task *t);
/* A task ends. */
void data_in_end(struct task *t);
/* Puts the residual count (RFC 7143, 11.4.5) in its place; returns the flag that goes with it. */
uint8_t task_residual(const struct task *t, uint8_t *at);
/* The least that is worth lending on this connection; see scsi_cmd.lend_min. */
uint32_t data_in_lend_min(const struct conn *c);
/* Statuses before this one have been received. */
void data_in_confirmed(struct conn *c, uint32_t exp_stat_sn);
/* Ends the loans that may end. */
void data_in_settle(struct conn *c);
/* See lun_nexus.recall; data_in_return() follows in the connection's loop. */
void data_in_recall(struct lun_nexus *n);
void data_in_return(struct conn *c);
/* Wanted back: not to be read from the disk any more. */
bool loan_recalled(const struct loan *l);

/* ---- data_out.c ---- */
/* Keeps received data where it lies. False: out of memory. */
bool data_out_keep(struct task *t, uint8_t *data, uint32_t len, struct chunk *chunk);
/* More data is on its way or asked for, or the command runs. `final`: the F bit has been seen. */
void data_out_advance(struct task *t, bool final);
void data_out_pdu(struct conn *c, const uint8_t *bhs, uint8_t *data, uint32_t len,
		  struct chunk *chunk);
/* A task ends: out of the line for R2Ts, its pieces of data given back. */
void data_out_end(struct task *t);
/* Sends the R2Ts that there is room for now. */
void data_out_ask(struct conn *c);

/* ---- text_request.c, tmf.c ---- */
void text_request(struct conn *c, const uint8_t *bhs, const uint8_t *data, uint32_t len);
void tmf_request(struct conn *c, const uint8_t *bhs);
/* Aborts the tasks of one connection on a LUN (-1: on all); returns how many there were. `f`, if
 * not NULL, waits for their end. */
unsigned tmf_abort_on_lun(struct conn *c, int lun, struct tmf *f);
/* The connection closes. */
void tmf_abandon(struct conn *c);
/* Answers what is due. */
void tmf_answer(struct conn *c);

/* ---- window.c ---- */
/* A command has come, sent by an initiator that had seen the responses up to this ExpStatSN. */
void window_note(struct conn *c, uint32_t exp_stat_sn);
/* How many further commands it may send now. */
uint32_t window_left(const struct conn *c);

/* ---- session.c ---- */
/* A login has completed: drops the session it reinstates, and makes the nexuses. 0, -ENOMEM, or
 * -EUSERS: there are as many sessions as there can be. */
int session_begin(struct conn *c);
void session_end(struct conn *c);
/* No command of a session runs any more which another one waits for. */
void session_over(struct conn *c);
/* NULL: the session has no LUN of this number. */
struct session_lun *session_lun_find(struct conn *c, unsigned number);
/* A command no longer holds on to it. */
void session_lun_release(struct session_lun *s);
/* ---- target.c ---- */
/* A connection is gone, or none of its tasks runs any more. */
void server_conn_idle(struct target_server *s);

#endif
