/* SPDX-License-Identifier: BSD-2-Clause */
#include "xen/migration/recovery.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "core/bytes.h"
#include "core/log.h"

struct recovery {
	struct recovery_note note;
	struct loop *loop;
	struct toolstack *t;
	struct toolstack_op op;
	struct inquiry inquiry;
	struct settle settle;
	struct fencing fencing;
	const char *host;
	const struct migration_way *way;
	uint64_t deadline; /* 0: none */
	bool lost;	   /* it is the receiver's, by the disk's word */
	struct recovery_result result;
};

/* The receiver has registered with the disks: they know whose the guest is. */
static bool fenced(const struct recovery *r)
{
	return r->note.referee.n && r->note.referee.theirs;
}

/* What is left of the time for one of the two that can be asked. */
static uint64_t share_of(const struct recovery *r, uint64_t most)
{
	uint64_t now = clock_ns();

	if (!r->deadline)
		return most;
	return r->deadline > now ? MIN(r->deadline - now, most) : 1;
}

static void end(struct recovery *r, enum recovery_end is, const char *cause)
{
	r->result.end = is;
	snprintf(r->result.cause, sizeof(r->result.cause), "%s", cause);
	loop_stop(r->loop, 0);
}

/* ---- it is settled here ---- */

static void on_left(void *arg, enum referee_says says)
{
	struct recovery *r = arg;

	if (says != REFEREE_WON)
		log_warn("domain %s: a disk does not give up what this host has reserved there for "
			 "the migration: vstor recover --release %s tries again",
			 r->note.guest.name, r->note.guest.name);
	loop_stop(r->loop, 0);
}

/* What this host has taken only for the migration is given up, as after one that was not cut off.
 */
static void end_here(struct recovery *r, enum recovery_end is)
{
	bool took = false;

	for (unsigned i = 0; i < r->note.referee.n; i++)
		took |= r->note.referee.disk[i].took;
	r->result.end = is;
	if (took)
		fencing_start(&r->fencing, r->loop, FENCING_LEAVE_SOURCE, false, &r->note.referee,
			      0, on_left, r);
	else
		loop_stop(r->loop, 0);
}

static void on_settled(void *arg, enum settle_is is)
{
	struct recovery *r = arg;
	const char *name = r->note.guest.name;

	if (is == SETTLE_RESUMED)
		log_warn("domain %s: its migration was killed: it has been resumed here", name);
	else if (is == SETTLE_STRANDED)
		log_error("domain %s: its migration was killed, and it cannot be resumed: %s: try "
			  "`vstor recover %s`",
			  name, r->settle.cause, name);
	else
		log_warn("domain %s: its migration was killed: it %s", name, settle_words(is));
	r->result.settled = is;
	if (is == SETTLE_STRANDED)
		end(r, RECOVERY_HERE, r->settle.cause);
	else if (is == SETTLE_GONE)
		end(r, RECOVERY_HERE, ""); /* its disk may be a later guest's */
	else
		end_here(r, RECOVERY_HERE);
}

static void settle(void *arg)
{
	struct recovery *r = arg;

	if (!r->note.guest.domid) {
		end(r, RECOVERY_ENDED, ""); /* its disk may be a later guest's */
		return;
	}
	settle_start(&r->settle, r->t, r->loop, &r->note.guest, on_settled, r);
}

static void on_destroyed(void *arg, int rc)
{
	struct recovery *r = arg;
	const char *name = r->note.guest.name;

	if (rc)
		log_error("domain %s: its migration was killed; it runs on %s, but what is left of "
			  "it here cannot be cleared: %s: xl destroy %s%s",
			  name, r->host, toolstack_cause(r->t, rc), name, GUEST_AWAY);
	else
		log_warn("domain %s: its migration was killed: it runs on %s, and is cleared away "
			 "here",
			 name, r->host);
	end(r, RECOVERY_THERE, "");
}

static void destroy(struct recovery *r)
{
	int rc;

	if (!r->note.guest.domid) {
		end(r, RECOVERY_THERE, "");
		return;
	}
	rc = libxl_domain_destroy(toolstack_ctx(r->t), r->note.guest.domid,
				  toolstack_how(r->t, &r->op, on_destroyed, r));
	if (rc)
		toolstack_failed(&r->op, rc);
}

static void ask(struct recovery *r);

/* ---- by its disk, and by the receiver while that is silent ---- */

static void claim(struct recovery *r);

/* Neither has told. What was promised is still true. */
static void again(struct recovery *r)
{
	const char *name = r->note.guest.name;

	if (r->deadline && clock_ns() >= r->deadline) {
		log_error("domain %s: its migration was killed at the moment of the hand-over, "
			  "its disk does not answer (%s), nor does %s: it stays suspended here: "
			  "vstor recover %s asks again",
			  name, r->fencing.r.why, r->host, name);
		end(r, RECOVERY_OPEN, r->fencing.r.why);
		return;
	}
	if (r->note.guest.domid && settle_look(r->t, r->note.guest.domid) == SETTLE_GONE) {
		end(r, RECOVERY_OPEN, "it has been destroyed here, suspended as it was");
		return;
	}
	log_warn(
		"domain %s: its migration was killed at the moment of the hand-over: its disk "
		"does not answer (%s), nor does %s: it stays suspended here until one of them does",
		name, r->fencing.r.why, r->host);
	claim(r);
}

static void on_claimed(void *arg, enum referee_says says)
{
	struct recovery *r = arg;

	r->lost = says == REFEREE_LOST;
	if (says == REFEREE_WON)
		settle(r);
	else if (r->lost && r->note.promised)
		destroy(r); /* somebody else has taken it */
	else
		ask(r);
}

static void claim(struct recovery *r)
{
	fencing_start(&r->fencing, r->loop, r->note.promised ? FENCING_RECLAIM : FENCING_CLAIM,
		      false, &r->note.referee, share_of(r, fencing_patience), on_claimed, r);
}

/* ---- by the receiver ---- */

/* As the sender does it (xen/migration/migration_fence.c), and for the same reason. */
static void note_promise(struct recovery *r)
{
	int rc;

	r->note.promised = true;
	rc = departure_amend(&r->note, r->way);
	if (rc && rc != -ENOENT)
		log_warn("domain %s: its journal cannot be written: %s", r->note.guest.name,
			 strerror(-rc));
}

static void on_asked(void *arg, enum handover_is is)
{
	struct recovery *r = arg;

	if (is == HANDOVER_RUNNING) {
		destroy(r);
	} else if (is == HANDOVER_GONE && !fenced(r)) {
		settle(r);
	} else if (is == HANDOVER_GONE) {
		note_promise(r);
		claim(r);
	} else if (r->lost) {
		destroy(r); /* it may have died there */
	} else if (fenced(r)) {
		again(r);
	} else {
		log_error("domain %s: its migration was killed at the moment of the hand-over, and "
			  "%s does not answer: it stays suspended here as %s%s",
			  r->note.guest.name, r->host, r->note.guest.name, GUEST_AWAY);
		end(r, RECOVERY_OPEN, r->inquiry.cause);
	}
}

static void ask(struct recovery *r)
{
	uint64_t limit = share_of(r, fenced(r) ? inquiry_patience : UINT64_MAX);

	inquiry_start(&r->inquiry, r->loop, r->way, r->note.id, r->lost ? inquiry_silence : limit,
		      limit, on_asked, r);
}

struct recovery_result recovery_run(const struct recovery_note *note,
				    const struct migration_way *way, uint64_t limit_ns)
{
	struct recovery r = {.note = *note,
			     .loop = loop_new(),
			     .way = way,
			     .deadline = limit_ns ? clock_ns() + limit_ns : 0,
			     .result = {.end = RECOVERY_OPEN}};
	struct loop_task first = {.fn = settle, .arg = &r};

	if (!r.loop || toolstack_open(r.loop, &r.t))
		goto out;
	r.host = way->host;
	if (fenced(&r) && (note->guest.asked || note->handed_over))
		claim(&r);
	else if (note->handed_over && !note->promised)
		ask(&r);
	else
		loop_defer(r.loop, &first);
	loop_run(r.loop);
	inquiry_stop(&r.inquiry);
	settle_stop(&r.settle);
	fencing_fini(&r.fencing);
out:
	toolstack_close(r.t);
	loop_free(r.loop);
	r.result.slow = r.settle.slow;
	return r.result;
}
