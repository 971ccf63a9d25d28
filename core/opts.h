/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Options from one table: it parses the command line, reads the same words from a file, and prints
 * the usage text. Options and operands may be mixed; `--` ends the options; `--name=value` and
 * `--name value` are the same. Every table also has --help, --version, -v, -q, --log-level, --log,
 * and --json when opts.json is set.
 */
#ifndef CORE_OPTS_H
#define CORE_OPTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct opt_list {
	const char **v;
	unsigned *line; /* of the file that it was read from; 0: from the command line */
	size_t n;
};

enum opt_type {
	OPT_END,
	OPT_FLAG,    /* bool *: set to true */
	OPT_STRING,  /* const char **: points into argv (or a file's text) */
	OPT_LIST,    /* struct opt_list *: may be given several times */
	OPT_U64,     /* uint64_t *: a decimal number from min to max (max 0: no limit) */
	OPT_SIZE,    /* uint64_t *: bytes, with an optional k, M, G or T (powers of 1024) */
	OPT_SECONDS, /* uint64_t *: nanoseconds, from seconds that may have a fraction */
};

struct opt {
	const char *name; /* without the dashes */
	enum opt_type type;
	void *out;	  /* set only when the option is given: put the default there first */
	const char *arg;  /* the argument's name in the usage text; NULL for flags */
	const char *help; /* one line; names the default */
	uint64_t min, max;
};

struct opts {
	const char *name;	 /* "target": as in `vstor target` */
	const char *synopsis;	 /* "--lun PATH [options]" */
	const char *description; /* one or two lines */
	const struct opt *table; /* ends with OPT_END */
	bool *json;		 /* where --json is noted; NULL: the subcommand has none */
	unsigned min_operands, max_operands; /* how many operands there must be */
	const char *epilog;		     /* printed after the options; may be NULL */
	bool keep_log; /* what a file says of the log is looked at, but not put into force */
};

/* opts_parse() results other than an operand count */
#define OPTS_DONE  -1 /* --help or --version was printed: exit 0 */
#define OPTS_USAGE -2 /* the error is logged: exit 2 */

/* What --version prints, e.g. "vstor 0.1.0 (Xen 4.17.5)". Set once by main. */
extern const char *opts_version;

/*
 * Parses argv[1..]; moves the operands to argv[1..n] and returns their count n, or OPTS_DONE or
 * OPTS_USAGE. Also sets the log's level and destination.
 */
int opts_parse(const struct opts *o, int argc, char **argv);
/* The exit status for a negative result of opts_parse(). */
int opts_exit(int result);

/*
 * Reads `key = value` lines (the same words as on the command line, --log and --log-level among
 * them; `#` starts a comment; a flag stands alone). `fd`: path, open for reading, which this
 * closes; or -errno: why it is not. *text gets what the values point to, to be freed after their
 * use. Returns 0; 1, logged: the file cannot be read; or OPTS_USAGE, logged with file and line.
 */
int opts_parse_file(const struct opts *o, const char *path, int fd, char **text);
void opts_usage(const struct opts *o, bool to_stdout);
/* Frees what OPT_LIST options gathered (the strings stay whose they are). */
void opt_list_free(struct opt_list *l);

/* Parsers of single values, for option arguments with parts. 0 or -EINVAL / -ERANGE. */
int parse_u64(const char *s, uint64_t *out);
int parse_size(const char *s, uint64_t *out);
int parse_seconds(const char *s, uint64_t *ns);

#endif
