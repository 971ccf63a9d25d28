/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/opts.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/log.h"
#include "core/loop.h"
#include "tests/unit/check.h"

static bool flag, json;
static const char *string;
static struct opt_list list;
static uint64_t number, size, seconds;

static const struct opt table[] = {
	{"flag", OPT_FLAG, &flag, NULL, "a flag", 0, 0},
	{"string", OPT_STRING, &string, "TEXT", "a string (default none)", 0, 0},
	{"list", OPT_LIST, &list, "ITEM", "a list", 0, 0},
	{"number", OPT_U64, &number, "N", "a number (default 5)", 2, 10},
	{"size", OPT_SIZE, &size, "SIZE", "a size (default 0)", 0, 0},
	{"seconds", OPT_SECONDS, &seconds, "S", "a time (default 0)", 0, 3600 * SEC_NS},
	{0},
};
static struct opts opts = {
	.name = "test",
	.synopsis = "[options] [OPERAND]...",
	.description = "Tests.",
	.table = table,
	.json = &json,
	.max_operands = 2,
	.epilog = "The end.",
};

static char said[65536]; /* on stdout and stderr */
static char *args[32];

static int capture_begin(int *out, int *err)
{
	int file = open("/tmp", O_TMPFILE | O_RDWR | O_APPEND | O_CLOEXEC, 0600);

	fflush(NULL);
	*out = dup(STDOUT_FILENO);
	*err = dup(STDERR_FILENO);
	if (file < 0 || dup2(file, STDOUT_FILENO) < 0 || dup2(file, STDERR_FILENO) < 0)
		abort();
	return file;
}

static void capture_end(int file, int out, int err)
{
	ssize_t n;

	fflush(NULL);
	dup2(out, STDOUT_FILENO);
	dup2(err, STDERR_FILENO);
	close(out);
	close(err);
	n = pread(file, said, sizeof(said) - 1, 0);
	said[n < 0 ? 0 : n] = '\0';
	close(file);
}

/* Parses words separated by blanks. */
static int parse(const char *line)
{
	static char copy[1024];
	int argc = 0, rc, file, out, err;

	flag = json = false;
	string = NULL;
	number = 5;
	size = seconds = 0;
	opt_list_free(&list);
	snprintf(copy, sizeof(copy), "test %s", line);
	for (char *w = strtok(copy, " "); w; w = strtok(NULL, " "))
		args[argc++] = w;
	args[argc] = NULL;
	file = capture_begin(&out, &err);
	rc = opts_parse(&opts, argc, args);
	capture_end(file, out, err);
	return rc;
}

static unsigned lines_said(void)
{
	unsigned n = 0;

	for (const char *c = said; *c; c++)
		n += *c == '\n';
	return n;
}

static void test_nothing_keeps_the_defaults(void)
{
	CHECK_EQ(parse(""), 0);
	CHECK(!flag && !json && !string && list.n == 0);
	CHECK_EQ(number, 5);
	CHECK_STR(said, "");
}

static void test_every_type_both_ways(void)
{
	CHECK_EQ(parse("--flag --string a --list x --list=y --number 7 --size=4k --seconds 1.5"),
		 0);
	CHECK(flag);
	CHECK_STR(string, "a");
	CHECK_EQ(list.n, 2);
	CHECK_STR(list.v[0], "x");
	CHECK_STR(list.v[1], "y");
	CHECK_EQ(number, 7);
	CHECK_EQ(size, 4096);
	CHECK_EQ(seconds, 1500000000);
	CHECK_EQ(parse("--string= --json"), 0);
	CHECK_STR(string, "");
	CHECK(json);
	CHECK_EQ(parse("--string=a=b --string --flag"), 0); /* the last one counts */
	CHECK_STR(string, "--flag");
	CHECK(!flag);
}

static void test_operands_and_options_mix(void)
{
	CHECK_EQ(parse("one --flag two"), 2);
	CHECK(flag);
	CHECK_STR(args[1], "one");
	CHECK_STR(args[2], "two");
	CHECK_EQ(parse("-- --flag -v"), 2);
	CHECK(!flag);
	CHECK_STR(args[1], "--flag");
	CHECK_EQ(parse("-"), 1); /* stands for a file by custom */
	CHECK_STR(args[1], "-");
}

static void test_wrong_words_are_one_line_and_status_2(void)
{
	static const char *const wrong[] = {
		"--bogus",
		"--fla",
		"--flagg",
		"--flag=1",
		"--string",
		"--number",
		"--number x",
		"--number -1",
		"--number 1",
		"--number 11",
		"--number 0x5",
		"--number 5k",
		"--number +5",
		"--size 5x",
		"--size 4kk",
		"--size k",
		"--size -1",
		"--seconds x",
		"--seconds 1e3",
		"--seconds .5",
		"--seconds 3601",
		"-x",
		"-vx",
		"a b c",
		"--number=",
		"--number 99999999999999999999",
		"--size 99999999999T",
		"--log-level loud",
		"--log-level",
		"--log here",
		"--json=1",
		"--=",
	};

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		CHECK_EQ(parse(wrong[i]), OPTS_USAGE);
		if (!CHECK_EQ(lines_said(), 1))
			printf("# %s\n%s", wrong[i], said);
		CHECK(strncmp(said, "vstor test: ", 12) == 0);
	}
	CHECK_EQ(opts_exit(OPTS_USAGE), 2);
}

static void test_limits_are_told_in_the_options_own_words(void)
{
	parse("--seconds 3601");
	CHECK(strstr(said, "0 to 3600\n") != NULL);
	parse("--number 1");
	CHECK(strstr(said, "2 to 10\n") != NULL);
}

static void test_operand_counts(void)
{
	opts.min_operands = 1;
	CHECK_EQ(parse(""), OPTS_USAGE);
	CHECK_EQ(lines_said(), 1);
	CHECK_EQ(parse("a"), 1);
	opts.min_operands = 0;
}

static void test_help_lists_every_option(void)
{
	CHECK_EQ(parse("--help --bogus"), OPTS_DONE);
	for (const struct opt *t = table; t->type != OPT_END; t++) {
		CHECK(strstr(said, t->name) != NULL);
		CHECK(strstr(said, t->help) != NULL);
	}
	CHECK(strstr(said, "vstor test [options] [OPERAND]...") != NULL);
	CHECK(strstr(said, "--json") != NULL);
	CHECK(strstr(said, "The end.") != NULL);
	CHECK_EQ(parse("-h"), OPTS_DONE);
	CHECK_EQ(opts_exit(OPTS_DONE), 0);
}

static void test_version(void)
{
	opts_version = "vstor 1.2.3 (Xen 4.5)";
	CHECK_EQ(parse("--version"), OPTS_DONE);
	CHECK_STR(said, "vstor 1.2.3 (Xen 4.5)\n");
}

static void test_json_only_where_there_is_something_to_report(void)
{
	opts.json = NULL;
	CHECK_EQ(parse("--json"), OPTS_USAGE);
	opts.json = &json;
}

static void test_verbosity(void)
{
	log_set_level("warn");
	CHECK_EQ(parse("-v"), 0);
	CHECK_EQ(log_threshold, LOG_LEVEL_INFO);
	CHECK_EQ(parse("-vv"), 0);
	CHECK_EQ(log_threshold, LOG_LEVEL_DEBUG);
	CHECK_EQ(parse("-q"), 0);
	CHECK_EQ(log_threshold, LOG_LEVEL_ERROR);
	CHECK_EQ(parse("--log-level=info --log stderr"), 0);
	CHECK_EQ(log_threshold, LOG_LEVEL_INFO);
	log_set_level("warn");
}

static char *text_read; /* what the options point to */

static int parse_text(const char *text)
{
	char path[] = "/tmp/vstor-opts-XXXXXX";
	int fd = mkstemp(path), rc, file, out, err;

	flag = false;
	string = NULL;
	number = 5;
	opt_list_free(&list);
	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		abort();
	close(fd);
	file = capture_begin(&out, &err);
	free(text_read);
	rc = opts_parse_file(&opts, path, open(path, O_RDONLY | O_CLOEXEC), &text_read);
	capture_end(file, out, err);
	unlink(path);
	return rc;
}

static void test_file_has_the_same_words(void)
{
	CHECK_EQ(parse_text("# comment\n\n  string = some text  # why\nlist=a\nlist =b\n\tflag\n"
			    "number = 7"),
		 0);
	CHECK_STR(string, "some text");
	CHECK_EQ(list.n, 2);
	CHECK_STR(list.v[1], "b");
	CHECK(flag);
	CHECK_EQ(number, 7);
	CHECK_EQ(list.line[0], 4);
	CHECK_EQ(list.line[1], 5);
	CHECK_EQ(parse_text(""), 0);
	CHECK_EQ(list.n, 0);
}

static void test_file_sets_the_log(void)
{
	log_set_level("warn");
	CHECK_EQ(parse_text("log = stderr\nlog-level = debug\n"), 0);
	CHECK_EQ(log_threshold, LOG_LEVEL_DEBUG);
	opts.keep_log = true;
	CHECK_EQ(parse_text("log = syslog\nlog-level = error\n"), 0);
	CHECK_EQ(log_threshold, LOG_LEVEL_DEBUG);
	CHECK(!log_is_syslog());
	CHECK_EQ(parse_text("log = here"), OPTS_USAGE);
	opts.keep_log = false;
	log_set_level("warn");
}

static void test_file_errors_name_the_line(void)
{
	static const char *const wrong[] = {"flag\nbogus = 1\n",     "flag\nnumber = x\n",
					    "flag\nflag = 1\n",	     "flag\nstring\n",
					    "flag\n= 1\n",	     "flag\nnumber = 11\n",
					    "flag\nlog-level = x\n", "flag\nlog = x\n",
					    "flag\nlog\n",	     "flag\nhelp\n"};
	int file, out, err, rc;

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		CHECK_EQ(parse_text(wrong[i]), OPTS_USAGE);
		CHECK(strstr(said, ":2: ") != NULL);
		CHECK_EQ(lines_said(), 1);
	}
	file = capture_begin(&out, &err);
	free(text_read);
	rc = opts_parse_file(&opts, "/nonexistent/file", -ENOENT, &text_read);
	capture_end(file, out, err);
	CHECK_EQ(rc, 1); /* that is no wrong word */
	CHECK(strstr(said, "/nonexistent/file") != NULL);
	CHECK_EQ(lines_said(), 1);
}

static void test_single_values(void)
{
	uint64_t v;

	CHECK_EQ(parse_u64("18446744073709551615", &v), 0);
	CHECK(v == UINT64_MAX);
	CHECK_EQ(parse_u64("18446744073709551616", &v), -ERANGE);
	CHECK_EQ(parse_u64("", &v), -EINVAL);
	CHECK_EQ(parse_u64(" 1", &v), -EINVAL);
	CHECK_EQ(parse_size("16777215T", &v), 0);
	CHECK(v == 16777215ull << 40);
	CHECK_EQ(parse_size("16777216T", &v), -ERANGE);
	CHECK_EQ(parse_size("2K", &v), 0);
	CHECK_EQ(v, 2048);
	CHECK_EQ(parse_size("1M", &v), 0);
	CHECK_EQ(v, 1 << 20);
	CHECK_EQ(parse_size("3G", &v), 0);
	CHECK_EQ(v, 3ll << 30);
	CHECK_EQ(parse_seconds("0.000000001", &v), 0);
	CHECK_EQ(v, 1);
	CHECK_EQ(parse_seconds("0.0000000019", &v), 0);
	CHECK_EQ(v, 1);
	CHECK_EQ(parse_seconds("10", &v), 0);
	CHECK_EQ(v, 10000000000ll);
	CHECK_EQ(parse_seconds("99999999999", &v), -ERANGE);
	CHECK_EQ(parse_seconds("1.2.3", &v), -EINVAL);
}

int main(void)
{
	log_init("vstor test");
	CHECK_RUN(test_nothing_keeps_the_defaults);
	CHECK_RUN(test_every_type_both_ways);
	CHECK_RUN(test_operands_and_options_mix);
	CHECK_RUN(test_wrong_words_are_one_line_and_status_2);
	CHECK_RUN(test_limits_are_told_in_the_options_own_words);
	CHECK_RUN(test_operand_counts);
	CHECK_RUN(test_help_lists_every_option);
	CHECK_RUN(test_version);
	CHECK_RUN(test_json_only_where_there_is_something_to_report);
	CHECK_RUN(test_verbosity);
	CHECK_RUN(test_file_has_the_same_words);
	CHECK_RUN(test_file_sets_the_log);
	CHECK_RUN(test_file_errors_name_the_line);
	CHECK_RUN(test_single_values);
	opt_list_free(&list);
	free(text_read);
	return CHECK_DONE();
}
