/* SPDX-License-Identifier: BSD-2-Clause */
/* The table of subcommands, and how argv chooses one. */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "cmd/cmd.h"
#include "core/bytes.h"
#include "core/log.h"
#include "core/opts.h"
#include "xen/release.h"
#include "xen/copy/save_helper.h"

static const struct command {
	const char *name;
	int (*main)(int argc, char **argv);
	const char *summary; /* NULL: not for people */
	bool xen;	     /* talks to the hypervisor, which takes the binary of its release */
} commands[] = {
	{"target", cmd_target, "serve files or block devices as iSCSI disks", false},
	{"status", cmd_status, "tell what a running target does", false},
	{"lun", cmd_lun, "list, add, remove, resize or acknowledge LUNs of a running target",
	 false},
	{"session", cmd_session, "list or drop the sessions of a running target", false},
	{"discover", cmd_discover, "list the targets of a storage server", false},
	{"attach", cmd_attach, "attach a LUN to this host as a block device", false},
	{"detach", cmd_detach, "take an attached LUN away", false},
	{"migrate", cmd_migrate, "move a running Xen guest to another host", true},
	{"receive", cmd_receive, "the other end of migrate", true},
	{"recover", cmd_recover, "say where a guest is after a broken migration, resume it", true},
	{"takeover", cmd_takeover, "start a guest here whose host is dead", true},
	{"evacuate", cmd_evacuate, "move every guest of this host to others", true},
	{"balance", cmd_balance, "spread guests over hosts by memory and CPU load", true},
	{"bench", cmd_bench, "measure disk, CPU, memory or network", false},
	{"block-vstor", cmd_block_script, NULL, true},
	{"keeper", cmd_keeper, NULL, false},
	{"monitor", cmd_monitor, NULL, true},
	{"watch", cmd_watch, NULL, true},
	{"libxl-save-helper", save_helper_main, NULL, true},
};

static const struct command *find(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	return NULL;
}

static void usage(void)
{
	puts("usage: vstor SUBCOMMAND [options]\n");
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		if (commands[i].summary)
			printf("  %-10s %s\n", commands[i].name, commands[i].summary);
	puts("\n`vstor SUBCOMMAND --help` tells the options of each.");
}

/* all: argv as the process was given it. */
static int run(const struct command *c, int argc, char **argv, char **all)
{
	static char ident[48];

	if (c->xen && release_hand_over(all))
		return 1;
	snprintf(ident, sizeof(ident), "vstor %s", c->name);
	log_init(ident);
	/* A peer that is gone is an error of the call that finds out, in every role: splice(2) has
	 * no flag for that. The save helper's is libxl's business. */
	signal(SIGPIPE, SIG_IGN);
	return c->main(argc, argv);
}

/* vstor help SUBCOMMAND is vstor SUBCOMMAND --help, which reads the rest as its own words. */
static int help(char **argv)
{
	char option[] = "--help", *words[] = {argv[2], option, NULL};
	char *all[] = {argv[0], argv[2], option, NULL};
	const struct command *c = find(argv[2]);

	if (c && c->summary)
		return run(c, 2, words, all);
	log_error("no subcommand '%s'; run `vstor` for the list", argv[2]);
	return 2;
}

int main(int argc, char **argv)
{
	const char *base = strrchr(argv[0], '/');
	const struct command *c;

	opts_version = "vstor " VSTOR_VERSION " (Xen " VSTOR_XEN ")";
	base = base ? base + 1 : argv[0];
	if (strncmp(base, "vstor-", 6) == 0)
		base += 6;
	c = find(base);
	if (c)
		return run(c, argc, argv, argv);
	if (argc > 2 && strcmp(argv[1], "help") == 0 && argv[2][0] != '-')
		return help(argv);
	if (argc < 2 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
	    strcmp(argv[1], "help") == 0) {
		usage();
		return 0;
	}
	if (strcmp(argv[1], "--version") == 0) {
		puts(opts_version);
		return 0;
	}
	/* libxl runs us as its save helper by way of /proc/self/exe: no name to go by. */
	if (strcmp(argv[1], "--save-domain") == 0 || strcmp(argv[1], "--restore-domain") == 0)
		return release_hand_over(argv) ? 1 : save_helper_main(argc, argv);
	c = find(argv[1]);
	if (!c) {
		log_error("no subcommand '%s'; run `vstor` for the list", argv[1]);
		return 2;
	}
	return run(c, argc - 1, argv + 1, argv);
}
