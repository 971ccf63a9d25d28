/* SPDX-License-Identifier: BSD-2-Clause */
/* The sender when the guest's disks are fenced: they decide who runs it, whatever the receiver says
 * or does not say. */
#include "tests/unit/xen/host_disks.h"
#include "tests/unit/xen/migration_rig.h"

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
	CHECK_STR(k.json, "{\"disks\": 2}");
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

/* ---- the disk does not answer at once ---- */

static unsigned mute;

static int answers_late(const char *device, struct sg_io_hdr *io)
{
	if (mute) {
		mute--;
		io->host_status = 0x0e;
		return 0;
	}
	return direct(device, io);
}

static bool vanishes_with_the_disk(void)
{
	mute = 4;
	reservation_sg_io = answers_late;
	return vanishes();
}

static void test_disk_is_silent_for_a_while(void)
{
	fenced(plays);
	at_go = vanishes_with_the_disk;
	stays();
	CHECK_EQ(w.result.settled, SETTLE_RESUMED);
	CHECK_EQ(mute, 0);
	over();
}

/* ---- neither the disk nor the receiver answers ---- */

static unsigned waited,
	calls_until; /* so often the receiver is called before the disk answers; 0: never */
static struct loop_timer impatient;

static bool promises_once, promise_noted;
static int answers_after_calls(const char *device, struct sg_io_hdr *io)
{
	if (calls_until && w.calls >= calls_until)
		return direct(device, io);
	io->host_status = 0x0e;
	return 0;
}

/* The user interrupts, over and over: there is nothing to tell yet, and so it does not end. */
static void interrupts(void *arg)
{
	char what[400];
	struct departed d;

	departure_read(UUID, &d);
	promise_noted |= d.note.promised;
	loop_timer_set(w.loop, &impatient, 5 * MS_NS, interrupts, arg);
	if (promises_once && w.calls > 2)
		w.answer = "unknown";
	if (!migration_waits(w.m, what, sizeof(what)))
		return;
	CHECK(strstr(what, "/dev/1") != NULL && strstr(what, " or b ") != NULL);
	CHECK(!migration_cancel(w.m, "interrupted"));
	waited++;
}

static bool vanishes_and_the_user_interrupts(void)
{
	reservation_sg_io = answers_after_calls;
	interrupts(NULL);
	return vanishes();
}

static bool claims_and_both_are_silent(void)
{
	CHECK_EQ(claims(), REFEREE_WON);
	return vanishes_and_the_user_interrupts();
}

static void all_silent(bool (*then)(void), const char *answer, unsigned until)
{
	fenced(plays);
	fencing_patience = inquiry_patience = 30 * MS_NS;
	waited = 0;
	at_go = then;
	w.answer = answer;
	calls_until = until;
}

static void over_silent(void)
{
	CHECK(waited > 0);
	loop_timer_del(w.loop, &impatient);
	fencing_patience = 40 * SEC_NS;
	inquiry_patience = 60 * SEC_NS;
	over();
}

static void test_neither_answers(void)
{
	all_silent(vanishes_and_the_user_interrupts, NULL, 4);
	stays();
	CHECK_EQ(w.result.settled, SETTLE_RESUMED);
	CHECK_EQ(w.calls, 4); /* the receiver was asked in between, three times */
	CHECK(!promise_noted);
	CHECK_EQ(claims(), REFEREE_LOST);
	over_silent();

	all_silent(claims_and_both_are_silent, NULL, 4);
	migrate();
	CHECK_EQ(w.result.end, MIGRATION_MOVED);
	CHECK(w.result.unheard);
	check_owner(B);
	over_silent();
}

/* The disk never does, as the storage's network is down here. */
static void test_receiver_answers_at_last(void)
{
	all_silent(claims_and_both_are_silent, "running", 0);
	migrate();
	CHECK_EQ(w.result.end, MIGRATION_MOVED);
	CHECK(!w.result.unheard);
	over_silent();
}

/* It has promised; but only the disk can give the guest back. */
static void test_receiver_promises_and_the_disk_is_silent(void)
{
	promise_noted = false;
	all_silent(claims_and_both_are_silent, "gone", 4);
	stays();
	CHECK_EQ(w.result.settled, SETTLE_RESUMED);
	CHECK_EQ(claims(), REFEREE_LOST);
	CHECK(promise_noted); /* by then, for whoever comes should we be killed */
	over_silent();
	/* What it has promised holds when it is not heard of any more. */
	all_silent(claims_and_both_are_silent, "gone", 4);
	promises_once = true;
	stays();
	CHECK_EQ(w.result.settled, SETTLE_RESUMED);
	CHECK_EQ(claims(), REFEREE_LOST);
	promises_once = false;
	over_silent();
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
	CHECK_RUN(test_disk_is_silent_for_a_while);
	CHECK_RUN(test_neither_answers);
	CHECK_RUN(test_receiver_answers_at_last);
	CHECK_RUN(test_receiver_promises_and_the_disk_is_silent);
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
