/* SPDX-License-Identifier: BSD-2-Clause */
#include "cmd/bench/progress.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <unistd.h>

#include "core/log.h"
#include "core/loop.h"

static bool drawn; /* there is a line that has no end yet */

void progress_say(const char *fmt, ...)
{
	char text[256];
	va_list ap;

	if (log_threshold < LOG_LEVEL_WARN)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	drawn = log_threshold == LOG_LEVEL_WARN && isatty(STDERR_FILENO);
	fprintf(stderr, drawn ? "\r%.78s\033[K" : "%s\n", text);
}

void progress_clear(void)
{
	if (drawn)
		fputs("\r\033[K", stderr);
	drawn = false;
}

const char *progress_time(char out[PROGRESS_TIME], uint64_t ns)
{
	uint64_t s = (ns + SEC_NS - 1) / SEC_NS;

	snprintf(out, PROGRESS_TIME, "%llu %s", (unsigned long long)(s < 120 ? s : (s + 59) / 60),
		 s < 120 ? "s" : "min");
	return out;
}
