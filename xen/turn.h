/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Last copies take turns. Guests that are moved at the same time share the link while they run; two
 * that are stopped at the same time would each be stopped for the time of both. So a save helper
 * stops its guest only while it holds the turn: a lock (flock(2)) on a file that all migrations of
 * one `vstor evacuate` share. Each has an open file of its own, which `vstor migrate` and its save
 * helper inherit: the turn ends when the migration says so, or when both have died.
 */
#ifndef XEN_TURN_H
#define XEN_TURN_H

#include <stdbool.h>
#include <stdint.h>

/* ---- who starts migrations ---- */

struct turn {
	char path[48];
};

/* Makes the file, without a name that others could find. 0, or -errno after one logged line. */
int turn_open(struct turn *t);
/* An open file for one migration, told to the next process by the environment; to be closed by
 * turn_handed() when that has been started. The descriptor, or -errno. */
int turn_hand(struct turn *t);
void turn_handed(int fd);
void turn_close(struct turn *t);

/* ---- the save helper ---- */

/* True: the turn is ours, or there is nobody to share with. Never waits. */
bool turn_try(void);
/* Waits for it, and takes it the moment that it is given. False: it is not ours yet, as ns have
 * passed or a signal has come. Uses SIGALRM. */
bool turn_wait(uint64_t ns);

/* ---- the migration ---- */

/* Gives the turn on, also if others have inherited the file. Harmless when there is none, and for
 * a helper too. */
void turn_give(void);

#endif
