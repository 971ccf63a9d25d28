/* SPDX-License-Identifier: BSD-2-Clause */
/* Takes a guest over whose host is dead: fences that host at the guest's disks, and starts the
 * guest here. */
#ifndef XEN_TAKEOVER_H
#define XEN_TAKEOVER_H

#include <stdbool.h>

#include "xen/toolstack.h"

struct takeover_options {
	const char *domain; /* its name */
	const char *config; /* a file with its configuration; NULL: what is kept (xen/keepsake.h) */
	bool force;	    /* although the old host answers, or nobody knows which it is */
};

/* Runs the loop until the guest runs here, or cannot. An exit status, after one logged line when it
 * is not 0; what it does is printed. */
int takeover_run(struct loop *l, struct toolstack *t, const struct takeover_options *o);

/* The configuration as libxl's JSON in a file: as below, or one for xl, which reads it then.
 * Allocated; NULL after one logged line (xl has its own). */
char *takeover_config(const char *path);
/* The program; a test has one of its own. */
extern const char *takeover_xl;

/* The configuration as libxl's JSON in what a file may hold: that alone, what `xl list -l` prints
 * of one guest, or a keepsake. Allocated; NULL: none of these, or out of memory. */
char *takeover_json(const char *text);

#endif
