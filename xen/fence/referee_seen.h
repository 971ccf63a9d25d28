/* SPDX-License-Identifier: BSD-2-Clause */
/* What the referee (xen/fence/referee.h) reads out of a disk's answer, and how it says so; for its
 * rooms referee.c and referee_paths.c, and for who watches it. */
#ifndef XEN_REFEREE_SEEN_H
#define XEN_REFEREE_SEEN_H

#include "xen/fence/referee.h"

#define REFEREE_ATTEMPTS 8 /* of a step that others disturb, or whose answer is lost */

/* Whether this host made the key. */
bool referee_ours(uint64_t key);
/* A key of this host's with another generation, noted as its own: 0 or -errno. */
int referee_new_key(uint64_t *key);

/* NULL: it is not registered; nobody holds. */
const struct reservation_key *seen_key(const struct reservation *r, uint64_t key);
const struct reservation_key *seen_holder(const struct reservation *r);
/* What this host has registered; 0: nothing. */
uint64_t seen_own(const struct reservation *r);
/* The initiator's name, of "name,i,0xISID". */
void seen_name(const struct reservation_key *k, char *name, size_t size);

/* Each fills why, and returns what it means. */
enum referee_says why_silent(char *why, const char *device, int rc);
enum referee_says why_namesake(char *why, const char *device);
enum referee_says why_held(char *why, const char *device, const struct reservation_key *k);
enum referee_says why_taken_off(char *why, const char *device, const struct reservation *seen);
enum referee_says why_foreign(char *why, const char *device);

#endif
