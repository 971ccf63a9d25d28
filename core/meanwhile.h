/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What has to be done also while a thread waits for a disk. A journal must be on its medium before
 * the next step is taken, and a busy disk can need seconds for that: longer than the other host
 * takes silence for life.
 */
#ifndef CORE_MEANWHILE_H
#define CORE_MEANWHILE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Embedded in its owner; of the thread that adds it, and not of a process that this one forks. */
struct meanwhile {
	void (*fn)(void *arg); /* must not add or remove any */
	void *arg;
	pid_t of;
	struct meanwhile *next;
};

/* How often, ns; a quarter of a second unless a test changes it. */
extern uint64_t meanwhile_ns;

void meanwhile_add(struct meanwhile *m, void (*fn)(void *arg), void *arg);
/* Harmless when it was not added. */
void meanwhile_del(struct meanwhile *m);

/* fdatasync(2), or fsync(2), which signals do not interrupt. Where there is something to do
 * meanwhile, in a thread of its own. 0 or -errno. */
int meanwhile_fdatasync(int fd);
int meanwhile_fsync(int fd);

#endif
