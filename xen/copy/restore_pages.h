/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * In the restore helper: what libxc reads, by --wrap of read_exact() at link time. Records of
 * xen/copy/pagecodec.h become the PAGE_DATA that they were made of; all else passes as it is.
 */
#ifndef XEN_RESTORE_PAGES_H
#define XEN_RESTORE_PAGES_H

/* What libxc reads from fd from now on; a line about a damaged record goes to complain(). */
void restore_pages_start(int fd, void (*complain)(const char *text));

#endif
