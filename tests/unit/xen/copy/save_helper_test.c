/* SPDX-License-Identifier: BSD-2-Clause */
#include "xen/copy/save_helper.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/check.h"
#include "tests/unit/fake/xen.h"

static int hit;

static int is_hit(void)
{
	raise(hit);
	return 42;
}

/* The wait status of a helper that a signal hits. */
static int helper_hit_by(int signo, const char *mode)
{
	char *argv[] = {"helper", (char *)mode, "3", "-1", "5", "0", "0", "0", NULL};
	int status = -1;
	pid_t pid;

	fake_reset();
	fake.helper = is_hit;
	hit = signo;
	pid = fork();
	if (pid == 0) {
		signal(signo, SIG_DFL); /* as libxl__exec() leaves SIGPIPE */
		_exit(save_helper_main(8, argv));
	}
	waitpid(pid, &status, 0);
	return status;
}

/* Killed, it would leave the guest in log-dirty mode. */
static void test_a_save_lives_to_clean_up(void)
{
	static const int signals[] = {SIGPIPE, SIGINT, SIGQUIT, SIGHUP};

	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
		int status = helper_hit_by(signals[i], "--save-domain");

		CHECK(WIFEXITED(status));
		CHECK_EQ(WEXITSTATUS(status), 42);
	}
	/* libxl's own way to end it */
	CHECK(WIFSIGNALED(helper_hit_by(SIGTERM, "--save-domain")));
	/* A restore has nothing to clean up: libxl destroys the domain. */
	CHECK(WIFSIGNALED(helper_hit_by(SIGPIPE, "--restore-domain")));
}

static void test_each_domain_is_told_its_own(void)
{
	CHECK_EQ(save_helper_set(5, "LIMITS", "five"), 0);
	CHECK_EQ(save_helper_set(55, "LIMITS", "fifty-five"), 0);
	CHECK_STR(save_helper_get(5, "LIMITS"), "five");
	CHECK_STR(save_helper_get(55, "LIMITS"), "fifty-five");
	CHECK_EQ(save_helper_set(5, "LIMITS", NULL), 0);
	CHECK(save_helper_get(5, "LIMITS") == NULL);
	CHECK_STR(save_helper_get(55, "LIMITS"), "fifty-five");
}

int main(void)
{
	CHECK_RUN(test_a_save_lives_to_clean_up);
	CHECK_RUN(test_each_domain_is_told_its_own);
	return CHECK_DONE();
}
