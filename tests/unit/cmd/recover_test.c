/* SPDX-License-Identifier: BSD-2-Clause */
#include "cmd/cmd.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/capture.h"
#include "tests/unit/check.h"
#include "tests/unit/fake/xen.h"
#include "xen/migration/departure.h"
#include "xen/guest_claim.h"
#include "xen/copy/save_helper.h"

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
	CHECK_EQ(cmd_recover(1, argv), 0); /* nothing to do */
	CHECK_EQ(fake.open, 0);
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
	fake.fails_always = true;
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
	claim = guest_claim(uuid);
	CHECK_EQ(guest_claim_note_cap(claim, 5, 70), 0);
	close(claim);
	fake.fails = "cap";
	CHECK_EQ(recover("guest"), 0);
	CHECK_EQ(guest->cap, 3); /* known still */
	CHECK_EQ(recover("guest"), 0);
	CHECK_EQ(guest->cap, 70);
	claim = guest_claim(uuid);
	CHECK(!guest_claim_noted_cap(claim, 5, &cap));
	/* Another domain of this uuid has a cap of its own. */
	CHECK_EQ(guest_claim_note_cap(claim, 4, 10), 0);
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
	claim = guest_claim(uuid);
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
	capture_begin();
	CHECK_EQ(recover("guest"), 1);
	CHECK_STR(capture_end(), "domain guest: it is being saved or migrated\n");
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	close(ready[0]);
	close(ready[1]);
	CHECK_STR(fake.did, "");
	CHECK_EQ(recover("guest"), 0);
}

/* ---- by a journal ---- */

#define UUID "05050505-0505-0505-0505-050505050505"

static char self[256], ssh[300];

/* What a migration leaves that is cut off together with its guardian; the other host will answer
 * so. */
static void cut_off(const char *name, bool asked, const char *answer)
{
	const struct migration_way way = {.host = "b", .ssh = ssh};
	struct recovery_note note = {.uuid = UUID,
				     .guest = {.domid = 5, .name = "guest", .asked = asked},
				     .id = "0123456789abcdef0123456789abcdef"};
	struct departure d;

	begin(name);
	snprintf(ssh, sizeof(ssh), "%s --answer %s", self, answer);
	CHECK_EQ(departure_begin(&d, &note, &way), 0);
	departure_end(&d, false);
}

static bool is_open(void)
{
	struct departed d;

	return departure_read(UUID, &d) == 0;
}

static void test_cut_off(void)
{
	/* before the guest was asked to suspend */
	cut_off("guest", false, "nobody");
	CHECK_EQ(recover("guest"), 0);
	CHECK_STR(fake.did, "");
	CHECK(!is_open());

	cut_off("guest--migratedaway", true, "gone");
	fake_suspends(guest);
	CHECK_EQ(recover("guest"), 0);
	CHECK_STR(guest->name, "guest");
	CHECK_STR(fake.did, "rename 5, resume 5, ");
	CHECK(!is_open());

	cut_off("guest--migratedaway", true, "running");
	fake_suspends(guest);
	CHECK_EQ(recover("guest"), 0);
	CHECK_STR(fake.did, "destroy 5, ");
	CHECK(!is_open());

	cut_off("guest--migratedaway", true, "unknown");
	fake_suspends(guest);
	CHECK_EQ(recover("guest"), 3);
	CHECK_STR(fake.did, "");
	CHECK(is_open());
	/* all that are open, without a name */
	snprintf(ssh, sizeof(ssh), "%s --answer gone", self);
	CHECK_EQ(ledger_remove(UUID), 0);
	cut_off("guest--migratedaway", true, "gone");
	fake_suspends(guest);
	CHECK_EQ(cmd_recover(1, (char *[]){"recover", NULL}), 0);
	CHECK_STR(fake.did, "rename 5, resume 5, ");
	CHECK(!is_open());
}

/* It says why the other host does not say. */
static void test_does_not_say(void)
{
	char *argv[] = {"recover", "guest", NULL};
	const char *said;

	cut_off("guest--migratedaway", true, "unknown");
	fake_suspends(guest);
	capture_begin();
	CHECK_EQ(cmd_recover(2, argv), 3);
	said = capture_end();
	CHECK(strstr(said, "may run on b, which does not say (it does not know): "
			   "look there") != NULL);
	CHECK_EQ(ledger_remove(UUID), 0);
}

/* The host was down since: whatever has the domain's number is not the guest. */
static void test_cut_off_by_a_reboot(void)
{
	static const char *const answers[] = {"gone", "running", "unknown"};

	for (int i = 0; i < 3; i++) {
		cut_off("guest", true, answers[i]);
		guest->domid = 0;
		fake_domain_new(5, "another");
		CHECK_EQ(recover("guest"), i == 0 ? 1 : i == 1 ? 0 : 3);
		CHECK_STR(fake.did, "");
		CHECK_EQ(is_open(), i == 2);
	}
	CHECK_EQ(ledger_remove(UUID), 0);
}

static void test_bad_journal(void)
{
	char path[300];

	cut_off("guest", true, "gone");
	fake_suspends(guest);
	snprintf(path, sizeof(path), "%s/%s", ledger_dir, UUID);
	CHECK_EQ(truncate(path, 100), 0);
	CHECK_EQ(recover("guest"), 3);
	CHECK_STR(fake.did, "");
	CHECK_EQ(ledger_remove(UUID), 0);
}

/* What it prints. */
static const char *recover_json(const char *domain, int status)
{
	char *argv[] = {"recover", "--json", (char *)domain, NULL};

	capture_begin();
	CHECK_EQ(cmd_recover(domain ? 3 : 2, argv), status);
	CHECK_EQ(fake.open, 0);
	return capture_end();
}

/* One value always: an object with a name, an array without. */
static void test_json(void)
{
	char uuid[GUEST_UUID_MAX];
	int claim;

	begin("guest");
	CHECK_STR(recover_json("guest", 0),
		  "{\"domain\":\"guest\",\"domid\":5,\"guest\":\"still runs here\"}\n");
	CHECK_STR(recover_json("another", 1), "{\"domain\":\"another\",\"guest\":null,\"cause\":"
					      "\"another: no such domain here, and "
					      "no migration of one was cut off\"}\n");
	CHECK_STR(recover_json(NULL, 0), "[]\n");
	guest_uuid_text(&guest->uuid, uuid);
	claim = guest_claim(uuid);
	CHECK(strstr(recover_json("guest", 1),
		     "\"guest\":null,\"cause\":\"domain guest: it is being "
		     "migrated at the moment") != NULL);
	close(claim);
	cut_off("guest--migratedaway", true, "gone");
	fake_suspends(guest);
	CHECK_STR(recover_json(NULL, 0),
		  "[{\"domain\":\"guest\",\"domid\":5,\"guest\":\"runs here again\"}]\n");
	CHECK(!is_open());
	/* An option alone is no DOMAIN. */
	CHECK_EQ(cmd_recover(3, (char *[]){"recover", "--release", "--json", NULL}), 2);
}

/* The other host: says so when it is asked. */
static struct channel *asker;

static bool on_frame(void *arg, uint8_t type, const uint8_t *p, size_t n)
{
	struct buf b = {0};

	(void)type;
	(void)p;
	(void)n;
	message_put(&b, "is", "%s", (const char *)arg);
	message_send(asker, MSG_ANSWER, &b);
	channel_finish(asker);
	return true;
}

static struct loop *others_loop;

static void on_close(void *arg, int err, const char *text)
{
	(void)arg;
	(void)err;
	(void)text;
	loop_stop(others_loop, 0);
}

static int answer(char *word)
{
	const struct channel_ops ops = {.on_frame = on_frame, .on_close = on_close};
	const struct channel_config cfg = {
		.ops = &ops, .arg = word, .peer = "sender", .server = true};

	others_loop = loop_new();
	if (channel_new(others_loop, STDIN_FILENO, STDOUT_FILENO, &cfg, &asker))
		return 1;
	return loop_run(others_loop);
}

int main(int argc, char **argv)
{
	char dir[] = "/tmp/vstor-recover-XXXXXX";

	/* As the save helper that a test looks for: says that it runs, and waits to be killed. */
	if (argc > 1 && strcmp(argv[1], "--save-domain") == 0) {
		(void)!write(1, "", 1);
		pause();
	}
	signal(SIGPIPE, SIG_IGN);
	if (argc > 2 && strcmp(argv[1], "--answer") == 0)
		return answer(argv[2]);
	if (readlink("/proc/self/exe", self, sizeof(self) - 1) < 0 || !mkdtemp(dir))
		return 1;
	guest_claim_dir = ledger_dir = dir;
	CHECK_RUN(test_usage);
	CHECK_RUN(test_it_runs);
	CHECK_RUN(test_it_is_suspended);
	CHECK_RUN(test_it_was_slowed);
	CHECK_RUN(test_it_was_handed_over);
	CHECK_RUN(test_somebody_is_at_it);
	CHECK_RUN(test_cut_off);
	CHECK_RUN(test_does_not_say);
	CHECK_RUN(test_cut_off_by_a_reboot);
	CHECK_RUN(test_bad_journal);
	CHECK_RUN(test_json);
	return check_remove(dir) != 0 || CHECK_DONE();
}
