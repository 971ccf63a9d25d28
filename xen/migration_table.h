/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The two sides of a migration as state machines: tables alone, without side effects, so that every
 * way through them can be tested. What they guarantee: the receiver starts the guest only after GO;
 * before GO the sender resumes it whatever happens; after GO it does so only when the receiver has
 * promised never to start it.
 */
#ifndef XEN_MIGRATION_TABLE_H
#define XEN_MIGRATION_TABLE_H

enum sender_state {
	S_CONNECT,
	S_HELLO,
	S_PREFLIGHT,
	S_COPY,	   /* the guest runs here while its memory goes over */
	S_ABORT,   /* the save is being called off */
	S_SETTLE,  /* suspended; its last writes reach the disks; the receiver restores */
	S_READY,   /* the same, the receiver is done */
	S_QUIET,   /* the same, the disks are */
	S_GO,	   /* the receiver may start it: from here on nothing is certain until it answers */
	S_ASK,	   /* no answer: asks by another channel what became of it */
	S_DESTROY, /* it runs there: ours goes */
	S_RESUME,  /* it never will: ours goes on */
	S_END,
	SENDER_STATES,
};

enum sender_event {
	SE_OPEN,
	SE_HELLO,
	SE_ACCEPTED, /* every condition is met */
	SE_CHECKED,  /* the same, and that was all the user wanted to know */
	SE_DECLINED, /* one is not */
	SE_SAVED,    /* the whole stream has been given to the channel */
	SE_SAVE_FAILED,
	SE_READY,
	SE_QUIET,
	SE_RUNNING, /* the receiver's word: it runs there */
	SE_FAILED,  /* the receiver's word: it is destroyed there and will never start */
	SE_LOST,    /* the channel is gone, or spoke nonsense */
	SE_CANCEL,  /* a signal, a time-out, disks that do not settle */
	SE_UNKNOWN, /* nobody there knows, or nobody can be asked */
	SE_DONE,    /* our own libxl operation is */
	SE_UNDONE,  /* it failed */
	SENDER_EVENTS,
};

enum sender_action {
	SA_NONE,
	SA_SEND_HELLO,
	SA_SEND_GUEST, /* its configuration, for the checks */
	SA_COPY,
	SA_ABORT_SAVE,
	SA_SETTLE,
	SA_GO,
	SA_ASK,
	SA_DESTROY,
	SA_RESUME,
	SA_END_MOVED,	 /* exit 0 */
	SA_END_CHECKED,	 /* exit 0 */
	SA_END_HERE,	 /* exit 1 */
	SA_END_UNKNOWN,	 /* exit 3 */
	SA_END_STRANDED, /* exit 3: suspended here, and would not resume */
};

enum receiver_state {
	R_HELLO,
	R_CONFIG,
	R_PREFLIGHT,
	R_CHECK,   /* checks, attaches the disks */
	R_CHECKED, /* verdicts given */
	R_LEAVE,   /* the sender has left in the middle of the checks */
	R_RESTORE,
	R_ABORT, /* the restore is being called off */
	R_READY, /* all there, paused */
	R_START, /* GO has come */
	R_RUNNING,
	R_DESTROY, /* the half-made guest goes */
	R_END,
	RECEIVER_STATES,
};

enum receiver_event {
	RE_HELLO,
	RE_CONFIG,
	RE_PREFLIGHT,
	RE_VERDICTS, /* the checks are done, whatever they say */
	RE_BEGIN,
	RE_RESTORED,
	RE_RESTORE_FAILED,
	RE_GO,
	RE_DONE,
	RE_UNDONE,
	RE_LOST,
	RE_CANCEL,
	RECEIVER_EVENTS,
};

enum receiver_action {
	RA_NONE,
	RA_SEND_HELLO,
	RA_TAKE_CONFIG,
	RA_CHECK,
	RA_SEND_VERDICTS,
	RA_RESTORE,
	RA_ABORT_RESTORE,
	RA_SEND_READY,
	RA_START,
	RA_SEND_RUNNING,
	RA_TAKE_BACK, /* it does not start: ours no more, then as RA_DESTROY */
	RA_DESTROY,
	RA_END_RUNNING,
	RA_END_GONE,
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

/*
 * A state: its name, for logs and progress, and how long it may last, in seconds. After that `late`
 * is raised (and the channel dropped, when that is the loss of it). 0: as long as it takes, which
 * is our own work or --timeout's concern. LIMIT_GOES_ON: the limit of the state before goes on.
 */
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
