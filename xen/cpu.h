/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The CPU that a guest has been shown: would another host show it the same? Xen itself restores a
 * guest on a CPU that lacks features; the guest finds out by crashing.
 */
#ifndef XEN_CPU_H
#define XEN_CPU_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/buf.h"

/* Appends the feature leaves of a domain's CPUID policy as text. 0 or -errno: nothing is added. */
int cpu_policy_print(uint32_t domid, struct buf *out);
/*
 * Compares such a text with the most that this host can show to a guest (pv or not). 0: everything
 * is there; -EINVAL: something is missing, named in `why`; -EOPNOTSUPP: it
 * could not be compared.
 */
int cpu_policy_check(const char *text, bool pv, char *why, size_t size);

/* One register's worth of feature bits. */
struct cpu_word {
	uint32_t leaf, subleaf;
	unsigned reg; /* 0 to 3: eax to edx */
	uint32_t bits;
};
#define CPU_WORDS 16
/* The text's words; the number, or -EINVAL. */
int cpu_words_parse(const char *text, struct cpu_word words[CPU_WORDS]);

#endif
