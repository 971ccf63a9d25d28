/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Who may run the guest: the receiver's promise, kept in a journal for each migration, so that it
 * outlives the process that gave it, and its host's reboot. Any later vstor on that host can say
 * what became of a migration, and finish or undo what a killed one left.
 *
 *   preparing  being restored; it cannot start
 *   ready      all of it is there; it starts when it is this host's
 *   starting   it is this host's
 *   running    it was started here
 *   gone       what there was of it is destroyed; it will never start
 *
 * Answers only, to who asks: `busy` (the process that has it lives and has not decided) and
 * `unknown`.
 */
#ifndef XEN_HANDOVER_H
#define XEN_HANDOVER_H

#include "xen/migration/disks.h"
#include "xen/guest.h"
#include "xen/ledger.h"
#include "xen/message.h"
#include "xen/fence/fencing.h"

#define HANDOVER_WORD(name, text) name,
enum handover_is {
#include "xen/migration/migration.def"
};
const char *handover_word(enum handover_is is);
/* -EINVAL for other words. */
int handover_parse(const char *word, enum handover_is *is);

struct handover {
	struct ledger ledger;
	enum handover_is is;
	char uuid[GUEST_UUID_MAX];
	char name[GUEST_NAME_MAX];
	struct referee referee;	   /* n is 0 when no disk is fenced, or none is any more */
	char attached[DISKS_TEXT]; /* for this migration; disks_attached() */
};

/* Makes and locks the journal, as `preparing`, of a guest whose disks are attached here, before
 * `referee` registers with them: who finds it undoes both. -EEXIST: this id has been used before.
 */
int handover_begin(struct handover *h, const char *id, const char *uuid, const char *name,
		   const struct referee *referee, const struct disks *disks);
/* On the disk when it returns, but for `ready`. 0 or -errno: then it is the old word, or this. */
int handover_set(struct handover *h, enum handover_is is);
/* Of one that is gone: this host has nothing of its disks any more. */
void handover_left(struct handover *h);
/* Unlocks. Harmless when none. */
void handover_end(struct handover *h);
/* Opens and locks an existing one. -EBUSY: its process lives (h->is is set all the same); -EINVAL:
 * not an id, or not of our making; others as ledger_open(). */
int handover_open(struct handover *h, const char *id);

/*
 * What is to be done with what a dead process has left, by its record and what the hypervisor says
 * of the domain: a rule without side effects, so that it can be tested with the two machines.
 */
enum handover_do {
	HANDOVER_DESTROY, /* no GO has come to it, and none can any more: then it is gone */
	HANDOVER_START,	  /* it was given to this host: then it is running */
	HANDOVER_TAKE,	  /* its disk knows whether it is this host's: destroy or start it */
	HANDOVER_ANSWER_RUNNING,
	HANDOVER_ANSWER_GONE,
	HANDOVER_ANSWER_UNKNOWN,
};
enum handover_do handover_rule(enum handover_is record, enum guest_life life, bool fenced);

/*
 * What became of migration `id`: done(arg, RUNNING, GONE, BUSY or UNKNOWN). What a dead process
 * left is settled first: preparing is destroyed, starting is started, and announced to the network
 * if that is wanted (xen/migration/monitor.h).
 */
struct handover_ask {
	struct toolstack *t;
	struct handover h;
	uint32_t domid;
	struct loop *loop;
	struct fencing fencing;
	struct toolstack_op op;
	struct loop_task task;
	enum handover_is answer;
	bool announce;
	bool leaves; /* nobody waits: what one that is gone has left of its disks goes, too */
	bool silent; /* UNKNOWN: its disk does not answer */
	void (*done)(void *arg, enum handover_is is);
	void *arg;
};
void handover_ask(struct handover_ask *a, struct toolstack *t, struct loop *l, const char *id,
		  bool announce, void (*done)(void *arg, enum handover_is is), void *arg);

/* Settles whatever dead processes have left on this host, removes what was settled a month ago,
 * then calls done(arg). What its disk did not tell of is left; `silent` says so. */
struct handover_sweep {
	struct handover_ask ask;
	struct toolstack *t;
	struct loop *loop;
	bool announce, silent;
	void *dir;
	void (*done)(void *arg);
	void *arg;
	struct loop_task task;
};
void handover_sweep(struct handover_sweep *s, struct toolstack *t, struct loop *l, bool announce,
		    void (*done)(void *arg), void *arg);

#endif
