/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Memory that stays mapped for the life of a save or restore helper. libxenguest allocates some
 * eight arrays for every batch of 1024 pages and frees them behind it; the restore adds up to 4 MiB
 * for the batch itself. musl's free() gives such blocks back to the kernel at once (madvise or
 * munmap), libxencall does so with every hypercall buffer above one page, and each page that comes
 * and goes is a hypercall in a PV dom0. Here a block that was freed serves the next one that fits.
 *
 * libxenguest's malloc, calloc, realloc and free are these (renamed in its archive, see
 * xen/build-libs.sh), xencall_alloc_buffer and xencall_free_buffer come here by --wrap. Outside a
 * helper, for small blocks and for huge ones, they are libc's and libxencall's own.
 */
#ifndef XEN_KEPT_MEMORY_H
#define XEN_KEPT_MEMORY_H

#include <stddef.h>

#define KEPT_MIN    4096u      /* bytes: what is not larger is left to libc */
#define KEPT_MAX    (8u << 20) /* nor what is larger: it is allocated once in a migration */
#define KEPT_BLOCKS 32u	       /* of each kind; libc has the rest */

/* From now on blocks are kept; for the whole process, which has no other use for memory. */
void kept_memory_start(void);

void *kept_malloc(size_t n);
void *kept_calloc(size_t n, size_t size);
void *kept_realloc(void *p, size_t n);
void kept_free(void *p);

#endif
