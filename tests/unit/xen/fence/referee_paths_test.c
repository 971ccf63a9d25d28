/* SPDX-License-Identifier: BSD-2-Clause */
/* The referee and disks by several paths, against the device server itself: two hosts race for two
 * disks, in every order, with commands, answers and paths lost, and commands late. */
#include "xen/fence/referee_paths.h"

#include <errno.h>
#include <stdlib.h>

#include "tests/unit/xen/fence/paths_rig.h"

static uint64_t next(const struct referee *r)
{
	return referee_paths_next(r->mine);
}

/* ---- one after the other ---- */

static void test_moves(void)
{
	uint64_t before;

	paths_up();
	prepare();
	/* The destination has nothing registered during the copy. */
	CHECK(held_by("/dev/0a") == a.mine && held_by("/dev/1b") == a.mine);
	CHECK(!has("/dev/0a", b.mine) && !has("/dev/1a", b.mine));
	CHECK_EQ(key_count(), 2);
	check_paths_owner(A);
	be(B);
	CHECK_EQ(referee_claim(&b, false), REFEREE_WON);
	CHECK_EQ(rig.aborted, 0);
	check_paths_owner(B);
	CHECK_EQ(referee_claim(&b, false), REFEREE_WON);
	be(A);
	CHECK_EQ(referee_claim(&a, false), REFEREE_LOST);
	CHECK(strstr(a.why, "/dev/dm-0 is held by iqn.2026-11.test:b (key 0x7673") != NULL);
	CHECK_EQ(referee_claim(&a, false), REFEREE_LOST);
	check_paths_owner(B);
	/* And back. */
	be(B);
	before = b.mine;
	b.joined = false;
	CHECK_EQ(referee_begin(&b), REFEREE_WON);
	CHECK(b.mine != before && !b.disk[0].took);
	CHECK(!has("/dev/0a", before) && !has("/dev/1a", before));
	be(A);
	a.theirs = b.mine;
	CHECK_EQ(referee_join(&a), REFEREE_WON);
	CHECK_EQ(referee_claim(&a, true), REFEREE_WON);
	CHECK_EQ(rig.aborted, 4); /* both paths, both disks */
	check_paths_owner(A);
	rig_down();
}

static void test_source_takes_it_back(void)
{
	paths_up();
	prepare();
	be(A);
	CHECK_EQ(referee_claim(&a, false), REFEREE_WON);
	CHECK_EQ(referee_claim(&a, false), REFEREE_WON);
	CHECK_EQ(held_by("/dev/0a"), next(&a));
	CHECK(!has("/dev/0a", a.mine) && !has("/dev/1a", a.mine));
	be(B);
	CHECK_EQ(referee_claim(&b, false), REFEREE_LOST);
	CHECK_EQ(referee_claim(&b, true), REFEREE_LOST);
	check_paths_owner(A);
	/* It has registered by no path. */
	CHECK_EQ(key_count(), 2);
	rig_down();
}

/* A destination that has registered, as the source takes it back, and whose PREEMPT is late. */
static void test_late_preempt(void)
{
	paths_up();
	prepare();
	CHECK_EQ(by(B, "/dev/0a", RESERVATION_REGISTER, 0, b.mine), 0);
	CHECK(writes(B, 0)); /* its paused guest does not */
	be(A);
	CHECK_EQ(referee_claim(&a, false), REFEREE_WON);
	CHECK_EQ(by(B, "/dev/0a", RESERVATION_PREEMPT, b.mine, a.mine), -EBADE);
	check_paths_owner(A);
	/* Both are. */
	CHECK_EQ(by(B, "/dev/0b", RESERVATION_REGISTER, 0, b.mine), 0);
	CHECK_EQ(by(B, "/dev/0b", RESERVATION_PREEMPT, b.mine, a.mine), -EBADE);
	CHECK(writes(A, 0) && writes(A + SECOND, 0));
	CHECK_EQ(held_by("/dev/0a"), next(&a));
	/* It gives up what it finds of its own. */
	be(B);
	CHECK_EQ(referee_claim(&b, false), REFEREE_LOST);
	CHECK_EQ(referee_leave(&b, false), 0);
	check_paths_owner(A);
	rig_down();
}

/* The source is half-way through its paths. */
static void test_between_two_paths(void)
{
	paths_up();
	/* First that which holds: decided; the PREEMPT finds the other one. */
	prepare();
	CHECK_EQ(by(A, "/dev/0a", RESERVATION_REGISTER, a.mine, next(&a)), 0);
	CHECK_EQ(by(B, "/dev/0a", RESERVATION_REGISTER, 0, b.mine), 0);
	CHECK_EQ(by(B, "/dev/0a", RESERVATION_PREEMPT, b.mine, a.mine), 0);
	CHECK_EQ(referee_claim(&b, false), REFEREE_LOST);
	be(A);
	CHECK_EQ(referee_claim(&a, false), REFEREE_WON);
	check_paths_owner(A);
	/* First the other: it is not. The source's new key goes, too. */
	prepare();
	CHECK_EQ(held_by("/dev/0a"), a.mine);
	CHECK_EQ(by(A, "/dev/0b", RESERVATION_REGISTER, a.mine, next(&a)), 0);
	CHECK_EQ(held_by("/dev/0a"), a.mine);
	be(B);
	CHECK_EQ(referee_claim(&b, false), REFEREE_WON);
	be(A);
	CHECK_EQ(referee_claim(&a, false), REFEREE_LOST);
	check_paths_owner(B);
	rig_down();
}

/* The path that holds is lost: the source preempts itself. */
static void test_holding_path_lost(void)
{
	paths_up();
	prepare();
	way.down[A] = true;
	be(A);
	CHECK_EQ(referee_claim(&a, false), REFEREE_WON);
	mend_ways();
	CHECK_EQ(held_by("/dev/0a"), next(&a));
	CHECK(!has("/dev/0a", a.mine));
	CHECK(writes(A + SECOND, 0) && !writes(A, 0) && !writes(B, 0));
	be(B);
	CHECK_EQ(referee_claim(&b, false), REFEREE_LOST);
	/* It comes back, and is registered when somebody looks. */
	be(A);
	CHECK_EQ(referee_mend("/dev/dm-0"), 1);
	CHECK_EQ(referee_mend("/dev/dm-1"), 1);
	CHECK_EQ(referee_mend("/dev/dm-0"), 0);
	check_paths_owner(A);
	be(B);
	CHECK_EQ(referee_mend("/dev/dm-0"), 0); /* it is not its */
	check_paths_owner(A);
	rig_down();
}

/* The destination won, and promises never to start the guest. */
static void test_reclaim(void)
{
	struct referee killed;

	paths_up();
	prepare();
	be(B);
	CHECK_EQ(referee_claim(&b, false), REFEREE_WON);
	be(A);
	killed = a;
	CHECK_EQ(referee_reclaim(&a), REFEREE_WON);
	CHECK(a.mine != killed.mine && a.mine != next(&killed));
	check_paths_owner(A);
	be(B);
	CHECK_EQ(referee_claim(&b, false), REFEREE_LOST);
	/* Killed then: who follows knows nothing of the promise. */
	be(A);
	CHECK_EQ(referee_claim(&killed, false), REFEREE_WON);
	check_paths_owner(A);
	/* The destination has not even taken it; it has left; a command of its is late. */
	prepare();
	CHECK_EQ(by(B, "/dev/0a", RESERVATION_REGISTER, 0, b.mine), 0);
	killed = a;
	be(A);
	CHECK_EQ(referee_reclaim(&a), REFEREE_WON);
	CHECK_EQ(by(B, "/dev/0a", RESERVATION_REGISTER, 0, b.mine), 0);
	CHECK_EQ(by(B, "/dev/0a", RESERVATION_PREEMPT, b.mine, killed.mine), -EBADE);
	be(A);
	CHECK_EQ(referee_reclaim(&a), REFEREE_WON);
	check_paths_owner(A);
	/* It has given it up. */
	prepare();
	be(B);
	CHECK_EQ(referee_claim(&b, false), REFEREE_WON);
	CHECK_EQ(referee_leave(&b, false), 0);
	CHECK_EQ(key_count(), 0);
	be(A);
	CHECK_EQ(referee_claim(&a, false), REFEREE_LOST);
	CHECK_EQ(referee_reclaim(&a), REFEREE_WON);
	check_paths_owner(A);
	rig_down();
}

static void test_source_has_ended(void)
{
	paths_up();
	prepare();
	be(A);
	CHECK_EQ(referee_release("/dev/dm-0", NULL, NULL), 0);
	be(B);
	CHECK_EQ(referee_claim(&b, false), REFEREE_LOST);
	CHECK(strstr(b.why, "taken off") != NULL);
	be(A);
	CHECK_EQ(referee_claim(&a, false), REFEREE_LOST);
	rig_down();
}

static void test_called_off(void)
{
	paths_up();
	prepare();
	CHECK(a.disk[0].took);
	be(B);
	CHECK_EQ(referee_leave(&b, false), 0);
	check_paths_owner(A);
	be(A);
	CHECK_EQ(referee_leave(&a, true), 0); /* nobody held them before */
	for (unsigned h = 0; h < HOSTS; h++)
		CHECK(writes(h, 0) && writes(h, 1));
	CHECK_EQ(key_count(), 0);
	rig_down();
}

/* What destinations have registered late that are gone: the next migration clears it. */
static void test_left_over(void)
{
	uint64_t left;

	paths_up();
	prepare();
	left = b.mine;
	CHECK_EQ(by(B, "/dev/0b", RESERVATION_REGISTER, 0, left), 0);
	be(A);
	CHECK_EQ(referee_begin(&a), REFEREE_WON);
	CHECK(!a.disk[0].took);
	CHECK(!has("/dev/0a", left));
	check_paths_owner(A);
	rig_down();
}

/* ---- paths that are lost ---- */

/* A migration begins with all of them. */
static void test_begins_with_all(void)
{
	paths_up();
	be(A);
	way.down[A + SECOND] = true;
	CHECK_EQ(referee_begin(&a), REFEREE_SILENT);
	CHECK(strstr(a.why, "/dev/dm-0: its path 0b does not answer") != NULL);
	mend_ways();
	/* The kernel knows. */
	put("class/block/0a/device/state", "blocked\n");
	CHECK_EQ(referee_begin(&a), REFEREE_SILENT);
	CHECK(strstr(a.why, "its path 0a does not answer") != NULL);
	put("class/block/0a/device/state", "running\n");
	CHECK_EQ(referee_begin(&a), REFEREE_WON);
	be(B);
	b.theirs = a.mine;
	way.down[B] = true;
	CHECK_EQ(referee_join(&b), REFEREE_SILENT);
	CHECK(strstr(b.why, "its path 0a does not answer") != NULL);
	mend_ways();
	CHECK_EQ(referee_join(&b), REFEREE_WON);
	way.down[B] = way.down[B + SECOND] = true;
	CHECK_EQ(referee_claim(&b, false), REFEREE_SILENT);
	CHECK(strstr(b.why, "/dev/dm-0 does not answer") != NULL);
	CHECK_EQ(referee_registered("/dev/dm-0"), -EIO);
	CHECK(referee_check("/dev/dm-0") < 0);
	mend_ways();
	check_paths_owner(A);
	CHECK_EQ(referee_check("/dev/dm-0"), 0);
	CHECK_EQ(referee_claim(&b, false), REFEREE_WON);
	check_paths_owner(B);
	rig_down();
}

/* Whoever claims loses one at any of its steps, and goes on by the other; what did not answer has
 * no rights that are the other host's. */
static void lose_a_path(unsigned who, unsigned step)
{
	struct referee *r = who == A ? &a : &b;
	enum referee_says says;

	a = b = by_paths;
	prepare();
	mend_ways();
	way.at = step;
	way.fault = PATH_LOST;
	be(who);
	says = referee_claim(r, false);
	CHECK_EQ(says, REFEREE_WON);
	mend_ways();
	for (unsigned lun = 0; lun < 2; lun++) {
		CHECK(writes(who, lun) || writes(who + SECOND, lun));
		CHECK(!writes(!who, lun) && !writes(!who + SECOND, lun));
	}
	be(!who);
	CHECK_EQ(referee_claim(who == A ? &b : &a, false), REFEREE_LOST);
	be(who);
	CHECK(referee_mend("/dev/dm-0") >= 0 && referee_mend("/dev/dm-1") >= 0);
	check_paths_owner(who);
	CHECK_EQ(referee_release("/dev/dm-0", NULL, NULL), 0);
	CHECK_EQ(referee_release("/dev/dm-1", NULL, NULL), 0);
}

static void test_lost_at_every_step(void)
{
	paths_up();
	for (unsigned step = 1; step <= 12; step++) {
		lose_a_path(A, step);
		lose_a_path(B, step);
	}
	rig_down();
}

/* ---- a guest that starts, or is taken over ---- */

static char kept[] = "/tmp/vstor-keys-XXXXXX";

static unsigned preempts, registers;

static void tell(void *arg, enum reservation_action act, uint64_t key, bool holds)
{
	(void)arg;
	(void)key;
	(void)holds;
	preempts += act == RESERVATION_PREEMPT;
	registers += act == RESERVATION_REGISTER;
}

static void test_hold(void)
{
	char why[REFEREE_TEXT], name[256];
	uint64_t key;

	paths_up();
	own_keys_dir = kept;
	be(A);
	CHECK_EQ(referee_hold("/dev/dm-0", 0, why), REFEREE_WON);
	CHECK_EQ(referee_hold("/dev/dm-0", 0, why), REFEREE_WON);
	CHECK_EQ(referee_registered("/dev/dm-0"), 1);
	CHECK_EQ(referee_holder("/dev/dm-0", &key, name, sizeof(name)), 0);
	CHECK_EQ(key, 0);
	be(B);
	CHECK_EQ(referee_hold("/dev/dm-0", 0, why), REFEREE_LOST);
	CHECK(strstr(why, "/dev/dm-0 is held by iqn.2026-11.test:a (key 0x7673") != NULL);
	CHECK_EQ(referee_registered("/dev/dm-0"), 0);
	CHECK_EQ(referee_holder("/dev/dm-0", &key, name, sizeof(name)), 0);
	CHECK_STR(name, "iqn.2026-11.test:a");
	/* Its host may be dead: it is told by whichever path there is, and then not asked. */
	way.down[B] = true;
	CHECK_EQ(referee_announce("/dev/dm-0", key), 0);
	CHECK_EQ(referee_registered("/dev/dm-0"), 1);
	CHECK_EQ(key_count(), 3);
	CHECK_EQ(held_by("/dev/0b"), key);
	CHECK(writes(A, 0) && writes(A + SECOND, 0));
	way.down[B] = false;
	CHECK_EQ(referee_hold("/dev/dm-0", key, why), REFEREE_WON);
	CHECK_EQ(key_count(), 2);
	CHECK(writes(B, 0) && writes(B + SECOND, 0) && !writes(A, 0) && !writes(A + SECOND, 0));
	CHECK_EQ(rig.aborted, 2);
	/* It is given up by all paths. */
	preempts = registers = 0;
	CHECK_EQ(referee_release("/dev/dm-0", tell, NULL), 0);
	CHECK_EQ(preempts, 0);
	CHECK_EQ(registers, 2);
	CHECK_EQ(key_count(), 0);
	/* One of them, that which holds, does not answer. */
	CHECK_EQ(referee_hold("/dev/dm-0", 0, why), REFEREE_WON);
	way.down[B] = true;
	preempts = registers = 0;
	CHECK_EQ(referee_release("/dev/dm-0", tell, NULL), 0);
	CHECK_EQ(preempts, 1);
	CHECK_EQ(registers, 1);
	CHECK_EQ(key_count(), 0);
	CHECK(writes(A, 0));
	own_keys_dir = NULL;
	rig_down();
}

/* This host comes by other nexuses than before: the old ones' rights go. */
static void test_other_nexuses(void)
{
	char why[REFEREE_TEXT];

	paths_up();
	own_keys_dir = kept;
	be(A);
	CHECK_EQ(referee_hold("/dev/dm-0", 0, why), REFEREE_WON);
	be(2);
	referee_host_name = names[A];
	CHECK_EQ(referee_hold("/dev/dm-0", 0, why), REFEREE_WON);
	CHECK(writes(2, 0) && writes(2 + SECOND, 0) && !writes(A, 0) && !writes(A + SECOND, 0));
	/* Another host of that name has no such keys. */
	own_keys_dir = NULL;
	be(B);
	referee_host_name = names[A];
	CHECK_EQ(referee_hold("/dev/dm-0", 0, why), REFEREE_LOST);
	CHECK(strstr(why, "InitiatorName") != NULL);
	CHECK(writes(2, 0) && writes(2 + SECOND, 0) && !writes(B, 0));
	rig_down();
}

/* ---- who else there is ---- */

static void test_strangers(void)
{
	char why[REFEREE_TEXT];

	paths_up();
	/* It could write. */
	CHECK_EQ(pr_out(2, REGISTER, 0, 0, 0x1234, 0), SCSI_GOOD);
	be(A);
	CHECK_EQ(referee_begin(&a), REFEREE_LOST);
	CHECK(strstr(a.why, "key 0x1234 with /dev/dm-0 for iqn.2026-11.test:c") != NULL);
	CHECK_EQ(key_count(), 1);
	/* It holds. */
	CHECK_EQ(pr_out(2, RESERVE, WERO, 0x1234, 0, 0), SCSI_GOOD);
	CHECK_EQ(referee_begin(&a), REFEREE_LOST);
	CHECK(strstr(a.why, "held by iqn.2026-11.test:c (key 0x1234, not vstor's)") != NULL);
	CHECK_EQ(referee_hold("/dev/dm-0", 0, why), REFEREE_LOST);
	CHECK_EQ(pr_out(2, CLEAR, 0, 0x1234, 0, 0), SCSI_GOOD);
	/* It has registered by a path of this very host. */
	clear_attentions();
	CHECK_EQ(pr_out(A, REGISTER, 0, 0, 0x1234, 0), SCSI_GOOD);
	CHECK_EQ(referee_hold("/dev/dm-0", 0, why), REFEREE_LOST);
	CHECK(strstr(why, "another program") != NULL);
	rig_down();
}

/* One host has one path, and the other several. */
static void test_one_and_several(void)
{
	char why[REFEREE_TEXT];
	const struct referee by_one = {.n = 1, .disk = {{"xvda", "/dev/0a", 0}}};

	paths_up();
	a.n = 1;
	b = by_one;
	be(A);
	CHECK_EQ(referee_begin(&a), REFEREE_WON);
	be(B);
	b.theirs = a.mine;
	CHECK_EQ(referee_join(&b), REFEREE_LOST);
	CHECK(strstr(b.why, "/dev/0a has one path, and several where the guest is") != NULL);
	CHECK_EQ(referee_registered("/dev/0a"), 0);
	be(A);
	CHECK_EQ(referee_leave(&a, true), 0);
	a = by_one;
	b = by_paths;
	b.n = 1;
	CHECK_EQ(referee_begin(&a), REFEREE_WON);
	be(B);
	b.theirs = a.mine;
	CHECK_EQ(referee_join(&b), REFEREE_LOST);
	CHECK(strstr(b.why, "/dev/dm-0 has several paths, and one only where") != NULL);
	/* The same host holds it by one. */
	be(A);
	CHECK_EQ(referee_hold("/dev/dm-0", 0, why), REFEREE_LOST);
	CHECK(strstr(why, "by one path") != NULL);
	CHECK(writes(A, 0) && !writes(A + SECOND, 0));
	rig_down();
}

/* A guest with a disk of each kind; either decides. */
static void test_of_each_kind(void)
{
	static const struct referee kinds[] = {
		{.n = 2, .disk = {{"xvda", "/dev/0a", 0}, {"xvdb", "/dev/dm-1", 0}}},
		{.n = 2, .disk = {{"xvda", "/dev/dm-1", 0}, {"xvdb", "/dev/0a", 0}}}};

	paths_up();
	for (unsigned i = 0; i < 4; i++) {
		unsigned who = i & 1;

		a = b = kinds[i / 2];
		prepare();
		be(who);
		CHECK_EQ(referee_claim(who == A ? &a : &b, false), REFEREE_WON);
		be(!who);
		CHECK_EQ(referee_claim(who == A ? &b : &a, false), REFEREE_LOST);
		for (unsigned h = 0; h < HOSTS; h++) {
			CHECK_EQ(writes(h, 0), h == who);
			CHECK_EQ(writes(h, 1), h % SECOND == who);
		}
		be(A);
		CHECK_EQ(referee_reclaim(&a), REFEREE_WON);
		for (unsigned h = 0; h < HOSTS; h++) {
			CHECK_EQ(writes(h, 0), h == A);
			CHECK_EQ(writes(h, 1), h % SECOND == A);
		}
		CHECK_EQ(referee_release(a.disk[0].path, NULL, NULL), 0);
		CHECK_EQ(referee_release(a.disk[1].path, NULL, NULL), 0);
	}
	rig_down();
}

/* ---- the race ---- */

static unsigned won[2], late_ones;

static void run_race(unsigned schedule, unsigned at, enum fault fault)
{
	unsigned who;
	uint64_t key;

	a = b = by_paths;
	mend_ways();
	prepare();
	mend_ways();
	way.at = at;
	way.fault = fault;
	run_both(schedule, 0, false);
	/* Never two, and never nobody; nor does either wait for what one path does not tell. */
	way.at = 0;
	memset(way.down, 0, sizeof(way.down));
	CHECK_EQ(race.says[A] == REFEREE_WON, race.says[B] == REFEREE_LOST);
	CHECK_EQ(race.says[B] == REFEREE_WON, race.says[A] == REFEREE_LOST);
	who = race.says[A] == REFEREE_WON ? A : B;
	won[who]++;
	/* What is late may give rights, but takes none. */
	key = held_by("/dev/0a");
	late_ones += bring_late() == SCSI_GOOD;
	CHECK_EQ(held_by("/dev/0a"), key);
	be(who);
	CHECK(referee_ours(key));
	CHECK(referee_mend("/dev/dm-0") >= 0 && referee_mend("/dev/dm-1") >= 0);
	/* The source that has lost can write no more; the destination, when it has left. */
	if (who == B && !way.device[0])
		check_paths_owner(B);
	CHECK(writes(who, 0) && writes(who + SECOND, 0) && writes(who, 1) &&
	      writes(who + SECOND, 1));
	be(!who);
	CHECK_EQ(referee_leave(who == A ? &b : &a, false), 0);
	/* A late key of the source's is none of its migration's. */
	CHECK_EQ(referee_release("/dev/dm-0", NULL, NULL), 0);
	CHECK_EQ(referee_release("/dev/dm-1", NULL, NULL), 0);
	check_paths_owner(who);
	/* For the next one. */
	be(who);
	CHECK_EQ(referee_release("/dev/dm-0", NULL, NULL), 0);
	CHECK_EQ(referee_release("/dev/dm-1", NULL, NULL), 0);
}

static void test_race(void)
{
	paths_up();
	for (unsigned schedule = 0; schedule < 256; schedule += 5) {
		run_race(schedule, 0, ARRIVES);
		for (unsigned at = 1; at <= 8; at++)
			for (enum fault f = LOST; f <= PATH_LOST; f++)
				run_race(schedule, at, f);
	}
	CHECK(won[A] > 100 && won[B] > 100 && late_ones > 10);
	rig_down();
}

int main(void)
{
	log_set_level("error");
	make_sysfs();
	if (!mkdtemp(kept))
		return 1;
	CHECK_RUN(test_moves);
	CHECK_RUN(test_source_takes_it_back);
	CHECK_RUN(test_late_preempt);
	CHECK_RUN(test_between_two_paths);
	CHECK_RUN(test_holding_path_lost);
	CHECK_RUN(test_reclaim);
	CHECK_RUN(test_source_has_ended);
	CHECK_RUN(test_called_off);
	CHECK_RUN(test_left_over);
	CHECK_RUN(test_begins_with_all);
	CHECK_RUN(test_lost_at_every_step);
	CHECK_RUN(test_hold);
	CHECK_RUN(test_other_nexuses);
	CHECK_RUN(test_strangers);
	CHECK_RUN(test_one_and_several);
	CHECK_RUN(test_of_each_kind);
	CHECK_RUN(test_race);
	return remove_sysfs() != 0 || check_remove(kept) != 0 || CHECK_DONE();
}
