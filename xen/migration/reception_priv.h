/* SPDX-License-Identifier: BSD-2-Clause */
/* What the two halves of the receiver's side share: events and life (reception.c), and what is done
 * at each step (reception_actions.c). */
#ifndef XEN_RECEPTION_PRIV_H
#define XEN_RECEPTION_PRIV_H

#include "net/announce.h"
#include "xen/migration/data_net.h"
#include "xen/migration/disks.h"
#include "xen/events.h"
#include "xen/fence/fencing.h"
#include "xen/migration/handover.h"
#include "xen/message.h"
#include "xen/migration/migration_table.h"
#include "xen/migration/preflight.h"
#include "xen/migration/reception.h"
#include "xen/copy/restoring.h"

#define RECEPTION_CPU_MAX 2048

struct reception {
	struct loop *loop;
	struct toolstack *t;
	struct channel *c;
	enum receiver_state state;
	struct events events;
	struct loop_timer timer; /* what follows by itself */
	struct loop_timer limit; /* of the state: see receiver_about() */
	struct loop_timer later; /* once it runs here */

	char id[MIGRATION_ID_LEN + 1];
	char name[GUEST_NAME_MAX], uuid[GUEST_UUID_MAX];
	char *json;
	libxl_domain_config config;
	bool has_config;
	struct release xen; /* the sender's */
	bool same_host;
	char cpu[RECEPTION_CPU_MAX];
	uint64_t cache_max; /* bytes; what the sender has been offered */
	struct buf said;    /* its PREFLIGHT message */
	struct verdicts verdicts;
	struct disks disks;

	struct referee referee; /* n is 0 when the sender does not fence */
	struct fencing fencing;
	bool raced; /* without GO */
	bool won;   /* the disk says that the guest is ours */

	struct handover handover;
	struct handover_ask ask;
	bool asking;
	struct restoring restoring;
	const struct channel_key *key; /* the channel's */
	struct data_net_in data;
	struct toolstack_op op;
	bool waiting; /* a frame is held until the events have run */
	uint64_t go_at;
	struct announce announce;

	char cause[512];
	bool failed_to_destroy, renamed, finishing, ended;
	bool silent; /* it is not to announce the guest */
	bool settling_in, announcing;
	enum reception_end end;
	void (*done)(void *arg, enum reception_end end);
	void *arg;
};

/* reception.c */
void reception_raise(struct reception *r, enum receiver_event e);
/* Ends it when nothing is left to wait for. */
void reception_look(struct reception *r);
/* The sender did or sent what it may not: it is told, and what there is of the guest goes. */
void reception_refuse(struct reception *r, const char *why);
/* Sends b, and frees it. */
void reception_say(struct reception *r, enum message_type type, struct buf *b);
/* Ends the channel in an orderly way. */
void reception_goodbye(struct reception *r);

/* reception_actions.c */
/* How long a guest has to connect its devices whose links are not looked at: 2 s unless a test
 * changes it. */
extern uint64_t reception_settle_in;
/* Begins the record, unless it has been. 0 or -errno. */
int reception_record(struct reception *r);
void reception_act(struct reception *r, enum receiver_action a);

/* reception_fence.c */
/* Registers with the guest's disks, as the sender wishes; RE_VERDICTS follows. */
void reception_fence_join(struct reception *r);
/* RA_TAKE, RA_RACE: whose is the guest? RE_WON or RE_TAKEN follows. */
void reception_whose(struct reception *r, enum receiver_action a);
/* The guest has not come: unregisters, then releases the disks. */
void reception_fence_leave(struct reception *r);

#endif
