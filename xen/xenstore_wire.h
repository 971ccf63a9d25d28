/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fewer system calls for a request to xenstore, of which a migration makes some hundreds at each
 * end. Before Xen 4.20 libxenstore writes the header and each part of a request by themselves, so
 * that xenstored is woken for the first of them, and sleeps again until it has the rest; and it has
 * SIGPIPE ignored around each request, which it is for good here (cmd/main.c). In a PV dom0 each of
 * these system calls costs two switches of page tables.
 *
 * By --wrap at link time libxenstore's xs_write_all() gathers a request and writes it at once, and
 * sigaction() does without the kernel where SIGPIPE is to be ignored and is. As Xen 4.20 does it
 * itself (sendmsg() with MSG_NOSIGNAL), which calls neither.
 */
#ifndef XEN_XENSTORE_WIRE_H
#define XEN_XENSTORE_WIRE_H

#include <signal.h>
#include <stdbool.h>

/* In the place of libxenstore's: data is the header of a request, or a part of what follows it, all
 * from one thread. False with errno: it could not be written; only the last part can tell. */
bool __wrap_xs_write_all(int fd, const void *data, unsigned int len);
/* In the place of libc's, for all that is linked. */
int __wrap_sigaction(int signo, const struct sigaction *act, struct sigaction *old);

#endif
