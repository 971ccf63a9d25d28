/* SPDX-License-Identifier: BSD-2-Clause */
/* What a killed sender leaves: a guest that may be suspended, and may have been handed over. */
#ifndef XEN_RECOVERY_H
#define XEN_RECOVERY_H

#include "xen/inquiry.h"
#include "xen/message.h"
#include "xen/settle.h"

/* What the sender's guardian knows. */
struct recovery_note {
	struct settle_guest guest;
	bool handed_over; /* GO has been said, or is about to be */
	char id[MIGRATION_ID_LEN + 1];
};

/*
 * Before the hand-over: settles the guest here. After: asks the receiver, and destroys ours or
 * settles it, or leaves it suspended when nobody can tell. Opens a loop and a toolstack of its own
 * and returns when all is settled; what it did is logged. False: it is left as it was.
 */
bool recovery_run(const struct recovery_note *note, const struct migration_way *way);

#endif
