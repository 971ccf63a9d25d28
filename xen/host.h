/* SPDX-License-Identifier: BSD-2-Clause */
/* What this host tells of itself. */
#ifndef XEN_HOST_H
#define XEN_HOST_H

#include <stddef.h>
#include <stdint.h>

#include "core/buf.h"
#include "xen/toolstack.h"

/* The kernel's random id of this boot (Linux: /proc/sys/kernel/random/boot_id): the same in two
 * processes if and only if they run on one host. "" when the kernel has none. */
const char *host_boot_id(void);

/* Bytes of memory that programs can still have without swapping (Linux: MemAvailable in
 * /proc/meminfo); 0 when that is not known. */
uint64_t host_memory_free(void);

/* Time that other domains had a CPU which this one wanted, since its boot and to a hundredth of a
 * second (Linux: steal in /proc/stat); 0 when that is not known. */
uint64_t host_stolen_ns(void);

/* What a host has. Idle time counts up from its boot, in CPU time: two looks give its load. */
struct host_facts {
	uint64_t free_kib, total_kib; /* memory, as the hypervisor has it to give */
	unsigned cpus;
	uint64_t idle_ns, at_ns; /* of all CPUs together; when that was, by its own clock */
};
/* Of this host. 0, or -EIO: the hypervisor does not say. */
int host_facts(struct toolstack *t, struct host_facts *f);
/* Adds this host's, if known, to a message (HELLO of a receiver); takes a host's out of one: 0 or
 * -ENOENT. */
void host_facts_put(struct toolstack *t, struct buf *b);
int host_facts_get(const uint8_t *p, size_t n, struct host_facts *f);
/* CPUs that were busy between two looks at one host; 0 when they are one look. */
double host_load(const struct host_facts *before, const struct host_facts *after);

#endif
