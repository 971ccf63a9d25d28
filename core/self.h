/* SPDX-License-Identifier: BSD-2-Clause */
/* Other processes of this program: `vstor SUBCOMMAND ...`, wherever its file lies now. */
#ifndef CORE_SELF_H
#define CORE_SELF_H

#include <sys/types.h>

/* Instead of a descriptor: */
#define SELF_KEEPS (-1) /* what this process has in its place */
#define SELF_NULL  (-2) /* /dev/null */

/*
 * Runs ourselves. argv: from "vstor" to NULL; stdin is /dev/null; out and err: descriptors that
 * stay the caller's, or one of the above. *pid is the caller's to wait for. 0 or -errno.
 */
int self_spawn(const char *const *argv, int out, int err, pid_t *pid);
/* The same for one that is to outlive us: in a session of its own, and nobody's to wait for. 0,
 * -ECHILD: it could not be started; or -errno. */
int self_leave(const char *const *argv, int out, int err);

#endif
