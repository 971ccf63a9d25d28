/* SPDX-License-Identifier: BSD-2-Clause */
#include "xen/migration/settle.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libxl_utils.h>
#include <xenstore.h>

#include "core/log.h"
#include "xen/migration/monitor.h"
#include "xen/release.h"
#include "xen/throttle.h"

/* As long as libxl itself gives a guest to suspend (libxl_dom_suspend.c). */
#define WAIT_NS (60 * SEC_NS)
#define LOOK_NS (20 * MS_NS)

/* Of resuming it. */
#define TRIES	 5
#define AGAIN_NS (200 * MS_NS)

const char *settle_words(enum settle_is is)
{
	static const char *const words[] = {
		[SETTLE_RUNS] = "still runs here",
		[SETTLE_RESUMED] = "runs here again",
		[SETTLE_PENDING] =
			"still runs here, but has agreed to suspend itself and may do so yet",
		[SETTLE_STRANDED] = "is suspended here",
		[SETTLE_DOWN] = "has shut down",
		[SETTLE_CRASHED] = "has crashed",
		[SETTLE_GONE] = "has been destroyed",
	};
	return words[is];
}

enum settle_is settle_look(struct toolstack *t, uint32_t domid)
{
	switch (guest_life(t, domid)) {
	case GUEST_RUNS:
	case GUEST_PAUSED: return SETTLE_RUNS;
	case GUEST_SUSPENDED: return SETTLE_STRANDED;
	case GUEST_DOWN: return SETTLE_DOWN;
	case GUEST_CRASHED: return SETTLE_CRASHED;
	default: return SETTLE_GONE;
	}
}

static void end(struct settle *s, enum settle_is is)
{
	loop_timer_del(s->loop, &s->timer);
	s->done(s->arg, is);
}

/* ---- what a migration changes, put back ---- */

/* The save helper does it itself, unless it was killed, or was waiting for libxl's answer. */
static void log_dirty_off(const struct settle *s)
{
	xc_interface *xch = xc_interface_open(NULL, NULL, 0);

	/* A hypervisor that cannot log a PV guest's writes does not know how to stop it, either. */
	if (!xch || (release_log_dirty_off(xch, s->guest.domid) && errno != ESRCH &&
		     errno != EINVAL && errno != EOPNOTSUPP))
		log_warn("domain %s: its log-dirty mode cannot be switched off: %s: it runs, but "
			 "slower",
			 s->guest.name, strerror(errno));
	if (xch)
		xc_interface_close(xch);
}

static void cap_back(struct settle *s)
{
	if (!throttle_put(s->t, s->guest.domid, s->guest.cap) ||
	    settle_look(s->t, s->guest.domid) == SETTLE_GONE)
		return;
	s->slow = true;
	log_warn("domain %s: its cap cannot be put back to %d: %s: it stays slow", s->guest.name,
		 s->guest.cap, toolstack_cause(s->t, ERROR_FAIL));
}

static void rename_back(const struct settle *s)
{
	libxl_ctx *ctx = toolstack_ctx(s->t);
	char away[GUEST_NAME_MAX + sizeof(GUEST_AWAY)];
	char *its = libxl_domid_to_name(ctx, s->guest.domid);

	snprintf(away, sizeof(away), "%s%s", s->guest.name, GUEST_AWAY);
	if (its && strcmp(its, away) == 0 &&
	    libxl_domain_rename(ctx, s->guest.domid, away, s->guest.name))
		log_warn("domain %s: it keeps the name %s: %s: xl rename gives it back",
			 s->guest.name, away, toolstack_cause(s->t, ERROR_FAIL));
	free(its);
}

/*
 * True when the guest had not yet heard that it should suspend, and now never will. libxl does the
 * same, but only when its own time is up (libxl_dom_suspend.c,
 * domain_suspend_common_pvcontrol_suspending), not when it is aborted. In a transaction: the guest
 * acknowledges the request by writing the same node.
 */
static bool take_back(const struct settle *s)
{
	struct xs_handle *xs = xs_open(0);
	xs_transaction_t t;
	char path[64], *value;
	bool taken = false, again = true;

	if (!xs) {
		log_warn("domain %s: xenstore does not answer: %s", s->guest.name, strerror(errno));
		return false;
	}
	snprintf(path, sizeof(path), "/local/domain/%u/control/shutdown", s->guest.domid);
	while (again) {
		t = xs_transaction_start(xs);
		value = xs_read(xs, t, path, NULL);
		taken = value && strcmp(value, "suspend") == 0 && xs_write(xs, t, path, "", 0);
		free(value);
		again = taken && !xs_transaction_end(xs, t, false);
		if (!taken)
			xs_transaction_end(xs, t, true);
		else if (again && errno != EAGAIN)
			again = taken = false;
	}
	xs_close(xs);
	if (taken)
		log_info("domain %s: the request to suspend is taken back", s->guest.name);
	return taken;
}

static void look(void *arg);

static void on_resumed(void *arg, int rc)
{
	struct settle *s = arg;

	if (!rc) {
		monitor_start(s->guest.name, false); /* xl's own has ended with the suspend */
		end(s, SETTLE_RESUMED);
		return;
	}
	snprintf(s->cause, sizeof(s->cause), "%s", toolstack_cause(s->t, rc));
	/* It may have been destroyed meanwhile; and what the host lacks it may have again. */
	if (++s->tries < TRIES)
		loop_timer_set(s->loop, &s->timer, AGAIN_NS, look, s);
	else
		end(s, settle_look(s->t, s->guest.domid));
}

static void look(void *arg)
{
	struct settle *s = arg;
	enum settle_is is = settle_look(s->t, s->guest.domid);
	int rc;

	if (is == SETTLE_STRANDED) {
		rc = libxl_domain_resume(toolstack_ctx(s->t), s->guest.domid, 1,
					 toolstack_how(s->t, &s->op, on_resumed, s));
		if (rc)
			toolstack_failed(&s->op, rc);
	} else if (is != SETTLE_RUNS || !s->guest.asked) {
		end(s, is);
	} else if (clock_ns() > s->deadline) {
		end(s, SETTLE_PENDING);
	} else {
		loop_timer_set(s->loop, &s->timer, LOOK_NS, look, s);
	}
}

static void begin(void *arg)
{
	struct settle *s = arg;

	if (s->guest.throttled)
		cap_back(s);
	log_dirty_off(s);
	rename_back(s);
	if (take_back(s))
		s->guest.asked = false;
	else if (s->guest.asked)
		log_info("domain %s: it has agreed to suspend: waiting for it", s->guest.name);
	look(s);
}

void settle_start(struct settle *s, struct toolstack *t, struct loop *l,
		  const struct settle_guest *g, void (*done)(void *arg, enum settle_is is),
		  void *arg)
{
	*s = (struct settle){.loop = l,
			     .t = t,
			     .guest = *g,
			     .deadline = clock_ns() + WAIT_NS,
			     .done = done,
			     .arg = arg};
	loop_timer_set(l, &s->timer, 0, begin, s);
}

void settle_stop(struct settle *s)
{
	if (s->loop)
		loop_timer_del(s->loop, &s->timer);
}
