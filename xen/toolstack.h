/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * libxenlight on our event loop: its file descriptors, timers and children are watched by the loop,
 * every long operation is asynchronous, and nothing here blocks but xenstore's local answers.
 * (Xen: libxl.h "asynchronous operations", libxl_event.h "OS event handling" and "Subprocess
 * handling".)
 */
#ifndef XEN_TOOLSTACK_H
#define XEN_TOOLSTACK_H

#include <libxl.h>

#include "core/loop.h"
#include "xen/release.h"

struct toolstack;

/*
 * Opens libxl. A process may open several: one for each guest that it moves at the same time, as
 * the causes and reports of one are not told apart. 0, or -errno after one logged line: no Xen
 * here, not root, xenstored missing, or a hypervisor of another release than this vstor was built
 * for.
 */
int toolstack_open(struct loop *l, struct toolstack **out);
/* No operation may be under way. Harmless with NULL. */
void toolstack_close(struct toolstack *t);

/* In a forked child that is to open a toolstack of its own: forgets the parent's (never close it
 * there). */
void toolstack_forked(struct toolstack *t);

libxl_ctx *toolstack_ctx(struct toolstack *t);
struct release toolstack_xen(struct toolstack *t);

/*
 * One asynchronous libxl operation, embedded in its owner. toolstack_how() forgets the last cause,
 * gives the ao_how for the libxl call and marks op as running; if the call itself fails, call
 * toolstack_failed() with its result. done(arg, rc) comes from the loop, never from inside a call,
 * with libxl's rc (0 or ERROR_*). The owner stays until then.
 */
struct toolstack_op {
	struct toolstack *t;
	void (*done)(void *arg, int rc);
	void *arg;
	int rc;
	bool running;
	struct loop_task task;
	libxl_asyncop_how how;
};
const libxl_asyncop_how *toolstack_how(struct toolstack *t, struct toolstack_op *op,
				       void (*done)(void *arg, int rc), void *arg);
void toolstack_failed(struct toolstack_op *op, int rc);
/* Asks a running operation to end; done() comes with ERROR_ABORTED or whatever it ended with. */
void toolstack_abort(struct toolstack_op *op);

/*
 * The first error that libxl logged since the last operation was begun (toolstack_how()) or
 * toolstack_forget_cause(), or "libxl error RC": what a message to the user should name. Valid
 * until the next libxl call.
 */
const char *toolstack_cause(struct toolstack *t, int rc);
void toolstack_forget_cause(struct toolstack *t);

/* What a guest takes of this host's memory, and how much is free: MB. 0 or libxl's error. libxl's
 * own word for too little is "Resource busy". */
int toolstack_memory(struct toolstack *t, const libxl_domain_config *c, uint64_t *need,
		     uint64_t *spare);

/* Who is told what our save helper reports (xen/copy/precopy.h), and libxc's own progress. */
struct toolstack_listener {
	void (*report)(void *arg, const char *text);
	void *arg;
};
void toolstack_listen(struct toolstack *t, const struct toolstack_listener *to);

/* The context under which the save helper's reports come through libxl's log. */
#define TOOLSTACK_REPORT "vstor-save"

#endif
