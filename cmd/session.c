/* SPDX-License-Identifier: BSD-2-Clause */
/* vstor session: who is logged in at a running target. */
#include <string.h>

#include "cmd/cmd.h"
#include "cmd/control_client.h"
#include "core/log.h"
#include "core/opts.h"
#include "net/control.h"

int cmd_session(int argc, char **argv)
{
	const char *path = CONTROL_DEFAULT;
	bool json = false;
	const struct opt table[] = {
		{"control", OPT_STRING, &path, "SOCKET",
		 "the target's control socket (default: " CONTROL_DEFAULT ")", .min = 0},
		{.type = OPT_END},
	};
	const struct opts opts = {
		.name = "session",
		.synopsis = "list | drop ID|IQN",
		.description = "Lists the sessions of a running vstor target, or closes one, or "
			       "all of an initiator.",
		.table = table,
		.json = &json,
		.min_operands = 1,
		.max_operands = 2,
		.epilog = "An initiator that still wants its disks logs in anew.",
	};
	int n = opts_parse(&opts, argc, argv);

	if (n < 0)
		return opts_exit(n);
	if (strcmp(argv[1], "list") == 0 && n == 1) {
		const char *const words[] = {"session", "list", "json"};
		return control_ask(path, words, json ? 3 : 2, -1);
	}
	if (strcmp(argv[1], "drop") == 0 && n == 2) {
		const char *const words[] = {"session", "drop", argv[2]};
		return control_ask(path, words, 3, -1);
	}
	log_error("vstor session %s: usage: vstor session %s", argv[1], opts.synopsis);
	return 2;
}
