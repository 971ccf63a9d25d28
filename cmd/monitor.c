/* SPDX-License-Identifier: BSD-2-Clause */
/* vstor monitor: sees to a guest's reboot, poweroff and crash, as the xl that creates a guest does.
 */
#include <errno.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cmd/cmd.h"
#include "core/log.h"
#include "core/opts.h"
#include "xen/monitor.h"

static int monitor(const char *domain, bool announce)
{
	struct loop *l = loop_new();
	struct toolstack *t;
	int status = 1;

	if (!l) {
		log_error("%s", strerror(errno));
		return 1;
	}
	if (toolstack_open(l, &t) == 0) {
		status = monitor_run(l, t, domain, announce);
		toolstack_close(t);
	}
	loop_free(l);
	return status;
}

int cmd_monitor(int argc, char **argv)
{
	bool announce = false;
	const struct opt table[] = {
		{.name = "announce",
		 .type = OPT_FLAG,
		 .out = &announce,
		 .help = "tell the network first that the guest is here"},
		{.type = OPT_END},
	};
	const struct opts o = {
		.name = "monitor",
		.synopsis = "[--announce] DOMAIN",
		.description =
			"Does what a guest's on_poweroff, on_reboot, on_crash and on_watchdog say, "
			"until "
			"it\nhas come to its end. `vstor receive` starts one for each guest.",
		.table = table,
		.min_operands = 1,
		.max_operands = 1,
	};
	int rc;

	/* Nothing of whoever started us stays open. */
	syscall(SYS_close_range, 3u, ~0u, 0u);
	prctl(PR_SET_NAME, "vstor-monitor", 0, 0, 0); /* not "exe" */
	rc = opts_parse(&o, argc, argv);
	return rc < 0 ? opts_exit(rc) : monitor(argv[1], announce);
}
