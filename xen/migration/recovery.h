/* SPDX-License-Identifier: BSD-2-Clause */
/* What a killed sender leaves: a guest that may be suspended, and may have been handed over. */
#ifndef XEN_RECOVERY_H
#define XEN_RECOVERY_H

#include "xen/migration/departure.h"

enum recovery_end {
	RECOVERY_HERE,	/* it is here: see `settled` */
	RECOVERY_THERE, /* it is the other host's, and cleared away here */
	RECOVERY_ENDED, /* it was not handed over, and there is no domain any more */
	RECOVERY_OPEN,	/* nobody can tell; or it could not be done: cause */
};
struct recovery_result {
	enum recovery_end end;
	enum settle_is settled;
	bool slow; /* its cap could not be put back */
	char cause[400];
};

/*
 * Before the hand-over: settles the guest here. After, and with fenced disks as soon as the guest
 * was asked to suspend: asks the disk, or else the receiver, and destroys ours or settles it, or
 * leaves it suspended when nobody can tell. A domid of 0: there is no domain any
 * more, and it is only found out whose the guest is. limit_ns: for asking. What the
 * receiver promises is in the journal, if there is one, before it is acted upon. Opens a loop and a
 * toolstack of its own and returns when all is settled; what it did is logged.
 */
struct recovery_result recovery_run(const struct recovery_note *note,
				    const struct migration_way *way, uint64_t limit_ns);

#endif
