/* SPDX-License-Identifier: BSD-2-Clause */
/* Inside sandbox: the seccomp filter. */
#ifndef CORE_SYSCALLS_H
#define CORE_SYSCALLS_H

#include <stdbool.h>

/* Lets this thread, and those it starts, make only the system calls of the table; others fail with
 * EPERM. connect: connect(2) as well. Needs no_new_privs. 0 or -errno. */
int syscalls_limit(bool connect);

#endif
