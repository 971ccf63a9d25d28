/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Memory of 2 MiB pages for a guest that is restored. libxenguest asks for 4 KiB pages one by one
 * (until Xen 4.21), so that a moved guest's nested page tables have a level more for good and its
 * TLB misses cost more. A save's first round brings a guest's memory in order, 1024 pages a batch
 * from a multiple of that on: where all 512 pages of a superpage are asked for at once, it is
 * allocated whole. A superpage with a hole in it stays as libxenguest wants it, so that there is
 * never a page too many to be given back.
 *
 * This replaces xc_domain_populate_physmap_exact (--wrap) in a restore helper.
 */
#ifndef XEN_SUPERPAGES_H
#define XEN_SUPERPAGES_H

#include <stdint.h>

#define SUPERPAGE_ORDER 9u
#define SUPERPAGE_PAGES (1u << SUPERPAGE_ORDER)

/*
 * From now on, for the guest that this process restores, if Xen translates its pfns (PVH, HVM): a
 * PV guest has to know each page's machine address.
 */
void superpages_start(uint32_t domid);

#endif
