/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which guest goes where: plans for `vstor evacuate` and `vstor balance`. Arithmetic alone, so that
 * every plan can be tested; nothing here asks a host or moves a guest.
 *
 * Memory and preflight (disks, bridges, CPU features) decide whether a guest may go to a host; CPU
 * time decides which of the hosts that may have it gets it. A host whose CPUs are all busy still
 * takes a guest when no other can: slow is better than gone; the step says so.
 */
#ifndef XEN_PLAN_H
#define XEN_PLAN_H

#include <stdbool.h>
#include <stdint.h>

/* n_guests and n_hosts are not to be more. */
#define PLAN_HOSTS_MAX	64
#define PLAN_GUESTS_MAX 1024

/* The gain of a move, as a share of a host's memory or CPU time, below which it is not worth it. */
#define PLAN_GAIN 0.05

struct plan_guest {
	const char *name;
	uint64_t kib;	   /* what it needs at its destination */
	double load;	   /* CPUs that it keeps busy */
	uint64_t accepted; /* bit h: host h's preflight accepts it */
};

struct plan_host {
	const char *name;
	uint64_t free_kib, total_kib;
	unsigned cpus;
	double load; /* CPUs that are busy */
};

struct plan_step {
	unsigned guest, host; /* indices */
	uint64_t free_kib;    /* that the host has before it takes the guest */
	double load;	      /* of the host with the guest, in CPUs */
	bool crowded;	      /* that is more than it has */
};

enum plan_why { PLAN_PLACED, PLAN_NOT_ACCEPTED, PLAN_NO_MEMORY };

/*
 * Places every guest on one of the hosts, the largest first (first-fit decreasing). steps: room for
 * n_guests; why: n_guests entries, why a guest has no step. The number of steps, in the order in
 * which they are to be taken; after any of them, all that follow still fit.
 */
unsigned plan_evacuate(const struct plan_guest *guests, unsigned n_guests,
		       const struct plan_host *hosts, unsigned n_hosts, struct plan_step *steps,
		       enum plan_why *why);

/*
 * The moves from host `from` (one of hosts; guests are its guests) that make the fuller of two
 * hosts less full, as long as each gains PLAN_GAIN. How full a host is: the larger of its shares of
 * memory and of CPU time in use. steps: room for n_guests. The number of steps, possibly 0.
 */
unsigned plan_balance(const struct plan_guest *guests, unsigned n_guests,
		      const struct plan_host *hosts, unsigned n_hosts, unsigned from,
		      struct plan_step *steps);

/* How full a host is, as plan_balance() reckons: 0 to 1, above when its CPUs are overcommitted. */
double plan_fullness(const struct plan_host *h);

#endif
