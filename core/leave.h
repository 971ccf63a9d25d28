/* SPDX-License-Identifier: BSD-2-Clause */
/* A quick end for a process with much memory. */
#ifndef CORE_LEAVE_H
#define CORE_LEAVE_H

/*
 * Whoever waits for this process to end, once it calls exit(), will not wait for the kernel to take
 * its memory apart: another process, which shares it and has nothing else, is left to do that, and
 * ends by itself. Without effect where the kernel cannot (before Linux 5.9). Once a process.
 */
void leave_memory_behind(void);

#endif
