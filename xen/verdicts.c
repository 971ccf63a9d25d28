/* SPDX-License-Identifier: BSD-2-Clause */
#include "xen/verdicts.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "core/bytes.h"
#include "xen/message.h"

static const char *const words[] = {
	[VERDICT_OK] = "ok", [VERDICT_WARN] = "warn", [VERDICT_NO] = "no"};

static void add(struct verdicts *v, enum verdict_is is, const char *text)
{
	message_put(&v->fields, words[is], "%s", text);
	if (is == VERDICT_NO && !v->refused++)
		snprintf(v->why, sizeof(v->why), "%.250s", text);
}

void verdict(struct verdicts *v, enum verdict_is is, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	add(v, is, text);
}

int verdicts_merge(struct verdicts *v, const uint8_t *p, size_t n)
{
	struct message_field f;
	size_t at = 0;

	if (message_check(p, n))
		return -EPROTO;
	while (message_next(p, n, &at, &f)) {
		for (size_t i = 0; i < ARRAY_SIZE(words); i++)
			if (message_field_is(&f, words[i]))
				verdict(v, i, "%.*s", (int)MIN(f.value_len, 500), f.value);
	}
	return 0;
}

void verdicts_each(const struct verdicts *v,
		   void (*fn)(void *arg, const char *word, const char *text, size_t len), void *arg)
{
	struct message_field f;
	size_t at = 0;

	while (message_next(v->fields.data, v->fields.len, &at, &f))
		for (size_t i = 0; i < ARRAY_SIZE(words); i++)
			if (message_field_is(&f, words[i]))
				fn(arg, words[i], f.value, f.value_len);
}

void verdicts_fini(struct verdicts *v)
{
	buf_free(&v->fields);
}
