/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The receiver's side of a migration, one for each channel: checks, restores the guest and keeps it
 * paused until the sender lets go of its own; destroys it whenever that does not come to pass. Also
 * answers those who ask about an earlier migration (xen/migration/migration_table.h,
 * xen/message.h).
 */
#ifndef XEN_RECEPTION_H
#define XEN_RECEPTION_H

#include "net/channel.h"
#include "xen/toolstack.h"

struct reception;

enum reception_end {
	RECEPTION_NOTHING, /* a check, a question, or somebody who went away */
	RECEPTION_RUNNING, /* the guest runs here */
	RECEPTION_FAILED,  /* nothing is left of it here */
};

/*
 * Serves the channel c, which becomes its own; c may not have opened yet: reception_ops() are what
 * it was made with, or are set now. done(arg, end) once; then reception_free() is due.
 */
int reception_new(struct loop *l, struct toolstack *t,
		  void (*done)(void *arg, enum reception_end end), void *arg,
		  struct reception **out);
/* Give the channel: made with reception_ops and the reception as its arg. */
void reception_channel(struct reception *r, struct channel *c, const struct channel_key *key);
extern const struct channel_ops reception_ops;

/* The network learns where the guest is by other means: it is not announced (net/announce.h). */
void reception_silent(struct reception *r);

/* Ends it: undone unless GO has come. done() follows. */
void reception_cancel(struct reception *r, const char *why);
void reception_free(struct reception *r);

#endif
