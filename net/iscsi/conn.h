/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A connection, which is a session: MaxConnections is 1. conn.c is what it receives, conn_end.c its
 * end, tx.c what it sends, window.c how many commands it may send. The rooms above keep in it what
 * they know of it; they are called by its conn_ops.
 */
#ifndef NET_ISCSI_CONN_H
#define NET_ISCSI_CONN_H

#include "core/buf.h"
#include "net/iscsi/pdu.h"
#include "net/iscsi/server.h"
#include "net/iscsi/text.h"

#define TARGET_MAX_RECV 262144u /* MaxRecvDataSegmentLength that we declare */
#define TASK_HASH	256u
#define LUN_RECENT	32u
#define CONN_MUCH	(32 << 10) /* bytes moved in a turn: spinning does not pay (loop_skip_spin()) */

enum conn_state {
	CONN_LOGIN,  /* RFC 7143 7.1.3: S4 IN_LOGIN */
	CONN_FULL,   /* S5 LOGGED_IN */
	CONN_LAST,   /* what is queued is sent, then the connection is closed */
	CONN_CLOSED, /* only tasks that run keep it, or that it lingers */
};

/* What the rooms above do for a connection. */
struct conn_ops {
	/* A whole PDU; `chunk` is where its data lies. False: not now, offer it again after
	 * conn_resume(). */
	bool (*pdu)(struct conn *c, const uint8_t *bhs, uint8_t *data, uint32_t len,
		    struct chunk *chunk);
	/* While conn.ahead: the header of a PDU that is not taken yet, or never as all ends. */
	void (*ahead)(struct conn *c, const uint8_t *bhs);
	/* Before it sends, in its loop: what has been left for that. */
	void (*turn)(struct conn *c);
	/* It closes. Perhaps beneath one who still looks at it, and from another loop. */
	void (*closing)(struct conn *c);
	/* It sends nothing more, and nothing is queued. Perhaps more than once. */
	void (*closed)(struct conn *c);
	/* Nothing of it runs any more; if it is closed already, over() and gone() follow. */
	void (*idle)(struct conn *c);
	/* Closed and idle: what it has of others can go. Perhaps more than once. */
	void (*over)(struct conn *c);
	/* And its socket is closed: to be freed, with conn_fini(). */
	void (*gone)(struct conn *c);
};

/* Who has queued parts of a disk. */
struct tx_owner {
	unsigned parts; /* that are queued, or being read */
	bool by_ref;	/* the socket may still have pages of it */
	/* A part has been read into memory. */
	void (*loaded)(struct conn *c);
	/* A part cannot be read; the connection ends after this. */
	void (*lost)(const struct tx_owner *o, uint64_t off, uint32_t len, int rc);
};

/* What is queued to be sent: bytes of a chunk, or of a disk. */
struct tx_part {
	uint8_t *p;
	struct chunk *chunk;
	uint32_t len;
	struct tx_owner *owner; /* NULL: memory */
	struct disk *disk;
	uint64_t off;	      /* on the disk */
	uint64_t asked;	      /* loop_now() of when its pages were in the page cache */
	struct tx_load *load; /* it is being read into memory, and will be a part of that */
};

struct conn {
	const struct conn_ops *ops;
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
	bool lingers;			 /* closed, it reads until the peer closes as well */
	bool ahead;   /* taking nothing, it receives nevertheless, for what the headers tell */
	bool waits;   /* for the end of an earlier session of the same initiator port */
	bool awaited; /* for its end another one waits */
	struct conn *stalled_next;

	/* receive: bytes [rx_pos, rx->used) are still to be parsed */
	struct chunk *rx;
	uint32_t rx_pos;
	uint32_t usual;	 /* size of the last PDU */
	unsigned rounds; /* of receiving that are left of this turn */
	uint64_t pinned; /* its share of server.pinned */

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
	uint64_t moved; /* loop_now() of when some of either has come or gone, or begun to be */
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
	bool cleared;	  /* some tasks are: to be told */
	struct tmf *tmfs; /* that wait */
	bool tmf_due;	  /* one of them, at least, is to be answered */
};

/* ---- conn.c ---- */
/* Begins in its home's loop with what has been set: ops, server, home, fd, peer, id. 0 or negative
 * errno; then the fd is still the caller's. */
int conn_open(struct conn *c);
/* Gives back what it holds. */
void conn_fini(struct conn *c);
/* Counts data-in under way; less of it lets stalled connections go on. */
void conn_in_bytes(struct conn *c, int64_t delta);
/* From now on, or no longer: conn.ahead. */
void conn_look_ahead(struct conn *c, bool on);
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
/* Rejects a PDU (RFC 7143, 11.17). */
void conn_reject(struct conn *c, const uint8_t *bhs, uint8_t reason);
/* The log's name of it: "session 3 iqn... from 10.0.0.2:1234". Overwritten by the next call. */
const char *conn_name(const struct conn *c);
/* Logs "NAME: what; end" for what a peer has done, within limits: it can do so without end. */
void conn_warn(const struct conn *c, const char *what, const char *end);
/* A peer that breaks the protocol: at recovery level 0 the session ends (RFC 7143, 7.1.4.1). */
void conn_protocol_error(struct conn *c, const uint8_t *bhs, const char *what);

/* ---- conn_end.c ---- */
/* Ends it: its tasks at once, but those that run finish without an answer; the rest from its loop.
 */
void conn_close(struct conn *c);
/* A task of a connection has left the device server. */
void conn_task_gone(struct conn *c);
/* Sends what is queued, then closes. */
void conn_finish(struct conn *c);
/* All that was queued is sent: closes, in its loop, but the socket when the peer has closed, too.
 */
void conn_hang_up(struct conn *c);
/* Something has come while it lingers. */
void conn_throw_away(struct conn *c);

/* ---- tx.c ---- */
/* Room for n bytes in a chunk (small pieces share one); *chunk gets a reference. */
uint8_t *conn_room(struct conn *c, uint32_t n, struct chunk **chunk);
/* Queues bytes of a chunk; takes over the caller's reference. */
void conn_queue(struct conn *c, uint8_t *p, uint32_t n, struct chunk *chunk);
/* Queues bytes of a disk, from off on. */
void conn_queue_disk(struct conn *c, struct tx_owner *o, struct disk *d, uint64_t off, uint32_t n);
/* Sends what can be sent now. False: the connection has been closed. */
bool conn_transmit(struct conn *c);
/* Is there something to send as soon as the socket has room? */
bool conn_tx_ready(const struct conn *c);
/* The parts of such owners are read into memory: nothing queued refers to their disk then. */
void conn_load(struct conn *c, bool (*which)(const struct tx_owner *o));
void conn_drop_queue(struct conn *c);
/* Makes the pipe that data goes through; without one nothing is lent. */
void server_loop_open(struct server_loop *l);
void server_loop_close(struct server_loop *l);

/* ---- window.c ---- */
/* A command has come, sent by an initiator that had seen the responses up to this ExpStatSN. */
void window_note(struct conn *c, uint32_t exp_stat_sn);
/* How many further commands it may send now. */
uint32_t window_left(const struct conn *c);

#endif
