/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/log.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "core/bytes.h"
#include "core/loop.h"

#ifndef SYSLOG_SOCKET /* a test has another one */
#define SYSLOG_SOCKET "/dev/log"
#endif

enum log_level log_threshold = LOG_LEVEL_WARN;
static const char *log_ident = "vstor";
static bool to_syslog;
static int syslog_fd = -1;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* lines come one after the other */
static unsigned lost;					 /* that nobody had room for */
static char last_error[400];

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

/*
 * The syslog by hand: syslog(3) waits when the daemon does not read, as it may when its disk is the
 * one that a keeper is to bring back. In a sandbox no socket can be made, but connected anew.
 */
static bool syslog_connect(void)
{
	const struct sockaddr_un a = {.sun_family = AF_UNIX, .sun_path = SYSLOG_SOCKET};
	if (syslog_fd < 0)
		syslog_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	return syslog_fd >= 0 && connect(syslog_fd, (const struct sockaddr *)&a, sizeof(a)) == 0;
}

static bool syslog_send(const char *line, size_t len)
{
	static const int flags = MSG_DONTWAIT | MSG_NOSIGNAL;
	if (syslog_fd >= 0 && send(syslog_fd, line, len, flags) >= 0)
		return true;
	if (syslog_fd >= 0 && (errno == EAGAIN || errno == ENOBUFS))
		return false;
	return syslog_connect() && send(syslog_fd, line, len, flags) >= 0;
}

/* One write, so that lines of processes do not mix; where a pipe or a terminal says that it has
 * room, that is enough for a line. */
static bool stderr_write(const char *line, size_t len)
{
	struct pollfd p = {.fd = STDERR_FILENO, .events = POLLOUT};
	if (poll(&p, 1, 0) == 0)
		return false;
	(void)!write(STDERR_FILENO, line, len);
	return true;
}

int log_set_destination(const char *name)
{
	if (strcmp(name, "syslog") == 0) {
		if (syslog_fd < 0) /* in a sandbox no other can be made */
			syslog_connect();
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

void log_close(void)
{
	if (syslog_fd >= 0)
		close(syslog_fd);
	syslog_fd = -1;
}

/* What stands before a message. */
static size_t prefix(enum log_level level, char *line, size_t size)
{
	static const int severity[] = {3, 4, 6, 7}; /* RFC 5424, 6.2.1; the facility is daemon */
	char stamp[32];
	time_t now = time(NULL);
	struct tm tm;
	if (!to_syslog)
		return (size_t)snprintf(line, size, "%s: ", log_ident);
	strftime(stamp, sizeof(stamp), "%b %e %T", gmtime_r(&now, &tm));
	return (size_t)snprintf(line, size, "<%d>%s %s[%d]: ", 3 << 3 | severity[level], stamp,
				log_ident, (int)getpid());
}

__attribute__((format(printf, 2, 0))) static bool put(enum log_level level, const char *fmt,
						      va_list ap)
{
	char line[2048];
	size_t len = MIN(prefix(level, line, sizeof(line)), sizeof(line) - 2);
	int n = vsnprintf(line + len, sizeof(line) - 1 - len, fmt, ap);
	if (n > 0)
		len = MIN(len + (size_t)n, sizeof(line) - 2);
	/* A peer's text may be part of the message: it must not forge lines or drive a terminal. */
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f)
			line[i] = '?';
	if (to_syslog)
		return syslog_send(line, len);
	line[len++] = '\n';
	return stderr_write(line, len);
}

__attribute__((format(printf, 2, 3))) static bool putf(enum log_level level, const char *fmt, ...)
{
	bool done;
	va_list ap;
	va_start(ap, fmt);
	done = put(level, fmt, ap);
	va_end(ap);
	return done;
}

void log_write(enum log_level level, const char *fmt, ...)
{
	int saved = errno;
	va_list ap;

	pthread_mutex_lock(&lock);
	if (level == LOG_LEVEL_ERROR) {
		va_start(ap, fmt);
		vsnprintf(last_error, sizeof(last_error), fmt, ap);
		va_end(ap);
	}
	if (lost && putf(LOG_LEVEL_WARN, "%u lines of the log are lost: nobody read them", lost))
		lost = 0;
	va_start(ap, fmt);
	if (lost || !put(level, fmt, ap))
		lost++;
	va_end(ap);
	pthread_mutex_unlock(&lock);
	errno = saved;
}

const char *log_last_error(void)
{
	return last_error[0] ? last_error : NULL;
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
