/* SPDX-License-Identifier: BSD-2-Clause */
/* The sender when the guest's disks are fenced: they decide who runs it, whatever the receiver says
 * or does not say. */
#include "tests/unit/xen/migration/fenced_rig.h"

static void test_moves(void)
{
	struct keepsake k;

	fenced(plays_fair);
	migrate();
	CHECK_EQ(w.result.end, MIGRATION_MOVED);
	CHECK_EQ(b.n, 2);
	CHECK_STR(b.disk[0].vdev, "xvdb"); /* the lower identity decides */
	check_owner(B);
	/* Should that host die: */
	CHECK_EQ(keepsake_find("guest", &k), 0);
	CHECK_STR(k.peer, "b");
	CHECK_EQ(k.peer_id, referee_host_of(b.mine));
	CHECK_STR(k.json, "{\"disks\": 2, \"cap\": 0, \"weight\": 256}");
	keepsake_fini(&k);
	over();
}

static void test_lost_after_go(void)
{
	fenced(plays);
	at_go = vanishes;
	stays();
	CHECK_EQ(w.result.settled, SETTLE_RESUMED);
	CHECK_EQ(w.calls, 1); /* nobody was asked but the disk */
	CHECK_EQ(claims(), REFEREE_LOST);
	over();
}

static bool claims_and_vanishes(void)
{
	CHECK_EQ(claims(), REFEREE_WON);
	return vanishes();
}

static bool claims_and_fails(void)
{
	CHECK_EQ(claims(), REFEREE_WON);
	says(MSG_FAILED, "cause", "it does not start");
	return true;
}

static void test_lost_after_it_has_taken_it(void)
{
	fenced(plays);
	at_go = claims_and_vanishes;
	w.answer = "running";
	migrate();
	CHECK_EQ(w.result.end, MIGRATION_MOVED);
	CHECK(!w.result.unheard);
	check_owner(B);
	over();

	/* It has died with that, as far as one can tell. */
	fenced(plays);
	at_go = claims_and_vanishes;
	w.answer = "unknown";
	migrate();
	CHECK_EQ(w.result.end, MIGRATION_MOVED);
	CHECK(w.result.unheard);
	check_owner(B);
	over();

	/* With its host, for good. */
	fenced(plays);
	at_go = claims_and_vanishes;
	inquiry_silence = 30 * MS_NS;
	migrate();
	CHECK_EQ(w.result.end, MIGRATION_MOVED);
	CHECK(w.result.unheard);
	CHECK(w.result.total_ns < inquiry_patience);
	check_owner(B);
	over();
}

/* It says GONE: then it is ours to take back. */
static void test_it_gives_it_back(void)
{
	fenced(plays);
	at_go = claims_and_vanishes;
	w.answer = "gone";
	stays();
	CHECK_EQ(w.result.settled, SETTLE_RESUMED);
	CHECK_EQ(claims(), REFEREE_LOST);
	over();

	fenced(plays);
	at_go = claims_and_fails;
	stays();
	CHECK_EQ(w.result.settled, SETTLE_RESUMED);
	CHECK_EQ(claims(), REFEREE_LOST);
	over();
}

static int third_takes(const char *device, struct sg_io_hdr *io)
{
	static const char *const disk[] = {"/dev/1", "/dev/0"};
	char why[REFEREE_TEXT];

	if (w.calls < 2) /* the receiver has not promised yet */
		return direct(device, io);
	reservation_sg_io = direct;
	be(2);
	for (unsigned i = 0; i < disks; i++)
		CHECK_EQ(referee_hold(disk[i], b.mine, why), REFEREE_WON);
	be(A);
	return direct(device, io);
}

/* By `vstor takeover`, from the receiver that then promised to this one, too. It ends. */
static void test_third_host_takes_it(void)
{
	fenced(plays);
	at_go = claims_and_vanishes;
	w.answer = "gone";
	reservation_sg_io = third_takes;
	migrate();
	CHECK_EQ(w.result.end, MIGRATION_MOVED);
	CHECK(w.result.third);
	CHECK_EQ(w.calls, 3); /* asked before and after the disk was to be taken back */
	for (unsigned lun = 0; lun < disks; lun++)
		CHECK(writes(2, lun) && !writes(A, lun) && !writes(B, lun));
	over();
}

/* ---- called off ---- */

static void copies_then_cancels(void)
{
	helper_begins();
	cancels();
}

/* What only the migration has taken, it gives up. */
static void test_called_off(void)
{
	fenced(plays_fair);
	w.copying = copies_then_cancels;
	stays();
	be(B);
	referee_leave(&b, false);
	be(A);
	for (unsigned lun = 0; lun < disks; lun++)
		CHECK(writes(A, lun) && writes(B, lun));
	over();
}

/* What the guest has held from its start, it holds. */
static void test_called_off_with_a_guest_that_held(void)
{
	char why[REFEREE_TEXT];

	fenced(plays_fair);
	CHECK_EQ(referee_hold("/dev/0", 0, why), REFEREE_WON);
	CHECK_EQ(referee_hold("/dev/1", 0, why), REFEREE_WON);
	w.copying = copies_then_cancels;
	stays();
	check_owner(A);
	over();
}

static bool fails_to_restore(enum message_type type)
{
	if (type != MSG_END)
		return plays_fair(type);
	says(MSG_FAILED, "cause", "no room");
	return true;
}

static void test_receiver_fails(void)
{
	fenced(fails_to_restore);
	stays();
	CHECK_EQ(w.result.settled, SETTLE_RESUMED);
	CHECK_STR(w.result.cause, "b: no room");
	over();
}

/* The receiver hangs with all of the guest: it cannot have it any more. */
static bool hangs_with_all(enum message_type type)
{
	if (type != MSG_END)
		return plays_fair(type);
	hang_up();
	return true;
}

static void test_lost_before_go(void)
{
	fenced(hangs_with_all);
	stays();
	CHECK_EQ(w.result.settled, SETTLE_RESUMED);
	CHECK_EQ(claims(), REFEREE_LOST);
	over();
}

/* It was so slow to hear from us that the receiver has taken the guest. */
static bool takes_without_go(enum message_type type)
{
	if (type != MSG_END)
		return plays_fair(type);
	CHECK_EQ(claims(), REFEREE_WON);
	hang_up();
	return true;
}

static void test_taken_before_go(void)
{
	fenced(takes_without_go);
	w.answer = "running";
	migrate();
	CHECK_EQ(w.result.end, MIGRATION_MOVED);
	check_owner(B);
	over();
}

/* ---- disks that another holds, or that cannot be fenced ---- */

static void test_another_holds(void)
{
	char why[REFEREE_TEXT];

	fenced(plays_fair);
	be(B);
	CHECK_EQ(referee_hold("/dev/0", 0, why), REFEREE_WON);
	be(A);
	stays();
	CHECK(strstr(w.result.cause, "is held by iqn.2026-11.test:b") != NULL);
	CHECK(writes(A, 1) && writes(B, 1)); /* taken, and given up */
	over();
}

static int forgets(const char *device, struct sg_io_hdr *io)
{
	int rc = direct(device, io);

	if (io->cmdp[0] == 0x5e && io->cmdp[1] == 2) /* REPORT CAPABILITIES: no PTPL_C */
		((uint8_t *)io->dxferp)[2] = 0;
	return rc;
}

static void test_disk_that_forgets(void)
{
	fenced(plays_fair);
	reservation_sg_io = forgets;
	stays();
	CHECK(strstr(w.result.cause, "forgets its reservations") != NULL);
	CHECK(strstr(w.result.cause, "--no-fence") != NULL);
	over();

	fenced(plays_fair);
	reservation_sg_io = forgets;
	w.o.no_fence = true;
	migrate();
	CHECK_EQ(w.result.end, MIGRATION_MOVED);
	CHECK(writes(A, 0) && writes(B, 0));
	over();
}

/* Not disks that a host can reserve for itself. */
static void test_parts_and_volumes(void)
{
	static const char *const marks[][3] = {
		{"0/partition", "1", "it is a part of a disk"},
		{"0/dm/uuid", "LVM-8xYz", "it is a volume of the device mapper's: --no-fence"},
		{"0/dm/uuid", "mpath-360014051",
		 "fence: disk xvda: cannot be fenced: its path sdx is no SCSI disk: --no-fence "
		 "moves the guest"}};
	char path[300];

	for (unsigned i = 0; i < ARRAY_SIZE(marks); i++) {
		if (i) {
			make("0/dm", NULL);
			make("0/slaves", NULL);
			make("0/slaves/sdx", NULL);
		}
		make(marks[i][0], marks[i][1]);
		fenced(plays_fair);
		stays();
		CHECK(strstr(w.result.cause, marks[i][2]) != NULL);
		over();
		/* The other disk is fenced all the same, and decides. */
		fenced(plays_fair);
		w.o.no_fence = true;
		migrate();
		CHECK_EQ(w.result.end, MIGRATION_MOVED);
		CHECK_EQ(b.n, 1);
		CHECK(writes(A, 0) && !writes(A, 1) && writes(B, 1));
		over();
		snprintf(path, sizeof(path), "%s/%s", dir, marks[i][0]);
		unlink(path);
		snprintf(path, sizeof(path), "%s/0/dm", dir);
		rmdir(path);
	}
}

static bool joins_nothing(enum message_type type)
{
	if (type != MSG_PREFLIGHT)
		return plays_fair(type);
	says(MSG_VERDICTS, "ok", "all of it");
	return true;
}

static void test_receiver_takes_no_part(void)
{
	fenced(joins_nothing);
	stays();
	over();
}

/* --check changes nothing. */
static void test_check_only(void)
{
	fenced(plays_fair);
	w.o.check_only = true;
	migrate();
	CHECK_EQ(w.result.end, MIGRATION_CHECKED);
	CHECK_EQ(key_count(), 0);
	over();
}

int main(void)
{
	rig_open();
	log_set_level("error");
	make_sysfs(dir);
	CHECK_RUN(test_moves);
	CHECK_RUN(test_lost_after_go);
	CHECK_RUN(test_lost_after_it_has_taken_it);
	CHECK_RUN(test_it_gives_it_back);
	CHECK_RUN(test_third_host_takes_it);
	CHECK_RUN(test_called_off);
	CHECK_RUN(test_called_off_with_a_guest_that_held);
	CHECK_RUN(test_receiver_fails);
	CHECK_RUN(test_lost_before_go);
	CHECK_RUN(test_taken_before_go);
	CHECK_RUN(test_another_holds);
	CHECK_RUN(test_disk_that_forgets);
	CHECK_RUN(test_parts_and_volumes);
	CHECK_RUN(test_receiver_takes_no_part);
	CHECK_RUN(test_check_only);
	return rig_close() || CHECK_DONE();
}
