/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What all connections of a target server share: its loops, its targets, and the memory that they
 * may hold. Data only, but for the lists of targets (server.c).
 *
 * The floors of the target, each calling only those before it: server, window; conn, conn_end, tx
 * (one thing: a connection); session (its LUNs); gather; task, data_in (a command); crowd;
 * data_out, tmf, text_request, login; phase (what each PDU is); target (portals, the beginning and
 * the end). What has to go the other way goes by struct conn_ops, struct tx_owner and struct
 * scsi_transport.
 *
 * With several loops (target_server_add_loop()) each connection belongs to one of them, and all of
 * them share one lock (loop_set_lock()): whoever runs has all of this state to itself, as with one
 * loop, and lets go of it only where bytes are moved: recv(), sendmsg(), a transfer that is done at
 * once (disk_submit()), the digests of data. There most of the time goes, so that the loops run
 * side by side; the rest is too short for finer locks to pay. Two rules keep that true:
 * - What belongs to the byte stream of a connection is touched by its own loop only: its fd, rx, tx
 *   and sequence numbers. Others change its state and its tasks (they close it, abort its tasks,
 *   make room for what it waits for) and leave the rest to its flush task, in its loop.
 * - After a place that lets go of the lock the connection may be in another state, and any task
 *   gone that is not in the device server; the connection itself and its buffers are still there,
 * as only its own loop frees them, from a task.
 */
#ifndef NET_ISCSI_SERVER_H
#define NET_ISCSI_SERVER_H

#include <stdbool.h>
#include <stdint.h>

#include "core/chunk.h"
#include "core/loop.h"
#include "net/iscsi/target.h"
#include "net/sock.h"

struct conn;
struct task;

/*
 * Memory is bounded whatever initiators do. Data-in, from its read until it is sent: beyond this
 * much no further PDU is taken from the connection. Data-out: beyond this much no further R2T is
 * sent. What comes unsolicited, up to FirstBurstLength with each command, is bounded by the
 * windows: they grow as they are used, and beyond SERVER_OUT_MAX not at all. Windows that were
 * given before may still be filled, and commands for immediate delivery know none: beyond
 * SERVER_OUT_LAST such a command is refused, be it that its data come with it or later.
 * A connection that has nothing under way may have one command more in either direction, so that
 * nobody is starved by others; but beyond SERVER_LAST not a large one: that is refused (crowd.c).
 * Data-out stays where it was received, and one byte of it keeps all of its chunk: beyond
 * CONN_PINNED_MAX and SERVER_PINNED_MAX of such chunks it is copied (gather.c).
 */
#define CONN_BYTES_MAX	  (4u << 20)
#define SERVER_BYTES_MAX  (24u << 20)
#define SERVER_ASKED_MAX  (16u << 20)
#define SERVER_LAST	  (64u << 20)
#define SERVER_OUT_MAX	  (8u << 20)
#define SERVER_OUT_LAST	  (20u << 20)
#define CONN_PINNED_MAX	  (12u << 20)
#define SERVER_PINNED_MAX (24u << 20)
#define QUEUE_DEPTH	  128u /* commands that an initiator may have under way */
#define WINDOW_MIN	  8u
#define WINDOWS		  256u /* commands that all sessions together may send at first */
#define FEW_CONNS	  8u   /* more of them receive into smaller pieces of memory */

/* A loop that serves connections. */
struct server_loop {
	struct loop *loop;
	struct disk_engine *engine; /* that loop's */
	unsigned conns;
	int pipe[2], null; /* for tx.c; -1: there is none */
	struct server_loop *next;
};

struct target {
	char *name;
	struct lun **luns; /* by place, not by number */
	unsigned luns_n;
	struct former_lun *former; /* the last of each number of those that are gone */
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
	unsigned lingering;	  /* of them: see conn.lingers */
	uint64_t logins, refused; /* since the start */
	uint16_t next_tsih;
	uint64_t in_bytes, asked_bytes; /* the sums of all connections' */
	uint64_t out_bytes;		/* data-out that is held without having been asked for */
	uint64_t pinned;		/* bytes of chunks that are kept for data-out in them */
	struct conn *stalled;		/* in line for SERVER_BYTES_MAX */
	struct task *free_tasks;
	unsigned free_tasks_n;
	unsigned retiring; /* LUNs that have been removed and not yet closed */
	bool draining;
	void (*drained)(void *arg);
	void *drained_arg;
	struct loop_timer drain_timer;
};

/* ---- target.c ---- */
/* A connection has come. */
void target_server_take(struct target_server *s, struct server_loop *home, int fd,
			const struct sock_addr *peer);

#endif
