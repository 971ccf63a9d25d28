/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Whether a migration can succeed, asked before the guest is touched. Each condition gives a
 * verdict; those of both hosts are shown to the user together.
 */
#ifndef XEN_PREFLIGHT_H
#define XEN_PREFLIGHT_H

#include "core/buf.h"
#include "xen/guest.h"

/* Verdicts, in the form in which they travel (fields ok=, warn=, no= of a VERDICTS message). */
struct verdicts {
	struct buf fields;
	unsigned refused;
	char why[256]; /* the first `no` */
};
enum verdict_is { VERDICT_OK, VERDICT_WARN, VERDICT_NO };
__attribute__((format(printf, 3, 4))) void verdict(struct verdicts *v, enum verdict_is is,
						   const char *fmt, ...);
/* Adds those of a VERDICTS message; -EPROTO. */
int verdicts_merge(struct verdicts *v, const uint8_t *p, size_t n);
/* Calls fn for each, in order. The text is not NUL-terminated. */
void verdicts_each(const struct verdicts *v,
		   void (*fn)(void *arg, const char *word, const char *text, size_t len),
		   void *arg);
void verdicts_fini(struct verdicts *v);

/* What the sender can see. `live`: the guest runs while it is copied. */
void preflight_source(struct guest *g, bool live, struct verdicts *v);

/* What the receiver must know besides the configuration. */
struct preflight_peer {
	bool same_host; /* sender and receiver run on one host: the guest itself has its uuid */
	unsigned xen_major, xen_minor;
	const char *cpu; /* cpu_policy_print() of the guest; "" when it is not known */
};
/* What the receiver can see; disks apart (xen/disks.h). `json`: the configuration's text. */
void preflight_destination(struct toolstack *t, const libxl_domain_config *config, const char *json,
			   const struct preflight_peer *peer, struct verdicts *v);

#endif
