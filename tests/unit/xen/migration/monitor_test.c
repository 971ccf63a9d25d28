/* SPDX-License-Identifier: BSD-2-Clause */
/* What is done with a guest that has shut down, how soon, and with what configuration. */
#include "xen/migration/monitor.h"

#include <string.h>
#include <unistd.h>

#include "core/log.h"
#include "tests/unit/check.h"
#include "tests/unit/fake/xen.h"
#include "xen/guest_claim.h"

static char dir[] = "/tmp/vstor-monitor-XXXXXX";
static struct loop *loop;
static int claim;

static void test_the_configuration_decides(void)
{
	libxl_domain_config c = {
		.on_poweroff = LIBXL_ACTION_ON_SHUTDOWN_DESTROY,
		.on_reboot = LIBXL_ACTION_ON_SHUTDOWN_RESTART,
		.on_crash = LIBXL_ACTION_ON_SHUTDOWN_COREDUMP_RESTART,
		.on_watchdog = LIBXL_ACTION_ON_SHUTDOWN_PRESERVE,
		.on_soft_reset = LIBXL_ACTION_ON_SHUTDOWN_SOFT_RESET,
	};

	CHECK_EQ(monitor_action(&c, LIBXL_SHUTDOWN_REASON_POWEROFF),
		 LIBXL_ACTION_ON_SHUTDOWN_DESTROY);
	CHECK_EQ(monitor_action(&c, LIBXL_SHUTDOWN_REASON_REBOOT),
		 LIBXL_ACTION_ON_SHUTDOWN_RESTART);
	CHECK_EQ(monitor_action(&c, LIBXL_SHUTDOWN_REASON_CRASH),
		 LIBXL_ACTION_ON_SHUTDOWN_COREDUMP_RESTART);
	CHECK_EQ(monitor_action(&c, LIBXL_SHUTDOWN_REASON_WATCHDOG),
		 LIBXL_ACTION_ON_SHUTDOWN_PRESERVE);
	CHECK_EQ(monitor_action(&c, LIBXL_SHUTDOWN_REASON_SOFT_RESET),
		 LIBXL_ACTION_ON_SHUTDOWN_SOFT_RESET);
	CHECK_EQ(monitor_action(&c, LIBXL_SHUTDOWN_REASON_UNKNOWN),
		 LIBXL_ACTION_ON_SHUTDOWN_DESTROY);
}

/* One that reboots in a circle does so more and more slowly, but does not stay away for ever. */
static void test_circles_slow_down(void)
{
	uint64_t gap = monitor_gap(0, 0), before;

	CHECK_EQ(gap, 2 * SEC_NS);
	for (int i = 0; i < 10; i++) {
		before = gap;
		gap = monitor_gap(SEC_NS, before);
		CHECK(gap == 2 * before || gap == 60 * SEC_NS);
	}
	CHECK_EQ(gap, 60 * SEC_NS);
	CHECK_EQ(monitor_gap(3600 * SEC_NS, gap), 2 * SEC_NS);
}

/* ---- a guest that reboots ---- */

static void kept(libxl_domain_config *c)
{
	c->c_info.name = strdup("guest");
	c->on_reboot = LIBXL_ACTION_ON_SHUTDOWN_RESTART;
}

static void no_more(void *arg)
{
	(void)arg;
	CHECK(fake_domain(6));
	if (fake_domain(6))
		fake_dies(fake_domain(6));
	else
		loop_stop(loop, 1);
}

static void reboots(void *arg)
{
	(void)arg;
	fake_shuts_down(fake_domain(5), LIBXL_SHUTDOWN_REASON_REBOOT);
}

static void reads(void *arg)
{
	void (**meanwhile)(void) = arg;

	if (meanwhile)
		(*meanwhile)();
	fake_read_ends(0);
}

/* The domain that its monitor makes after a reboot, as it was made. */
static struct fake_domain reboot(void (*before)(struct fake_domain *d), void (*meanwhile)(void))
{
	struct loop_timer later = {0}, end = {0}, read[2] = {0};
	struct fake_domain *d, made;
	struct toolstack *t;

	fake_reset();
	fake.made = 6;
	fake.config = kept;
	loop = loop_new();
	CHECK_EQ(toolstack_open(loop, &t), 0);
	d = fake_domain_new(5, "guest");
	claim = guest_claim("05050505-0505-0505-0505-050505050505");
	CHECK(claim >= 0);
	before(d);
	fake.slow_read = true;
	loop_timer_set(loop, &read[0], 20 * MS_NS, reads, NULL);
	loop_timer_set(loop, &read[1], 200 * MS_NS, reads, &meanwhile);
	loop_timer_set(loop, &later, 100 * MS_NS, reboots, NULL);
	loop_timer_set(loop, &end, 2500 * MS_NS, no_more, NULL);
	CHECK_EQ(monitor_run(loop, t, "guest", false), 0);
	CHECK_STR(fake.did, "retrieve 5, retrieve 5, destroy 5, create 6, unpause 6, ");
	made = fake.domains[0];
	close(claim);
	toolstack_close(t);
	loop_free(loop);
	CHECK_EQ(fake.open, 0);
	return made;
}

static void lowered(struct fake_domain *d)
{
	CHECK_EQ(guest_claim_note_cap(claim, 5, 40), 0);
	fake_node_set("/libxl/5/vstor-weight", "512");
	d->cap = 3;
	d->weight = 32;
}

static void forget(void)
{
	guest_claim_forget_cap(claim);
	fake_node_set("/libxl/5/vstor-weight", NULL);
}

static void slowed(struct fake_domain *d)
{
	d->cap = 3;
	d->weight = 300;
}

static void note_no_cap(void)
{
	CHECK_EQ(guest_claim_note_cap(claim, 5, 0), 0);
}

/* Of a domain that had the guest's uuid before. */
static void note_others(void)
{
	CHECK_EQ(guest_claim_note_cap(claim, 4, 70), 0);
}

static void test_reboot(void)
{
	struct fake_domain made = reboot(slowed, note_others);

	CHECK_EQ(made.cap, 3);
	CHECK_EQ(made.weight, 300);
}

/* What is put back, or lowered, while the configuration is being read. */
static void test_reboot_while_slowed_down(void)
{
	struct fake_domain made = reboot(lowered, forget);

	CHECK_EQ(made.cap, 40);
	CHECK_EQ(made.weight, 512);
	made = reboot(slowed, note_no_cap);
	CHECK_EQ(made.cap, 0);
	CHECK_EQ(made.weight, 300);
}

int main(void)
{
	if (!mkdtemp(dir))
		return 1;
	guest_claim_dir = dir;
	log_set_level("error");
	CHECK_RUN(test_the_configuration_decides);
	CHECK_RUN(test_circles_slow_down);
	CHECK_RUN(test_reboot);
	CHECK_RUN(test_reboot_while_slowed_down);
	return check_remove(dir) != 0 || CHECK_DONE();
}
