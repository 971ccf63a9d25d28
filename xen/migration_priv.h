/* SPDX-License-Identifier: BSD-2-Clause */
/* What the two halves of the sender's side share: events and life (migration.c), and what is done
 * at each step (migration_actions.c). */
#ifndef XEN_MIGRATION_PRIV_H
#define XEN_MIGRATION_PRIV_H

#include "xen/data_net.h"
#include "xen/device_watch.h"
#include "xen/events.h"
#include "xen/guardian.h"
#include "xen/guest.h"
#include "xen/message.h"
#include "xen/migration.h"
#include "xen/quiesce.h"
#include "xen/share.h"
#include "xen/departure.h"
#include "xen/settle.h"

struct migration {
	struct migration_options o;
	struct loop *loop;
	struct toolstack *t;
	struct guest guest;
	struct guest again; /* its configuration, read once more when it has stopped */
	char id[MIGRATION_ID_LEN + 1];
	enum sender_state state;

	struct events events;
	struct device_watch devices;

	struct channel *c;
	struct saving saving;
	struct share share;
	struct data_net_out data;
	struct toolstack_op op;
	struct settle settle;
	struct quiesce quiesce;
	struct inquiry inquiry;
	struct loop_timer limit; /* of all of it, until GO */
	struct loop_timer late;	 /* of the state: see sender_about() */
	struct loop_timer soon;	 /* see settle() and destroy() */
	uint64_t late_mark;	 /* how far it had come when that was set */
	struct verdicts verdicts;
	bool asked;	/* the guest is asked to suspend, or has been */
	bool throttled; /* the copy may change its scheduler's cap, which was: */
	int cap;
	bool cleared; /* what was left of the guest here is destroyed, or cannot be */
	int claim;    /* see handover_claim() */
	struct guardian guardian;
	struct departure departure;

	uint64_t began, ended, sent_at, ready_at, go_at, running_at, took_ns, devices_ns, bytes;
	char cause[512];
	enum migration_end end;
	enum settle_is settled;
	void (*done)(void *arg);
	void *arg;
};

/* migration.c */
void migration_raise(struct migration *m, enum sender_event e);

/* migration_actions.c */
extern const struct channel_ops migration_channel_ops;
void migration_act(struct migration *m, enum sender_action a);
/* The channel goes, unheard: SE_LOST, with its cause. */
void migration_lost(struct migration *m, const char *why);
void migration_drop_channel(struct migration *m);
/* Tells the guardian where we are, and what it has been told. */
struct recovery_note migration_note(struct migration *m, bool handed_over);

#endif
