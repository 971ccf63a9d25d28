/* SPDX-License-Identifier: BSD-2-Clause */
#include "net/yield.h"

#include <errno.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "core/bytes.h"
#include "core/loop.h"

#define FALLS	0.8  /* at most to this in one step */
#define GAIN_UP 0.05 /* by this, with an empty queue */
#define LEAST	0.25 /* of the best: others get their share, not all of it */
#define SMOOTH	0.25
#define WAITS	0.5 /* of the looks found something that waits: the way is what it waits for */

static int info(int fd, struct tcp_info *i)
{
	socklen_t n = sizeof(*i);

	memset(i, 0, sizeof(*i));
	return getsockopt(fd, IPPROTO_TCP, TCP_INFO, i, &n) ? -ENOTSUP : 0;
}

int yield_init(struct yield *y, int fd)
{
	struct tcp_info i;
	int rc = info(fd, &i);

	*y = (struct yield){.fd = fd, .acked = i.tcpi_bytes_acked, .at = clock_ns()};
	return rc;
}

static void pace(const struct yield *y, double rate)
{
	unsigned limit = rate > 0 && rate < UINT32_MAX ? (unsigned)rate : UINT32_MAX;

	(void)setsockopt(y->fd, SOL_SOCKET, SO_MAX_PACING_RATE, &limit, sizeof(limit));
}

double yield_rate(struct yield *y, double queue_us, double carried)
{
	double over = (queue_us - YIELD_QUEUE_US) / YIELD_QUEUE_US;

	y->carried += SMOOTH * (carried - y->carried);
	if (y->rate <= 0)
		y->rate = y->carried;
	/* Never far from what arrives: a rate that is not the limit tells nothing. */
	if (over > 0)
		y->rate = MIN(y->rate, 1.2 * y->carried) * MAX(FALLS, 1 - over * (1 - FALLS));
	else
		y->rate = MIN(y->rate * (1 - over * GAIN_UP), 2 * y->carried);
	y->rate = MAX(y->rate, LEAST * y->best);
	/* What was never measured, or nothing sent yet, must not hold the stream for good. */
	y->rate = MAX(y->rate, YIELD_LEAST);
	return y->rate;
}

bool yield_waits(const struct yield *y)
{
	return y->waits > WAITS;
}

void yield_step(struct yield *y, uint64_t now, bool on)
{
	struct tcp_info i;
	double s = (double)(now - y->at) / SEC_NS, carried;

	if (s <= 0 || info(y->fd, &i))
		return;
	carried = (double)(i.tcpi_bytes_acked - y->acked) / s;
	y->acked = i.tcpi_bytes_acked;
	y->at = now;
	/* What is limited by its source makes no queue: the delay is another's, or a busy host's.
	 */
	y->waits += SMOOTH * ((i.tcpi_notsent_bytes != 0) - y->waits);
	on = on && yield_waits(y);
	if (on) {
		pace(y, yield_rate(y, (double)i.tcpi_rtt - (double)i.tcpi_min_rtt, carried));
	} else {
		y->carried += SMOOTH * (carried - y->carried);
		y->best = MAX(y->best, y->carried);
		y->rate = 0;
		if (y->on)
			pace(y, 0);
	}
	y->on = on;
}
