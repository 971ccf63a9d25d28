/* SPDX-License-Identifier: BSD-2-Clause */
#include "net/iscsi/logout.h"

#include <string.h>

#include "core/loop.h"
#include "net/iscsi/keeper.h"
#include "net/iscsi/keeper_control.h"
#include "net/iscsi/open_iscsi.h"

#define LOGOUT_TIME (5 * SEC_NS)

struct logout {
	struct loop *loop;
	uint32_t sid;
};

static void on_logout_event(void *arg, const struct iscsi_event *e)
{
	struct logout *out = arg;

	/* The answer, or whatever else makes waiting for it pointless. */
	if (e->sid == out->sid && (e->type != ISCSI_EVENT_PDU ||
				   (e->bhs[0] & ISCSI_OPCODE_MASK) == ISCSI_LOGOUT_RESPONSE))
		loop_stop(out->loop, 0);
}

static void on_logout_timeout(void *arg)
{
	loop_stop(arg, 0);
}

/* Tells the target that we leave, so that it keeps nothing for us; best effort. */
static void logout(const struct iscsi_kernel *k, uint32_t sid)
{
	uint8_t bhs[ISCSI_BHS] = {ISCSI_LOGOUT_REQUEST | ISCSI_IMMEDIATE, ISCSI_FINAL};
	struct logout out = {.loop = loop_new(), .sid = sid};
	struct iscsi_events ev = {0};
	struct loop_timer timer = {0};

	if (!out.loop)
		return;
	if (iscsi_events_open(&ev, out.loop, on_logout_event, &out) == 0) {
		if (iscsi_kernel_send(k, sid, bhs, NULL, 0) == 0) {
			loop_timer_set(out.loop, &timer, LOGOUT_TIME, on_logout_timeout, out.loop);
			loop_run(out.loop);
		}
		iscsi_events_close(&ev);
	}
	loop_free(out.loop);
}

int iscsi_session_end(const struct iscsi_kernel *k, const struct iscsi_session *s,
		      char error[ATTACH_ERROR])
{
	int err;

	if (!keeper_owns(s))
		return open_iscsi_logout(s, error, ATTACH_ERROR);
	keeper_release(s->sid);
	if (strcmp(s->state, "LOGGED_IN") == 0)
		logout(k, s->sid);
	err = iscsi_kernel_destroy(k, s->sid);
	if (!err)
		return 0;
	keeper_start(s); /* it is still there, and in use perhaps */
	return attach_failed(error, err, "%s: the kernel keeps the session: %s", s->target,
			     strerror(-err));
}
