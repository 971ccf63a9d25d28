/* SPDX-License-Identifier: BSD-2-Clause */
#include "xen/recovery.h"

#include <stdio.h>

#include "core/log.h"

struct recovery {
	const struct recovery_note *note;
	struct loop *loop;
	struct toolstack *t;
	struct toolstack_op op;
	struct inquiry inquiry;
	struct settle settle;
	struct fencing fencing;
	const char *host;
	struct recovery_result result;
};

static void end(struct recovery *r, enum recovery_end is, const char *cause)
{
	r->result.end = is;
	snprintf(r->result.cause, sizeof(r->result.cause), "%s", cause);
	loop_stop(r->loop, 0);
}

static void on_settled(void *arg, enum settle_is is)
{
	struct recovery *r = arg;
	const char *name = r->note->guest.name;

	if (is == SETTLE_RESUMED)
		log_warn("domain %s: its migration was killed: it has been resumed here", name);
	else if (is == SETTLE_STRANDED)
		log_error("domain %s: its migration was killed, and it cannot be resumed: %s: try "
			  "`vstor recover %s`",
			  name, r->settle.cause, name);
	else
		log_warn("domain %s: its migration was killed: it %s", name, settle_words(is));
	r->result.settled = is;
	end(r, RECOVERY_HERE, is == SETTLE_STRANDED ? r->settle.cause : "");
}

static void settle(void *arg)
{
	struct recovery *r = arg;

	if (!r->note->guest.domid) {
		end(r, RECOVERY_ENDED, "");
		return;
	}
	settle_start(&r->settle, r->t, r->loop, &r->note->guest, on_settled, r);
}

static void on_destroyed(void *arg, int rc)
{
	struct recovery *r = arg;
	const char *name = r->note->guest.name;

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

	if (!r->note->guest.domid) {
		end(r, RECOVERY_THERE, "");
		return;
	}
	rc = libxl_domain_destroy(toolstack_ctx(r->t), r->note->guest.domid,
				  toolstack_how(r->t, &r->op, on_destroyed, r));
	if (rc)
		toolstack_failed(&r->op, rc);
}

static void on_asked(void *arg, enum handover_is is)
{
	struct recovery *r = arg;

	if (is == HANDOVER_GONE) {
		settle(r);
	} else if (is == HANDOVER_RUNNING) {
		destroy(r);
	} else {
		log_error("domain %s: its migration was killed at the moment of the hand-over, and "
			  "%s does not answer: it stays suspended here as %s%s",
			  r->note->guest.name, r->host, r->note->guest.name, GUEST_AWAY);
		end(r, RECOVERY_OPEN, r->inquiry.cause);
	}
}

static void on_claimed(void *arg, enum referee_says says)
{
	struct recovery *r = arg;
	const char *name = r->note->guest.name;

	switch (says) {
	case REFEREE_WON: settle(r); break;
	case REFEREE_LOST: destroy(r); break;
	case REFEREE_SILENT:
		log_error(
			"domain %s: its migration was killed at the moment of the hand-over, and "
			"its disk does not answer (%s): it stays suspended here: vstor recover %s "
			"asks again",
			name, r->fencing.r.why, name);
		end(r, RECOVERY_OPEN, r->fencing.r.why);
	}
}

struct recovery_result recovery_run(const struct recovery_note *note,
				    const struct migration_way *way, uint64_t limit_ns)
{
	struct recovery r = {.note = note, .loop = loop_new(), .result = {.end = RECOVERY_OPEN}};
	const struct referee *f = &note->referee;
	struct loop_task first = {.fn = settle, .arg = &r};

	if (!r.loop || toolstack_open(r.loop, &r.t))
		goto out;
	r.host = way->host;
	if (f->n && f->theirs && (note->guest.asked || note->handed_over))
		fencing_start(&r.fencing, r.loop, FENCING_CLAIM, false, f, limit_ns, on_claimed,
			      &r);
	else if (note->handed_over)
		inquiry_start(&r.inquiry, r.loop, way, note->id, limit_ns, on_asked, &r);
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
