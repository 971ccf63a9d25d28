/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The words between the migrating process and its save helper: the limits of the pre-copy, in the
 * helper's environment, and what the helper reports, a line each (toolstack_listen()).
 */
#ifndef XEN_PRECOPY_REPORT_H
#define XEN_PRECOPY_REPORT_H

#include "xen/copy/precopy.h"

#define PRECOPY_ENV "VSTOR_PRECOPY"
void precopy_limits_print(const struct precopy_limits *l, char *out, size_t size);
/* -EINVAL and defaults in *l when the text is not of ours. NULL gives the defaults. */
int precopy_limits_parse(const char *text, struct precopy_limits *l);

enum precopy_what {
	PRECOPY_ROUND,	   /* a round begins */
	PRECOPY_LOOK,	   /* in the middle of one, some times a second */
	PRECOPY_ROUND_END, /* it has sent its pages; verdict and why */
	PRECOPY_SUSPEND,   /* the guest is about to be asked to suspend itself */
	PRECOPY_SUSPENDED, /* and has */
};

struct precopy_report {
	enum precopy_what what;
	uint64_t at; /* monotonic clock, ns */
	unsigned round;
	uint64_t pages; /* that the round has to send */
	uint64_t sent;	/* that it has, and as how many bytes */
	uint64_t bytes;
	uint64_t dirty;	       /* that the guest has written since it began */
	uint64_t predicted_ns; /* of the whole pause, if it came now; UINT64_MAX: not known */
	unsigned speed;	       /* that the guest is to have: 1 to 100 */
	enum precopy_verdict verdict;
	char why[16];
};
/* What the policy knows. */
void precopy_report_fill(struct precopy_report *r, enum precopy_what what, uint64_t at,
			 const struct precopy *p);
void precopy_report_print(const struct precopy_report *r, char *out, size_t size);
int precopy_report_parse(const char *text, struct precopy_report *r); /* -EINVAL */

#endif
