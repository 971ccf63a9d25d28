/* SPDX-License-Identifier: BSD-2-Clause */
/* What the sender refuses before it touches the guest: one whose memory another program saves. */
#include "xen/migration/preflight.h"

#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/log.h"
#include "tests/unit/check.h"
#include "tests/unit/fake/xen.h"

#define DOMID 4711 /* no other test looks for its helper */
#define OTHER 47110

static struct loop *loop;

static void on_read(void *arg, int err)
{
	(void)arg;
	CHECK_EQ(err, 0);
}

/* How many conditions are not met, and the first of them. */
static unsigned refused(char why[256])
{
	struct verdicts v = {0};
	struct toolstack *t;
	struct guest g;
	unsigned n;

	fake_reset();
	fake_domain_new(DOMID, "guest");
	loop = loop_new();
	CHECK_EQ(toolstack_open(loop, &t), 0);
	CHECK_EQ(guest_find(t, "guest", &g), 0);
	guest_read(&g, on_read, NULL);
	preflight_source(&g, true, true, &v);
	n = v.refused;
	snprintf(why, 256, "%s", v.why);
	verdicts_fini(&v);
	guest_fini(&g);
	toolstack_close(t);
	loop_free(loop);
	CHECK_EQ(fake.open, 0);
	return n;
}

/* A process that looks like the save helper of that domain. */
static pid_t helper_of(const char *domid)
{
	int ready[2];
	char byte;
	pid_t pid;

	CHECK_EQ(pipe(ready), 0);
	pid = fork();
	if (pid == 0) {
		dup2(ready[1], 1);
		execl("/proc/self/exe", "helper", "--save-domain", "1", "2", domid, NULL);
		_exit(1);
	}
	CHECK_EQ(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	close(ready[1]);
	return pid;
}

static void end(pid_t pid)
{
	kill(pid, SIGKILL);
	CHECK_EQ(waitpid(pid, NULL, 0), pid);
}

static void test_nobody_saves_it(void)
{
	char number[16], why[256];
	pid_t pid;

	CHECK_EQ(refused(why), 0);
	CHECK_STR(why, "");
	snprintf(number, sizeof(number), "%u", OTHER);
	pid = helper_of(number);
	CHECK_EQ(refused(why), 0);
	end(pid);
}

static void test_another_program_saves_it(void)
{
	char number[16], why[256], said[256];
	pid_t pid;

	snprintf(number, sizeof(number), "%u", DOMID);
	pid = helper_of(number);
	CHECK_EQ(refused(why), 1);
	snprintf(said, sizeof(said),
		 "guest: guest is being saved or moved by another program, whose helper is process "
		 "%d: wait until that has ended",
		 (int)pid);
	CHECK_STR(why, said);
	end(pid);
	CHECK_EQ(refused(why), 0);
}

int main(int argc, char **argv)
{
	/* Says that it runs, and waits to be killed. */
	if (argc > 1 && strcmp(argv[1], "--save-domain") == 0) {
		(void)!write(1, "", 1);
		pause();
	}
	log_set_level("error");
	CHECK_RUN(test_nobody_saves_it);
	CHECK_RUN(test_another_program_saves_it);
	return CHECK_DONE();
}
