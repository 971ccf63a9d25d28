/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The log: one line a message, on stderr (`vstor ROLE: message`) or to syslog. Messages name the
 * object first (`session 3 iqn...: ...`), then the cause, then what to do. Thread-safe. Writing
 * never waits: what a full pipe, a stopped terminal or a syslog daemon that stands still does not
 * take is left out, and counted in a line as soon as there is room again.
 */
#ifndef CORE_LOG_H
#define CORE_LOG_H

#include <stdbool.h>
#include <stdint.h>

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

/* The least important level still written; WARN by default. Read through the macros below. */
extern enum log_level log_threshold;

/* Sets the prefix, e.g. "vstor target". `ident` is not copied. */
void log_init(const char *ident);
/* "error", "warn", "info", "debug"; -EINVAL for others. */
int log_set_level(const char *name);
/* "stderr" or "syslog"; -EINVAL for others. */
int log_set_destination(const char *name);
bool log_is_syslog(void);
/* Closes the socket to the syslog, if there is one; it is opened anew when there is something to
 * say. Before whatever closes descriptors by their numbers: the next one of that number would be
 * taken for it. */
void log_close(void);

__attribute__((format(printf, 2, 3))) void log_write(enum log_level level, const char *fmt, ...);

#define log_at(level, ...)                                                                         \
	do {                                                                                       \
		if ((level) <= log_threshold)                                                      \
			log_write((level), __VA_ARGS__);                                           \
	} while (0)
#define log_error(...) log_at(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warn(...)  log_at(LOG_LEVEL_WARN, __VA_ARGS__)
#define log_info(...)  log_at(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) log_at(LOG_LEVEL_DEBUG, __VA_ARGS__)

/* The text of the error logged last, without the prefix, perhaps cut off; NULL: there was none.
 * The log's, until the next error: for programs in which one thread logs, to put beside a result.
 */
const char *log_last_error(void);

/* A limit for what a peer can cause: at most `burst` messages in each `period_ns`. log_allowed()
 * is true when the message may be written; *suppressed gets how many were held back before it. */
struct log_limit {
	unsigned burst;
	uint64_t period_ns;
	uint64_t since;
	unsigned seen;
};
bool log_allowed(struct log_limit *lim, unsigned *suppressed);

#endif
