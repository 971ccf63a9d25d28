/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a pause costs besides the last copy (the guest's suspend, the restore of its devices, its
 * start): learnt from each migration to a host, for the prediction of the next. Kept until this
 * host reboots, in a small file beside those of xen/migration/handover.h.
 */
#ifndef XEN_PAUSE_H
#define XEN_PAUSE_H

#include <stdint.h>

/*
 * Before anything is known: two hosts of today, a guest with a disk and a network interface. Hosts
 * that are slower show it before: to look at the guest, to talk and to attach its disks is work of
 * the same kind, and takes some twice as long (emulated hosts, idle and busy: 1.7 to 3.3 times).
 */
#define PAUSE_PRIOR_NS	    150000000ull
#define PAUSE_PRIOR_MOST_NS 2000000000ull /* beyond that something was waited for */

/* Pages that a guest writes from the request to suspend on. */
#define PAUSE_PRIOR_PAGES 200ull

struct pause {
	uint64_t fixed_ns;
	uint64_t pages; /* as above */
};
/* prepared_ns: what the migration has taken by now, as its copy begins; 0: that tells nothing. */
void pause_known(const char *host, uint64_t prepared_ns, struct pause *p);
/* One more was like that. What cannot be kept is no error: the next goes by what was known. */
void pause_learn(const char *host, const struct pause *p);

#endif
