/* SPDX-License-Identifier: BSD-2-Clause */
/* `vstor recover --release`: what this host has reserved and no guest here needs. */
#ifndef XEN_LEFTOVER_H
#define XEN_LEFTOVER_H

#include "xen/toolstack.h"

/*
 * Gives up what this host has registered with disks, and so what it holds, and prints each command:
 * with those of the guest `name`, by the configuration that is kept of it, which are attached for
 * that if they are not; or (NULL) with every attached iSCSI disk. Disks of guests that are here
 * stay. An exit status, after one logged line when it is not 0.
 */
int leftover_release(struct toolstack *t, const char *name);

#endif
