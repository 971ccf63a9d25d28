/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Disks that a received guest gets back a moment after its network cards. A guest that goes on at
 * another host connects all its devices anew, by a hundred questions to xenstore, its disks first;
 * until the cards have had their turn nobody hears of it. So the block script (xen/fence/hotplug.h)
 * notes a disk's number as `vstor-held`: the back end, which waits for `physical-device`, keeps
 * away from xenstore and from the guest until that is there. What is held is known from xenstore
 * alone, so that whoever comes after a killed receiver can let go of it.
 */
#ifndef XEN_HELD_DISKS_H
#define XEN_HELD_DISKS_H

#include <stdbool.h>
#include <stdint.h>

#include <xenstore.h>

/* Disks that this domain is given from now on are held. 0 or -errno: then they are not. */
int held_disks_begin(uint32_t domid);

/* Whose disk a back end serves, by its path ".../backend/vbd/DOMID/..."; 0: nobody's. */
uint32_t held_disks_domid(const char *backend);
/* Within the transaction t, notes a disk's number at its back end: as physical-device, unless it is
 * to be held. False with errno. */
bool held_disks_put(struct xs_handle *xs, xs_transaction_t t, const char *backend,
		    const char *number);
/* The number of a back end's disk, held or not; NULL: none. The caller frees it. */
char *held_disks_number(struct xs_handle *xs, const char *backend);

/* The domain gets those that are held, and later ones at once. May be repeated. Logs what fails. */
void held_disks_let_go(uint32_t domid);

#endif
