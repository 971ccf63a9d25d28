/* SPDX-License-Identifier: BSD-2-Clause */
#include "xen/throttle.h"

#include <errno.h>
#include <stdio.h>

#include "core/bytes.h"
#include "core/log.h"

#define WATCH_NS (500 * MS_NS) /* less tells little of how much it uses */

static int cpu_time(struct throttle *th, uint64_t *ns, unsigned *vcpus)
{
	libxl_dominfo info;
	int rc;

	libxl_dominfo_init(&info);
	rc = libxl_domain_info(toolstack_ctx(th->t), &info, th->domid);
	*ns = info.cpu_time;
	*vcpus = info.vcpu_online;
	libxl_dominfo_dispose(&info);
	return rc ? -EIO : 0;
}

int throttle_init(struct throttle *th, struct toolstack *t, uint32_t domid, char *why, size_t size)
{
	libxl_domain_sched_params p;
	unsigned vcpus;
	int rc;

	*th = (struct throttle){.t = t, .domid = domid, .cpu_at = clock_ns()};
	libxl_domain_sched_params_init(&p);
	rc = libxl_domain_sched_params_get(toolstack_ctx(t), domid, &p) ||
			     cpu_time(th, &th->cpu_ns, &vcpus)
		     ? -EIO
		     : 0;
	if (rc) {
		snprintf(why, size, "its scheduler cannot be asked: %s",
			 toolstack_cause(t, ERROR_FAIL));
	} else if (p.sched != LIBXL_SCHEDULER_CREDIT && p.sched != LIBXL_SCHEDULER_CREDIT2) {
		snprintf(why, size, "the scheduler %s has no cap",
			 libxl_scheduler_to_string(p.sched));
		rc = -ENOTSUP;
	} else {
		th->was = th->cap = p.cap;
		th->used = 100 * vcpus;
	}
	libxl_domain_sched_params_dispose(&p);
	return rc;
}

void throttle_watch(struct throttle *th, uint64_t now)
{
	uint64_t ns;
	unsigned vcpus;

	if (th->cap != th->was || now - th->cpu_at < WATCH_NS || cpu_time(th, &ns, &vcpus))
		return;
	if (th->cpu_at && ns >= th->cpu_ns) {
		th->used = (unsigned)(100 * (ns - th->cpu_ns) / (now - th->cpu_at)) + 1;
		th->used = MIN(th->used, 100 * MAX(vcpus, 1u));
	}
	th->cpu_ns = ns;
	th->cpu_at = now;
}

int throttle_cap(unsigned used, int was, unsigned speed)
{
	unsigned most = was && (unsigned)was < used ? (unsigned)was : used;

	return speed >= 100 ? was : (int)MAX(most * speed / 100, 1u);
}

int throttle_put(struct toolstack *t, uint32_t domid, int cap)
{
	libxl_domain_sched_params p;
	int rc;

	/* What is not set stays as it is. */
	libxl_domain_sched_params_init(&p);
	p.cap = cap;
	rc = libxl_domain_sched_params_set(toolstack_ctx(t), domid, &p);
	libxl_domain_sched_params_dispose(&p);
	return rc ? -EIO : 0;
}

uint64_t throttle_lost(const struct throttle *th, uint64_t now)
{
	double lost = th->lost_ns;

	if (th->cap != th->was && (unsigned)th->cap < th->used)
		lost += (double)(now - th->since) * (1 - (double)th->cap / th->used);
	return (uint64_t)lost;
}

void throttle_set(struct throttle *th, uint64_t now, unsigned speed)
{
	int cap = throttle_cap(th->used, th->was, speed);

	if (cap == th->cap || (th->failed && speed < 100))
		return;
	if (throttle_put(th->t, th->domid, cap)) {
		th->failed = true;
		log_warn("domain %u: its cap cannot be set to %d: %s", th->domid, cap,
			 toolstack_cause(th->t, ERROR_FAIL));
		return;
	}
	th->lost_ns = (double)throttle_lost(th, now);
	th->since = now;
	if (th->cap == th->was)
		th->ran_at = now;
	th->cap = cap;
	if (cap == th->was)
		th->cpu_at = 0; /* what it used while slowed tells nothing */
}

/* Without a cap there are no debts (Xen: credit2.c, csched2_dom_cntl()); with it again, none yet.
 */
void throttle_wake(struct throttle *th, uint64_t now, uint64_t silent_ns)
{
	unsigned vcpus;
	uint64_t ns;

	if (th->cap == th->was || th->failed || cpu_time(th, &ns, &vcpus))
		return;
	if (ns != th->ran_ns) {
		th->ran_ns = ns;
		th->ran_at = now;
	} else if (now - th->ran_at >= silent_ns) {
		th->failed = throttle_put(th->t, th->domid, 0) ||
			     throttle_put(th->t, th->domid, th->cap);
		th->ran_at = now;
	}
}
