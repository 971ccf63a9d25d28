/* SPDX-License-Identifier: BSD-2-Clause */
/* What is printed on stdout between capture_begin() and capture_end(). */
#ifndef TESTS_UNIT_CAPTURE_H
#define TESTS_UNIT_CAPTURE_H

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static int capture_saved, capture_file;

static inline void capture_begin(void)
{
	fflush(stdout);
	capture_saved = dup(STDOUT_FILENO);
	capture_file = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (capture_saved < 0 || capture_file < 0 || dup2(capture_file, STDOUT_FILENO) < 0)
		abort();
}

/* The text, cut off at 4095 bytes, until the next call. */
static inline const char *capture_end(void)
{
	static char text[4096];
	ssize_t n;

	fflush(stdout);
	dup2(capture_saved, STDOUT_FILENO);
	close(capture_saved);
	n = pread(capture_file, text, sizeof(text) - 1, 0);
	text[n < 0 ? 0 : n] = '\0';
	close(capture_file);
	return text;
}

#endif
