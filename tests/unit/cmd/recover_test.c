/* SPDX-License-Identifier: BSD-2-Clause */
#include "cmd/cmd.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/check.h"
#include "tests/unit/fake/xen.h"
#include "xen/handover.h"
#include "xen/save_helper.h"

static struct fake_domain *guest;

static void begin(const char *name)
{
	fake_reset();
	guest = fake_domain_new(5, name);
}

/* Its exit status. */
static int recover(const char *domain)
{
	char *argv[] = {"recover", (char *)domain, NULL};
	int status = cmd_recover(2, argv);

	CHECK_EQ(fake.open, 0);
	return status;
}

static void test_usage(void)
{
	char *argv[] = {"recover", NULL};

	begin("guest");
	CHECK_EQ(cmd_recover(1, argv), 2);
	CHECK_EQ(recover("another"), 1);
}

static void test_it_runs(void)
{
	begin("guest");
	guest->log_dirty = true;
	snprintf(guest->control, sizeof(guest->control), "suspend");
	CHECK_EQ(recover("guest"), 0);
	CHECK(!guest->log_dirty);
	CHECK_STR(guest->control, "");
	CHECK_STR(fake.did, "");
}

static void test_it_is_suspended(void)
{
	begin("guest");
	fake_suspends(guest);
	CHECK_EQ(recover("guest"), 0);
	CHECK(!guest->shutdown);
	CHECK_STR(fake.did, "resume 5, ");
	fake_suspends(guest);
	fake.fails = "resume";
	CHECK_EQ(recover("guest"), 3);
	guest->reason = LIBXL_SHUTDOWN_REASON_CRASH;
	CHECK_EQ(recover("guest"), 1);
}

/* Its migration slowed it, and then that was killed, and its guardian. */
static void test_it_was_slowed(void)
{
	char uuid[GUEST_UUID_MAX];
	int claim, cap;

	begin("guest");
	guest->cap = 3;
	guest_uuid_text(&guest->uuid, uuid);
	claim = handover_claim(uuid);
	CHECK_EQ(handover_note_cap(claim, 5, 70), 0);
	close(claim);
	fake.fails = "cap";
	CHECK_EQ(recover("guest"), 0);
	CHECK_EQ(guest->cap, 3); /* known still */
	CHECK_EQ(recover("guest"), 0);
	CHECK_EQ(guest->cap, 70);
	claim = handover_claim(uuid);
	CHECK(!handover_noted_cap(claim, 5, &cap));
	/* Another domain of this uuid has a cap of its own. */
	CHECK_EQ(handover_note_cap(claim, 4, 10), 0);
	close(claim);
	CHECK_EQ(recover("guest"), 0);
	CHECK_EQ(guest->cap, 70);
}

/* Where it may run elsewhere, nothing is touched. */
static void test_it_was_handed_over(void)
{
	begin("guest--migratedaway");
	fake_suspends(guest);
	CHECK_EQ(recover("guest"), 3);
	CHECK_EQ(recover("guest--migratedaway"), 3);
	begin("guest--incoming");
	guest->paused = true;
	CHECK_EQ(recover("guest--incoming"), 1);
	CHECK_STR(fake.did, "");
}

static void test_somebody_is_at_it(void)
{
	char uuid[GUEST_UUID_MAX];
	int claim, ready[2];
	char byte;
	pid_t pid;

	begin("guest");
	fake_suspends(guest);
	guest_uuid_text(&guest->uuid, uuid);
	claim = handover_claim(uuid);
	CHECK(claim >= 0);
	CHECK_EQ(recover("guest"), 1);
	close(claim);

	if (!CHECK_EQ(pipe(ready), 0))
		return;
	pid = fork();
	if (pid == 0) {
		dup2(ready[1], 1);
		execl("/proc/self/exe", "helper", "--save-domain", "1", "2", "5", NULL);
		_exit(1);
	}
	CHECK_EQ(read(ready[0], &byte, 1), 1);
	CHECK_EQ(save_helper_of(5), pid);
	CHECK_EQ(save_helper_of(55), 0);
	CHECK_EQ(recover("guest"), 1);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	close(ready[0]);
	close(ready[1]);
	CHECK_STR(fake.did, "");
	CHECK_EQ(recover("guest"), 0);
}

int main(int argc, char **argv)
{
	char dir[] = "/tmp/vstor-recover-XXXXXX", command[64];

	/* As the save helper that a test looks for: says that it runs, and waits to be killed. */
	if (argc > 1 && strcmp(argv[1], "--save-domain") == 0) {
		(void)!write(1, "", 1);
		pause();
	}
	signal(SIGPIPE, SIG_IGN);
	if (!mkdtemp(dir))
		return 1;
	handover_dir = dir;
	CHECK_RUN(test_usage);
	CHECK_RUN(test_it_runs);
	CHECK_RUN(test_it_is_suspended);
	CHECK_RUN(test_it_was_slowed);
	CHECK_RUN(test_it_was_handed_over);
	CHECK_RUN(test_somebody_is_at_it);
	snprintf(command, sizeof(command), "rm -r %s", dir);
	return system(command) != 0 || CHECK_DONE();
}
