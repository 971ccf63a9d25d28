/* SPDX-License-Identifier: BSD-2-Clause */
/* A sender whose guest's disks are fenced, and the receiver that takes part. */
#ifndef TESTS_UNIT_XEN_FENCED_RIG_H
#define TESTS_UNIT_XEN_FENCED_RIG_H

#include "tests/unit/xen/fence/host_disks.h"
#include "tests/unit/xen/migration/migration_rig.h"

static struct referee b; /* the receiver's */
static unsigned disks = 2;

/* ---- the receiver ---- */

static void take_part(void)
{
	struct buf m = {0};

	memset(&b, 0, sizeof(b));
	message_put(&m, "ok", "all of it");
	if (referee_get(w.p, w.n, &b) == 0 && b.mine) {
		b.theirs = b.mine;
		be(B);
		CHECK_EQ(referee_join(&b), REFEREE_WON);
		be(A);
		referee_put(&m, &b);
	}
	CHECK_EQ(message_send(w.receiver, MSG_VERDICTS, &m), 0);
}

static enum referee_says claims(void)
{
	enum referee_says says;

	be(B);
	says = referee_claim(&b, false);
	be(A);
	return says;
}

static void check_owner(unsigned who)
{
	for (unsigned lun = 0; lun < disks; lun++)
		CHECK(writes(who, lun) && !writes(!who, lun));
}

static bool plays_fair(enum message_type type)
{
	if (type == MSG_PREFLIGHT) {
		take_part();
		return true;
	}
	if (type == MSG_GO) {
		CHECK_EQ(claims(), REFEREE_WON);
		says(MSG_RUNNING, "took_ns", "1000");
		says(MSG_SETTLED, NULL, NULL);
		return true;
	}
	return false;
}

/* Whatever becomes of GO. */
static bool (*at_go)(void);

static bool plays(enum message_type type)
{
	return type == MSG_GO ? at_go() : plays_fair(type);
}

static bool vanishes(void)
{
	hang_up();
	return true;
}

/* ---- a migration ---- */

static void fenced(bool (*hears)(enum message_type type))
{
	disks_up();
	begin();
	be(A);
	w.guest->disks = (int)disks;
	w.hears = hears;
	fake.node = node;
	for (unsigned i = 0; i < disks; i++)
		fake.rings[i] = (struct fake_ring){.domid = 5, .vdev = i ? "1" : "0", .queue = -1};
}

static void over(void)
{
	end();
	rig_down();
}

#endif
