/* SPDX-License-Identifier: BSD-2-Clause */
#include "xen/migration_table.h"

#include <stddef.h>

#include "core/bytes.h"

static const struct sender_row sender_rows[] = {
	{S_CONNECT, SE_OPEN, S_HELLO, SA_SEND_HELLO},
	{S_CONNECT, SE_LOST, S_END, SA_END_HERE},
	{S_CONNECT, SE_CANCEL, S_END, SA_END_HERE},

	{S_HELLO, SE_HELLO, S_PREFLIGHT, SA_SEND_GUEST},
	{S_HELLO, SE_FAILED, S_END, SA_END_HERE},
	{S_HELLO, SE_LOST, S_END, SA_END_HERE},
	{S_HELLO, SE_CANCEL, S_END, SA_END_HERE},

	{S_PREFLIGHT, SE_ACCEPTED, S_COPY, SA_COPY},
	{S_PREFLIGHT, SE_CHECKED, S_END, SA_END_CHECKED},
	{S_PREFLIGHT, SE_DECLINED, S_END, SA_END_HERE},
	{S_PREFLIGHT, SE_FAILED, S_END, SA_END_HERE},
	{S_PREFLIGHT, SE_LOST, S_END, SA_END_HERE},
	{S_PREFLIGHT, SE_CANCEL, S_END, SA_END_HERE},

	{S_COPY, SE_SAVED, S_SETTLE, SA_SETTLE},
	{S_COPY, SE_SAVE_FAILED, S_RESUME, SA_RESUME},
	{S_COPY, SE_FAILED, S_ABORT, SA_ABORT_SAVE},
	{S_COPY, SE_LOST, S_ABORT, SA_ABORT_SAVE},
	{S_COPY, SE_CANCEL, S_ABORT, SA_ABORT_SAVE},

	/* The save may still succeed while it is being called off. */
	{S_ABORT, SE_SAVED, S_RESUME, SA_RESUME},
	{S_ABORT, SE_SAVE_FAILED, S_RESUME, SA_RESUME},

	/* GO waits for both: the receiver's READY, and disks without a write in flight. */
	{S_SETTLE, SE_READY, S_READY, SA_NONE},
	{S_SETTLE, SE_QUIET, S_QUIET, SA_NONE},
	{S_SETTLE, SE_FAILED, S_RESUME, SA_RESUME},
	{S_SETTLE, SE_LOST, S_RESUME, SA_RESUME},
	{S_SETTLE, SE_CANCEL, S_RESUME, SA_RESUME},

	{S_READY, SE_QUIET, S_GO, SA_GO},
	{S_READY, SE_FAILED, S_RESUME, SA_RESUME},
	{S_READY, SE_LOST, S_RESUME, SA_RESUME},
	{S_READY, SE_CANCEL, S_RESUME, SA_RESUME},

	{S_QUIET, SE_READY, S_GO, SA_GO},
	{S_QUIET, SE_FAILED, S_RESUME, SA_RESUME},
	{S_QUIET, SE_LOST, S_RESUME, SA_RESUME},
	{S_QUIET, SE_CANCEL, S_RESUME, SA_RESUME},

	/* Past the point of no return: no SE_CANCEL. */
	{S_GO, SE_RUNNING, S_DESTROY, SA_DESTROY},
	{S_GO, SE_FAILED, S_RESUME, SA_RESUME},
	{S_GO, SE_LOST, S_ASK, SA_ASK},

	{S_ASK, SE_RUNNING, S_DESTROY, SA_DESTROY},
	{S_ASK, SE_FAILED, S_RESUME, SA_RESUME},
	{S_ASK, SE_UNKNOWN, S_END, SA_END_UNKNOWN},
	{S_ASK, SE_CANCEL, S_END, SA_END_UNKNOWN},

	{S_DESTROY, SE_DONE, S_END, SA_END_MOVED},
	{S_DESTROY, SE_UNDONE, S_END, SA_END_MOVED},

	{S_RESUME, SE_DONE, S_END, SA_END_HERE},
	{S_RESUME, SE_UNDONE, S_END, SA_END_STRANDED},
};

static const struct receiver_row receiver_rows[] = {
	{R_HELLO, RE_HELLO, R_CONFIG, RA_SEND_HELLO},
	{R_HELLO, RE_LOST, R_END, RA_END_GONE},
	{R_HELLO, RE_CANCEL, R_END, RA_END_GONE},

	{R_CONFIG, RE_CONFIG, R_PREFLIGHT, RA_TAKE_CONFIG},
	{R_CONFIG, RE_LOST, R_END, RA_END_GONE},
	{R_CONFIG, RE_CANCEL, R_END, RA_END_GONE},

	{R_PREFLIGHT, RE_PREFLIGHT, R_CHECK, RA_CHECK},
	{R_PREFLIGHT, RE_LOST, R_END, RA_END_GONE},
	{R_PREFLIGHT, RE_CANCEL, R_END, RA_END_GONE},

	{R_CHECK, RE_VERDICTS, R_CHECKED, RA_SEND_VERDICTS},
	{R_CHECK, RE_LOST, R_LEAVE, RA_NONE},
	{R_CHECK, RE_CANCEL, R_LEAVE, RA_NONE},
	{R_LEAVE, RE_VERDICTS, R_END, RA_END_GONE},

	{R_CHECKED, RE_BEGIN, R_RESTORE, RA_RESTORE},
	{R_CHECKED, RE_LOST, R_END, RA_END_GONE},
	{R_CHECKED, RE_CANCEL, R_END, RA_END_GONE},

	{R_RESTORE, RE_RESTORED, R_READY, RA_SEND_READY},
	{R_RESTORE, RE_RESTORE_FAILED, R_DESTROY, RA_DESTROY},
	{R_RESTORE, RE_LOST, R_ABORT, RA_ABORT_RESTORE},
	{R_RESTORE, RE_CANCEL, R_ABORT, RA_ABORT_RESTORE},

	{R_ABORT, RE_RESTORED, R_DESTROY, RA_DESTROY},
	{R_ABORT, RE_RESTORE_FAILED, R_DESTROY, RA_DESTROY},

	/* The dead man's hold: no GO, no guest. */
	{R_READY, RE_GO, R_START, RA_START},
	{R_READY, RE_LOST, R_DESTROY, RA_DESTROY},
	{R_READY, RE_CANCEL, R_DESTROY, RA_DESTROY},

	/* The sender has let go: from here on it is ours to finish, channel or not. */
	{R_START, RE_DONE, R_RUNNING, RA_SEND_RUNNING},
	{R_START, RE_UNDONE, R_DESTROY, RA_TAKE_BACK},

	{R_RUNNING, RE_LOST, R_END, RA_END_RUNNING},

	{R_DESTROY, RE_DONE, R_END, RA_END_GONE},
	{R_DESTROY, RE_UNDONE, R_END, RA_END_GONE},
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

/* Channels end by themselves when the peer is silent; these limits are for one that lives and does
 * not do its part. */
static const struct sender_about sender_states[SENDER_STATES] = {
	[S_CONNECT] = {"connecting", 150, SE_LOST}, /* ssh may ask somebody for a password */
	[S_HELLO] = {"greeting", 60, SE_LOST},
	[S_PREFLIGHT] = {"checking", 300, SE_LOST}, /* the disks are attached there */
	[S_COPY] = {"copying", 180, SE_CANCEL}, /* without a byte; libxl's own limits are shorter */
	[S_ABORT] = {"aborting", 0, SE_CANCEL},
	/* The guest is suspended, and nothing is lost yet. */
	[S_SETTLE] = {"restoring", 60, SE_CANCEL},
	[S_READY] = {"settling", LIMIT_GOES_ON, SE_CANCEL},
	[S_QUIET] = {"restoring", LIMIT_GOES_ON, SE_CANCEL},
	[S_GO] = {"handing over", 60, SE_LOST}, /* the receiver only unpauses and renames */
	[S_ASK] = {"asking", 120, SE_UNKNOWN},	/* which has a shorter limit of its own */
	[S_DESTROY] = {"clearing", 0, SE_UNDONE},
	[S_RESUME] = {"resuming", 0, SE_UNDONE},
	[S_END] = {"ended", 0, SE_DONE},
};

static const struct receiver_about receiver_states[RECEIVER_STATES] = {
	[R_HELLO] = {"greeting", 60, RE_CANCEL},      [R_CONFIG] = {"configuration", 60, RE_CANCEL},
	[R_PREFLIGHT] = {"preflight", 60, RE_CANCEL}, [R_CHECK] = {"checking", 0, RE_CANCEL},
	[R_CHECKED] = {"waiting", 60, RE_CANCEL},     [R_LEAVE] = {"leaving", 0, RE_CANCEL},
	[R_RESTORE] = {"restoring", 0, RE_CANCEL},    [R_ABORT] = {"aborting", 0, RE_CANCEL},
	[R_READY] = {"ready", 120, RE_CANCEL}, /* longer than the sender's disks may take */
	[R_START] = {"starting", 0, RE_CANCEL},	      [R_RUNNING] = {"running", 120, RE_LOST},
	[R_DESTROY] = {"destroying", 0, RE_CANCEL},   [R_END] = {"ended", 0, RE_CANCEL},
};

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
	static const char *const names[SENDER_EVENTS] = {
		[SE_OPEN] = "OPEN",
		[SE_HELLO] = "HELLO",
		[SE_ACCEPTED] = "ACCEPTED",
		[SE_CHECKED] = "CHECKED",
		[SE_DECLINED] = "DECLINED",
		[SE_SAVED] = "SAVED",
		[SE_SAVE_FAILED] = "SAVE FAILED",
		[SE_READY] = "READY",
		[SE_QUIET] = "QUIET",
		[SE_RUNNING] = "RUNNING",
		[SE_FAILED] = "FAILED",
		[SE_LOST] = "LOST",
		[SE_CANCEL] = "CANCEL",
		[SE_UNKNOWN] = "UNKNOWN",
		[SE_DONE] = "DONE",
		[SE_UNDONE] = "UNDONE",
	};
	return names[e];
}

const char *receiver_event_name(enum receiver_event e)
{
	static const char *const names[RECEIVER_EVENTS] = {
		[RE_HELLO] = "HELLO",
		[RE_CONFIG] = "CONFIG",
		[RE_PREFLIGHT] = "PREFLIGHT",
		[RE_VERDICTS] = "VERDICTS",
		[RE_BEGIN] = "BEGIN",
		[RE_RESTORED] = "RESTORED",
		[RE_RESTORE_FAILED] = "RESTORE FAILED",
		[RE_GO] = "GO",
		[RE_DONE] = "DONE",
		[RE_UNDONE] = "UNDONE",
		[RE_LOST] = "LOST",
		[RE_CANCEL] = "CANCEL",
	};
	return names[e];
}
