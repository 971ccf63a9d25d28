/* SPDX-License-Identifier: BSD-2-Clause */
/* What is told of long work: on a terminal, elsewhere, and with -q. */
#include "cmd/bench/progress.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "core/log.h"
#include "core/loop.h"
#include "tests/unit/check.h"

static char said[512];

/* Two steps with stderr at `to`; what comes out at `from` is in `said`. */
static void two_steps(int from, int to)
{
	int kept = dup(STDERR_FILENO);
	ssize_t n;

	dup2(to, STDERR_FILENO);
	progress_say("step %d", 1);
	progress_say("step %d", 2);
	progress_clear();
	progress_clear();
	dup2(kept, STDERR_FILENO);
	close(kept);
	n = read(from, said, sizeof(said) - 1);
	said[n < 0 ? 0 : n] = '\0';
}

static void test_plain_lines(void)
{
	int p[2];

	if (pipe2(p, O_NONBLOCK | O_CLOEXEC) < 0)
		abort();
	two_steps(p[0], p[1]);
	CHECK_STR(said, "step 1\nstep 2\n");
	log_threshold = LOG_LEVEL_ERROR; /* -q */
	two_steps(p[0], p[1]);
	CHECK_STR(said, "");
	log_threshold = LOG_LEVEL_WARN;
	close(p[0]);
	close(p[1]);
}

static void test_one_line_on_a_terminal(void)
{
	int ours = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC), theirs = -1;
	struct termios t;

	if (ours >= 0 && grantpt(ours) == 0 && unlockpt(ours) == 0)
		theirs = open(ptsname(ours), O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (theirs < 0) {
		printf("# no terminal to be had here: that is not tried\n");
		return;
	}
	CHECK_EQ(tcgetattr(theirs, &t), 0);
	cfmakeraw(&t);
	CHECK_EQ(tcsetattr(theirs, TCSANOW, &t), 0);
	two_steps(ours, theirs);
	CHECK_STR(said, "\rstep 1\033[K\rstep 2\033[K\r\033[K");
	log_threshold = LOG_LEVEL_INFO; /* -v: the log comes between */
	two_steps(ours, theirs);
	CHECK_STR(said, "step 1\nstep 2\n");
	log_threshold = LOG_LEVEL_WARN;
	close(theirs);
	close(ours);
}

static void test_times(void)
{
	char text[PROGRESS_TIME];

	CHECK_STR(progress_time(text, 0), "0 s");
	CHECK_STR(progress_time(text, 1), "1 s");
	CHECK_STR(progress_time(text, 119 * SEC_NS), "119 s");
	CHECK_STR(progress_time(text, 120 * SEC_NS), "2 min");
	CHECK_STR(progress_time(text, 121 * SEC_NS), "3 min");
}

int main(void)
{
	CHECK_RUN(test_plain_lines);
	CHECK_RUN(test_one_line_on_a_terminal);
	CHECK_RUN(test_times);
	return CHECK_DONE();
}
