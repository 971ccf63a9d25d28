/* SPDX-License-Identifier: BSD-2-Clause */
#include "xen/recovery.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

#include <libxl_utils.h>
#include <xenctrl.h>

#include "core/log.h"

/* A guest that was asked to suspend just before the sender died does so within this. */
#define WATCH_NS (15 * SEC_NS)
#define LOOK_NS	 (100 * MS_NS)
#define ASK_NS	 (300 * SEC_NS)

struct recovery {
	const struct recovery_note *note;
	struct loop *loop;
	struct toolstack *t;
	struct toolstack_op op;
	struct inquiry inquiry;
	struct loop_timer timer;
	uint64_t deadline;
	const char *did;
};

static void on_op(void *arg, int rc)
{
	struct recovery *r = arg;

	if (rc)
		log_error("domain %s: its migration was killed, and it cannot be %s: %s",
			  r->note->name, r->did, toolstack_cause(r->t, rc));
	else
		log_warn("domain %s: its migration was killed: it has been %s", r->note->name,
			 r->did);
	loop_stop(r->loop, 0);
}

static void resume(struct recovery *r)
{
	char away[GUEST_NAME_MAX + sizeof(HANDOVER_AWAY)];
	uint32_t domid;
	int rc;

	snprintf(away, sizeof(away), "%s%s", r->note->name, HANDOVER_AWAY);
	if (libxl_name_to_domid(toolstack_ctx(r->t), away, &domid) == 0)
		libxl_domain_rename(toolstack_ctx(r->t), domid, away, r->note->name);
	r->did = "resumed";
	rc = libxl_domain_resume(toolstack_ctx(r->t), r->note->domid, 1,
				 toolstack_how(r->t, &r->op, on_op, r));
	if (rc)
		toolstack_failed(&r->op, rc);
}

/* The save helper may have had no time to end it. */
static void stop_logdirty(uint32_t domid)
{
	xc_interface *xch = xc_interface_open(NULL, NULL, 0);

	if (!xch)
		return;
	xc_shadow_control(xch, domid, XEN_DOMCTL_SHADOW_OP_OFF, NULL, 0);
	xc_interface_close(xch);
}

static void look(void *arg)
{
	struct recovery *r = arg;

	if (guest_life(r->t, r->note->domid) == GUEST_SUSPENDED) {
		stop_logdirty(r->note->domid);
		resume(r);
	} else if (clock_ns() > r->deadline) {
		stop_logdirty(r->note->domid);
		loop_stop(r->loop, 0);
	} else {
		loop_timer_set(r->loop, &r->timer, LOOK_NS, look, r);
	}
}

static void on_asked(void *arg, enum handover_is is)
{
	struct recovery *r = arg;
	int rc;

	if (is == HANDOVER_GONE) {
		resume(r);
	} else if (is == HANDOVER_RUNNING) {
		r->did = "cleared away here: it runs at its destination";
		rc = libxl_domain_destroy(toolstack_ctx(r->t), r->note->domid,
					  toolstack_how(r->t, &r->op, on_op, r));
		if (rc)
			toolstack_failed(&r->op, rc);
	} else {
		log_error("domain %s: its migration was killed at the moment of the hand-over, and "
			  "%s does not answer: it stays suspended here",
			  r->note->name, r->inquiry.way->host);
		loop_stop(r->loop, 0);
	}
}

void recovery_run(const struct recovery_note *note, const struct migration_way *way)
{
	struct recovery r = {.note = note, .loop = loop_new()};

	if (!r.loop || toolstack_open(r.loop, &r.t))
		goto out;
	r.deadline = clock_ns() + WATCH_NS;
	if (note->handed_over)
		inquiry_start(&r.inquiry, r.loop, way, note->id, ASK_NS, on_asked, &r);
	else
		loop_timer_set(r.loop, &r.timer, 0, look, &r);
	loop_run(r.loop);
	inquiry_stop(&r.inquiry);
out:
	toolstack_close(r.t);
	loop_free(r.loop);
}
