/* SPDX-License-Identifier: BSD-2-Clause */
/* What the two halves of the sender's side share: events and life (migration.c), and what is done
 * at each step (migration_actions.c). */
#ifndef XEN_MIGRATION_PRIV_H
#define XEN_MIGRATION_PRIV_H

#include "xen/migration/data_net.h"
#include "xen/device_watch.h"
#include "xen/events.h"
#include "xen/fence/fencing.h"
#include "xen/guardian.h"
#include "xen/guest.h"
#include "xen/message.h"
#include "xen/migration/migration.h"
#include "xen/fence/path_watch.h"
#include "xen/quiesce.h"
#include "xen/copy/share.h"
#include "xen/migration/departure.h"
#include "xen/migration/settle.h"

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
	bool same_host; /* the receiver is on this very host */
	struct referee referee;
	struct fencing fencing;
	struct path_watch paths;
	enum referee_says disk_says; /* when it was last asked whose the guest is */
	bool promised;		     /* the receiver has said that it never starts it */
	bool unheard;	/* it is the receiver's by the disk's word, but that has not said so */
	bool third;	/* it is another host's by the disk's word, the receiver never starts it */
	bool asked;	/* the guest is asked to suspend, or has been */
	bool throttled; /* the copy may change its scheduler's cap, which was: */
	int cap;
	bool cleared; /* what was left of the guest here is destroyed, or cannot be */
	int claim;    /* see guest_claim() */
	struct guardian guardian;
	struct departure departure;

	uint64_t began, ended, sent_at, ready_at, quiet_at, go_at, running_at, took_ns, devices_ns,
		bytes;
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
/* The guest's configuration, and what else the receiver needs for its checks. */
void migration_send_guest(struct migration *m);

/* migration.c */
/* What settling has to put back; asked: the guest has been asked to suspend. */
struct settle_guest migration_settle_guest(const struct migration *m, bool asked);
/* Tells the guardian where we are, and what it has been told. */
struct recovery_note migration_note(struct migration *m, bool handed_over);

/* migration_fence.c */
/* Lists the guest's disks and takes hold of them; migration_send_guest() follows. */
void migration_fence_begin(struct migration *m);
/* The receiver's VERDICTS: its key. -EPROTO: it does not take part as it should. */
int migration_fence_hear(struct migration *m, const uint8_t *p, size_t n);
/* The receiver has registered with the disks, so that it can win: they know whose the guest is. */
bool migration_fenced(const struct migration *m);
/* SA_KEEP, SA_TAKE, SA_RECLAIM: whose is the guest? By its disk where that can be asked, else by
 * what was said. */
void migration_whose(struct migration *m, enum sender_action a);
/* What follows when the receiver cannot tell what became of the guest. */
enum sender_event migration_nobody_knows(const struct migration *m);
/* Another host than the receiver, which has promised never to start it, has the guest. */
bool migration_third_has_it(const struct migration *m);
/* Gives up what is no longer needed. */
void migration_fence_end(struct migration *m);

#endif
