/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Settling at the source: a guest whose migration has been called off is put back as if nothing had
 * been tried, and what has become of it is told as it is. For the migration itself, for the
 * guardian of a killed one, and for `vstor recover`.
 */
#ifndef XEN_SETTLE_H
#define XEN_SETTLE_H

#include "xen/guest.h"

/* All that the migration may have changed of a guest; also what its guardian has to know. */
struct settle_guest {
	uint32_t domid;
	bool asked;	/* to suspend, and it is not known how that ended */
	bool throttled; /* its scheduler's cap may not be what it was, */
	int cap;	/* which is this */
	char name[GUEST_NAME_MAX];
};

enum settle_is {
	SETTLE_RUNS,	 /* it never stopped; or whoever has paused it may unpause it */
	SETTLE_RESUMED,	 /* it was suspended, and goes on */
	SETTLE_PENDING,	 /* it runs, but has agreed to suspend itself, and has not done so yet */
	SETTLE_STRANDED, /* it is suspended, and cannot be resumed */
	SETTLE_DOWN,	 /* it has shut itself down */
	SETTLE_CRASHED,
	SETTLE_GONE, /* destroyed: there is no such domain any more */
};
/* "still runs here", "has crashed" ... */
const char *settle_words(enum settle_is is);

struct settle {
	struct loop *loop;
	struct toolstack *t;
	struct settle_guest guest;
	struct toolstack_op op;
	struct loop_timer timer;
	uint64_t deadline;
	unsigned tries;
	char cause[256]; /* of SETTLE_STRANDED */
	bool slow;	 /* its cap could not be put back */
	void (*done)(void *arg, enum settle_is is);
	void *arg;
};

/*
 * Takes back a request to suspend, switches log-dirty off, gives the guest its name again and
 * resumes it if it is suspended. A guest that has agreed to suspend is waited for, for 60 s at
 * most. Then done(arg, is), never before it has returned. No save of it may be under way, nor may
 * it run elsewhere.
 */
void settle_start(struct settle *s, struct toolstack *t, struct loop *l,
		  const struct settle_guest *g, void (*done)(void *arg, enum settle_is is),
		  void *arg);
/* Harmless when all zero. Not while s->op is running. */
void settle_stop(struct settle *s);

/* What a guest does that nothing has been done to. */
enum settle_is settle_look(struct toolstack *t, uint32_t domid);

#endif
