/* SPDX-License-Identifier: BSD-2-Clause */
/* On a hypervisor of another release: who takes over, and what is said when nobody does. */
#include "xen/release.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/check.h"
#include "tests/unit/fake/xen.h"
#include "xen/fence/hotplug.h"
#include "xen/copy/save_helper.h"
#include "xen/toolstack.h"

/* A release that is not this binary's. */
static struct release another(void)
{
	return (struct release){4, VSTOR_XEN_MINOR == 14 ? 20 : 14};
}

static void run_another(void)
{
	fake_reset();
	fake.version = (int)(4 << 16 | another().minor);
}

static void test_order(void)
{
	CHECK(release_older((struct release){4, 9}, (struct release){4, 14}));
	CHECK(release_older((struct release){3, 99}, (struct release){4, 0}));
	CHECK(!release_older((struct release){4, 14}, (struct release){4, 14}));
	CHECK(!release_older((struct release){5, 0}, (struct release){4, 14}));
	CHECK(release_same(another(), another()));
	CHECK(!release_same(another(), RELEASE_BUILT));
}

static void test_running(void)
{
	struct release r;

	run_another();
	CHECK(release_running(&r));
	CHECK(release_same(r, another()));
	fake.version = -1; /* as where there is no Xen */
	CHECK(!release_running(&r));
	CHECK_EQ(fake.open, 0);
}

/* Both releases and the way out, in one line. */
static void check_misfit(const char *text, const char *way_out)
{
	char want[128];

	snprintf(want, sizeof(want),
		 "is for Xen %u.%u, and this host runs Xen %u.%u: ", RELEASE_BUILT.major,
		 RELEASE_BUILT.minor, another().major, another().minor);
	CHECK(strstr(text, want));
	snprintf(want, sizeof(want), way_out, another().minor);
	CHECK(strstr(text, want));
	CHECK(!strchr(text, '\n'));
}

static void test_misfit(void)
{
	char text[RELEASE_TEXT] = "";

	fake_reset();
	CHECK_EQ(release_check(text), 0);
	run_another();
	CHECK_EQ(release_check(text), -EPROTONOSUPPORT);
	check_misfit(text, "install vstor-4.%u");
	check_misfit(text, "/usr/lib/vstor/vstor-4.%u");
	release_misfit((struct release){4, 1},
		       text); /* whose name is that of another's beginning */
	CHECK(strstr(text, "this host runs Xen 4.1: there are vstors for 4.14 "));
	fake.version = -1;
	CHECK_EQ(release_check(text), 0);
}

/* Where the binaries lie; the one that fits is a script that says what it is called with. */
static char folder[] = "/tmp/release_test.XXXXXX", other[64];

static void put(const char *script, mode_t mode)
{
	int fd = open(other, O_WRONLY | O_CREAT | O_TRUNC, mode);

	CHECK_EQ(write(fd, script, strlen(script)), (ssize_t)strlen(script));
	close(fd);
	chmod(other, mode);
}

/* In a process of its own, which may become another: its exit status, and what it printed. */
static int hand_over(char *said, size_t size)
{
	char *argv[] = {(char *)"block-vstor", (char *)"add", NULL};
	int out[2], status = -1;
	ssize_t n;
	pid_t pid;

	CHECK_EQ(pipe(out), 0);
	pid = fork();
	if (pid == 0) {
		dup2(out[1], STDOUT_FILENO);
		dup2(out[1], STDERR_FILENO);
		_exit(release_hand_over(argv) ? 100 : 0);
	}
	close(out[1]);
	n = read(out[0], said, size - 1);
	said[n > 0 ? n : 0] = 0;
	close(out[0]);
	waitpid(pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void test_hand_over(void)
{
	char said[512];

	CHECK(mkdtemp(folder));
	release_folder = folder;
	snprintf(other, sizeof(other), "%s/vstor-4.%u", folder, another().minor);

	run_another();
	CHECK_EQ(hand_over(said, sizeof(said)), 0); /* nobody is there */
	CHECK_STR(said, "");
	put("#!/bin/sh\necho \"I am $0 $*\"\nexit 7\n", 0755);
	CHECK_EQ(hand_over(said, sizeof(said)), 7);
	CHECK(strncmp(said, "I am /tmp/release_test.", 23) == 0);
	CHECK(strstr(said, strrchr(other, '/')));
	CHECK(strstr(said, " add\n"));
	fake_reset(); /* it fits: nobody is called */
	CHECK_EQ(hand_over(said, sizeof(said)), 0);
	CHECK_STR(said, "");

	run_another();
	put("neither a program nor a script", 0755);
	CHECK_EQ(hand_over(said, sizeof(said)), 100);
	CHECK(strstr(said, other));
	CHECK(strstr(said, "Exec format error"));

	/* Under a wrong name, this very program. */
	unlink(other);
	CHECK_EQ(symlink("/proc/self/exe", other), 0);
	CHECK_EQ(hand_over(said, sizeof(said)), 0);
	CHECK_STR(said, "");
	unlink(other);
	rmdir(folder);
}

static void test_nothing_is_half_done(void)
{
	char *helper[] = {(char *)"h", (char *)"--restore-domain",
			  (char *)"0", (char *)"-1",
			  (char *)"5", (char *)"0",
			  (char *)"0", (char *)"0",
			  NULL};
	struct loop *l = loop_new();
	struct toolstack *t;

	run_another();
	CHECK_EQ(toolstack_open(l, &t), -EPROTONOSUPPORT);
	CHECK_EQ(save_helper_main(8, helper), 1);
	CHECK_EQ(hotplug_add("backend/vbd/5/51712"), -EPROTONOSUPPORT);
	CHECK_EQ(hotplug_remove("backend/vbd/5/51712"), 0);
	CHECK_EQ(fake.open, 0);
	CHECK_STR(fake.did, "");
	loop_free(l);
}

static void test_tools(void)
{
	char which[16], here[] = "/tmp/release_tools.XXXXXX", newer[64], fit[64];

	CHECK(mkdtemp(here));
	release_libraries = here;
	snprintf(newer, sizeof(newer), "%s/xen-4.99", here);
	snprintf(fit, sizeof(fit), "%s/xen-4.%u", here, another().minor);
	CHECK(!release_tools_differ(another(), which, sizeof(which))); /* not Debian's, or none */
	CHECK_EQ(mkdir(newer, 0755), 0);
	CHECK(release_tools_differ(another(), which, sizeof(which)));
	CHECK_STR(which, "4.99");
	CHECK_EQ(mkdir(fit, 0755), 0);
	CHECK(!release_tools_differ(another(), which, sizeof(which)));
	rmdir(newer);
	rmdir(fit);
	rmdir(here);
}

int main(void)
{
	CHECK_RUN(test_order);
	CHECK_RUN(test_running);
	CHECK_RUN(test_misfit);
	CHECK_RUN(test_hand_over);
	CHECK_RUN(test_nothing_is_half_done);
	CHECK_RUN(test_tools);
	return CHECK_DONE();
}
