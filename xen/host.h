/* SPDX-License-Identifier: BSD-2-Clause */
/* What this dom0 tells of itself. */
#ifndef XEN_HOST_H
#define XEN_HOST_H

#include <stdint.h>

/* The kernel's random id of this boot (Linux: /proc/sys/kernel/random/boot_id): the same in two
 * processes if and only if they run on one host. "" when the kernel has none. */
const char *host_boot_id(void);

/* Bytes of memory that programs can still have without swapping (Linux: MemAvailable in
 * /proc/meminfo); 0 when that is not known. */
uint64_t host_memory_free(void);

#endif
