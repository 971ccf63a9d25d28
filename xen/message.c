/* SPDX-License-Identifier: BSD-2-Clause */
#include "xen/message.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/opts.h"

void message_put(struct buf *b, const char *key, const char *fmt, ...)
{
	va_list ap;
	char *value;
	int n;

	va_start(ap, fmt);
	n = vasprintf(&value, fmt, ap);
	va_end(ap);
	if (n < 0) {
		b->failed = true;
		return;
	}
	for (char *c = value; *c; c++)
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			*c = ' ';
	buf_printf(b, "%s=%s\n", key, value);
	free(value);
}

int message_send(struct channel *c, enum message_type type, struct buf *b)
{
	int rc = b->failed ? -ENOMEM : channel_send(c, (uint8_t)type, b->data, b->len);

	buf_free(b);
	return rc;
}

bool message_next(const uint8_t *p, size_t n, size_t *at, struct message_field *f)
{
	const char *line = (const char *)p + *at, *end, *eq;

	if (*at >= n)
		return false;
	end = memchr(line, '\n', n - *at);
	if (!end)
		return false;
	eq = memchr(line, '=', (size_t)(end - line));
	if (!eq || eq == line)
		return false;
	*f = (struct message_field){.key = line,
				    .key_len = (size_t)(eq - line),
				    .value = eq + 1,
				    .value_len = (size_t)(end - eq - 1)};
	*at += (size_t)(end - line) + 1;
	return true;
}

bool message_field_is(const struct message_field *f, const char *key)
{
	return f->key_len == strlen(key) && memcmp(f->key, key, f->key_len) == 0;
}

int message_check(const uint8_t *p, size_t n)
{
	struct message_field f;
	size_t at = 0;

	for (size_t i = 0; i < n; i++)
		if ((p[i] < ' ' && p[i] != '\n') || p[i] == 0x7f)
			return -EPROTO;
	while (at < n)
		if (!message_next(p, n, &at, &f))
			return -EPROTO;
	return 0;
}

int message_get(const uint8_t *p, size_t n, const char *key, char *out, size_t size)
{
	struct message_field f;
	size_t at = 0;

	while (message_next(p, n, &at, &f)) {
		if (!message_field_is(&f, key))
			continue;
		if (f.value_len >= size)
			return -EMSGSIZE;
		memcpy(out, f.value, f.value_len);
		out[f.value_len] = 0;
		return 0;
	}
	return -ENOENT;
}

int message_get_u64(const uint8_t *p, size_t n, const char *key, uint64_t *out)
{
	char text[24];
	int rc = message_get(p, n, key, text, sizeof(text));

	if (rc)
		return rc == -EMSGSIZE ? -EINVAL : rc;
	return parse_u64(text, out) ? -EINVAL : 0;
}

int message_agree(const uint8_t *p, size_t n, bool sender, char *why, size_t size)
{
	char theirs[24] = "none", vstor[32] = "unknown", mine[24];

	message_get(p, n, "protocol", theirs, sizeof(theirs));
	message_get(p, n, "vstor", vstor, sizeof(vstor));
	snprintf(mine, sizeof(mine), "%u", MIGRATION_PROTOCOL);
	if (strcmp(theirs, mine) == 0)
		return 0;
	snprintf(why, size,
		 "the sender's vstor %s speaks version %s of the protocol of migrations, the "
		 "receiver's vstor %s version %s: install the newer vstor on both hosts",
		 sender ? VSTOR_VERSION : vstor, sender ? mine : theirs,
		 sender ? vstor : VSTOR_VERSION, sender ? theirs : mine);
	return -EPROTO;
}

bool migration_id_valid(const char *id)
{
	return strlen(id) == MIGRATION_ID_LEN && strspn(id, "0123456789abcdef") == MIGRATION_ID_LEN;
}
