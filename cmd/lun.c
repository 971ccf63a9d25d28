/* SPDX-License-Identifier: BSD-2-Clause */
/* vstor lun: the LUNs of a running target. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmd/cmd.h"
#include "cmd/control_client.h"
#include "cmd/target_config.h"
#include "core/log.h"
#include "core/opts.h"
#include "net/control.h"

/* As lun_setup_parse() takes it. */
static char *escaped(const char *path)
{
	char *out = malloc(2 * strlen(path) + 1), *to = out;
	if (!out)
		return NULL;
	for (; *path; path++) {
		if (*path == ',' || *path == '\\')
			*to++ = '\\';
		*to++ = *path;
	}
	*to = '\0';
	return out;
}

/* The target has another working directory, perhaps: PATH of PATH[,KEY=VALUE...] in full. */
static int full_word(const char *word, char **out)
{
	char *directory, *prefix;
	int n;
	*out = NULL;
	if (*word == '/')
		return (*out = strdup(word)) ? 0 : -1;
	directory = realpath(".", NULL);
	prefix = directory ? escaped(directory) : NULL;
	n = prefix ? asprintf(out, "%s/%s", prefix, word) : -1;
	free(prefix);
	free(directory);
	return n < 0 ? -1 : 0;
}

/* The target has no rights to open anything: it gets the file that we have opened. */
static int add_open(const char *path, const char *word)
{
	const char *const words[] = {"lun", "add", word};
	struct lun_setup setup;
	bool created = false;
	int status = 1, fd;
	if (lun_setup_parse(&setup, word, "", "vstor lun add")) {
		lun_setup_free(&setup);
		return 2;
	}
	fd = disk_open_file(setup.c.path, &setup.c.disk, &created);
	if (fd >= 0) {
		status = control_ask(path, words, 3, fd);
		close(fd);
	}
	if (status && created)
		unlink(setup.c.path);
	lun_setup_free(&setup);
	return status;
}

static int add(const char *path, const char *word)
{
	char *full;
	int status;
	if (full_word(word, &full)) {
		log_error("%s: cannot tell the full path; name it in full", word);
		return 1;
	}
	status = add_open(path, full);
	free(full);
	return status;
}

/* What cannot be meant, whatever the target has: logged. */
static bool malformed(const char *number, const char *size)
{
	uint64_t n;
	if (parse_u64(number, &n))
		log_error("'%s' is not the number of a LUN; vstor lun list shows them", number);
	else if (parse_size(size, &n))
		log_error("'%s' is not a size in bytes (such as 4096, 64k or 20G)", size);
	else
		return false;
	return true;
}

int cmd_lun(int argc, char **argv)
{
	const char *path = CONTROL_DEFAULT, *target = "-";
	bool json = false;
	const struct opt table[] = {
		{"control", OPT_STRING, &path, "SOCKET",
		 "the target's control socket (default: " CONTROL_DEFAULT ")", .min = 0},
		{"target", OPT_STRING, &target, "IQN",
		 "whose LUN N is meant (default: that of --name, or the only one)", .min = 0},
		{.type = OPT_END},
	};
	const struct opts opts = {
		.name = "lun",
		.synopsis = "list | add PATH[,KEY=VALUE...] | remove N | resize N [SIZE] | "
			    "acknowledge N",
		.description = "Lists the LUNs of a running vstor target, or changes them: "
			       "sessions stay, and get to know.",
		.table = table,
		.json = &json,
		.min_operands = 1,
		.max_operands = 3,
		.epilog =
			"  add      with the keys of vstor target --lun\n"
			"  remove   refuses new commands, finishes those that are under way, "
			"closes\n"
			"  resize   to the size that the file or device has by now; SIZE lengthens "
			"a file first\n"
			"  acknowledge   a failed flush is known: flushes succeed again when they "
			"do",
	};
	int n = opts_parse(&opts, argc, argv);
	const char *verb = n > 0 ? argv[1] : "", *which = n > 1 ? argv[2] : "";

	if (n < 0)
		return opts_exit(n);
	if (strcmp(verb, "list") == 0 && n == 1) {
		const char *const words[] = {"lun", "list", "json"};
		return control_ask(path, words, json ? 3 : 2, -1);
	}
	if (strcmp(verb, "add") == 0 && n == 2)
		return add(path, which);
	if ((strcmp(verb, "remove") == 0 || strcmp(verb, "acknowledge") == 0) && n == 2) {
		const char *const words[] = {"lun", verb, which, target};
		if (malformed(which, "0"))
			return 2;
		return control_ask(path, words, 4, -1);
	}
	if (strcmp(verb, "resize") == 0 && n >= 2) {
		const char *size = n == 3 ? argv[3] : "0";
		const char *const words[] = {"lun", "resize", which, size, target};
		if (malformed(which, size))
			return 2;
		return control_ask(path, words, 5, -1);
	}
	log_error("vstor lun %s: usage: vstor lun %s", verb, opts.synopsis);
	return 2;
}
