/* SPDX-License-Identifier: BSD-2-Clause */
#include "net/lookup.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "core/bytes.h"

static void ask(struct job *j)
{
	struct lookup *u = container_of(j, struct lookup, job);

	u->found_err = sock_resolve(u->asked, u->port, &u->found);
}

static void answered(struct job *j)
{
	struct lookup *u = container_of(j, struct lookup, job);

	u->busy = false;
	/* What was true before is better than nothing. */
	if (u->found_err && u->addrs.n && strcmp(u->answered, u->asked) == 0)
		return;
	snprintf(u->answered, sizeof(u->answered), "%s", u->asked);
	u->err = u->found_err;
	u->addrs = u->found;
}

int lookup(struct lookup *u, struct loop *l, const char *text, uint16_t default_port,
	   struct sock_addrs *out)
{
	int err = sock_resolve_numeric(text, default_port, out);

	if (err != -ENXIO)
		return err;
	if (!u->thread)
		u->thread = workers_new(1);
	if (!u->thread)
		return -errno;
	if (!u->busy) {
		u->busy = true;
		u->port = default_port;
		u->found.n = 0;
		snprintf(u->asked, sizeof(u->asked), "%s", text);
		u->job = (struct job){.run = ask, .done = answered, .loop = l};
		workers_submit(u->thread, &u->job);
	}
	if (strcmp(u->answered, text))
		return -EINPROGRESS;
	*out = u->addrs;
	return u->err;
}
