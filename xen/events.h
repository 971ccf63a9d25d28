/* SPDX-License-Identifier: BSD-2-Clause */
/* What the state machines of the two sides have in common: events that wait, and the one cause. */
#ifndef XEN_EVENTS_H
#define XEN_EVENTS_H

#include <stddef.h>

#include "core/loop.h"

#define EVENTS_KINDS 32

/*
 * Events wait until whoever raised them is done. One that waits already is not added once more: so
 * there is room for every kind, whatever the peer does.
 */
struct events {
	struct loop *loop;
	struct loop_task task;
	unsigned char queue[EVENTS_KINDS];
	unsigned n;
};

/* run(arg) is called from the loop when there are some, and takes them all. */
void events_init(struct events *q, struct loop *l, void (*run)(void *arg), void *arg);
void events_raise(struct events *q, unsigned e); /* e < EVENTS_KINDS */
/* run() left some: it is called once more. */
void events_kick(struct events *q);
/* The oldest; false: none waits. */
bool events_take(struct events *q, unsigned *e);
/* Harmless when all zero. */
void events_fini(struct events *q);

/*
 * because(CAUSE, FORMAT, ...), CAUSE being an array: why something fails. The first cause is the
 * one that counts, as later ones follow from it.
 */
#define because(cause, ...) cause_note(cause, sizeof(cause), __VA_ARGS__)
__attribute__((format(printf, 3, 4))) void cause_note(char *cause, size_t size, const char *fmt,
						      ...);

#endif
