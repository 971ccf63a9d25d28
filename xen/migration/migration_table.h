/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The two sides of a migration as state machines: tables alone, without side effects, so that every
 * way through them can be tested. They are declared in xen/migration/migration.def. What they
 * guarantee: the receiver starts the guest only when it is its own, by GO or by the disk's word;
 * the sender resumes it only when it is the sender's, by that word, or because GO was never said,
 * or because the receiver has promised never to start it. tests/fault/handover.pml proves it.
 */
#ifndef XEN_MIGRATION_TABLE_H
#define XEN_MIGRATION_TABLE_H

#define SENDER_STATE(name, text, limit, late) name,
enum sender_state {
#include "xen/migration/migration.def"
	SENDER_STATES
};
#define SENDER_EVENT(name, text) name,
enum sender_event {
#include "xen/migration/migration.def"
	SENDER_EVENTS
};
#define SENDER_ACTION(name) name,
enum sender_action {
#include "xen/migration/migration.def"
};
#define RECEIVER_STATE(name, text, limit, late) name,
enum receiver_state {
#include "xen/migration/migration.def"
	RECEIVER_STATES
};
#define RECEIVER_EVENT(name, text) name,
enum receiver_event {
#include "xen/migration/migration.def"
	RECEIVER_EVENTS
};
#define RECEIVER_ACTION(name) name,
enum receiver_action {
#include "xen/migration/migration.def"
};

struct sender_row {
	enum sender_state state;
	enum sender_event event;
	enum sender_state next;
	enum sender_action action;
};
struct receiver_row {
	enum receiver_state state;
	enum receiver_event event;
	enum receiver_state next;
	enum receiver_action action;
};

/* The row for (state, event), or NULL: the event means nothing then. */
const struct sender_row *sender_step(enum sender_state s, enum sender_event e);
const struct receiver_row *receiver_step(enum receiver_state s, enum receiver_event e);

/* What xen/migration/migration.def says of a state. */
struct sender_about {
	const char *name;
	unsigned limit;
	enum sender_event late;
};
struct receiver_about {
	const char *name;
	unsigned limit;
	enum receiver_event late;
};
#define LIMIT_GOES_ON (~0u)
const struct sender_about *sender_about(enum sender_state s);
const struct receiver_about *receiver_about(enum receiver_state s);

const char *sender_state_name(enum sender_state s);
const char *receiver_state_name(enum receiver_state s);
const char *sender_event_name(enum sender_event e);
const char *receiver_event_name(enum receiver_event e);

#endif
