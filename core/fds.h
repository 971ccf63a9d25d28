/* SPDX-License-Identifier: BSD-2-Clause */
/* Files: open ones handed from one process to another, over a local socket (SCM_RIGHTS, unix(7));
 * the kernel's, written to. */
#ifndef CORE_FDS_H
#define CORE_FDS_H

#include <stddef.h>
#include <sys/types.h>

#define FDS_MAX 8 /* in one message */

/* Sends n bytes (at least one) and with the first of them copies of `count` descriptors. The bytes
 * sent, or -errno; never SIGPIPE. */
ssize_t fds_send(int sock, const void *p, size_t n, const int *fds, unsigned count);
/* Receives up to n bytes, with `flags` of recvmsg(2), and up to *count descriptors, which are the
 * caller's then, close-on-exec; those that find no place are closed. *count gets their number. The
 * bytes received, 0 at the end, or -errno. */
ssize_t fds_receive(int sock, void *p, size_t n, int flags, int *fds, unsigned *count);
/* Writes all of a text to a file that is there, as one of sysfs, in one piece. 0 or -errno. */
int fds_write_text(const char *path, const char *text);

#endif
