/* SPDX-License-Identifier: BSD-2-Clause */
/* A streaming JSON writer (RFC 8259): commas, quoting and escapes are its job. */
#ifndef CORE_JSON_H
#define CORE_JSON_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct json {
	FILE *f;
	unsigned depth;
	bool first; /* nothing written yet at this level */
};

void json_begin(struct json *j, FILE *f);
/* `key` is NULL inside arrays and at the top. */
void json_object(struct json *j, const char *key);
void json_object_end(struct json *j);
void json_array(struct json *j, const char *key);
void json_array_end(struct json *j);
void json_string(struct json *j, const char *key, const char *val); /* NULL: null */
void json_u64(struct json *j, const char *key, uint64_t val);
void json_i64(struct json *j, const char *key, int64_t val);
void json_double(struct json *j, const char *key, double val); /* not finite: null */
void json_bool(struct json *j, const char *key, bool val);
/* A value that is JSON already. */
void json_raw(struct json *j, const char *key, const char *text, size_t n);
/* Ends the top level with a newline and flushes. */
void json_end(struct json *j);

#endif
