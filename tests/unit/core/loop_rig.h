/* SPDX-License-Identifier: BSD-2-Clause */
/* A loop with a limit, and a record of what happened on it: for the tests of the loop. */
#ifndef TESTS_UNIT_CORE_LOOP_RIG_H
#define TESTS_UNIT_CORE_LOOP_RIG_H

#include <stdlib.h>
#include <string.h>

#include "core/loop.h"

#define LIMIT (20 * SEC_NS) /* nothing here takes a hundredth of it */

static struct loop *l;
static char order[256]; /* what happened, a letter each */
static struct loop_timer guard;

static void note(char c)
{
	size_t n = strlen(order);

	if (n + 1 < sizeof(order)) {
		order[n] = c;
		order[n + 1] = '\0';
	}
}

static void too_late(void *arg)
{
	(void)arg;
	note('!');
	loop_stop(l, -1);
}

static void begin(void)
{
	order[0] = '\0';
	l = loop_new();
	if (!l)
		abort();
	loop_timer_set(l, &guard, LIMIT, too_late, NULL);
}

static int run(void)
{
	return loop_run(l);
}

static void end(void)
{
	loop_timer_del(l, &guard);
	loop_free(l);
}

#endif
