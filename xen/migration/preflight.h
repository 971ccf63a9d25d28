/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Whether a migration can succeed, asked before the guest is touched. Each condition gives a
 * verdict; those of both hosts are shown to the user together.
 */
#ifndef XEN_PREFLIGHT_H
#define XEN_PREFLIGHT_H

#include "xen/guest.h"
#include "xen/verdicts.h"

/* What the sender can see. `live`: the guest runs while it is copied; `slow`: it may be slowed
 * down. */
void preflight_source(struct guest *g, bool live, bool slow, struct verdicts *v);

/* What the receiver must know besides the configuration. */
struct preflight_peer {
	bool same_host;	    /* sender and receiver run on one host: the guest itself has its uuid */
	struct release xen; /* the sender's */
	const char *cpu;    /* cpu_policy_print() of the guest; "" when it is not known */
	const uint8_t *said; /* the fields of its PREFLIGHT message */
	size_t said_len;
};
/* What the receiver can see; disks apart (xen/migration/disks.h). `json`: the configuration's text.
 */
void preflight_destination(struct toolstack *t, const libxl_domain_config *config, const char *json,
			   const struct preflight_peer *peer, struct verdicts *v);

#endif
