/* SPDX-License-Identifier: BSD-2-Clause */
/* What stays with a guest. vstor monitor: sees to its reboot, poweroff and crash, as the xl that
 * creates a guest does. vstor watch: sees to it that it ends before it gets I/O errors when another
 * host takes its disk. */
#include <errno.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cmd/cmd.h"
#include "core/log.h"
#include "core/opts.h"
#include "xen/fence/disk_watch.h"
#include "xen/migration/monitor.h"

struct stays {
	const char *domain;
	bool announce;
	uint64_t domid;
};

static int monitor(struct loop *l, struct toolstack *t, const struct stays *s)
{
	return monitor_run(l, t, s->domain, s->announce);
}

static int watch(struct loop *l, struct toolstack *t, const struct stays *s)
{
	return disk_watch_run(l, t, (uint32_t)s->domid);
}

static int stay(int (*with)(struct loop *l, struct toolstack *t, const struct stays *s),
		const struct stays *s)
{
	struct loop *l = loop_new();
	struct toolstack *t;
	int status = 1;

	if (!l) {
		log_error("%s", strerror(errno));
		return 1;
	}
	if (toolstack_open(l, &t) == 0) {
		status = with(l, t, s);
		toolstack_close(t);
	}
	loop_free(l);
	return status;
}

/* Nothing of whoever started us stays open, and our name is not "exe". */
static void begin(const char *name)
{
	syscall(SYS_close_range, 3u, ~0u, 0u);
	prctl(PR_SET_NAME, name, 0, 0, 0);
}

int cmd_monitor(int argc, char **argv)
{
	struct stays s = {0};
	const struct opt table[] = {
		{.name = "announce",
		 .type = OPT_FLAG,
		 .out = &s.announce,
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

	begin("vstor-monitor");
	rc = opts_parse(&o, argc, argv);
	if (rc < 0)
		return opts_exit(rc);
	s.domain = argv[1];
	return stay(monitor, &s);
}

int cmd_watch(int argc, char **argv)
{
	const struct opt table[] = {{.type = OPT_END}};
	const struct opts o = {
		.name = "watch",
		.synopsis = "DOMID",
		.description =
			"Watches the disk of a guest of this host: pauses the guest while another "
			"host is\nabout to take that, and destroys it when it is taken. The block "
			"script starts one.",
		.table = table,
		.min_operands = 1,
		.max_operands = 1,
	};
	struct stays s = {0};
	int rc;

	begin("vstor-watch");
	rc = opts_parse(&o, argc, argv);
	if (rc < 0)
		return opts_exit(rc);
	if (parse_u64(argv[1], &s.domid) || !s.domid || s.domid > UINT32_MAX) {
		log_error("%s: not the number of a guest", argv[1]);
		return 2;
	}
	return stay(watch, &s);
}
