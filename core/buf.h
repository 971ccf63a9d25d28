/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Byte buffers with every move checked. A writer grows as needed; a reader walks over bytes that
 * belong to somebody else. Both keep the first error, so that a run of calls needs one check.
 */
#ifndef CORE_BUF_H
#define CORE_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A growable buffer; all zero is an empty one. */
struct buf {
	uint8_t *data;
	size_t len, cap;
	bool failed; /* out of memory: later writes do nothing */
};

void buf_free(struct buf *b);
/* Makes room for n more bytes at data + len; NULL when out of memory. len is not moved. */
uint8_t *buf_reserve(struct buf *b, size_t n);
void buf_put(struct buf *b, const void *p, size_t n);
void buf_put_u8(struct buf *b, uint8_t v);
void buf_put_be16(struct buf *b, uint16_t v);
void buf_put_be32(struct buf *b, uint32_t v);
void buf_put_be64(struct buf *b, uint64_t v);
/* Appends formatted text without a terminating NUL. */
__attribute__((format(printf, 2, 3))) void buf_printf(struct buf *b, const char *fmt, ...);
/* Drops the first n bytes. */
void buf_drop(struct buf *b, size_t n);

struct reader {
	const uint8_t *p;
	size_t left;
	bool failed; /* read past the end: all later reads give 0 or NULL */
};

struct reader reader_of(const void *p, size_t n);
uint8_t read_u8(struct reader *r);
uint16_t read_be16(struct reader *r);
uint32_t read_be32(struct reader *r);
uint64_t read_be64(struct reader *r);
/* The next n bytes, in place; NULL when there are fewer. */
const uint8_t *read_bytes(struct reader *r, size_t n);

#endif
