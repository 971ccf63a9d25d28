/* SPDX-License-Identifier: BSD-2-Clause */
#include "xen/copy/save_policy.h"

#include <sys/ioctl.h>

#include <xenctrl.h>
#include <xenguest.h>
#include <_libxl_save_msgs_helper.h>

#include "core/bytes.h"
#include "core/loop.h"
#include "xen/copy/dirty_peek.h"
#include "xen/copy/precopy_report.h"
#include "xen/release.h"
#include "xen/copy/save_helper.h"
#include "xen/copy/save_pages.h"
#include "xen/toolstack.h"
#include "xen/turn.h"

#define LOOK_NS	    (150 * MS_NS)
#define TELL_NS	    (500 * MS_NS) /* how often of that, when there is nothing to do about it */
#define WAIT_NS	    (250 * MS_NS) /* how often one that waits for its turn is heard of */
#define TURN_ROUNDS 4u		  /* that one may hold the turn and run on */

static struct {
	struct precopy policy;
	xc_interface *xch; /* NULL: none can be had, then the dirty set is not looked at */
	uint32_t domid;
	struct dirty_peek *peek; /* NULL: none can be had, or the guest does not run */
	int fd;			 /* the stream's; -1: nothing written yet */
	uint64_t looked_at, told_at;
	unsigned told_speed;
	bool suspended;
	/* That the hypervisor counted before round 0: what an earlier save, called off, has left is
	 * forgotten only when libxc fetches the bitmap for round 1 (xen/arch/x86/mm/paging.c). */
	uint64_t stale;
	unsigned turn_rounds; /* that it may still keep the turn for; 0: it has not waited */
	int (*suspend)(void *user);
} save;

/* fd 1 is libxl's channel of messages: a report goes along it, as a line of the log. */
static void report(enum precopy_what what, uint64_t at, enum precopy_verdict v)
{
	struct compression_report pages;
	struct precopy_report r;
	char text[320];

	precopy_report_fill(&r, what, at, &save.policy);
	r.verdict = v;
	precopy_report_print(&r, text, sizeof(text));
	helper_stub_log(XTL_DEBUG, (uint32_t)-1, TOOLSTACK_REPORT, text, NULL);
	if (save_pages_report(&pages)) {
		compression_report_print(&pages, text, sizeof(text));
		helper_stub_log(XTL_DEBUG, (uint32_t)-1, TOOLSTACK_REPORT, text, NULL);
	}
}

/* The hypervisor counts them as they come; no bitmap is copied. UINT64_MAX: cannot tell. */
static uint64_t counted_pages(void)
{
	xc_shadow_op_stats_t stats = {0};

	if (!save.xch || release_peek(save.xch, save.domid, NULL, 0, &stats) < 0)
		return UINT64_MAX;
	return stats.dirty_count;
}

static uint64_t dirty_pages(void)
{
	uint64_t n = counted_pages();

	return n == UINT64_MAX ? n : n - MIN(n, save.stale);
}

static uint64_t queued_bytes(void)
{
	int n = 0;

	return save.fd >= 0 && ioctl(save.fd, FIONREAD, &n) == 0 ? (uint64_t)n : 0;
}

void save_policy_sent(int fd, const struct save_pages_batch *b)
{
	struct precopy *p = &save.policy;
	uint64_t now = clock_ns(), dirty;

	save.fd = fd;
	precopy_left_out(p, b->left_out);
	precopy_sent(p, now, b->pfns, b->pages, b->bytes);
	if (!save.suspended && now - save.looked_at < LOOK_NS)
		return;
	save.looked_at = now;
	dirty = save.suspended ? UINT64_MAX : dirty_pages();
	if (dirty != UINT64_MAX)
		precopy_look(p, now, dirty);
	/* To hear of it takes the other end of fd 1 a dozen system calls. */
	if (!save.suspended && p->speed == save.told_speed && now - save.told_at < TELL_NS)
		return;
	save.told_at = now;
	save.told_speed = p->speed;
	report(PRECOPY_LOOK, now, PRECOPY_GO_ON);
}

static bool look(void *arg, uint64_t pfns)
{
	return dirty_peek_look(arg, pfns);
}

static bool written(void *arg, uint64_t pfn)
{
	return dirty_peek_written(arg, pfn);
}

/* While there are rounds to come, they send what the guest writes in this one. */
static void leave_out_written(void)
{
	if (!save.peek)
		save.peek = dirty_peek_new(save.domid);
	if (save.peek)
		save_pages_filter(&(struct save_pages_filter){look, written, save.peek});
}

/*
 * Until it is this guest's turn it runs on, at its own speed and without rounds, which would cost
 * the link and the processor that another one needs now. False: libxl has called it off meanwhile.
 */
static bool wait_for_turn(void)
{
	precopy_wait(&save.policy, clock_ns());
	do {
		if (save_pages_called_off())
			return false;
		report(PRECOPY_ROUND_END, clock_ns(), PRECOPY_GO_ON);
	} while (!turn_wait(WAIT_NS));
	precopy_waited(&save.policy, clock_ns());
	save.turn_rounds = TURN_ROUNDS;
	return true;
}

/* What it wrote while it waited takes a round more, as a rule the last one; the turn is not for a
 * guest that does not come to its end. */
static void use_turn(void)
{
	if (save.turn_rounds && !--save.turn_rounds)
		turn_give();
}

/* libxc asks twice a round: before sending, with the number of dirty pages, and after, without. */
static int precopy_policy(struct precopy_stats s, void *user)
{
	uint64_t now = clock_ns();
	enum precopy_verdict v;

	(void)user;
	/* libxc would not hear of an error here: its next write does. */
	(void)save_pages_flush();
	if (s.dirty_count >= 0) {
		leave_out_written();
		save.stale = s.iteration ? 0 : counted_pages();
		if (save.stale == UINT64_MAX)
			save.stale = 0;
		precopy_before(&save.policy, now, s.iteration, (uint64_t)s.dirty_count);
		report(PRECOPY_ROUND, now, PRECOPY_GO_ON);
		return XGS_POLICY_CONTINUE_PRECOPY;
	}
	v = precopy_after(&save.policy, now, dirty_pages(), queued_bytes());
	if (v == PRECOPY_STOP && !turn_try())
		return wait_for_turn() ? XGS_POLICY_CONTINUE_PRECOPY : XGS_POLICY_ABORT;
	if (v == PRECOPY_GO_ON)
		use_turn();
	report(PRECOPY_ROUND_END, now, v);
	switch (v) {
	case PRECOPY_STOP: return XGS_POLICY_STOP_AND_COPY;
	case PRECOPY_ABORT: return XGS_POLICY_ABORT;
	default: return XGS_POLICY_CONTINUE_PRECOPY;
	}
}

static int suspend(void *user)
{
	uint64_t now;
	int rc;

	if (!turn_try() && !wait_for_turn())
		return 0; /* it has not been suspended */
	now = clock_ns();
	report(PRECOPY_SUSPEND, now, PRECOPY_GO_ON);
	save_pages_filter(NULL);
	rc = save.suspend(user);
	if (!rc)
		return rc;
	now = clock_ns();
	precopy_before(&save.policy, now, save.policy.round + 1, 0);
	save.suspended = true;
	report(PRECOPY_SUSPENDED, now, PRECOPY_GO_ON);
	return rc;
}

static uint64_t guest_pages(void)
{
	xc_domaininfo_t info;

	if (save.xch && xc_domain_getinfolist(save.xch, save.domid, 1, &info) == 1 &&
	    info.domain == save.domid)
		return info.tot_pages;
	return 0;
}

void save_policy_install(struct save_callbacks *cbs, uint32_t domid)
{
	struct precopy_limits limits;

	save.domid = domid;
	save.fd = -1;
	save.xch = xc_interface_open(NULL, NULL, 0);
	precopy_limits_parse(save_helper_get(domid, PRECOPY_ENV), &limits);
	precopy_init(&save.policy, &limits, guest_pages());
	cbs->precopy_policy = precopy_policy;
	if (cbs->suspend) {
		save.suspend = cbs->suspend;
		cbs->suspend = suspend;
	}
}
