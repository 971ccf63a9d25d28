/* SPDX-License-Identifier: BSD-2-Clause */
/* One migration of a guest at a time on a host, and what it has to give back. */
#ifndef XEN_GUEST_CLAIM_H
#define XEN_GUEST_CLAIM_H

#include <stdbool.h>
#include <stdint.h>

/* Where the locks are; made when missing. "/run/vstor" unless a test changes it. */
extern const char *guest_claim_dir;

/*
 * One migration of a guest at a time: a lock that lives as long as the descriptor, in whatever
 * processes have it. (By a domain's number in the place of its uuid: one watch at its disk.) The
 * descriptor, or -EBUSY, or another -errno.
 */
int guest_claim(const char *uuid);
/*
 * In the claimed file: what the cap of the domain's scheduler is before the migration changes it,
 * for whoever comes when all that knew it have been killed. 0 or -errno.
 */
int guest_claim_note_cap(int claim, uint32_t domid, int cap);
/* True: it may still be changed, and was *cap before. */
bool guest_claim_noted_cap(int claim, uint32_t domid, int *cap);
/* The same for who has no claim: others may have it. False also when there is no such file. */
bool guest_claim_read_cap(const char *uuid, uint32_t domid, int *cap);
/* It is what it was, or the domain is no more. */
void guest_claim_forget_cap(int claim);

#endif
