/* SPDX-License-Identifier: BSD-2-Clause */
/* The state directory of `vstor target`, which is its working directory. */
#ifndef CMD_TARGET_STATE_H
#define CMD_TARGET_STATE_H

#include <stdbool.h>

#include "cmd/target_luns.h"
#include "core/sandbox.h"

#define TARGET_STATE_DEFAULT "/var/lib/vstor-target"
#define TARGET_STATE_NONE    "none"

/* Is this the name of a file of a target's in that directory? */
bool target_state_file(const char *name);
/* The directory that --state-dir names (NULL: it is not given) for a target that becomes u: NULL
 * for none. Root's default is made when it is missing; where it cannot be had there is none, with a
 * line in the log. */
const char *target_state_choose(const char *word, const struct sandbox_user *u);
/* Keeps a second target out, for as long as *lock is open. `dir`: its name. 0, or negative errno,
 * logged. */
int target_state_lock(const char *dir, int *lock);
/* When the disks of the configuration are served: says what the directory holds of others, and puts
 * aside what must not come into force when one of these is back. */
void target_state_review(const struct target_luns *t);

#endif
