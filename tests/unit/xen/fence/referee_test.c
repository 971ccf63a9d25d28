/* SPDX-License-Identifier: BSD-2-Clause */
/* The referee against the device server itself: two hosts race for two disks, in every order, with
 * commands and answers lost. */
#include "xen/fence/referee.h"

#include <stdlib.h>

#include "tests/unit/xen/fence/referee_race.h"

/* ---- one after the other ---- */

static void test_keys(void)
{
	be(A);
	CHECK(referee_is_key(referee_key(referee_host(), 7)));
	CHECK_EQ(referee_host_of(referee_key(referee_host(), 7)), referee_host());
	CHECK(!referee_is_key(0));
	CHECK(!referee_is_key(0x123abc));
	be(B);
	CHECK(referee_host_of(referee_key(7, 7)) != referee_host());
}

static void test_moves(void)
{
	up();
	prepare();
	CHECK((uint16_t)a.mine == (uint16_t)b.mine);
	check_owner(A);
	be(B);
	CHECK_EQ(referee_claim(&b, false), REFEREE_WON);
	check_owner(B);
	/* However often it is asked. */
	CHECK_EQ(referee_claim(&b, false), REFEREE_WON);
	be(A);
	CHECK_EQ(referee_claim(&a, false), REFEREE_LOST);
	CHECK(strstr(a.why, "/dev/0 is held by iqn.2026-11.test:b (key 0x7673") != NULL);
	CHECK_EQ(referee_claim(&a, false), REFEREE_LOST);
	check_owner(B);
	/* And back, with other keys. */
	be(B);
	uint64_t before = b.mine;
	CHECK_EQ(referee_begin(&b), REFEREE_WON);
	CHECK(b.mine != before);
	CHECK(!b.disk[0].took);
	be(A);
	a.theirs = b.mine;
	CHECK_EQ(referee_join(&a), REFEREE_WON);
	CHECK_EQ(referee_claim(&a, false), REFEREE_WON);
	check_owner(A);
	rig_down();
}

static void test_source_takes_it_back(void)
{
	up();
	prepare();
	be(A);
	CHECK_EQ(referee_claim(&a, false), REFEREE_WON);
	CHECK(!has("/dev/0", b.mine) && !has("/dev/1", b.mine));
	be(B);
	CHECK_EQ(referee_claim(&b, false), REFEREE_LOST);
	CHECK_EQ(referee_claim(&b, false), REFEREE_LOST);
	check_owner(A);
	rig_down();
}

/* A command of an earlier migration that comes late finds nobody with its keys. */
static void test_late_command(void)
{
	struct referee old;

	up();
	prepare();
	old = b;
	be(A);
	CHECK_EQ(referee_claim(&a, false), REFEREE_WON);
	prepare();
	be(B);
	CHECK_EQ(reservation_out("/dev/0", RESERVATION_PREEMPT, old.mine, old.theirs), -EBADE);
	CHECK_EQ(reservation_out("/dev/0", RESERVATION_PREEMPT, b.mine, old.theirs), -EBADE);
	check_owner(A);
	rig_down();
}

/* The destination won, cannot start the guest, and promises never to. */
static void test_reclaim(void)
{
	up();
	prepare();
	be(B);
	CHECK_EQ(referee_claim(&b, false), REFEREE_WON);
	be(A);
	uint64_t before = a.mine;
	CHECK_EQ(referee_reclaim(&a), REFEREE_WON);
	check_owner(A);
	CHECK(a.mine != before);
	be(B);
	CHECK_EQ(referee_claim(&b, false), REFEREE_LOST);
	/* The destination had not even taken it. */
	prepare();
	be(B);
	referee_leave(&b, false);
	be(A);
	CHECK_EQ(referee_reclaim(&a), REFEREE_WON);
	CHECK_EQ(referee_reclaim(&a), REFEREE_WON);
	check_owner(A);
	rig_down();
}

/* The destination took the first disk alone, and its half-made guest was destroyed. */
static void test_reclaim_of_the_first(void)
{
	struct referee first;

	up();
	prepare();
	first = b;
	first.n = 1;
	CHECK_EQ(referee_claim(&first, false), REFEREE_WON);
	for (int left = 0; left < 2; left++) {
		be(A);
		CHECK_EQ(referee_reclaim(&a), REFEREE_WON);
		CHECK_EQ(referee_reclaim(&a), REFEREE_WON);
		check_owner(A);
		be(B);
		referee_leave(&b, false);
	}
	check_owner(A);
	rig_down();
}

/* The guest has ended at the source, which holds nothing any more: it does not go on elsewhere. */
static void test_source_has_ended(void)
{
	up();
	prepare();
	be(A);
	CHECK_EQ(referee_release("/dev/0", NULL, NULL), 0);
	be(B);
	CHECK_EQ(referee_claim(&b, false), REFEREE_LOST);
	CHECK(strstr(b.why, "taken off") != NULL);
	be(A);
	CHECK_EQ(referee_claim(&a, false), REFEREE_LOST);
	rig_down();
}

/* The source has died: what it had on its way is aborted. */
static void test_claims_with_abort(void)
{
	up();
	prepare();
	be(B);
	CHECK_EQ(referee_claim(&b, true), REFEREE_WON);
	CHECK_EQ(rig.aborted, 2);
	check_owner(B);
	rig_down();
}

static void test_called_off(void)
{
	up();
	prepare();
	be(B);
	referee_leave(&b, false);
	CHECK(!has("/dev/0", b.mine) && !has("/dev/1", b.mine));
	check_owner(A);
	be(A);
	CHECK_EQ(referee_claim(&a, false), REFEREE_WON);
	referee_leave(&a, true); /* nobody held them before */
	CHECK(a.disk[0].took);
	for (unsigned h = 0; h < HOSTS; h++)
		CHECK(writes(h, 0) && writes(h, 1));
	rig_down();
}

/* Registrations of destinations that died are cleared away by the next migration. */
static void test_left_over(void)
{
	uint64_t left;

	up();
	prepare();
	left = b.mine;
	be(A);
	CHECK_EQ(referee_begin(&a), REFEREE_WON);
	CHECK(!has("/dev/0", left) && !has("/dev/1", left));
	/* Here the destination's is left, and the source's came later. */
	prepare();
	be(B);
	b.theirs = a.mine;
	CHECK_EQ(referee_join(&b), REFEREE_WON);
	CHECK(has("/dev/0", b.mine));
	rig_down();
}

/* ---- a guest that starts ---- */

static void test_hold(void)
{
	char why[REFEREE_TEXT], name[256];
	uint64_t key;

	up();
	be(A);
	CHECK_EQ(referee_hold("/dev/0", 0, why), REFEREE_WON);
	CHECK_EQ(referee_hold("/dev/0", 0, why), REFEREE_WON);
	CHECK_EQ(referee_registered("/dev/0"), 1);
	CHECK(writes(A, 0) && !writes(B, 0));
	CHECK_EQ(referee_holder("/dev/0", &key, name, sizeof(name)), 0);
	CHECK_EQ(key, 0);
	be(B);
	CHECK_EQ(referee_hold("/dev/0", 0, why), REFEREE_LOST);
	CHECK(strstr(why, "/dev/0 is held by iqn.2026-11.test:a (key 0x7673") != NULL);
	CHECK_EQ(referee_registered("/dev/0"), 0);
	/* Its host is dead. */
	CHECK_EQ(referee_holder("/dev/0", &key, name, sizeof(name)), 0);
	CHECK_STR(name, "iqn.2026-11.test:a");
	CHECK_EQ(referee_hold("/dev/0", key, why), REFEREE_WON);
	CHECK(writes(B, 0) && !writes(A, 0));
	CHECK_EQ(rig.aborted, 1);
	be(A);
	CHECK_EQ(referee_release("/dev/0", NULL, NULL), 0); /* nothing is left to give up */
	CHECK(writes(B, 0));
	be(B);
	CHECK_EQ(referee_release("/dev/0", NULL, NULL), 0);
	CHECK(writes(A, 0) && writes(2, 0));
	rig_down();
}

static void test_strangers(void)
{
	char why[REFEREE_TEXT];

	up();
	/* Another program holds it for another host. */
	CHECK_EQ(pr_out(2, REGISTER, 0, 0, 0x1234, 0), SCSI_GOOD);
	CHECK_EQ(pr_out(2, RESERVE, WERO, 0x1234, 0, 0), SCSI_GOOD);
	be(A);
	CHECK_EQ(referee_hold("/dev/0", 0, why), REFEREE_LOST);
	CHECK(strstr(why, "held by iqn.2026-11.test:c (key 0x1234, not vstor's)") != NULL);
	CHECK_EQ(referee_begin(&a), REFEREE_LOST);
	CHECK_EQ(pr_out(2, CLEAR, 0, 0x1234, 0, 0), SCSI_GOOD);
	/* It has only registered: it is let be. */
	CHECK_EQ(pr_out(2, REGISTER, 0, 0, 0x1234, 0), SCSI_GOOD);
	prepare();
	CHECK(has("/dev/0", 0x1234));
	be(B);
	CHECK_EQ(referee_claim(&b, false), REFEREE_WON);
	/* It has registered for this very host. */
	CHECK_EQ(pr_out(2, REGISTER, 0, 0x1234, 0, 0), SCSI_GOOD);
	CHECK_EQ(referee_release("/dev/0", NULL, NULL), 0);
	clear_attentions();
	CHECK_EQ(pr_out(A, REGISTER, 0, 0, 0x1234, 0), SCSI_GOOD);
	be(A);
	CHECK_EQ(referee_hold("/dev/0", 0, why), REFEREE_LOST);
	CHECK(strstr(why, "another program") != NULL);
	rig_down();
}

/* The destination sees another disk, or one that the source does not hold. */
static void test_joins_the_holder_only(void)
{
	up();
	be(B);
	b.theirs = referee_key(0x1111, 5);
	CHECK_EQ(referee_join(&b), REFEREE_LOST);
	be(A);
	CHECK_EQ(referee_begin(&a), REFEREE_WON);
	be(B);
	CHECK_EQ(referee_join(&b), REFEREE_LOST);
	CHECK(strstr(b.why, "held by iqn.2026-11.test:a") != NULL);
	CHECK_EQ(referee_registered("/dev/0"), 0);
	rig_down();
}

/* ---- disks that cannot ---- */

static int says_illegal(const char *device, struct sg_io_hdr *io)
{
	static const uint8_t sense[18] = {0x70, 0, 5, [12] = 0x20};

	(void)device;
	io->status = SCSI_CHECK_CONDITION;
	io->sb_len_wr = sizeof(sense);
	memcpy(io->sbp, sense, sizeof(sense));
	return 0;
}

static int is_no_scsi(const char *device, struct sg_io_hdr *io)
{
	(void)device;
	(void)io;
	return -ENOTTY;
}

static int is_down(const char *device, struct sg_io_hdr *io)
{
	(void)device;
	io->host_status = 0x0e; /* DID_TRANSPORT_DISRUPTED */
	return 0;
}

static uint8_t lies[64];
static unsigned lies_n;

static int answers_nonsense(const char *device, struct sg_io_hdr *io)
{
	(void)device;
	memset(io->dxferp, 0, io->dxfer_len);
	memcpy(io->dxferp, lies, lies_n);
	io->resid = (int)(io->dxfer_len - lies_n);
	return 0;
}

static void test_disks_that_cannot(void)
{
	char why[REFEREE_TEXT];
	struct reservation r;

	up();
	CHECK_EQ(reservation_check("/dev/0"), 0);
	rig_down();
	rig_up(NULL, false);
	CHECK_EQ(reservation_check("/dev/0"), -ENOLCK); /* it forgets */
	rig_down();
	reservation_sg_io = says_illegal;
	CHECK_EQ(reservation_check("/dev/0"), -EOPNOTSUPP);
	CHECK_EQ(reservation_read("/dev/0", &r), -EOPNOTSUPP);
	reservation_sg_io = is_no_scsi;
	CHECK_EQ(reservation_check("/dev/0"), -EOPNOTSUPP);
	reservation_sg_io = is_down;
	CHECK_EQ(reservation_check("/dev/0"), -EIO);
	CHECK_EQ(referee_hold("/dev/0", 0, why), REFEREE_SILENT);
	a = two;
	CHECK_EQ(referee_claim(&a, false), REFEREE_SILENT);
	CHECK_EQ(referee_begin(&a), REFEREE_SILENT);
	CHECK(strstr(a.why, "/dev/0 does not answer") != NULL);
}

static void test_nonsense(void)
{
	struct reservation r;

	reservation_sg_io = answers_nonsense;
	lies_n = 4;
	CHECK_EQ(reservation_read("/dev/0", &r), -EIO);
	lies_n = 40;
	put_be32(lies + 4, 0xfffffff0); /* more than is there */
	CHECK_EQ(reservation_read("/dev/0", &r), -E2BIG);
	put_be32(lies + 4, 32);
	put_be32(lies + 8 + 20, 0xfffffff0); /* a TransportID past the end */
	CHECK_EQ(reservation_read("/dev/0", &r), -EIO);
	put_be32(lies + 8 + 20, 8);
	memcpy(lies + 8 + 24, "\x45\0\0\x04x\x01yz", 8); /* a name without an end */
	CHECK_EQ(reservation_read("/dev/0", &r), 0);
	CHECK_STR(r.keys[0].initiator, "x?yz");
	put_be32(lies + 4, 31); /* half a descriptor */
	CHECK_EQ(reservation_read("/dev/0", &r), -EIO);
}

static void test_fields(void)
{
	struct referee r = two, back;
	struct buf m = {0};

	r.mine = 0x7673ffffffff0001;
	r.theirs = 0x7673000000010001;
	referee_put(&m, &r);
	CHECK_EQ(referee_get(m.data, m.len, &back), 0);
	CHECK_EQ(back.n, 2);
	CHECK(back.mine == r.mine && back.theirs == r.theirs);
	CHECK_STR(back.disk[1].vdev, "xvdb");
	CHECK_STR(back.disk[1].path, "/dev/1");
	buf_free(&m);
	CHECK_EQ(referee_get((const uint8_t *)"x=1\n", 4, &back), -ENOENT);
	for (const char *const *p = (const char *const[]){"fence_mine=7\n", "fence_mine=0x1\n",
							  "fence_mine=0x1\nfence_theirs=0x2\n",
							  "fence_mine=0x1\nfence_theirs=0x2\n"
							  "fence_disk=xvda\n",
							  NULL};
	     *p; p++)
		CHECK_EQ(referee_get((const uint8_t *)*p, strlen(*p), &back), -EINVAL);
}

/* ---- the race ---- */

static unsigned won[2], silent_once;

static void run_race(unsigned schedule, unsigned fault, bool only_answer)
{
	a = b = two;
	reservation_sg_io = direct;
	prepare();
	run_both(schedule, fault, only_answer);
	reservation_sg_io = direct;
	/* Never two; and who has heard nothing asks again. */
	CHECK(!(race.says[A] == REFEREE_WON && race.says[B] == REFEREE_WON));
	for (unsigned who = 0; who < 2; who++) {
		silent_once += race.says[who] == REFEREE_SILENT;
		be(who);
		if (race.says[who] == REFEREE_SILENT)
			race.says[who] = referee_claim(who == A ? &a : &b, false);
	}
	CHECK(race.says[A] != REFEREE_SILENT && race.says[B] != REFEREE_SILENT);
	CHECK_EQ(race.says[A] == REFEREE_WON, race.says[B] == REFEREE_LOST);
	CHECK_EQ(race.says[B] == REFEREE_WON, race.says[A] == REFEREE_LOST);
	check_owner(race.says[A] == REFEREE_WON ? A : B);
	won[race.says[A] == REFEREE_WON ? A : B]++;
	/* For the next one. */
	be(A);
	referee_reclaim(&a);
	CHECK_EQ(referee_release("/dev/0", NULL, NULL), 0);
	CHECK_EQ(referee_release("/dev/1", NULL, NULL), 0);
}

static void test_race(void)
{
	up();
	for (unsigned schedule = 0; schedule < 64; schedule++) {
		run_race(schedule, 0, false);
		for (unsigned fault = 1; fault <= 6; fault++) {
			run_race(schedule, fault, false);
			run_race(schedule, fault, true);
		}
	}
	CHECK(won[A] > 100 && won[B] > 100 && silent_once > 100);
	rig_down();
}

int main(void)
{
	log_set_level("error");
	CHECK_RUN(test_keys);
	CHECK_RUN(test_moves);
	CHECK_RUN(test_source_takes_it_back);
	CHECK_RUN(test_late_command);
	CHECK_RUN(test_reclaim);
	CHECK_RUN(test_reclaim_of_the_first);
	CHECK_RUN(test_source_has_ended);
	CHECK_RUN(test_claims_with_abort);
	CHECK_RUN(test_called_off);
	CHECK_RUN(test_left_over);
	CHECK_RUN(test_hold);
	CHECK_RUN(test_strangers);
	CHECK_RUN(test_joins_the_holder_only);
	CHECK_RUN(test_disks_that_cannot);
	CHECK_RUN(test_nonsense);
	CHECK_RUN(test_fields);
	CHECK_RUN(test_race);
	return CHECK_DONE();
}
