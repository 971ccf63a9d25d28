/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The receiver when the n-th of its calls fails, n being counted up until a run passes clean. A
 * sender that the test plays takes part; then a later vstor looks after what is left. Whatever
 * happens, the guest runs here with its disk, or nothing of it is here and the sender can have it.
 */
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "core/log.h"
#include "tests/unit/check.h"
#include "tests/unit/fake/files.h"
#include "tests/unit/fake/xen.h"
#include "tests/unit/xen/migration/reception_rig.h"
#include "xen/disk_id.h"
#include "xen/guest_claim.h"
#include "xen/migration/handover.h"
#include "xen/keepsake.h"

static bool is_channel(int fd)
{
	return fd == w.socket;
}

static bool is_way(int fd)
{
	return fd == w.socket || (w.r && w.r->restoring.started && fd == w.r->restoring.pipe[1]);
}

/* ---- its disk ---- */

static unsigned commands, command_fails;
static enum { LOST, UNANSWERED } command_fault;

static int counted(const char *device, struct sg_io_hdr *io)
{
	if (host != HERE || ++commands != command_fails)
		return direct(device, io);
	if (command_fault == UNANSWERED)
		direct(device, io);
	io->host_status = 0x0e; /* DID_TRANSPORT_DISRUPTED */
	return 0;
}

/* ---- a reception ---- */

static void receive(void)
{
	struct channel_config cfg = {.ops = &sender_ops, .peer = "receiver"};
	struct channel_config mine = {.ops = &reception_ops, .peer = "sender", .server = true};
	struct channel *c;
	int sv[2];

	w.loop = loop_new();
	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
	CHECK_EQ(toolstack_open(w.loop, &w.t), 0);
	CHECK_EQ(channel_new(w.loop, sv[0], sv[0], &cfg, &w.c), 0);
	CHECK_EQ(reception_new(w.loop, w.t, on_done, NULL, &w.r), 0);
	if (!w.has_card)
		reception_silent(w.r);
	mine.arg = w.r;
	w.socket = sv[1];
	CHECK_EQ(channel_new(w.loop, sv[1], sv[1], &mine, &c), 0);
	reception_channel(w.r, c, NULL);
	on_turn(NULL);
	loop_timer_set(w.loop, &w.patience, patience_ns, on_silence, NULL);
	loop_run(w.loop);
	loop_timer_del(w.loop, &w.turn);
	loop_timer_del(w.loop, &w.patience);
	reception_free(w.r);
	w.r = NULL;
	channel_free(w.c);
	toolstack_close(w.t);
	loop_free(w.loop);
}

static void begin(void)
{
	fake_reset();
	fake.made = 9;
	fake.config = config;
	disks_up();
	reservation_sg_io = counted;
	commands = 0;
	w = (struct sender){.referee = {.n = 1, .disk = {{"xvda", "/dev/0", false}}}};
	be(THERE);
	CHECK_EQ(referee_begin(&w.referee), REFEREE_WON);
	be(HERE);
}

static enum handover_is answer;

static void on_answer(void *arg, enum handover_is is)
{
	answer = is;
	loop_stop(arg, 0);
}

/* As a later vstor does, for `vstor recover` or for the sender that asks. */
static void ask(void)
{
	struct loop *l = loop_new();
	struct handover_ask a;
	struct toolstack *t;

	CHECK_EQ(toolstack_open(l, &t), 0);
	handover_ask(&a, t, l, ID, false, on_answer, l);
	loop_run(l);
	toolstack_close(t);
	loop_free(l);
}

/* Whose the guest is in the end, and that both know it. */
static void judge(void)
{
	const struct fake_domain *d = fake_domain(9);
	enum referee_says says = REFEREE_SILENT;

	/* What it has said is so, at that moment already. */
	CHECK(!w.running || (d && !d->paused));
	CHECK(!w.failed || !d);
	/* A sender that heard nothing looks who has the disk. */
	be(THERE);
	if (!w.running && !w.failed && w.referee.theirs)
		says = referee_claim(&w.referee, false);
	be(HERE);
	ask();
	d = fake_domain(9);
	if (d) {
		CHECK(!d->paused);
		CHECK_EQ(answer, HANDOVER_RUNNING);
		CHECK(says != REFEREE_WON);
		CHECK(writes(HERE, 0) && !writes(THERE, 0));
		return;
	}
	/* Without a journal nothing was begun. */
	CHECK(answer == HANDOVER_GONE ||
	      (answer == HANDOVER_UNKNOWN && (w.failed || says != REFEREE_LOST)));
	be(THERE);
	if (w.referee.theirs && says != REFEREE_WON)
		CHECK_EQ(referee_reclaim(&w.referee), REFEREE_WON);
	be(HERE);
	CHECK(writes(THERE, 0) && !writes(HERE, 0));
}

static void end(void)
{
	rig_down();
	CHECK_EQ(fake.open, 0);
	CHECK_EQ(ledger_remove(ID), 0);
}

/* ---- what fails ---- */

static void test_passes_clean(void)
{
	begin();
	receive();
	CHECK(w.running && !w.refused && !w.failed);
	CHECK_STR(fake_domain(9)->name, "guest");
	judge();
	end();
}

static void test_lets_go_of_disks(void)
{
	begin();
	w.has_card = true;
	receive();
	CHECK_STR(fake_node("backend/vbd/9/51712/physical-device"), "8:0");
	CHECK_EQ(w.weight, 32);
	CHECK_EQ(fake_domain(9)->weight, 512);
	judge();
	end();
}

/* It has the guest by the disk's word, and cannot start it: it gives it back. */
static void test_does_not_start(void)
{
	begin();
	fake.fails = "unpause";
	receive();
	CHECK(w.failed && !w.running && !fake_domain(9));
	judge();
	end();
}

/* ---- somebody else is at it ---- */

/* The same guest comes a second time, from wherever; or it is here: then it may be on its way there
 * at this moment. */
static void test_is_here_already(void)
{
	static const char *const names_here[] = {"guest--incoming", "guest", "another"};
	static const char *const why[] = {"another migration of it is under way",
					  "has a domain called guest already",
					  "has a domain with the uuid"};

	for (unsigned i = 0; i < 3; i++) {
		struct fake_domain *d;

		begin();
		d = fake_domain_new(i == 2 ? 9 : 7,
				    names_here[i]); /* the fake's uuids are numbers */
		receive();
		CHECK(w.refused && !w.all_said);
		CHECK(strstr(w.why, why[i]) != NULL);
		CHECK(fake_domain(d->domid) == d && strcmp(d->name, names_here[i]) == 0);
		CHECK_STR(fake.did, "");
		CHECK(writes(THERE, 0) && !writes(HERE, 0));
		end();
	}
}

/* A migration that is over is not played once more. */
static void test_id_used_before(void)
{
	begin();
	receive();
	CHECK(w.running);
	fake_domain(9)->domid = 0; /* it has ended since */
	be(HERE);
	CHECK_EQ(referee_release("/dev/0", NULL, NULL), 0);
	be(THERE);
	w = (struct sender){.referee = {.n = 1, .disk = {{"xvda", "/dev/0", false}}}};
	CHECK_EQ(referee_begin(&w.referee), REFEREE_WON);
	be(HERE);
	receive();
	CHECK(w.refused && !w.running && !fake_domain(9));
	CHECK(strstr(w.why, "cannot keep a record there") != NULL);
	CHECK(writes(THERE, 0) && !writes(HERE, 0));
	end();
}

static void is_killed(void)
{
	loop_stop(w.loop, 0);
}

/* Registered with the disk, and nothing of the guest has come yet. */
static void test_killed_when_checked(void)
{
	begin();
	w.at_verdicts = is_killed;
	receive();
	CHECK(has("/dev/0", w.referee.theirs));
	ask();
	CHECK_EQ(answer, HANDOVER_GONE);
	CHECK(!has("/dev/0", w.referee.theirs));
	judge();
	end();
}

static void is_destroyed(void)
{
	fake_domain(9)->domid = 0;
}

/* xl destroy of what is complete here, right before GO. */
static void test_destroyed_before_go(void)
{
	begin();
	w.at_ready = is_destroyed;
	receive();
	CHECK(w.failed && !w.running);
	judge();
	end();
}

static bool call_fails(unsigned n, enum fake_fault fault, bool (*sent)(int), bool (*passed)(int))
{
	bool failed;

	begin();
	fake_files_fail(n, fault);
	fake_files.thread = (unsigned long)pthread_self();
	fake_files.sent_on = sent;
	fake_files.passed_on = passed;
	receive();
	failed = fake_files.failed;
	fake_files_fail(0, 0);
	judge();
	end();
	return failed || !w.running;
}

static unsigned all_fail(bool (*sent)(int), bool (*passed)(int))
{
	unsigned least = UINT_MAX;

	for (int fault = 0; fault < FAKE_CUT; fault++) {
		unsigned n = 1;

		if (fault == FAKE_ENOSPC && (sent || passed)) /* as EIO, here */
			continue;
		while (call_fails(n, (enum fake_fault)fault, sent, passed))
			n++;
		least = n - 1 < least ? n - 1 : least;
	}
	return least; /* so many calls there were to fail */
}

static void test_files_fail(void)
{
	CHECK(all_fail(NULL, NULL) > 15);
}

static void test_sending_fails(void)
{
	CHECK(all_fail(is_channel, NULL) > 5);
}

static void test_reading_and_the_pipe_fail(void)
{
	CHECK(all_fail(NULL, is_way) > 5);
}

static void test_commands_to_the_disk_fail(void)
{
	bool failed;

	for (int fault = LOST; fault <= UNANSWERED; fault++) {
		command_fault = fault;
		command_fails = 1;
		do {
			begin();
			receive();
			failed = commands >= command_fails++ || !w.running;
			judge();
			end();
		} while (failed);
		CHECK(command_fails > 5);
	}
	command_fails = 0;
}

/* From the n-th call on no file can be written any more: this host's own disk is gone. Nobody may
 * come to have the guest twice; and as long as the sender can have it, it is not kept from it. */
static void test_files_are_broken(void)
{
	bool failed;
	unsigned n = 1;

	do {
		const struct fake_domain *d;

		begin();
		fake_files_fail(n++, FAKE_EIO);
		fake_files.on = true;
		fake_files.thread = (unsigned long)pthread_self();
		receive();
		d = fake_domain(9);
		CHECK(!w.running || (d && !d->paused));
		CHECK(!w.failed || !d);
		CHECK(!d || !d->paused); /* it runs, or it is given back */
		failed = fake_files.failed || !w.running;
		fake_files_fail(0, 0);
		judge();
		end();
	} while (failed);
	CHECK(n > 15);
}

/* ---- where all this is ---- */

static void make(void)
{
	static const char *const dirs[] = {"dev", "dev/block", "0", "0/device",
					   "0/device/scsi_disk"};
	char path[200];
	FILE *f;

	for (unsigned i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, dirs[i]);
		mkdir(path, 0700);
	}
	snprintf(path, sizeof(path), "%s/0/device/wwid", dir);
	f = fopen(path, "w");
	fputs("naa.1\n", f);
	fclose(f);
	snprintf(path, sizeof(path), "%s/dev/block/8:0", dir);
	CHECK_EQ(symlink("../../0", path), 0);
	snprintf(disk, sizeof(disk), "%s/disk", dir);
	CHECK_EQ(mknod(disk, S_IFBLK | 0600, makedev(8, 0)), 0);
	disk_id_sysfs = dir;
}

int main(void)
{
	signal(SIGPIPE, SIG_IGN);
	if (!mkdtemp(dir))
		return 1;
	guest_claim_dir = ledger_dir = dir;
	snprintf(kept, sizeof(kept), "%s/kept", dir);
	keepsake_dir = kept;
	make();
	log_set_destination("syslog"); /* all that fails */
	fencing_grace = fencing_patience = reception_settle_in = 20 * MS_NS;
	CHECK_RUN(test_passes_clean);
	CHECK_RUN(test_lets_go_of_disks);
	CHECK_RUN(test_does_not_start);
	CHECK_RUN(test_is_here_already);
	CHECK_RUN(test_id_used_before);
	CHECK_RUN(test_killed_when_checked);
	CHECK_RUN(test_destroyed_before_go);
	patience_ns = 60 * MS_NS;
	fencing_grace = fencing_patience = reception_settle_in = 5 * MS_NS;
	CHECK_RUN(test_files_fail);
	CHECK_RUN(test_sending_fails);
	CHECK_RUN(test_reading_and_the_pipe_fail);
	CHECK_RUN(test_commands_to_the_disk_fail);
	CHECK_RUN(test_files_are_broken);
	return check_remove(dir) != 0 || CHECK_DONE();
}
