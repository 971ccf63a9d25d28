/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The watch at a guest's disk: a process for each guest whose disk this host holds. Another host
 * may take that by `vstor takeover` although this one lives; then the guest here would get I/O
 * errors, and a Linux guest remounts its file systems read-only and says so on its network. So
 * takeover registers its key first and waits; here the key is seen, and the guest is paused until
 * it is decided: the key goes, and the guest goes on; or the disk is taken, and the guest, which
 * has not seen an error, is destroyed.
 *
 * The destination of a migration registers, too: with the generation of the holder's key, which
 * tells it from others (xen/fence/referee.h). Keys of other programs, and those that were there
 * before, mean nothing; nor does a disk that is silent. Who registers and then does nothing does
 * not hold the guest for ever.
 *
 * It costs one PERSISTENT RESERVE IN, a question to xenstore and one to the hypervisor every two
 * seconds. In `ps` it is `vstor watch DOMID`; it ends with the guest. The block script starts one
 * for a guest that starts here, the monitor for one that has come, when that has settled in. While
 * it has the guest paused, a second process starts the next one should it be killed.
 */
#ifndef XEN_DISK_WATCH_H
#define XEN_DISK_WATCH_H

#include "xen/fence/reservation.h"
#include "xen/toolstack.h"

/* How often it looks: 2 s unless a test changes it. */
extern uint64_t disk_watch_ns;
/* For whoever is about to take a disk: from the registration until a guest there is paused, busy as
 * its host may be. */
#define DISK_WATCH_GRACE_NS (6 * SEC_NS)
/* A guest is paused for so long at most for a key that does not take: longer than that waits, and
 * is at work then. 20 s unless a test changes it. */
extern uint64_t disk_watch_patience;

/* Starts one for a domain of this host, and does not wait for it; it outlives us. One more for the
 * same domain ends by itself, and so does that of a guest none of whose disks can be fenced. Logs
 * what fails. */
void disk_watch_start(uint32_t domid);

/* Is one: returns when the domain is no more, with an exit status. Logs what it does. */
int disk_watch_run(struct loop *l, struct toolstack *t, uint32_t domid);

#endif
