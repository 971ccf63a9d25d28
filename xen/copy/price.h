/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a migration costs the guest, gathered from the save helper's reports: each round, what was
 * predicted, and the brownout. Pages are 4096 bytes.
 */
#ifndef XEN_PRICE_H
#define XEN_PRICE_H

#include "xen/copy/precopy_report.h"

/* A guest's first write to a page in a round ends in the hypervisor: exit, a type changed in the
 * page tables, entry; some 2 to 5 us on today's machines. Not measured here: an estimate. */
#define PRICE_FAULT_NS 4000ull

struct price_round {
	uint64_t began, ns;
	uint64_t pages; /* dirty when it began */
	uint64_t sent;	/* sent in it, and as how many bytes */
	uint64_t bytes;
	uint64_t dirty;	       /* dirty again when it ended */
	uint64_t predicted_ns; /* the pause, had it come then; UINT64_MAX: not known */
	unsigned speed;	       /* of the guest, at the end: 1 to 100 */
	char why[16];	       /* the policy's word for what it then did */
};

struct price {
	unsigned n;
	struct price_round round[PRECOPY_MAX_ROUNDS + 1]; /* with the last copy; of more, the
							     newest replaces the one before */
	bool last; /* the guest stands still: what follows is the last copy */
};

void price_report(struct price *p, const struct precopy_report *r);

/* Pages that the guest wrote / that were sent meanwhile: 1 and more never ends by itself. NAN: not
 * known. */
double price_ratio(const struct price_round *r);
/* What the pause was expected to take; UINT64_MAX: not known. */
uint64_t price_predicted(const struct price *p);
/* Pages in the last copy that were written after the policy had decided. */
uint64_t price_late_pages(const struct price *p);
/* Work that the guest lost to write faults while its dirty pages were logged, ns; an estimate. */
uint64_t price_faults(const struct price *p);

#endif
