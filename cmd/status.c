/* SPDX-License-Identifier: BSD-2-Clause */
/* vstor status: what a running target does; and how all its clients ask it. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cmd/cmd.h"
#include "cmd/control_client.h"
#include "core/log.h"
#include "core/opts.h"
#include "net/control.h"

int control_ask(const char *path, const char *const *words, unsigned n, int file)
{
	struct buf text = {0};
	int rc = control_call(path, words, n, file, &text);

	if (rc == -ENOENT || rc == -ECONNREFUSED)
		log_error("%s: no target answers there; is vstor target running, and with this "
			  "--control?",
			  path);
	else if (rc == -EPROTO)
		log_error("%s: the target ended before it answered", path);
	else if (rc < 0)
		log_error("%s: %s", path, strerror(-rc));
	else if (rc)
		log_error("%.*s", (int)text.len, (const char *)text.data);
	else if (text.len && fwrite(text.data, text.len, 1, stdout) != 1)
		rc = 1;
	buf_free(&text);
	if (rc == 0 && fflush(stdout)) {
		log_error("standard output: %s", strerror(errno));
		rc = 1;
	}
	return rc != 0;
}

int cmd_status(int argc, char **argv)
{
	const char *path = CONTROL_DEFAULT;
	bool json = false;
	const struct opt table[] = {
		{"control", OPT_STRING, &path, "SOCKET",
		 "the target's control socket (default: " CONTROL_DEFAULT ")", .min = 0},
		{.type = OPT_END},
	};
	const struct opts opts = {
		.name = "status",
		.synopsis = "[--control SOCKET] [--json]",
		.description = "Tells what a running vstor target serves, to whom, and how fast.",
		.table = table,
		.json = &json,
	};
	const char *const words[] = {"status", "json"};
	int n = opts_parse(&opts, argc, argv);

	return n < 0 ? opts_exit(n) : control_ask(path, words, json ? 2 : 1, -1);
}
