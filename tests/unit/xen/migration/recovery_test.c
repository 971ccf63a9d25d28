/* SPDX-License-Identifier: BSD-2-Clause */
/* What the guardian of a killed sender does. */
#include "xen/migration/recovery.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/log.h"
#include "tests/unit/check.h"
#include "tests/unit/fake/xen.h"
#include "tests/unit/xen/fence/disks.h"

#define UUID "05050505-0505-0505-0505-050505050505"

static struct fake_domain *guest;
static struct channel *receiver;
static const char *answer; /* what the receiver says became of it; NULL: nobody answers */
static unsigned asked;	   /* so often */

static bool on_frame(void *arg, uint8_t type, const uint8_t *p, size_t n)
{
	struct buf b = {0};

	(void)arg;
	(void)p;
	(void)n;
	if (type == MSG_HELLO) {
		message_put(&b, "is", "%s", answer);
		message_send(receiver, MSG_ANSWER, &b);
	}
	return true;
}

static void on_close(void *arg, int err, const char *text)
{
	(void)err;
	(void)text;
	loop_stop(arg, 0);
}

/* A process of its own: the sender's loop ends with the answer. */
static void receive(int fd)
{
	static const struct channel_ops ops = {.on_frame = on_frame, .on_close = on_close};
	struct loop *l = loop_new();
	const struct channel_config cfg = {.ops = &ops, .arg = l, .peer = "sender", .server = true};

	if (!channel_new(l, fd, fd, &cfg, &receiver))
		loop_run(l);
	_exit(0);
}

static int open_way(void *arg, struct loop *l, const struct channel_config *cfg,
		    struct channel **out)
{
	int sv[2];

	(void)arg;
	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
	asked++;
	if (!answer) {
		close(sv[0]);
		close(sv[1]);
		return -ECONNREFUSED;
	}
	if (fork() == 0) {
		close(sv[0]);
		receive(sv[1]);
	}
	close(sv[1]);
	return channel_new(l, sv[0], sv[0], cfg, out);
}

static const struct migration_way way = {.open = open_way, .host = "b"};

static struct recovery_note begin(void)
{
	struct recovery_note note = {
		.uuid = UUID, .guest = {.domid = 5, .name = "guest"}, .id = "0123"};

	fake_reset();
	guest = fake_domain_new(5, "guest");
	guest->log_dirty = true;
	return note;
}

static void recover(const struct recovery_note *note)
{
	(void)recovery_run(note, &way, 30 * SEC_NS);
	while (wait(NULL) > 0)
		; /* its receiver */
	CHECK_EQ(fake.open, 0);
}

static void test_killed_in_mid_copy(void)
{
	const struct recovery_note note = begin();

	recover(&note);
	CHECK(!guest->log_dirty);
	CHECK_STR(fake.did, "");
}

static void test_killed_while_it_is_asked_to_suspend(void)
{
	struct recovery_note note = begin();

	note.guest.asked = true;
	snprintf(guest->control, sizeof(guest->control), "suspend");
	recover(&note);
	CHECK_STR(guest->control, "");
	CHECK_STR(fake.did, "");
}

static void test_killed_when_it_is_suspended(void)
{
	struct recovery_note note = begin();

	note.guest.asked = true;
	fake_suspends(guest);
	snprintf(guest->name, sizeof(guest->name), "guest--migratedaway");
	recover(&note);
	CHECK_STR(guest->name, "guest");
	CHECK(!guest->shutdown);
}

static struct recovery_note begin_handed_over(const char *says)
{
	struct recovery_note note = begin();

	note.handed_over = true;
	fake_suspends(guest);
	snprintf(guest->name, sizeof(guest->name), "guest--migratedaway");
	answer = says;
	return note;
}

static void test_killed_after_go(void)
{
	struct recovery_note note = begin_handed_over("running");

	recover(&note);
	CHECK_STR(fake.did, "destroy 5, ");

	note = begin_handed_over("gone");
	recover(&note);
	CHECK(!guest->shutdown);
	CHECK_STR(guest->name, "guest");

	/* Nobody knows: it may run there. */
	note = begin_handed_over("unknown");
	recover(&note);
	CHECK(guest->shutdown);
	CHECK_STR(fake.did, "");
}

/* ---- with disks that decide ---- */

static unsigned silent_until; /* the receiver was asked so often; 0: for good */
static struct referee b;

static int answers_late(const char *device, struct sg_io_hdr *io)
{
	if (silent_until && __atomic_load_n(&asked, __ATOMIC_RELAXED) >= silent_until)
		return direct(device, io);
	io->host_status = 0x0e;
	return 0;
}

/* Killed after GO; the receiver has taken the guest, or not; now its disk is silent. */
static struct recovery_note begin_fenced(bool taken, const char *says, unsigned until)
{
	struct recovery_note note = begin_handed_over(says);

	disks_up();
	be(A);
	note.referee = (struct referee){.n = 1, .disk = {{"xvda", "/dev/0", false}}};
	CHECK_EQ(referee_begin(&note.referee), REFEREE_WON);
	b = note.referee;
	b.theirs = b.mine;
	be(B);
	CHECK_EQ(referee_join(&b), REFEREE_WON);
	if (taken)
		CHECK_EQ(referee_claim(&b, false), REFEREE_WON);
	be(A);
	note.referee.theirs = b.mine;
	note.referee.disk[0].took = false; /* a guest that was started with it */
	asked = 0;
	silent_until = until;
	reservation_sg_io = answers_late;
	fencing_patience = 30 * MS_NS;
	inquiry_patience = says ? 30 * SEC_NS : 30 * MS_NS;
	return note;
}

static struct recovery_result recover_fenced(const struct recovery_note *note, uint64_t limit_ns)
{
	struct recovery_result is = recovery_run(note, &way, limit_ns);

	while (wait(NULL) > 0)
		;
	CHECK_EQ(fake.open, 0);
	return is;
}

/* However long that is: the guardian does not end before it is known. */
static void test_disk_is_silent(void)
{
	struct recovery_note note = begin_fenced(false, NULL, 3);

	CHECK_EQ(recover_fenced(&note, 0).end, RECOVERY_HERE);
	CHECK_EQ(asked, 3);
	CHECK(!guest->shutdown);
	CHECK_STR(guest->name, "guest");
	CHECK(writes(A, 0) && !writes(B, 0));
	rig_down();

	note = begin_fenced(true, NULL, 3);
	CHECK_EQ(recover_fenced(&note, 0).end, RECOVERY_THERE);
	CHECK_STR(fake.did, "destroy 5, ");
	CHECK(writes(B, 0) && !writes(A, 0));
	rig_down();
}

static void test_disk_is_silent_and_the_receiver_is_not(void)
{
	struct recovery_note note = begin_fenced(true, "running", 0);

	CHECK_EQ(recover_fenced(&note, 0).end, RECOVERY_THERE);
	CHECK_STR(fake.did, "destroy 5, ");
	rig_down();

	/* A promise is worth nothing before the disk has heard of it. */
	note = begin_fenced(true, "gone", 2);
	CHECK_EQ(recover_fenced(&note, 0).end, RECOVERY_HERE);
	CHECK_EQ(asked, 2);
	CHECK(!guest->shutdown);
	CHECK(writes(A, 0) && !writes(B, 0));
	rig_down();
}

/* The disk is its, but it died before it could start the guest: what it promises counts. */
static void test_receiver_has_it_and_promises(void)
{
	struct recovery_note note = begin_fenced(true, "gone", 0);

	reservation_sg_io = direct;
	inquiry_patience = 30 * SEC_NS;
	CHECK_EQ(recover_fenced(&note, 0).end, RECOVERY_HERE);
	CHECK_EQ(asked, 1);
	CHECK(!guest->shutdown);
	CHECK(writes(A, 0) && !writes(B, 0));
	rig_down();
}

#define FOREIGN 0x1234u

/* Another program takes all keys away once the receiver has promised, and puts its own in this
 * host's place until that was asked for the third time. */
static int foreign_key(const char *device, struct sg_io_hdr *io)
{
	static bool there;
	unsigned n = __atomic_load_n(&asked, __ATOMIC_RELAXED);

	if (n == 0 || there == (n < 3))
		return direct(device, io);
	there = n < 3;
	reservation_sg_io = direct;
	if (there) {
		be(B);
		CHECK_EQ(reservation_out("/dev/0", RESERVATION_REGISTER, b.mine, 0), 0);
		be(A);
		CHECK_EQ(reservation_out("/dev/0", RESERVATION_REGISTER, 0, FOREIGN), 0);
	} else {
		CHECK_EQ(reservation_out("/dev/0", RESERVATION_REGISTER, FOREIGN, 0), 0);
	}
	reservation_sg_io = foreign_key;
	return direct(device, io);
}

/* The guest is nowhere else: what the disk says then is no reason to destroy it. */
static void test_lost_to_nobody(void)
{
	struct recovery_note note = begin_fenced(true, "gone", 0);

	reservation_sg_io = foreign_key;
	CHECK_EQ(recover_fenced(&note, 0).end, RECOVERY_HERE);
	CHECK_STR(fake.did, "rename 5, resume 5, ");
	CHECK(!guest->shutdown);
	CHECK_EQ(asked, 3);
	rig_down();
}

static bool unheard; /* the disk was changed while the promise was in no journal */

static int looks_at_the_journal(const char *device, struct sg_io_hdr *io)
{
	struct departed d;

	if (io->cmdp[0] == 0x5f /* PERSISTENT RESERVE OUT */ &&
	    __atomic_load_n(&asked, __ATOMIC_RELAXED))
		unheard |= departure_read(UUID, &d) || !d.note.promised;
	return direct(device, io);
}

/* Taking the disk back makes a new key; whoever comes after a guardian that was killed then, and
 * cannot ask the receiver any more, has to know of the promise. */
static void test_promise_is_recorded_before_it_is_acted_upon(void)
{
	struct recovery_note note = begin_fenced(true, "gone", 0);
	struct departure journal;
	struct departed d;

	char path[512];
	int reader; /* who looks at it meanwhile has it locked */

	reservation_sg_io = looks_at_the_journal;
	inquiry_patience = 30 * SEC_NS;
	CHECK_EQ(departure_begin(&journal, &note, &way), 0);
	departure_end(&journal, false); /* killed */
	snprintf(path, sizeof(path), "%s/" UUID, ledger_dir);
	reader = open(path, O_RDONLY | O_CLOEXEC);
	CHECK_EQ(flock(reader, LOCK_EX | LOCK_NB), 0);
	CHECK_EQ(recover_fenced(&note, 0).end, RECOVERY_HERE);
	CHECK(!unheard);
	close(reader);
	CHECK_EQ(departure_read(UUID, &d), 0);
	CHECK(d.note.promised);
	CHECK_EQ(ledger_remove(UUID), 0);
	rig_down();
}

/* Nobody held its disk before. A guardian knows it, and a journal says it. */
static void test_what_was_taken_for_the_migration_is_given_up(void)
{
	for (int pass = 0; pass < 2; pass++) {
		struct recovery_note note = begin_fenced(false, NULL, 0);
		struct departure journal;
		struct departed d;

		reservation_sg_io = direct;
		note.referee.disk[0].took = true;
		if (pass) {
			CHECK_EQ(departure_begin(&journal, &note, &way), 0);
			departure_end(&journal, false);
			CHECK_EQ(departure_read(UUID, &d), 0);
			note = d.note;
			CHECK_EQ(ledger_remove(UUID), 0);
		}
		note.handed_over = note.guest.asked = pass;
		CHECK_EQ(recover_fenced(&note, 0).end, RECOVERY_HERE);
		CHECK(!guest->shutdown);
		CHECK_EQ(referee_registered("/dev/0"), 0);
		CHECK(writes(A, 0) && writes(B, 0));
		rig_down();
	}
}

/* It went with its domain: by now the device may be that of another guest, which needs it. */
static void test_a_later_guests_hold_stays(void)
{
	struct recovery_note note = begin_fenced(false, NULL, 0);

	reservation_sg_io = direct;
	note.referee.disk[0].took = true;
	note.handed_over = note.guest.asked = false;
	note.guest.domid = 0;
	CHECK_EQ(recover_fenced(&note, 0).end, RECOVERY_ENDED);
	CHECK_EQ(referee_registered("/dev/0"), 1);
	note.guest.domid = 6;
	CHECK_EQ(recover_fenced(&note, 0).settled, SETTLE_GONE);
	CHECK_EQ(referee_registered("/dev/0"), 1);
	CHECK(writes(A, 0) && !writes(B, 0));
	rig_down();
}

/* Killed between taking the disk back, by a promise and under a new key, and resuming the guest;
 * that host cannot be asked any more. */
static void test_killed_after_reclaiming(void)
{
	struct recovery_note note = begin_fenced(true, NULL, 0);
	struct referee sender = note.referee;

	reservation_sg_io = direct;
	note.promised = true;
	CHECK_EQ(referee_reclaim(&sender), REFEREE_WON);
	CHECK(sender.mine != note.referee.mine);
	CHECK_EQ(recover_fenced(&note, 0).end, RECOVERY_HERE);
	CHECK_EQ(asked, 0);
	CHECK(!guest->shutdown);
	CHECK_STR(guest->name, "guest");
	CHECK(writes(A, 0) && !writes(B, 0));
	rig_down();
}

/* `vstor recover` does not wait for ever; nor does a guardian whose guest is no more. */
static void test_gives_up(void)
{
	struct recovery_note note = begin_fenced(true, NULL, 0);
	struct recovery_result is = recover_fenced(&note, 200 * MS_NS);

	CHECK_EQ(is.end, RECOVERY_OPEN);
	CHECK(strstr(is.cause, "/dev/0 does not answer") != NULL);
	CHECK(guest->shutdown);
	CHECK_STR(fake.did, "");
	rig_down();

	note = begin_fenced(true, NULL, 0);
	guest->domid = 0;
	CHECK_EQ(recover_fenced(&note, 0).end, RECOVERY_OPEN);
	CHECK_STR(fake.did, "");
	rig_down();
}

int main(void)
{
	char dir[] = "/tmp/vstor-recovery-XXXXXX";

	ledger_dir = mkdtemp(dir);
	signal(SIGPIPE, SIG_IGN);
	CHECK_RUN(test_killed_in_mid_copy);
	CHECK_RUN(test_killed_while_it_is_asked_to_suspend);
	CHECK_RUN(test_killed_when_it_is_suspended);
	CHECK_RUN(test_killed_after_go);
	log_set_level("error");
	CHECK_RUN(test_disk_is_silent);
	CHECK_RUN(test_disk_is_silent_and_the_receiver_is_not);
	CHECK_RUN(test_receiver_has_it_and_promises);
	CHECK_RUN(test_lost_to_nobody);
	CHECK_RUN(test_killed_after_reclaiming);
	CHECK_RUN(test_promise_is_recorded_before_it_is_acted_upon);
	CHECK_RUN(test_what_was_taken_for_the_migration_is_given_up);
	CHECK_RUN(test_a_later_guests_hold_stays);
	log_set_destination("syslog"); /* what it gives up for */
	CHECK_RUN(test_gives_up);
	CHECK_EQ(rmdir(dir), 0);
	return CHECK_DONE();
}
