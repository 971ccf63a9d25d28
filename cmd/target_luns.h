/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The LUNs that `vstor target` serves, and how they change while it does: one change after the
 * other, each without ever waiting in the loop.
 */
#ifndef CMD_TARGET_LUNS_H
#define CMD_TARGET_LUNS_H

#include "cmd/target_config.h"
#include "net/aoe/target.h"
#include "net/iscsi/target.h"

struct served_lun {
	struct lun_setup setup;
	struct lun *lun;
	struct target *target;
	bool configured; /* by the options or the file, as against `vstor lun add` */
	bool kept;	 /* by the configuration that is being compared */
	struct served_lun *next;
};

struct luns_change;

struct target_luns {
	struct target_server *server;
	struct disk_engine *engine;
	struct aoe_target *aoe; /* serves them, too; NULL: there is none */
	struct opener *opener;	/* who opens their files */
	bool stateful; /* the working directory keeps reservations; or they do not survive */
	struct served_lun *list;
	unsigned n;
	struct luns_change *first, **last, *running;
	struct loop_task next;
	bool stopped;
	void (*idle)(void *arg);
	void *idle_arg;
};

/* How a change has ended: NULL, or why not (valid during the call). */
typedef void (*luns_done)(void *arg, const char *error);

void target_luns_init(struct target_luns *t, struct target_server *s, struct disk_engine *e,
		      struct opener *o);
/* Opens and serves at once, blocking: before the loop runs. Logged; 0, -EEXIST: the number or the
 * identity is taken, or another negative errno. Takes over what is in the setup. */
int target_luns_start(struct target_luns *t, struct lun_setup *setup);
/* Numbers that were left open: the lowest that neither a served LUN nor another of these n has. */
void target_luns_number(const struct target_luns *t, struct lun_setup *setups, unsigned n);

/* Changes are queued; done() is called when they are done. Setups are taken over. */
void target_luns_add(struct target_luns *t, struct lun_setup *setup, bool configured,
		     luns_done done, void *arg);
/* By the setup's target and number. */
void target_luns_remove(struct target_luns *t, const char *target, unsigned number, luns_done done,
			void *arg);
/* See lun_resize(). */
void target_luns_resize(struct target_luns *t, const char *target, unsigned number, uint64_t grow,
			luns_done done, void *arg);
/* The configured ones become these (numbered where the user has): what is the same is not touched,
 * what is only in one is added or removed, what differs is replaced; sizes are looked at. All new
 * disks are opened first: an error there, or a number given twice, or commit() returns an error,
 * and nothing changes. The setups are taken over when this returns. */
void target_luns_replace(struct target_luns *t, struct lun_setup *setups, unsigned n,
			 const char *(*commit)(void *arg), luns_done done, void *arg);

/* NULL: there is none. Without a target's name: the one LUN of that number, or that of `preferred`.
 */
struct served_lun *target_luns_find(const struct target_luns *t, const char *target,
				    unsigned number, const char *preferred);

/* Ends what has not begun yet; idle() is called when nothing is under way any more. */
void target_luns_stop(struct target_luns *t, void (*idle)(void *arg), void *arg);
/* After the engine is gone: closes all. The first error. */
int target_luns_close(struct target_luns *t);

#endif
