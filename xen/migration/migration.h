/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The sender's side of a migration: finds the guest, checks, copies it while it runs, hands it over
 * and clears up; or puts everything back (xen/migration/migration_table.h is the plan of it,
 * xen/message.h what is said).
 */
#ifndef XEN_MIGRATION_H
#define XEN_MIGRATION_H

#include "xen/migration/inquiry.h"
#include "xen/migration/migration_table.h"
#include "xen/migration/preflight.h"
#include "xen/copy/saving.h"
#include "xen/migration/settle.h"
#include "xen/toolstack.h"

struct migration;

struct migration_options {
	const char *domain; /* name or number */
	struct migration_way way;
	bool check_only;
	struct saving_options saving; /* its compression is agreed on with the other side */
	struct compression compression;
	const char *data; /* addresses there for the guest's memory, by commas; NULL: the channel */
	uint64_t timeout_ns; /* until GO; 0: none */
	bool no_fence;	     /* also with disks that cannot be fenced (xen/fence/referee.h) */
};

/* How a migration ended. */
enum migration_end {
	MIGRATION_MOVED,    /* runs there, gone here */
	MIGRATION_CHECKED,  /* --check: it could be moved */
	MIGRATION_HERE,	    /* not moved, here as if nothing had been tried: see `settled` */
	MIGRATION_STRANDED, /* not moved, and suspended here */
	MIGRATION_UNKNOWN,  /* suspended here; it may run there */
};

struct migration_progress {
	enum sender_state state;
	unsigned round;	      /* from 1; 0: none yet */
	uint64_t round_bytes; /* what the round will send; 0 when not known */
	uint64_t round_sent;
	uint64_t sent;	/* on the wire, bytes */
	uint64_t dirty; /* bytes that the guest has written in this round */
	unsigned speed; /* at which it runs, 1 to 100; 0: no copy yet */
	uint64_t elapsed_ns;
};

struct migration_result {
	enum migration_end end;
	bool unheard; /* MIGRATION_MOVED: by the disk's word only; it may have died there */
	bool third;   /* MIGRATION_MOVED: by the disk's word, to another host than it was sent to */
	enum settle_is settled;	  /* MIGRATION_HERE, MIGRATION_STRANDED: what it does here */
	const char *cause;	  /* one line; "" when it moved */
	uint64_t began, total_ns; /* began: clock_ns() */
	/* From the request to suspend here until it was unpaused there, by this host's clock. 0:
	 * not known. */
	uint64_t downtime_ns;
	uint64_t stopped_at; /* clock_ns() of that request; 0: there was none */
	/* What it was spent on: until the guest had suspended itself; until the last of it was in
	 * the channel; until the receiver had restored it, devices apart; on these; for its disks
	 * to answer all that they had been asked, longer than that took; until it ran there. */
	uint64_t suspend_ns, copy_ns, restore_ns, devices_ns, quiesce_ns, start_ns;
	uint64_t bytes;	 /* on the wire, both layers' framing included */
	unsigned rounds; /* live ones, and the last with the guest stopped */
	const struct compression_report *pages;
	const struct price *price;
	uint64_t predicted_ns; /* what downtime_ns was expected to be; 0: not known */
	uint64_t throttle_ns;  /* work that the guest lost by being slowed down */
	const char *name, *id;
};

/*
 * Starts; done(arg) once at the end, never before it has returned. o and what it points to stay
 * the caller's until migration_free(). 0 or -errno (logged): then done() is not called.
 */
int migration_start(struct loop *l, struct toolstack *t, const struct migration_options *o,
		    void (*done)(void *arg), void *arg, struct migration **out);
/* Calls it off. False: too late, it is past the point of no return and goes on to its end. */
bool migration_cancel(struct migration *m, const char *why);

/* True when neither the guest's disk nor the receiver has told yet whose the guest is. What is
 * waited for is then in `what`, as the end of a line. Whoever does not want to wait may end the
 * process: its guardian goes on. */
bool migration_waits(const struct migration *m, char *what, size_t size);

void migration_progress(const struct migration *m, struct migration_progress *p);
const struct verdicts *migration_verdicts(const struct migration *m);
/* After done(). */
void migration_result(const struct migration *m, struct migration_result *r);
void migration_free(struct migration *m);

#endif
