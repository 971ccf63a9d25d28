/* SPDX-License-Identifier: BSD-2-Clause */
#include "net/iscsi/crowd.h"

#include "net/iscsi/task.h"

#define LITTLE (1u << 20)
#define IDLE   (5 * SEC_NS)

/* Is its initiator to send data that it has been asked for? */
static bool owes_data(const struct conn *c)
{
	for (unsigned i = 0; i < TASK_HASH && c->asked_bytes > LITTLE; i++)
		for (const struct task *t = c->hash[i]; t; t = t->next)
			if (t->asked_bytes && !t->running)
				return true;
	return false;
}

/* Does it keep much because its initiator neither sends nor takes anything? */
static bool clings(const struct conn *c, uint64_t now)
{
	return c->state != CONN_CLOSED && now > c->moved + IDLE &&
	       ((c->tx_n && c->in_bytes > LITTLE) || owes_data(c));
}

bool crowd_lets(struct conn *c, uint64_t used, uint32_t bytes)
{
	uint64_t now = clock_ns();
	if (bytes <= LITTLE || used + bytes <= SERVER_LAST)
		return true;
	for (struct conn *o = c->server->conns; o; o = o->next) {
		if (o == c || !clings(o, now))
			continue;
		conn_warn(o, "keeps memory that others need, and moves nothing of it", "dropped");
		conn_close(o);
	}
	return false;
}
