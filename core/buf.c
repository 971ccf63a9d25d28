/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/bytes.h"

void buf_free(struct buf *b)
{
	free(b->data);
	*b = (struct buf){0};
}

uint8_t *buf_reserve(struct buf *b, size_t n)
{
	size_t cap = b->cap ? b->cap : 256;
	uint8_t *data;
	if (b->failed || n > SIZE_MAX / 4 - b->len) {
		b->failed = true;
		return NULL;
	}
	if (b->cap - b->len >= n && b->data)
		return b->data + b->len;
	while (cap - b->len < n)
		cap *= 2;
	data = realloc(b->data, cap);
	if (!data) {
		b->failed = true;
		return NULL;
	}
	b->data = data;
	b->cap = cap;
	return data + b->len;
}

void buf_put(struct buf *b, const void *p, size_t n)
{
	uint8_t *to = buf_reserve(b, n);
	if (!to || !n)
		return;
	memcpy(to, p, n);
	b->len += n;
}

void buf_put_u8(struct buf *b, uint8_t v)
{
	buf_put(b, &v, 1);
}

void buf_put_be16(struct buf *b, uint16_t v)
{
	uint8_t t[2];
	put_be16(t, v);
	buf_put(b, t, sizeof(t));
}

void buf_put_be32(struct buf *b, uint32_t v)
{
	uint8_t t[4];
	put_be32(t, v);
	buf_put(b, t, sizeof(t));
}

void buf_put_be64(struct buf *b, uint64_t v)
{
	uint8_t t[8];
	put_be64(t, v);
	buf_put(b, t, sizeof(t));
}

void buf_printf(struct buf *b, const char *fmt, ...)
{
	va_list ap;
	char *to;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	to = n < 0 ? NULL : (char *)buf_reserve(b, (size_t)n + 1);
	if (!to)
		return;
	va_start(ap, fmt);
	vsnprintf(to, (size_t)n + 1, fmt, ap);
	va_end(ap);
	b->len += (size_t)n;
}

void buf_drop(struct buf *b, size_t n)
{
	n = MIN(n, b->len);
	if (n)
		memmove(b->data, b->data + n, b->len - n);
	b->len -= n;
}

struct reader reader_of(const void *p, size_t n)
{
	return (struct reader){.p = p, .left = n};
}

const uint8_t *read_bytes(struct reader *r, size_t n)
{
	const uint8_t *p = r->p;
	if (r->failed || n > r->left) {
		r->failed = true;
		return NULL;
	}
	r->p += n;
	r->left -= n;
	return p;
}

uint8_t read_u8(struct reader *r)
{
	const uint8_t *p = read_bytes(r, 1);
	return p ? *p : 0;
}

uint16_t read_be16(struct reader *r)
{
	const uint8_t *p = read_bytes(r, 2);
	return p ? get_be16(p) : 0;
}

uint32_t read_be32(struct reader *r)
{
	const uint8_t *p = read_bytes(r, 4);
	return p ? get_be32(p) : 0;
}

uint64_t read_be64(struct reader *r)
{
	const uint8_t *p = read_bytes(r, 8);
	return p ? get_be64(p) : 0;
}
