/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdio.h>
#include <string.h>

#include "cmd/bench/bench.h"
#include "cmd/cmd.h"
#include "core/bytes.h"
#include "core/log.h"
#include "core/opts.h"

static const struct load_kind *const kinds[] = {&load_disk, &load_cpu, &load_memory};

static const struct command {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *summary;
	bool load;
} commands[] = {
	{"ping", bench_ping, "how long a host does not answer: losses, gaps, round-trip times",
	 true},
	{"exec", bench_exec, "any program: the figures in what it prints", true},
	{"host", bench_host, "no load: how busy the CPUs of this machine are", true},
	{"migrate", bench_migrate, "moves a guest under load, and measures what that costs", false},
	{"storage", bench_storage, "a remote disk against a local one", false},
	{"agent", bench_agent, "runs loads in a guest for `bench migrate`", false},
	{"report", bench_report, "tables and plots of runs, side by side", false},
};

bool bench_is_load(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if (strcmp(kinds[i]->name, name) == 0)
			return true;
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		if (strcmp(commands[i].name, name) == 0)
			return commands[i].load;
	return false;
}

static void usage(FILE *f)
{
	fputs("usage: vstor bench LOAD [options]\n\n", f);
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		fprintf(f, "  %-8s %s\n", kinds[i]->name, kinds[i]->summary);
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		fprintf(f, "  %-8s %s\n", commands[i].name, commands[i].summary);
	fputs("\nA load prints a line a second and a summary at the end, or at SIGINT or SIGTERM.\n"
	      "`vstor bench LOAD --help` tells the options of each.\n",
	      f);
}

int cmd_bench(int argc, char **argv)
{
	static char ident[48];

	if (argc < 2) {
		usage(stderr);
		return 2;
	}
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
		usage(stdout);
		return 0;
	}
	if (strcmp(argv[1], "--version") == 0) {
		puts(opts_version);
		return 0;
	}
	if (snprintf(ident, sizeof(ident), "vstor bench %s", argv[1]) < (int)sizeof(ident)) {
		for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
			if (strcmp(argv[1], kinds[i]->name) == 0) {
				log_init(ident);
				return bench_load(kinds[i], argc - 1, argv + 1);
			}
		for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
			if (strcmp(commands[i].name, argv[1]) == 0) {
				log_init(ident);
				return commands[i].run(argc - 1, argv + 1);
			}
	}
	log_error("no load '%s'; run `vstor bench` for the list", argv[1]);
	return 2;
}
