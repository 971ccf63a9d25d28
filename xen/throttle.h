/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Slows a guest by its scheduler's cap (credit and credit2: hundredths of a physical CPU that all
 * its vCPUs together may use; Xen: docs/misc "xl-sched-credit", libxl_domain_sched_params). What
 * the cap was before is for the caller to keep where it outlives this process, before the first
 * throttle_set().
 */
#ifndef XEN_THROTTLE_H
#define XEN_THROTTLE_H

#include "xen/toolstack.h"

struct throttle {
	struct toolstack *t;
	uint32_t domid;
	int was;       /* the cap before; 0: none */
	int cap;       /* now */
	unsigned used; /* hundredths of a CPU that it used before it was slowed */
	uint64_t cpu_ns,
		cpu_at; /* its CPU time, and when that was looked at; 0: not since it was slowed */
	bool failed;	/* it could not be set: not tried again, but for putting it back */
	uint64_t since; /* of this cap */
	double lost_ns; /* work that it could not do so far */
	uint64_t ran_ns, ran_at; /* its CPU time while slowed, and when that was seen to grow */
};

/* Looks at the guest, changes nothing. 0; -ENOTSUP: its scheduler has no cap (its name in `why`);
 * -EIO: it cannot be asked. */
int throttle_init(struct throttle *th, struct toolstack *t, uint32_t domid, char *why, size_t size);
/* Takes note of how much CPU it uses; call it now and then while it is not slowed. */
void throttle_watch(struct throttle *th, uint64_t now);
/* The guest is to run at `speed` hundredths of what it did; 100: as before. A failure is logged,
 * once. */
void throttle_set(struct throttle *th, uint64_t now, unsigned speed);
/*
 * Once in a while when it is slowed: a guest that has not run at all for so long is let run.
 * credit2 keeps account of what a guest has used beyond its cap, and a slice can be a hundred times
 * what a low cap allows in 10 ms; it would pay for that by standing still, for seconds if dom0 came
 * in between, while its throttle was to be one that it still answers under.
 */
void throttle_wake(struct throttle *th, uint64_t now, uint64_t silent_ns);
/* Work lost to it so far, ns: the integral of 1 - speed. */
uint64_t throttle_lost(const struct throttle *th, uint64_t now);

/* The cap alone: for whoever has to put it back after a crash. 0 or -EIO. */
int throttle_put(struct toolstack *t, uint32_t domid, int cap);

/* The cap for a speed, of a guest that used so much and may not use more than `was`. */
int throttle_cap(unsigned used, int was, unsigned speed);

#endif
