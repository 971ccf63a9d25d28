/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#include "core/bytes.h"
#include "core/loop.h"

enum log_level log_threshold = LOG_LEVEL_WARN;
static const char *log_ident = "vstor";
static bool to_syslog;

void log_init(const char *ident)
{
	log_ident = ident;
}

int log_set_level(const char *name)
{
	static const char *const names[] = {"error", "warn", "info", "debug"};
	for (unsigned i = 0; i < ARRAY_SIZE(names); i++) {
		if (strcmp(name, names[i]) == 0) {
			log_threshold = (enum log_level)i;
			return 0;
		}
	}
	return -EINVAL;
}

int log_set_destination(const char *name)
{
	if (strcmp(name, "syslog") == 0) {
		openlog(log_ident, LOG_PID | LOG_NDELAY, LOG_DAEMON); /* before a sandbox */
		to_syslog = true;
	} else if (strcmp(name, "stderr") == 0) {
		to_syslog = false;
	} else {
		return -EINVAL;
	}
	return 0;
}

bool log_is_syslog(void)
{
	return to_syslog;
}

void log_write(enum log_level level, const char *fmt, ...)
{
	static const int priority[] = {LOG_ERR, LOG_WARNING, LOG_INFO, LOG_DEBUG};
	char line[2048];
	size_t len;
	int saved = errno, n;
	va_list ap;

	va_start(ap, fmt);
	if (to_syslog) {
		vsyslog(priority[level], fmt, ap);
		va_end(ap);
		errno = saved;
		return;
	}
	n = snprintf(line, sizeof(line), "%s: ", log_ident);
	len = MIN((size_t)n, sizeof(line) - 2);
	n = vsnprintf(line + len, sizeof(line) - 1 - len, fmt, ap);
	va_end(ap);
	if (n > 0)
		len = MIN(len + (size_t)n, sizeof(line) - 2);
	/* A peer's text may be part of the message: it must not forge lines or drive a terminal. */
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f)
			line[i] = '?';
	line[len++] = '\n';
	(void)!write(STDERR_FILENO, line, len); /* one write: lines of threads do not mix */
	errno = saved;
}

bool log_allowed(struct log_limit *lim, unsigned *suppressed)
{
	uint64_t now = clock_ns();
	*suppressed = 0;
	if (lim->since == 0 || now - lim->since >= lim->period_ns) {
		*suppressed = lim->seen > lim->burst ? lim->seen - lim->burst : 0;
		lim->since = now;
		lim->seen = 0;
	}
	return lim->seen++ < lim->burst;
}
