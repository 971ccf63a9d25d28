/* SPDX-License-Identifier: BSD-2-Clause */
#include "xen/migration/migration_table.h"

#include <stddef.h>

#include "core/bytes.h"

#define SENDER_ROW(state, event, next, action) {state, event, next, action},
static const struct sender_row sender_rows[] = {
#include "xen/migration/migration.def"
};

#define RECEIVER_ROW(state, event, next, action) {state, event, next, action},
static const struct receiver_row receiver_rows[] = {
#include "xen/migration/migration.def"
};

#define SENDER_STATE(name, text, limit, late) [name] = {text, limit, late},
static const struct sender_about sender_states[SENDER_STATES] = {
#include "xen/migration/migration.def"
};

#define RECEIVER_STATE(name, text, limit, late) [name] = {text, limit, late},
static const struct receiver_about receiver_states[RECEIVER_STATES] = {
#include "xen/migration/migration.def"
};

const struct sender_row *sender_step(enum sender_state s, enum sender_event e)
{
	for (size_t i = 0; i < ARRAY_SIZE(sender_rows); i++)
		if (sender_rows[i].state == s && sender_rows[i].event == e)
			return &sender_rows[i];
	return NULL;
}

const struct receiver_row *receiver_step(enum receiver_state s, enum receiver_event e)
{
	for (size_t i = 0; i < ARRAY_SIZE(receiver_rows); i++)
		if (receiver_rows[i].state == s && receiver_rows[i].event == e)
			return &receiver_rows[i];
	return NULL;
}

const struct sender_about *sender_about(enum sender_state s)
{
	return &sender_states[s];
}

const struct receiver_about *receiver_about(enum receiver_state s)
{
	return &receiver_states[s];
}

const char *sender_state_name(enum sender_state s)
{
	return sender_states[s].name;
}

const char *receiver_state_name(enum receiver_state s)
{
	return receiver_states[s].name;
}

const char *sender_event_name(enum sender_event e)
{
#define SENDER_EVENT(name, text) [name] = text,
	static const char *const names[SENDER_EVENTS] = {
#include "xen/migration/migration.def"
	};
	return names[e];
}

const char *receiver_event_name(enum receiver_event e)
{
#define RECEIVER_EVENT(name, text) [name] = text,
	static const char *const names[RECEIVER_EVENTS] = {
#include "xen/migration/migration.def"
	};
	return names[e];
}
