/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How far long work is, on stderr: on a terminal one line that is rewritten, otherwise, and with
 * -v, whose lines would come between, a line a step. Nothing with -q.
 */
#ifndef CMD_BENCH_PROGRESS_H
#define CMD_BENCH_PROGRESS_H

#include <stdint.h>

#define PROGRESS_TIME 32

/* A step begins. The text is one line, without its newline. */
__attribute__((format(printf, 1, 2))) void progress_say(const char *fmt, ...);
/* Takes the line off the terminal: before anything else is written there, and at the end. */
void progress_clear(void);
/* "50 s", or from two minutes on "3 min", rounded up; for `ns`. Returns out. */
const char *progress_time(char out[PROGRESS_TIME], uint64_t ns);

#endif
