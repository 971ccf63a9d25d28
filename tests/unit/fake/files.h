/* SPDX-License-Identifier: BSD-2-Clause */
/* System calls that fail as a test wishes (linked by --wrap, as fake/xen.h): the n-th of them on
 * files, or on a channel; n being counted up until a run passes clean. */
#ifndef TESTS_UNIT_FAKE_FILES_H
#define TESTS_UNIT_FAKE_FILES_H

#include <stdbool.h>

/* How the n-th call fails. */
enum fake_fault {
	FAKE_EIO,
	FAKE_ENOSPC,
	FAKE_EINTR, /* calls that are not interrupted succeed */
	FAKE_SHORT, /* a write writes half; other calls succeed */
	FAKE_CUT,   /* the power fails: a write writes half, and no call does anything any more */
	FAKE_FAULTS,
};

struct fake_files {
	unsigned calls;	   /* so far */
	unsigned fails_at; /* counted from 1; 0: none */
	enum fake_fault fault;
	bool failed; /* it has come to pass */
	bool off;    /* the power is */
	bool on;     /* so do all calls after it: the file system is broken for good */
	/* Only what this thread does counts: others are other hosts. 0: all. */
	unsigned long thread;
	/* What is sent on a descriptor that is one of these is counted, and not what is done to
	 * files; and what is read from, or written to, one of those. */
	bool (*sent_on)(int fd), (*passed_on)(int fd);
};
extern struct fake_files fake_files;

/* From now on the n-th call fails so; 0: none. */
void fake_files_fail(unsigned n, enum fake_fault fault);

#endif
