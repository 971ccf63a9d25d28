/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/json.h"

#include <inttypes.h>
#include <math.h>

/* The length of the UTF-8 sequence at s (RFC 3629, section 4), 0 when it is not one. */
static unsigned utf8_len(const char *s)
{
	const unsigned char *b = (const unsigned char *)s;
	unsigned char low = 0x80, high = 0xbf; /* what the second byte may be */
	unsigned len = b[0] < 0xc2 ? 0 : b[0] < 0xe0 ? 2 : b[0] < 0xf0 ? 3 : b[0] < 0xf5 ? 4 : 0;

	if (b[0] == 0xe0)
		low = 0xa0;
	else if (b[0] == 0xed)
		high = 0x9f;
	else if (b[0] == 0xf0)
		low = 0x90;
	else if (b[0] == 0xf4)
		high = 0x8f;
	for (unsigned i = 1; i < len; i++, low = 0x80, high = 0xbf)
		if (b[i] < low || b[i] > high) /* the NUL at the end, too */
			return 0;
	return len;
}

static void put_quoted(FILE *f, const char *s)
{
	putc('"', f);
	for (; *s; s++) {
		unsigned char c = (unsigned char)*s;
		/* Names come from file systems and peers: not all are text. */
		if (c >= 0x80) {
			unsigned len = utf8_len(s);
			fwrite(len ? s : "\xef\xbf\xbd", 1, len ? len : 3, f);
			s += len ? len - 1 : 0;
		} else if (c == '"' || c == '\\')
			fprintf(f, "\\%c", c);
		else if (c == '\n')
			fputs("\\n", f);
		else if (c < 0x20 || c == 0x7f)
			fprintf(f, "\\u%04x", c);
		else
			putc(c, f);
	}
	putc('"', f);
}

static void put_key(struct json *j, const char *key)
{
	if (!j->first)
		putc(',', j->f);
	j->first = false;
	if (key) {
		put_quoted(j->f, key);
		putc(':', j->f);
	}
}

void json_begin(struct json *j, FILE *f)
{
	*j = (struct json){.f = f, .first = true};
}

static void open_level(struct json *j, const char *key, char c)
{
	put_key(j, key);
	putc(c, j->f);
	j->depth++;
	j->first = true;
}

static void close_level(struct json *j, char c)
{
	putc(c, j->f);
	j->depth--;
	j->first = false;
}

void json_object(struct json *j, const char *key)
{
	open_level(j, key, '{');
}

void json_object_end(struct json *j)
{
	close_level(j, '}');
}

void json_array(struct json *j, const char *key)
{
	open_level(j, key, '[');
}

void json_array_end(struct json *j)
{
	close_level(j, ']');
}

void json_string(struct json *j, const char *key, const char *val)
{
	put_key(j, key);
	if (val)
		put_quoted(j->f, val);
	else
		fputs("null", j->f);
}

void json_u64(struct json *j, const char *key, uint64_t val)
{
	put_key(j, key);
	fprintf(j->f, "%" PRIu64, val);
}

void json_i64(struct json *j, const char *key, int64_t val)
{
	put_key(j, key);
	fprintf(j->f, "%" PRId64, val);
}

void json_double(struct json *j, const char *key, double val)
{
	put_key(j, key);
	if (isfinite(val))
		fprintf(j->f, "%.6g", val);
	else
		fputs("null", j->f);
}

void json_bool(struct json *j, const char *key, bool val)
{
	put_key(j, key);
	fputs(val ? "true" : "false", j->f);
}

void json_raw(struct json *j, const char *key, const char *text, size_t n)
{
	put_key(j, key);
	fwrite(text, 1, n, j->f);
}

void json_end(struct json *j)
{
	putc('\n', j->f);
	fflush(j->f);
}
