/* SPDX-License-Identifier: BSD-2-Clause */
/* A host that comes by another nexus than before, and hosts by one name. */
#include "xen/fence/referee.h"

#include <stdlib.h>
#include <unistd.h>

#include "core/log.h"
#include "tests/unit/xen/fence/referee_rig.h"

/* ---- another nexus of the same host: after a reboot, with open-iscsi ---- */

#define A_AGAIN 2

static char kept[] = "/tmp/vstor-keys-XXXXXX", below[64];

static void be_a_again(void)
{
	be(A_AGAIN);
	referee_host_name = names[A];
}

static void up_with_keys(void)
{
	up();
	own_keys_dir = below;
}

/* It held a disk for a guest, or for a migration; now the guest is started anew. */
static void test_another_nexus(void)
{
	char why[REFEREE_TEXT], name[64];
	uint64_t key;

	up_with_keys();
	be(A);
	CHECK_EQ(referee_hold("/dev/0", 0, why), REFEREE_WON);
	be_a_again();
	CHECK_EQ(referee_holder("/dev/0", &key, name, sizeof(name)), 0);
	CHECK_EQ(key, 0); /* nobody else */
	CHECK_EQ(referee_hold("/dev/0", 0, why), REFEREE_WON);
	CHECK(writes(A_AGAIN, 0) && !writes(A, 0) && !writes(B, 0));
	CHECK_EQ(key_count(), 1); /* the old one is gone */
	CHECK_EQ(referee_hold("/dev/0", 0, why), REFEREE_WON);
	CHECK_EQ(referee_release("/dev/0", NULL, NULL), 0);
	CHECK_EQ(key_count(), 0);
	rig_down();
}

/* As the source, as the destination of a migration that was cut off. */
static void test_migrates_by_another_nexus(void)
{
	up_with_keys();
	prepare();
	be_a_again();
	CHECK_EQ(referee_begin(&a), REFEREE_WON);
	be(B);
	b.theirs = a.mine;
	CHECK_EQ(referee_join(&b), REFEREE_WON);
	a.theirs = b.mine;
	CHECK_EQ(referee_claim(&b, false), REFEREE_WON);
	check_owner(B);
	/* And back; what the first nexus had registered there is still there. */
	CHECK_EQ(referee_begin(&b), REFEREE_WON);
	be(A);
	a.theirs = b.mine;
	CHECK_EQ(referee_join(&a), REFEREE_WON);
	be(B);
	CHECK_EQ(referee_begin(&b), REFEREE_WON); /* once more */
	be_a_again();
	a.theirs = b.mine;
	CHECK_EQ(referee_join(&a), REFEREE_WON);
	CHECK_EQ(referee_claim(&a, false), REFEREE_WON);
	check_owner(A_AGAIN);
	rig_down();
}

static unsigned preempts;

static void tell(void *arg, enum reservation_action act, uint64_t key, bool holds)
{
	(void)arg;
	(void)key;
	(void)holds;
	preempts += act == RESERVATION_PREEMPT;
}

static void test_gives_up_by_another_nexus(void)
{
	char why[REFEREE_TEXT];

	up_with_keys();
	be(A);
	CHECK_EQ(referee_hold("/dev/0", 0, why), REFEREE_WON);
	be_a_again();
	CHECK_EQ(referee_release("/dev/0", tell, NULL), 0);
	CHECK_EQ(preempts, 1);
	CHECK_EQ(key_count(), 0);
	for (unsigned h = 0; h < HOSTS; h++)
		CHECK(writes(h, 0));
	rig_down();
}

/* Two hosts by one name. */
static void test_namesakes(void)
{
	char why[REFEREE_TEXT];

	up_with_keys();
	log_set_level("error"); /* keys cannot be kept */
	be(A);
	CHECK_EQ(referee_begin(&a), REFEREE_WON);
	be(B);
	referee_host_name = names[A];
	own_keys_dir = "/dev/null/keys"; /* the other host's */
	CHECK_EQ(referee_hold("/dev/0", 0, why), REFEREE_LOST);
	CHECK(strstr(why, "InitiatorName") != NULL);
	CHECK_EQ(referee_release("/dev/0", NULL, NULL), 0);
	check_owner(A);
	b.theirs = a.mine;
	CHECK_EQ(referee_join(&b), REFEREE_LOST);
	CHECK(strstr(b.why, "InitiatorName") != NULL);
	check_owner(A);
	rig_down();
}

/* Of very many the oldest goes. */
static void test_many_keys(void)
{
	own_keys_dir = below;
	own_keys_note(1);
	CHECK(own_keys_has(1) && !own_keys_has(2));
	for (uint64_t key = 2; key < 1040; key++)
		own_keys_note(key);
	CHECK(own_keys_has(1039));
	unsigned left = 0;
	for (uint64_t key = 1; key < 1040; key++)
		left += own_keys_has(key);
	CHECK(left > 1000 && left < 1030);
}

int main(void)
{
	if (!mkdtemp(kept))
		return 1;
	snprintf(below, sizeof(below), "%s/keys", kept);
	CHECK_RUN(test_another_nexus);
	CHECK_RUN(test_migrates_by_another_nexus);
	CHECK_RUN(test_gives_up_by_another_nexus);
	CHECK_RUN(test_namesakes);
	CHECK_RUN(test_many_keys);
	return check_remove(kept) != 0 || CHECK_DONE();
}
