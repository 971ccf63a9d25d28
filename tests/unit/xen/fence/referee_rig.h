/* SPDX-License-Identifier: BSD-2-Clause */
/* Two hosts and their two disks, for the tests of the referee. */
#ifndef TESTS_UNIT_XEN_REFEREE_RIG_H
#define TESTS_UNIT_XEN_REFEREE_RIG_H

#include "tests/unit/xen/fence/disks.h"

static struct referee a, b;

static const struct referee two = {.n = 2, .disk = {{"xvda", "/dev/0", 0}, {"xvdb", "/dev/1", 0}}};

/* Who may write to both, and nobody else. */
static inline void check_owner(unsigned who)
{
	for (unsigned lun = 0; lun < 2; lun++)
		for (unsigned h = 0; h < HOSTS; h++)
			CHECK_EQ(writes(h, lun), h == who);
}

static inline void up(void)
{
	disks_up();
	a = b = two;
}

/* A migration up to GO. */
static inline void prepare(void)
{
	be(A);
	CHECK_EQ(referee_begin(&a), REFEREE_WON);
	be(B);
	b.theirs = a.mine;
	CHECK_EQ(referee_join(&b), REFEREE_WON);
	a.theirs = b.mine;
}

#endif
