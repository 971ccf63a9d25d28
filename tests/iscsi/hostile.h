/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Attacks on the target, one function each: true when the target behaved. That it still serves
 * others after each attack is checked by hostile.c.
 */
#ifndef TESTS_ISCSI_HOSTILE_H
#define TESTS_ISCSI_HOSTILE_H

#include "tests/iscsi/raw.h"

struct attack {
	const char *name;
	bool (*run)(void);
};
/* End with a NULL name. */
extern const struct attack login_attacks[], text_attacks[], stream_attacks[], data_attacks[];

/* A round trip of another session, so that the target has looked at what was sent before. */
void hostile_pause(void);
/* Prints what was not as it should be; false. */
__attribute__((format(printf, 1, 2))) bool hostile_fail(const char *fmt, ...);
uint64_t hostile_random(void);
/* Resident memory of the target in KiB; 0 when it cannot be known or compared (sanitizers). */
unsigned long hostile_target_kib(void);

#endif
