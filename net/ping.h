/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ICMP echo (RFC 792; RFC 4443, section 4) at a fixed interval, to see how long a host is gone:
 * round-trip times, runs of lost echoes, the longest time without a reply. One peer a struct ping.
 */
#ifndef NET_PING_H
#define NET_PING_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "core/hist.h"
#include "core/loop.h"

#define PING_MIN_INTERVAL (MS_NS / 10)
#define PING_TIMEOUT	  (10 * SEC_NS) /* an echo not answered by then is lost */
#define PING_LINGER	  SEC_NS	/* how long ping_finish() waits for a reply */
#define PING_MAX_RUNS	  1024		/* loss runs kept one by one; later ones are only counted */

/* Echoes lost one after the other. Times are ns since the start. */
struct ping_run {
	uint64_t start_ns;  /* when the first one was sent */
	uint64_t length_ns; /* from there until the first answered one was sent, or to the end */
	uint64_t lost;
};

struct ping_stats {
	uint64_t start_ns; /* clock_ns() at the start */
	uint64_t sent;
	uint64_t received; /* each echo once */
	uint64_t lost;	   /* decided so far; sent - received - lost are still on their way */
	uint64_t late;	   /* replies to echoes that were given up */
	uint64_t duplicates;
	uint64_t send_errors;  /* counted in sent and, later, in lost */
	int last_error;	       /* errno of the last of them */
	struct hist rtt;       /* ns */
	uint64_t gap_ns;       /* the longest time without a reply, from start to last echo */
	uint64_t gap_start_ns; /* since the start */
	uint64_t runs;
	struct ping_run run[PING_MAX_RUNS]; /* the first MIN(runs, PING_MAX_RUNS), in order */
};

struct ping;

struct ping_events {
	/* An echo was answered; may be NULL. */
	void (*reply)(void *arg, uint64_t seq, uint64_t rtt_ns);
	/* The count is reached, or ping_finish() was called, and nothing more is awaited. */
	void (*finished)(void *arg);
	void *arg;
};

/* The first address of host, which is a name or an IPv4 or IPv6 address (with %scope).
 * -ENOENT: no such host (the resolver's word goes to *why when it is not NULL). */
int ping_resolve(const char *host, struct sockaddr_storage *addr, socklen_t *len, const char **why);

/*
 * Starts sending every interval_ns (at least PING_MIN_INTERVAL), count times or until
 * ping_finish() when count is 0. *ev is copied. Slots missed because this process did not run are
 * left out, not made up for. Errors: -EACCES or -EPERM when neither a ping socket
 * (net.ipv4.ping_group_range) nor a raw one (CAP_NET_RAW) is allowed; those of socket(2) and
 * connect(2).
 */
int ping_new(struct loop *l, const struct sockaddr *addr, socklen_t len, uint64_t interval_ns,
	     uint64_t count, const struct ping_events *ev, struct ping **out);
/* Sends no more; finished() follows when nothing sent within PING_LINGER is unanswered. */
void ping_finish(struct ping *p);
void ping_free(struct ping *p);

const struct ping_stats *ping_stats(const struct ping *p);
/* How long there has been no reply, in ns, now. */
uint64_t ping_silence(const struct ping *p);

#endif
