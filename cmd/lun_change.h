/* SPDX-License-Identifier: BSD-2-Clause */
/* Inside target_luns: a change of the LUNs, queued or under way. */
#ifndef CMD_LUN_CHANGE_H
#define CMD_LUN_CHANGE_H

#include "cmd/target_luns.h"

struct luns_change {
	struct target_luns *luns;
	void (*start)(struct luns_change *c);
	luns_done done; /* may be NULL */
	void *arg;
	struct luns_change *next;

	struct lun_setup setup; /* adding: the LUN; removing and resizing: its target and number */
	bool configured;
	uint64_t grow;
	struct lun *lun; /* opened */
	struct disk_io io;

	/* of target_luns_replace() */
	struct lun_setup *setups;
	struct lun **opened; /* those that are new, by place */
	unsigned n;
	const char *(*commit)(void *arg);
	struct luns_change *steps;
	const char *error;
};

/* ---- target_luns.c ---- */
struct luns_change *lun_change_new(struct target_luns *t, void (*start)(struct luns_change *c));
void lun_change_queue(struct luns_change *c, luns_done done, void *arg);
/* Puts a list of changes before all others. */
void lun_changes_first(struct target_luns *t, struct luns_change *list);
void lun_changes_free(struct luns_change *list);
/* A change has ended: done() is told, the next one begins. */
void lun_change_end(struct luns_change *c, const char *error);
void lun_change_error(struct luns_change *c, const char *what, int rc);

/* Who is served already and has the identity that a LUN of this configuration would have; NULL:
 * nobody. */
struct served_lun *lun_find_twin(const struct target_luns *t, const struct lun_config *c);
/* Says that initiators would take c for `other`. */
#define LUN_TWIN_TEXT 4400
void lun_twin_text(char text[LUN_TWIN_TEXT], const struct lun_config *c,
		   const struct lun_config *other);

/* Opens; blocks. */
int lun_setup_open(const struct target_luns *t, struct lun_setup *setup, struct lun **out);
/* Serves an open LUN; takes over what is in the setup when all went well. The error is logged. */
int lun_serve(struct target_luns *t, struct lun_setup *setup, struct lun *l, bool configured);
/* Takes it off the list. The LUN itself is the target's by now. */
void served_lun_free(struct target_luns *t, struct served_lun *s);

/* ---- lun_change.c ---- */
void lun_change_add(struct luns_change *c);
void lun_change_serve(struct luns_change *c); /* c->lun is open already */
void lun_change_remove(struct luns_change *c);
void lun_change_resize(struct luns_change *c);

#endif
