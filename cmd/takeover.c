/* SPDX-License-Identifier: BSD-2-Clause */
/* vstor takeover: a guest whose host is dead goes on here, from its disk. */
#include <errno.h>
#include <string.h>

#include "cmd/cmd.h"
#include "core/log.h"
#include "core/opts.h"
#include "xen/migration/takeover.h"

static int run(const struct takeover_options *o)
{
	struct loop *l = loop_new();
	struct toolstack *t = NULL;
	int status = 1;

	if (!l)
		log_error("%s", strerror(errno));
	else if (toolstack_open(l, &t) == 0)
		status = takeover_run(l, t, o);
	toolstack_close(t);
	loop_free(l);
	return status;
}

int cmd_takeover(int argc, char **argv)
{
	struct takeover_options t = {0};
	const struct opt table[] = {
		{.name = "config",
		 .type = OPT_STRING,
		 .out = &t.config,
		 .arg = "FILE",
		 .help = "the guest's configuration, as for `xl create`, or as `xl list -l` prints "
			 "it (default: what this host has been given of it)"},
		{.name = "force",
		 .type = OPT_FLAG,
		 .out = &t.force,
		 .help = "although the old host still answers, or cannot be fenced"},
		{.type = OPT_END},
	};
	const struct opts o = {
		.name = "takeover",
		.synopsis = "[--config FILE] [--force] DOMAIN",
		.description = "When the host of a guest is dead: takes the guest's disks from it, "
			       "so that "
			       "it can\nno longer write to them, and starts the guest here.",
		.table = table,
		.min_operands = 1,
		.max_operands = 1,
		.epilog = "Exit status: 0 it runs here; 1 it does not, and the message says why; 2 "
			  "usage.\n",
	};
	int rc = opts_parse(&o, argc, argv);

	if (rc < 0)
		return opts_exit(rc);
	t.domain = argv[1];
	return run(&t);
}
