/* SPDX-License-Identifier: BSD-2-Clause */
/* The watch at a guest's disk: who else registers with it, or takes it, and what becomes of the
 * guest. What others do is done when it looks, by a script. */
#include "xen/fence/disk_watch.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/log.h"
#include "tests/unit/check.h"
#include "tests/unit/xen/fence/host_disks.h"
#include "xen/guest_claim.h"

#define DISK  "/dev/1" /* the lower identity */
#define STEPS 12

static char dir[] = "/tmp/vstor-watch-XXXXXX";
static struct loop *loop;
static struct toolstack *tools;
static struct fake_domain *guest;

/* ---- the script ---- */

static void (*steps[STEPS])(void);
static unsigned looks;
static bool playing;

/* Before the answer to each of its questions who is registered comes the next step. */
static int watched(const char *device, struct sg_io_hdr *io)
{
	bool asks = !playing && io->cmdp[0] == 0x5e && io->cmdp[1] == 3;
	int rc;

	if (asks) {
		playing = true;
		CHECK_STR(device, DISK);
		CHECK(looks < STEPS && steps[looks]);
		if (looks < STEPS && steps[looks])
			steps[looks]();
		else
			guest->domid = 0; /* it is to end */
		looks++;
		be(A);
		playing = false;
	}
	do
		rc = direct(device, io);
	while (asks && io->status == SCSI_CHECK_CONDITION); /* an attention: it would ask again */
	return rc;
}

/* Nothing happens. */
static void idle(void)
{
}

/* What has been asked of the hypervisor until then. */
static void sees(const char *did)
{
	CHECK_STR(fake.did, did);
}

static void sees_nothing(void)
{
	sees("");
}

static void sees_pause(void)
{
	sees("pause 5, ");
	CHECK(guest->paused);
}

static void sees_unpause(void)
{
	sees("pause 5, unpause 5, ");
	CHECK(!guest->paused);
}

static void ends(void)
{
	guest->domid = 0;
}

static void announces(void)
{
	uint64_t holder;
	char name[RESERVATION_NAME_MAX];

	be(B);
	CHECK_EQ(referee_holder(DISK, &holder, name, sizeof(name)), 0);
	CHECK_EQ(referee_announce(DISK, holder), 0);
}

static void leaves(void)
{
	be(B);
	CHECK_EQ(referee_release(DISK, NULL, NULL), 0);
}

static void takes(void)
{
	char name[RESERVATION_NAME_MAX], why[REFEREE_TEXT];
	uint64_t holder;

	be(B);
	CHECK_EQ(referee_holder(DISK, &holder, name, sizeof(name)), 0);
	CHECK_EQ(referee_hold(DISK, holder, why), REFEREE_WON);
}

static void takes_from_one_who_is_paused(void)
{
	sees_pause();
	takes();
}

/* ---- the rig ---- */

static struct referee a, b;

static void begin(void)
{
	char why[REFEREE_TEXT];

	disks_up();
	fake_reset();
	fake.node = node;
	fake.rings[0] = (struct fake_ring){.domid = 5, .vdev = "0", .queue = -1};
	fake.rings[1] = (struct fake_ring){.domid = 5, .vdev = "1", .queue = -1};
	guest = fake_domain_new(5, "guest");
	loop = loop_new();
	CHECK_EQ(toolstack_open(loop, &tools), 0);
	be(A);
	for (unsigned i = 0; i < 2; i++)
		CHECK_EQ(referee_hold(i ? "/dev/1" : "/dev/0", 0, why), REFEREE_WON);
	memset(steps, 0, sizeof(steps));
	looks = 0;
	reservation_sg_io = watched;
}

static void end(void)
{
	toolstack_close(tools);
	loop_free(loop);
	CHECK_EQ(fake.open, 0);
	rig_down();
}

static void play(void)
{
	CHECK_EQ(disk_watch_run(loop, tools, 5), 0);
	end();
}

#define PLAY(...)                                                                                  \
	do {                                                                                       \
		static void (*const all[])(void) = {__VA_ARGS__};                                  \
		memcpy(steps, all, sizeof(all));                                                   \
		play();                                                                            \
		CHECK_EQ(looks, sizeof(all) / sizeof(all[0]));                                     \
	} while (0)

/* ---- takeover ---- */

static void test_taken(void)
{
	begin();
	/* It is gone before it can have written once more: after "destroy" nobody looks. */
	PLAY(idle, announces, takes_from_one_who_is_paused);
	CHECK_STR(fake.did, "pause 5, destroy 5, ");
}

static void test_called_and_left(void)
{
	begin();
	PLAY(idle, announces, sees_pause, leaves, sees_unpause, ends);
	CHECK_STR(fake.did, "pause 5, unpause 5, ");
}

/* Its vstor takeover was killed. */
static void test_called_and_nothing_more(void)
{
	disk_watch_patience = 0;
	begin();
	PLAY(idle, announces, idle, sees_unpause, sees_unpause, ends);
	disk_watch_patience = 20 * SEC_NS;

	/* By another key it may call again. */
	disk_watch_patience = 0;
	begin();
	PLAY(idle, announces, idle, sees_unpause, takes, idle);
	CHECK_STR(fake.did, "pause 5, unpause 5, pause 5, destroy 5, ");
	disk_watch_patience = 20 * SEC_NS;
}

/* By a vstor that does not call, or while its disk was silent. */
static void test_taken_without_a_call(void)
{
	begin();
	PLAY(idle, takes, sees_pause);
	CHECK_STR(fake.did, "pause 5, destroy 5, ");
}

static void test_cannot_be_paused_or_destroyed(void)
{
	begin();
	fake.fails = "pause";
	PLAY(idle, announces, idle, takes);
	CHECK_STR(fake.did, "pause 5, pause 5, destroy 5, ");

	begin();
	fake.fails = "destroy";
	PLAY(idle, announces, takes, idle);
	CHECK_STR(fake.did, "pause 5, destroy 5, destroy 5, ");
}

/* ---- what is none ---- */

static void a_program_registers(void)
{
	be(B);
	CHECK_EQ(reservation_out(DISK, RESERVATION_REGISTER, 0, 0x1234), 0);
}

static void a_program_takes(void)
{
	uint64_t mine = 0;
	struct reservation r;

	CHECK_EQ(reservation_read(DISK, &r), 0);
	for (unsigned i = 0; i < r.n; i++)
		if (r.keys[i].holds)
			mine = r.keys[i].key;
	be(B);
	CHECK_EQ(reservation_out(DISK, RESERVATION_PREEMPT, 0x1234, mine), 0);
}

static void test_other_programs(void)
{
	begin();
	PLAY(idle, a_program_registers, sees_nothing, a_program_takes, sees_nothing, ends);
	CHECK_STR(fake.did, "");
}

static void test_left_by_an_earlier_one(void)
{
	begin();
	playing = true;
	announces();
	playing = false;
	PLAY(idle, sees_nothing, ends);
}

static bool silent;

static int mute(const char *device, struct sg_io_hdr *io)
{
	if (silent && !playing) {
		silent = false;
		return -EIO;
	}
	return watched(device, io);
}

static void becomes_silent(void)
{
	silent = true;
}

static void test_silent(void)
{
	begin();
	reservation_sg_io = mute;
	PLAY(becomes_silent, becomes_silent, sees_nothing, announces, becomes_silent, sees_pause,
	     leaves, sees_unpause, ends);
}

/* ---- a migration ---- */

static void source_begins(void)
{
	a = (struct referee){.n = 2, .disk = {{"xvdb", "/dev/1", 0}, {"xvda", "/dev/0", 0}}};
	b = a;
	be(A);
	CHECK_EQ(referee_begin(&a), REFEREE_WON);
}

static void destination_joins(void)
{
	be(B);
	b.theirs = a.mine;
	CHECK_EQ(referee_join(&b), REFEREE_WON);
	a.theirs = b.mine;
}

static void suspends_and_destination_claims(void)
{
	fake_suspends(guest);
	be(B);
	CHECK_EQ(referee_claim(&b, false), REFEREE_WON);
}

static void source_takes_it_back(void)
{
	be(A);
	CHECK_EQ(referee_reclaim(&a), REFEREE_WON);
	guest->shutdown = false;
}

/* And then the next one, before which the key of this one is still there for a moment. */
static void next_begins(void)
{
	be(A);
	CHECK_EQ(referee_begin(&a), REFEREE_WON);
	be(B);
	CHECK_EQ(reservation_out(DISK, RESERVATION_REGISTER, 0, b.mine), 0);
}

static void test_migration(void)
{
	begin();
	PLAY(idle, source_begins, destination_joins, sees_nothing, suspends_and_destination_claims,
	     sees_nothing, source_takes_it_back, sees_nothing, next_begins, sees_nothing, ends);
	CHECK_STR(fake.did, "");
}

/* What was read is older than the guest's resumption: nothing is destroyed by that. */
static void is_resumed_after_the_look(void)
{
	guest->shutdown = false;
}

static void test_resumed_meanwhile(void)
{
	begin();
	PLAY(idle, source_begins, destination_joins, suspends_and_destination_claims,
	     is_resumed_after_the_look, source_takes_it_back, sees_unpause, ends);
	CHECK_STR(fake.did, "pause 5, unpause 5, ");
}

/* The same at the destination: not its own before it has it. */
static void other_host_holds(void)
{
	char why[REFEREE_TEXT];

	be(A);
	CHECK_EQ(referee_release(DISK, NULL, NULL), 0);
	be(B);
	CHECK_EQ(referee_hold(DISK, 0, why), REFEREE_WON);
	guest->paused = true;
}

static void is_handed_over(void)
{
	uint64_t holder;
	char name[RESERVATION_NAME_MAX], why[REFEREE_TEXT];

	sees_nothing();
	be(A);
	CHECK_EQ(referee_holder(DISK, &holder, name, sizeof(name)), 0);
	CHECK_EQ(referee_hold(DISK, holder, why), REFEREE_WON);
	guest->paused = false;
}

static void test_destination(void)
{
	begin();
	playing = true;
	other_host_holds();
	playing = false;
	be(A);
	PLAY(idle, sees_nothing, is_handed_over, sees_nothing, announces,
	     takes_from_one_who_is_paused);
	CHECK_STR(fake.did, "pause 5, destroy 5, ");
}

/* ---- its life ---- */

static void test_one_for_a_guest(void)
{
	int claim = guest_claim("5");

	begin();
	PLAY();
	CHECK_EQ(looks, 0);
	close(claim);
}

static void test_no_disk(void)
{
	begin();
	fake.rings[0].domid = fake.rings[1].domid = 0;
	PLAY();
	CHECK_EQ(guest->domid, 5);
}

/* Nobody is to find the guest paused when it has gone. */
static void is_told_to_end(void)
{
	sees_pause();
	raise(SIGTERM);
}

static void test_told_to_end(void)
{
	begin();
	PLAY(idle, announces, is_told_to_end, idle);
	CHECK_STR(fake.did, "pause 5, unpause 5, ");
}

/* ---- a watch that is killed while the guest is paused ---- */

#define NOTE "/libxl/5/vstor-paused"

static void is_killed(void)
{
	sees_pause();
	CHECK_STR(fake_node(NOTE), "1");
	check_remove(rig.dir);
	_exit(check_failures ? 1 : 9);
}

/* Its guardian starts the next. */
static void test_killed(void)
{
	static void (*const all[])(void) = {idle, announces, is_killed};
	char started[64];
	int status = 0;
	pid_t pid;

	snprintf(started, sizeof(started), "%s/started-5", dir);
	setenv("VSTOR_TEST_DIR", dir, 1);
	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		begin();
		memcpy(steps, all, sizeof(all));
		disk_watch_run(loop, tools, 5);
		_exit(1);
	}
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(WEXITSTATUS(status), 9);
	for (int i = 0; i < 1000 && access(started, F_OK); i++)
		usleep(10000);
	CHECK(!access(started, F_OK));
}

static void begin_after_killed(void)
{
	begin();
	guest->paused = true;
	fake_node_set(NOTE, "1");
}

static void sees_it_go_on(void)
{
	sees("unpause 5, ");
	CHECK(!guest->paused);
	CHECK(!fake_node(NOTE));
}

static void test_after_killed(void)
{
	begin_after_killed();
	PLAY(idle, sees_it_go_on, ends);

	/* The other host is still about to take the disk, and then does, or not. */
	begin_after_killed();
	playing = true;
	announces();
	playing = false;
	PLAY(sees_nothing, sees_nothing, leaves, sees_it_go_on, ends);

	begin_after_killed();
	playing = true;
	announces();
	playing = false;
	PLAY(sees_nothing, takes);
	CHECK_STR(fake.did, "destroy 5, ");

	begin_after_killed();
	disk_watch_patience = 0;
	playing = true;
	announces();
	playing = false;
	PLAY(idle, sees_it_go_on, ends);
	disk_watch_patience = 20 * SEC_NS;
}

static void test_taken_after_killed(void)
{
	begin_after_killed();
	playing = true;
	takes();
	be(A);
	playing = false;
	PLAY(idle);
	CHECK_STR(fake.did, "destroy 5, ");
}

/* Before it had paused it. */
static void test_noted_and_not_paused(void)
{
	begin();
	fake_node_set(NOTE, "1");
	PLAY(idle, sees_nothing, ends);
	CHECK(!fake_node(NOTE));
}

static void somebody_lets_it_go_on(void)
{
	guest->paused = false;
}

static void is_paused_again(void)
{
	sees("pause 5, pause 5, ");
	CHECK(guest->paused);
	leaves();
}

static void test_somebody_lets_it_go_on(void)
{
	begin();
	PLAY(idle, announces, somebody_lets_it_go_on, is_paused_again, idle, ends);
	CHECK_STR(fake.did, "pause 5, pause 5, unpause 5, ");
}

/* Somebody else let it go on, and the other host has gone. */
static void somebody_lets_it_go_on_late(void)
{
	somebody_lets_it_go_on();
	leaves();
}

static void test_somebody_is_first(void)
{
	begin();
	PLAY(idle, announces, somebody_lets_it_go_on_late, idle, ends);
	CHECK_STR(fake.did, "pause 5, ");
	CHECK(!fake_node(NOTE));
}

/* What the guardian starts is this program. */
static int started(char **argv)
{
	char path[64];

	snprintf(path, sizeof(path), "%s/started-%s", getenv("VSTOR_TEST_DIR"), argv[2]);
	return strcmp(argv[1], "watch") != 0 || close(open(path, O_CREAT | O_WRONLY, 0600));
}

int main(int argc, char **argv)
{
	if (argc > 2)
		return started(argv);
	if (!mkdtemp(dir))
		return 1;
	guest_claim_dir = dir;
	disk_watch_ns = 4 * MS_NS;
	log_set_level("error");
	make_sysfs(dir);
	CHECK_RUN(test_taken);
	CHECK_RUN(test_called_and_left);
	CHECK_RUN(test_called_and_nothing_more);
	CHECK_RUN(test_taken_without_a_call);
	CHECK_RUN(test_other_programs);
	CHECK_RUN(test_left_by_an_earlier_one);
	CHECK_RUN(test_silent);
	CHECK_RUN(test_migration);
	CHECK_RUN(test_resumed_meanwhile);
	CHECK_RUN(test_destination);
	CHECK_RUN(test_one_for_a_guest);
	CHECK_RUN(test_no_disk);
	CHECK_RUN(test_told_to_end);
	CHECK_RUN(test_killed);
	CHECK_RUN(test_after_killed);
	CHECK_RUN(test_taken_after_killed);
	CHECK_RUN(test_noted_and_not_paused);
	CHECK_RUN(test_somebody_lets_it_go_on);
	CHECK_RUN(test_somebody_is_first);
	log_set_destination("syslog"); /* what it cannot do */
	CHECK_RUN(test_cannot_be_paused_or_destroyed);
	return check_remove(dir) != 0 || CHECK_DONE();
}
