/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Moves guests of this host to others: asks what each host has (xen/migration/survey.h), checks
 * every guest against every host, makes a plan (xen/migration/plan.h) and carries it out. Checks
 * and moves are processes of `vstor migrate`, so that one that fails or dies is only one that
 * failed.
 */
#ifndef XEN_EVACUATION_H
#define XEN_EVACUATION_H

#include "xen/guest.h"
#include "xen/migration/inquiry.h"
#include "xen/migration/plan.h"

struct evacuation;

struct evacuation_options {
	bool balance;			  /* some guests (plan_balance()) instead of all */
	bool plan_only;			  /* touch nothing */
	bool silent;			  /* what `vstor migrate` has to say goes nowhere */
	const struct migration_way *ways; /* to the hosts */
	unsigned n_hosts;		  /* fewer than PLAN_HOSTS_MAX */
	/* Words for each `vstor migrate`: the same way; and for those that move, more options. */
	const char *const *way_words, *const *move_words; /* end with NULL */
	unsigned parallel;				  /* migrations at a time */
	uint64_t sample_ns; /* between two looks, which make a load of CPU times; 0: 2 s */
};

enum evacuated { EVACUATE_WAITS, EVACUATE_MOVES, EVACUATE_MOVED, EVACUATE_FAILED };

/* What is known, once there is a plan. */
struct evacuation_state {
	unsigned n_guests, n_steps;
	const struct plan_guest *guests;
	const struct plan_host *hosts;
	const struct plan_step *steps;
	const enum plan_why *why;    /* of each guest; with `balance` PLAN_PLACED: to be moved */
	const enum evacuated *is;    /* of each guest */
	const int *status;	     /* of each guest's vstor migrate */
	const char (*refusals)[256]; /* what the last host said that refused it */
};
void evacuation_state(const struct evacuation *e, struct evacuation_state *s);

/*
 * Starts; planned(arg) once there is a plan, then done(arg, err), neither before it has returned.
 * err: 0, or -errno after one logged line when there could be no plan. o and what it points to stay
 * the caller's until evacuation_free(). 0 or -errno, logged.
 */
int evacuation_start(struct loop *l, struct toolstack *t, const struct evacuation_options *o,
		     void (*planned)(void *arg), void (*done)(void *arg, int err), void *arg,
		     struct evacuation **out);
/* No more moves; those under way are called off. done() follows. */
void evacuation_cancel(struct evacuation *e);
/* After done(). Harmless with NULL. */
void evacuation_free(struct evacuation *e);

#endif
