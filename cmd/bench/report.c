/* SPDX-License-Identifier: BSD-2-Clause */
/* vstor bench report: tables and plots of runs. */
#include "cmd/bench/report.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/bench/bench.h"
#include "core/log.h"
#include "core/opts.h"

#define RUNS_MAX 64

/* Whole or not at all. 0, or an exit status after an error line. */
static int write_page(const struct findings *all, const char *path)
{
	char *name = NULL;
	FILE *f = NULL;
	int err = 0;

	if (asprintf(&name, "%s.new", path) < 0) {
		log_error("%s: out of memory", path);
		return 1;
	}
	f = fopen(name, "we");
	if (f) {
		report_html(f, all);
		err = ferror(f);
		err |= fclose(f);
	}
	if (!f || err || rename(name, path) < 0) {
		log_error("%s: cannot be written: %s", path, strerror(errno));
		if (f)
			remove(name);
		err = 1;
	}
	free(name);
	return err ? 1 : 0;
}

/* Runs of one name are told apart by numbers. */
static void number_runs(struct run *run, int n)
{
	for (int i = 0; i < n; i++) {
		char first[sizeof(run[i].title)];
		int count = 1;

		snprintf(first, sizeof(first), "%s", run[i].title);
		for (int k = i + 1; k < n; k++)
			if (strcmp(run[k].title, first) == 0)
				snprintf(run[k].title, sizeof(run[k].title), "%.80s (%d)", first,
					 ++count);
	}
}

int bench_report(int argc, char **argv)
{
	const char *output = NULL;
	bool csv = false;
	const struct opt table[] = {
		{"output", OPT_STRING, &output, "FILE",
		 "write a page for a browser (also: -o FILE; default: text)", 0, 0},
		{"csv", OPT_FLAG, &csv, NULL, "print the samples as comma-separated values", 0, 0},
		{0},
	};
	const struct opts o = {
		.name = "bench report",
		.synopsis = "RUN.json... [-o FILE.html]",
		.description = "Tables and plots of runs, side by side: what `vstor bench ... "
			       "--json`,\n`vstor bench migrate` and `vstor migrate --json` wrote.",
		.table = table,
		.min_operands = 1,
		.max_operands = RUNS_MAX,
	};
	struct run run[RUNS_MAX];
	struct findings all = {0};
	int n, read = 0, status = 0;

	for (int i = 1; i < argc; i++)
		if (strcmp(argv[i], "-o") == 0)
			argv[i] = "--output";
	n = opts_parse(&o, argc, argv);
	if (n < 0)
		return opts_exit(n);
	while (read < n && !status)
		status = run_read(&run[read], argv[read + 1]) ? 1 : 0, read++;
	if (!status)
		number_runs(run, n);
	if (!status && findings_make(&all, run, (size_t)n)) {
		log_error("out of memory for %d runs", n);
		status = 1;
	}
	if (!status) {
		if (csv)
			report_csv(stdout, &all);
		if (output)
			status = write_page(&all, output);
		if (!csv && !output)
			report_text(stdout, &all);
	}
	findings_free(&all);
	while (read-- > 0)
		run_free(&run[read]);
	return status;
}
