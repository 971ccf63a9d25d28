/* SPDX-License-Identifier: BSD-2-Clause */
/* The conditions of a migration, each with its verdict, as they are found, sent and shown. */
#ifndef XEN_VERDICTS_H
#define XEN_VERDICTS_H

#include "core/buf.h"

/* In the form in which they travel (fields ok=, warn=, no= of a VERDICTS message). */
struct verdicts {
	struct buf fields;
	unsigned refused;
	char why[256]; /* the first `no` */
};
enum verdict_is { VERDICT_OK, VERDICT_WARN, VERDICT_NO };
__attribute__((format(printf, 3, 4))) void verdict(struct verdicts *v, enum verdict_is is,
						   const char *fmt, ...);
/* Adds those of a VERDICTS message; -EPROTO. */
int verdicts_merge(struct verdicts *v, const uint8_t *p, size_t n);
/* Calls fn for each, in order. The text is not NUL-terminated. */
void verdicts_each(const struct verdicts *v,
		   void (*fn)(void *arg, const char *word, const char *text, size_t len),
		   void *arg);
void verdicts_fini(struct verdicts *v);

#endif
