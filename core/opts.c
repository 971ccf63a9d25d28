/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/opts.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/bytes.h"
#include "core/log.h"
#include "core/loop.h"

const char *opts_version = "vstor";

int parse_u64(const char *s, uint64_t *out)
{
	char *end;
	if (!isdigit((unsigned char)*s)) /* strtoull would take a sign and blanks */
		return -EINVAL;
	errno = 0;
	*out = strtoull(s, &end, 10);
	return errno ? -ERANGE : *end ? -EINVAL : 0;
}

int parse_size(const char *s, uint64_t *out)
{
	static const char units[] = "kMGT";
	char *end;
	const char *u;
	uint64_t v;
	if (!isdigit((unsigned char)*s))
		return -EINVAL;
	errno = 0;
	v = strtoull(s, &end, 10);
	if (errno)
		return -ERANGE;
	if (*end) {
		u = strchr(units, *end == 'K' ? 'k' : *end);
		if (!u || end[1])
			return -EINVAL;
		unsigned shift = 10u * (unsigned)(u - units + 1);
		if (v > UINT64_MAX >> shift)
			return -ERANGE;
		v <<= shift;
	}
	*out = v;
	return 0;
}

int parse_seconds(const char *s, uint64_t *ns)
{
	uint64_t whole = 0, frac = 0, unit = SEC_NS;
	if (!isdigit((unsigned char)*s))
		return -EINVAL;
	for (; isdigit((unsigned char)*s); s++) {
		whole = whole * 10 + (uint64_t)(*s - '0');
		if (whole > 1000000000)
			return -ERANGE;
	}
	if (*s == '.')
		for (s++; isdigit((unsigned char)*s); s++) {
			unit /= 10;
			frac += (uint64_t)(*s - '0') * unit;
		}
	if (*s)
		return -EINVAL;
	*ns = whole * SEC_NS + frac;
	return 0;
}

static int list_add(struct opt_list *l, const char *s, unsigned line)
{
	const char **v = realloc(l->v, (l->n + 1) * sizeof(*v));
	unsigned *lines;
	if (!v)
		return -ENOMEM;
	l->v = v;
	lines = realloc(l->line, (l->n + 1) * sizeof(*lines));
	if (!lines)
		return -ENOMEM;
	l->line = lines;
	l->line[l->n] = line;
	l->v[l->n++] = s;
	return 0;
}

void opt_list_free(struct opt_list *l)
{
	free(l->v);
	free(l->line);
	*l = (struct opt_list){0};
}

static const struct opt *find(const struct opts *o, const char *name, size_t len)
{
	for (const struct opt *t = o->table; t->type != OPT_END; t++)
		if (strlen(t->name) == len && memcmp(t->name, name, len) == 0)
			return t;
	return NULL;
}

/* A limit in the words the option is given in. */
static void format_limit(char out[static 32], enum opt_type type, uint64_t v)
{
	if (type == OPT_SECONDS)
		snprintf(out, 32, "%.15g", (double)v / (double)SEC_NS);
	else
		snprintf(out, 32, "%llu", (unsigned long long)v);
}

/* Stores val for t; the logged error names the option as `where` wrote it. */
static int store(const struct opt *t, const char *val, const char *where, unsigned line)
{
	uint64_t v;
	int rc = 0;
	switch (t->type) {
	case OPT_FLAG: *(bool *)t->out = true; return 0;
	case OPT_STRING: *(const char **)t->out = val; return 0;
	case OPT_LIST: return list_add(t->out, val, line);
	case OPT_U64: rc = parse_u64(val, &v); break;
	case OPT_SIZE: rc = parse_size(val, &v); break;
	case OPT_SECONDS: rc = parse_seconds(val, &v); break;
	case OPT_END: return -EINVAL;
	}
	if (rc) {
		log_error("%s%s: '%s' is not %s", where, t->name, val,
			  t->type == OPT_SIZE	   ? "a size in bytes (such as 4096, 64k or 20G)"
			  : t->type == OPT_SECONDS ? "a number of seconds (such as 5 or 0.25)"
						   : "a whole number");
		return rc;
	}
	if (v < t->min || (t->max && v > t->max)) {
		char low[32], high[32];

		format_limit(low, t->type, t->min);
		format_limit(high, t->type, t->max);
		log_error("%s%s: %s is out of range: %s%s%s%s", where, t->name, val,
			  t->max ? "" : "at least ", low, t->max ? " to " : "", t->max ? high : "");
		return -ERANGE;
	}
	*(uint64_t *)t->out = v;
	return 0;
}

/* --log-level, or --log; keep: it is only looked at. */
static int set_log(bool destination, const char *val, bool keep, const char *where)
{
	const enum log_level was = log_threshold;
	int rc = 0;
	if (!destination)
		rc = log_set_level(val);
	else if (!keep)
		rc = log_set_destination(val);
	else if (strcmp(val, "stderr") != 0 && strcmp(val, "syslog") != 0)
		rc = -EINVAL;
	if (keep)
		log_threshold = was;
	if (rc)
		log_error("%s%s: '%s' is not one of %s", where, destination ? "log" : "log-level",
			  val, destination ? "stderr, syslog" : "error, warn, info, debug");
	return rc;
}

/* Options that every table has. 1: taken, with *used_value set when `val` was needed. */
static int common(const struct opts *o, const char *name, size_t len, const char *val,
		  bool *used_value)
{
	*used_value = false;
#define IS(s) (len == strlen(s) && memcmp(name, s, len) == 0)
	if (IS("help")) {
		opts_usage(o, true);
		return OPTS_DONE;
	}
	if (IS("version")) {
		puts(opts_version);
		return OPTS_DONE;
	}
	if (IS("json") && o->json) {
		*o->json = true;
		return 1;
	}
	if (IS("log-level") || IS("log")) {
		*used_value = true;
		if (!val) {
			log_error("--%.*s needs a value; `vstor %s --help` tells which", (int)len,
				  name, o->name);
			return OPTS_USAGE;
		}
		return set_log(IS("log"), val, false, "--") ? OPTS_USAGE : 1;
	}
#undef IS
	return 0;
}

static int short_option(const struct opts *o, const char *arg)
{
	for (const char *c = arg + 1; *c; c++) {
		switch (*c) {
		case 'v':
			if (log_threshold < LOG_LEVEL_DEBUG)
				log_threshold++;
			break;
		case 'q': log_threshold = LOG_LEVEL_ERROR; break;
		case 'h': opts_usage(o, true); return OPTS_DONE;
		default:
			log_error("unknown option '-%c'; `vstor %s --help` lists them", *c,
				  o->name);
			return OPTS_USAGE;
		}
	}
	return 0;
}

/* One long option, argv[*i] (and perhaps the next). */
static int long_option(const struct opts *o, int argc, char **argv, int *i)
{
	const char *name = argv[*i] + 2, *eq = strchr(name, '=');
	size_t len = eq ? (size_t)(eq - name) : strlen(name);
	const char *val = eq ? eq + 1 : *i + 1 < argc ? argv[*i + 1] : NULL;
	bool used_value;
	const struct opt *t = find(o, name, len);

	if (!t) {
		int rc = common(o, name, len, val, &used_value);
		if (rc == 0) {
			log_error("unknown option '--%.*s'; `vstor %s --help` lists them", (int)len,
				  name, o->name);
			return OPTS_USAGE;
		}
		if (rc < 0)
			return rc;
	} else {
		used_value = t->type != OPT_FLAG;
		if (used_value && !val) {
			log_error("--%s needs a value: %s", t->name, t->arg);
			return OPTS_USAGE;
		}
		if (used_value || !eq)
			if (store(t, val, "--", 0))
				return OPTS_USAGE;
	}
	if (!used_value && eq) {
		log_error("--%.*s takes no value", (int)len, name);
		return OPTS_USAGE;
	}
	if (used_value && !eq)
		++*i;
	return 0;
}

int opts_parse(const struct opts *o, int argc, char **argv)
{
	unsigned n = 0;
	bool only_operands = false;
	for (int i = 1; i < argc; i++) {
		const char *a = argv[i];
		int rc = 0;
		if (only_operands || a[0] != '-' || a[1] == '\0')
			argv[1 + n++] = argv[i];
		else if (strcmp(a, "--") == 0)
			only_operands = true;
		else if (a[1] == '-')
			rc = long_option(o, argc, argv, &i);
		else
			rc = short_option(o, a);
		if (rc < 0)
			return rc;
	}
	if (n < o->min_operands) {
		log_error("too few arguments: vstor %s %s", o->name, o->synopsis);
		return OPTS_USAGE;
	}
	if (n > o->max_operands) {
		log_error("unexpected argument '%s': vstor %s %s", argv[1 + o->max_operands],
			  o->name, o->synopsis);
		return OPTS_USAGE;
	}
	return (int)n;
}

int opts_exit(int result)
{
	return result == OPTS_DONE ? 0 : 2;
}

static char *trim(char *s)
{
	char *end;
	while (isspace((unsigned char)*s))
		s++;
	end = s + strlen(s);
	while (end > s && isspace((unsigned char)end[-1]))
		end--;
	*end = '\0';
	return s;
}

static int parse_line(const struct opts *o, char *line, const char *where, unsigned no)
{
	char *key, *eq, *val = NULL;
	const struct opt *t;
	bool destination, level;
	if ((key = strchr(line, '#')))
		*key = '\0';
	key = trim(line);
	if (!*key)
		return 0;
	eq = strchr(key, '=');
	if (eq) {
		*eq = '\0';
		val = trim(eq + 1);
		key = trim(key);
	}
	t = find(o, key, strlen(key));
	destination = !t && strcmp(key, "log") == 0;
	level = !t && strcmp(key, "log-level") == 0;
	if (!t && !destination && !level) {
		log_error("%sunknown key '%s'; `vstor %s --help` lists them, without the dashes",
			  where, key, o->name);
		return -EINVAL;
	}
	if ((t && t->type == OPT_FLAG) != !val) {
		log_error("%s%s %s", where, key, val ? "takes no value" : "needs a value");
		return -EINVAL;
	}
	return t ? store(t, val, where, no) : set_log(destination, val, o->keep_log, where);
}

int opts_parse_file(const struct opts *o, const char *path, int fd, char **text)
{
	FILE *f = fd < 0 ? NULL : fdopen(fd, "r");
	char *rest, *line, where[320];
	size_t cap = 0;
	unsigned no = 0;
	ssize_t n;
	int rc = 0;
	bool unread = false;
	*text = NULL;
	if (!f) {
		log_error("%s: %s; --config names a readable file", path,
			  strerror(fd < 0 ? -fd : errno));
		if (fd >= 0)
			close(fd);
		return 1;
	}
	/* All of it at once: the values stay where they are. */
	n = getdelim(text, &cap, '\0', f);
	if (n < 0 && !feof(f)) {
		log_error("%s: %s; --config names a readable file", path, strerror(errno));
		rc = -EIO;
		unread = true;
	} else if (!feof(f)) {
		log_error("%s: not a text file", path);
		rc = -EINVAL;
	}
	rest = n > 0 ? *text : NULL;
	while (rc == 0 && (line = strsep(&rest, "\n"))) {
		snprintf(where, sizeof(where), "%s:%u: ", path, ++no);
		rc = parse_line(o, line, where, no);
	}
	fclose(f);
	return unread ? 1 : rc ? OPTS_USAGE : 0;
}

static void usage_row(FILE *f, const char *left, const char *help)
{
	if (strlen(left) > 26)
		fprintf(f, "  %s\n  %-26s  %s\n", left, "", help);
	else
		fprintf(f, "  %-26s  %s\n", left, help);
}

void opts_usage(const struct opts *o, bool to_stdout)
{
	FILE *f = to_stdout ? stdout : stderr;
	char left[128];
	fprintf(f, "usage: vstor %s %s\n%s\n\noptions:\n", o->name, o->synopsis, o->description);
	for (const struct opt *t = o->table; t->type != OPT_END; t++) {
		snprintf(left, sizeof(left), "--%s%s%s", t->name, t->arg ? " " : "",
			 t->arg ? t->arg : "");
		usage_row(f, left, t->help);
	}
	if (o->json)
		usage_row(f, "--json", "one JSON value on stdout");
	usage_row(f, "-v, -q", "log more (twice: debug), or only errors");
	usage_row(f, "--log-level LEVEL", "error, warn (default), info or debug");
	usage_row(f, "--log stderr|syslog", "where the log goes (default stderr)");
	usage_row(f, "--help, --version", "print this, or the version; exit 0");
	if (o->epilog)
		fprintf(f, "\n%s\n", o->epilog);
}
