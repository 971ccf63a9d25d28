/* SPDX-License-Identifier: BSD-2-Clause */
/* What tells one host from another. */
#ifndef XEN_HOST_H
#define XEN_HOST_H

/* The kernel's random id of this boot (Linux: /proc/sys/kernel/random/boot_id): the same in two
 * processes if and only if they run on one host. "" when the kernel has none. */
const char *host_boot_id(void);

#endif
