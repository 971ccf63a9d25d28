/* SPDX-License-Identifier: BSD-2-Clause */
/* The command window (RFC 7143, 4.2.2.1): how many commands an initiator may send. */
#include "net/iscsi/conn.h"

/* By the responses that the initiator had not seen yet when it sent this, and the commands that we
 * have. What it tells need not be true: QUEUE_DEPTH at most. */
void window_note(struct conn *c, uint32_t exp_stat_sn)
{
	uint32_t now = MIN(c->tasks + MIN(c->stat_sn - exp_stat_sn, QUEUE_DEPTH), QUEUE_DEPTH);
	c->depth = MAX(now, c->depth - c->depth / 16);
}

/* How many further commands may come. In all, a share of WINDOWS, or twice as many as the initiator
 * has had under way: so among many sessions the window grows as it is used, and who is idle has
 * been promised little memory. When there is much to hold it closes, until the last command but one
 * has ended. */
uint32_t window_left(const struct conn *c)
{
	uint32_t large = MAX(c->params.first_burst / 65536, 1u);
	uint32_t least = MAX(WINDOWS / large / c->server->conns_n, WINDOW_MIN);
	uint32_t most = MIN(MAX(2 * c->depth, least), QUEUE_DEPTH);
	if (c->server->out_bytes >= SERVER_OUT_MAX)
		return c->tasks > 1 ? 0 : 1;
	return most - MIN(c->tasks, most);
}
