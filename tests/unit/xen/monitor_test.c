/* SPDX-License-Identifier: BSD-2-Clause */
/* What is done with a guest that has shut down, and how soon. */
#include "xen/monitor.h"

#include "tests/unit/check.h"

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

int main(void)
{
	CHECK_RUN(test_the_configuration_decides);
	CHECK_RUN(test_circles_slow_down);
	return CHECK_DONE();
}
