/* SPDX-License-Identifier: BSD-2-Clause */
/* How a LUN comes, changes its size, and goes. */
#ifndef STORAGE_LUN_OPEN_H
#define STORAGE_LUN_OPEN_H

#include "storage/lun.h"

struct lun_config {
	const char *path;
	unsigned number;
	uint32_t block_size; /* 512 or 4096 */
	const char *serial;  /* NULL: derived from target and number */
	const char *target;  /* the target's name: part of the identity */
	bool thin, removable;
	bool writeback; /* the user has asked for it: also where writes go through by themselves */
	struct disk_opts disk;
	/* File for persistent reservations that survive loss of power; NULL: they do not. One for
	 * each disk, the same after a restart: see lun_state_name(). With more added to its name,
	 * beside it: the journal of atomic writes, and the mark of a SANITIZE that has not ended
	 * well. */
	const char *state_path;
};

/* The name of a disk's state file: not by where it is served, which may change, but by its serial
 * number where it was given one, else by its path; with where it is served, too, if it is read
 * only, as such a path may be served twice. */
#define LUN_STATE_PREFIX "disk-"
#define LUN_STATE_NAME	 32
void lun_state_name(char name[LUN_STATE_NAME], const struct lun_config *c);

/* The identity that a LUN of this configuration will have: by its serial, or its target and
 * number. */
void lun_identify(struct lun_identity *id, const struct lun_config *c);
/* Would an initiator take one for the other? */
bool lun_identity_same(const struct lun_identity *a, const struct lun_identity *b);

/* Opens the disk and derives the identity. The error (negative errno) is logged. */
int lun_open(struct lun **out, const struct lun_config *c);
/* Before the engine is freed: ends what runs in the background, unfinished. */
void lun_stop(struct lun *l);
/* No nexus and no command may be left. Syncs; the error is logged and returned. */
int lun_close(struct lun *l);

/*
 * While the LUN is in use; neither waits: done(arg, rc) is called when it is done. One
 * change of a LUN at a time. Errors are logged.
 */
/* The disk has another size by now, or shall be grown to `grow` bytes (0: not); see disk_resize().
 * Every nexus is told. -EBUSY: not during SANITIZE. */
void lun_resize(struct lun *l, struct disk_engine *e, uint64_t grow,
		void (*done)(void *arg, int rc), void *arg);
/* Closes and frees the LUN as soon as the last nexus has been removed and nothing runs in the
 * background any more. No nexus may be added. rc: as lun_close() has it. */
void lun_retire(struct lun *l, struct disk_engine *e, void (*done)(void *arg, int rc), void *arg);

#endif
