/* SPDX-License-Identifier: BSD-2-Clause */
#include "xen/recovery.h"

#include "core/log.h"

#define ASK_NS (300 * SEC_NS)

struct recovery {
	const struct recovery_note *note;
	struct loop *loop;
	struct toolstack *t;
	struct toolstack_op op;
	struct inquiry inquiry;
	struct settle settle;
	bool done;
};

static void on_settled(void *arg, enum settle_is is)
{
	struct recovery *r = arg;
	const char *name = r->note->guest.name;

	r->done = true;
	if (is == SETTLE_RESUMED)
		log_warn("domain %s: its migration was killed: it has been resumed here", name);
	else if (is == SETTLE_STRANDED)
		log_error("domain %s: its migration was killed, and it cannot be resumed: %s: try "
			  "`vstor recover %s`",
			  name, r->settle.cause, name);
	else
		log_warn("domain %s: its migration was killed: it %s", name, settle_words(is));
	loop_stop(r->loop, 0);
}

static void settle(void *arg)
{
	struct recovery *r = arg;

	settle_start(&r->settle, r->t, r->loop, &r->note->guest, on_settled, r);
}

static void on_destroyed(void *arg, int rc)
{
	struct recovery *r = arg;
	const char *name = r->note->guest.name;

	r->done = rc == 0;
	if (rc)
		log_error("domain %s: its migration was killed; it runs on %s, but what is left of "
			  "it here cannot be cleared: %s: xl destroy %s%s",
			  name, r->inquiry.way->host, toolstack_cause(r->t, rc), name,
			  HANDOVER_AWAY);
	else
		log_warn("domain %s: its migration was killed: it runs on %s, and is cleared away "
			 "here",
			 name, r->inquiry.way->host);
	loop_stop(r->loop, 0);
}

static void on_asked(void *arg, enum handover_is is)
{
	struct recovery *r = arg;
	int rc;

	if (is == HANDOVER_GONE) {
		settle(r);
	} else if (is == HANDOVER_RUNNING) {
		rc = libxl_domain_destroy(toolstack_ctx(r->t), r->note->guest.domid,
					  toolstack_how(r->t, &r->op, on_destroyed, r));
		if (rc)
			toolstack_failed(&r->op, rc);
	} else {
		log_error("domain %s: its migration was killed at the moment of the hand-over, and "
			  "%s does not answer: it stays suspended here as %s%s",
			  r->note->guest.name, r->inquiry.way->host, r->note->guest.name,
			  HANDOVER_AWAY);
		loop_stop(r->loop, 0);
	}
}

bool recovery_run(const struct recovery_note *note, const struct migration_way *way)
{
	struct recovery r = {.note = note, .loop = loop_new()};
	struct loop_task first = {.fn = settle, .arg = &r};

	if (!r.loop || toolstack_open(r.loop, &r.t))
		goto out;
	if (note->handed_over)
		inquiry_start(&r.inquiry, r.loop, way, note->id, ASK_NS, on_asked, &r);
	else
		loop_defer(r.loop, &first);
	loop_run(r.loop);
	inquiry_stop(&r.inquiry);
	settle_stop(&r.settle);
out:
	toolstack_close(r.t);
	loop_free(r.loop);
	return r.done && !r.settle.slow;
}
