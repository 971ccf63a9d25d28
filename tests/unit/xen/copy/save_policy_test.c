/* SPDX-License-Identifier: BSD-2-Clause */
/* The policy as libxenguest asks it, in a process of its own as the save helper is one: its reports
 * go to libxl's channel, which is its stdout. */
#include "xen/copy/save_policy.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

#include <xenctrl.h>
#include <xenguest.h>
#include <_libxl_save_msgs_helper.h>

#include "tests/unit/check.h"
#include "tests/unit/fake/xen.h"
#include "xen/copy/precopy_report.h"
#include "xen/copy/save_helper.h"
#include "xen/copy/save_pages.h"
#include "xen/turn.h"

static struct turn turn;
static int other; /* the turn, as another guest's migration holds it */
static pid_t helper;
static int reports; /* what it says */
static char said[65536];
static size_t n_said;

static int stream, nowhere;

/* As libxl's own helper does. */
static void on_term(int signal)
{
	(void)signal;
	dup2(nowhere, stream);
}

static int suspends(void *user)
{
	(void)user;
	return 7;
}

static int ask(struct save_callbacks *cbs, unsigned round, long dirty)
{
	return cbs->precopy_policy((struct precopy_stats){.iteration = round, .dirty_count = dirty},
				   NULL);
}

/* A round of one batch, after which so many pages are dirty. */
static int round_of(struct save_callbacks *cbs, unsigned round, uint64_t pages, uint64_t dirty)
{
	const struct save_pages_batch b = {pages, pages, 0, pages * 4096};

	CHECK_EQ(ask(cbs, round, (long)pages), XGS_POLICY_CONTINUE_PRECOPY);
	save_policy_sent(stream, &b);
	fake_domain(5)->dirty = dirty;
	return ask(cbs, round + 1, -1);
}

static void ready(struct save_callbacks *cbs)
{
	struct sigaction term = {.sa_handler = on_term};

	nowhere = open("/dev/null", O_RDONLY);
	stream = open("/dev/null", O_WRONLY);
	sigaction(SIGTERM, &term, NULL);
	cbs->suspend = suspends;
	save_pages_start(stream, &(struct compression_plan){0}, save_policy_sent, NULL);
	save_helper_set(5, PRECOPY_ENV,
			"downtime=300000000 fixed=0 late=0 stop=0 force=0 patient=1 throttle=1");
	save_policy_install(cbs, 5);
}

/* It may stop after the round, but another guest is stopped. */
static void stops(struct save_callbacks *cbs)
{
	CHECK_EQ(round_of(cbs, 0, 1000, 40), XGS_POLICY_CONTINUE_PRECOPY);
	/* The turn is its own now, for what it has written meanwhile. */
	CHECK_EQ(round_of(cbs, 1, 40, 3), XGS_POLICY_STOP_AND_COPY);
	CHECK_EQ(cbs->suspend(NULL), 7);
}

/* As after a save that was called off: the count begins where that one's ended. */
static void begins_anew(struct save_callbacks *cbs)
{
	fake_domain(5)->dirty = 500000;
	CHECK_EQ(round_of(cbs, 0, 1000, 500040), XGS_POLICY_CONTINUE_PRECOPY);
	/* Then the bitmap was fetched, and the count with it. */
	CHECK_EQ(round_of(cbs, 1, 40, 3), XGS_POLICY_STOP_AND_COPY);
}

static void is_called_off(struct save_callbacks *cbs)
{
	CHECK_EQ(round_of(cbs, 0, 1000, 40), XGS_POLICY_ABORT);
}

/* Now it writes more than can be sent. */
static void does_not_end(struct save_callbacks *cbs)
{
	CHECK_EQ(round_of(cbs, 0, 1000, 40), XGS_POLICY_CONTINUE_PRECOPY);
	for (unsigned round = 1; round < 8; round++)
		CHECK_EQ(round_of(cbs, round, 1000, UINT32_MAX), XGS_POLICY_CONTINUE_PRECOPY);
	pause();
}

/* Offline, or the toolstack's own: nothing is asked before. */
static void suspends_at_once(struct save_callbacks *cbs)
{
	CHECK_EQ(cbs->suspend(NULL), 7);
}

static void suspend_is_called_off(struct save_callbacks *cbs)
{
	CHECK_EQ(cbs->suspend(NULL), 0);
}

/* ---- the other side ---- */

/* A helper that does this, while another guest has the turn. */
static void begin(void (*does)(struct save_callbacks *cbs))
{
	struct save_callbacks cbs = {0};
	int out[2], hand;

	fake_reset();
	fake_domain_new(5, "guest");
	n_said = 0;
	CHECK(!turn_open(&turn) && !pipe(out));
	other = open(turn.path, O_RDWR | O_CLOEXEC);
	CHECK_EQ(flock(other, LOCK_EX), 0);
	hand = turn_hand(&turn);
	helper = fork();
	if (helper == 0) {
		close(other);
		dup2(out[1], 1);
		ready(&cbs);
		does(&cbs);
		_exit(check_failures != 0);
	}
	turn_handed(hand);
	close(out[1]);
	reports = out[0];
}

/* Reads what the helper says until it has said this so many times. */
static void until_said(const char *text, unsigned times)
{
	for (;;) {
		const char *at = said;
		unsigned found = 0;
		ssize_t n;

		while ((at = memmem(at, (size_t)(said + n_said - at), text, strlen(text)))) {
			found++;
			at++;
		}
		if (found >= times)
			return;
		n = read(reports, said + n_said, sizeof(said) - n_said);
		if (!CHECK(n > 0))
			return;
		n_said += (size_t)n;
	}
}

static void end(void)
{
	int status = -1;

	waitpid(helper, &status, 0);
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	close(reports);
	close(other);
	turn_close(&turn);
}

static void test_it_waits_for_its_turn(void)
{
	begin(stops);
	/* It is heard of, and is not slowed; of rounds there is none. */
	until_said("speed=100 verdict=0 why=turn", 3);
	CHECK(!memmem(said, n_said, "round=1", 7));
	flock(other, LOCK_UN);
	until_said("verdict=1", 1);
	end();
}

static void test_what_an_earlier_one_left(void)
{
	begin(begins_anew);
	until_said("dirty=40 ", 1);
	until_said("why=turn", 1);
	CHECK(!memmem(said, n_said, "dirty=5000", 10));
	flock(other, LOCK_UN);
	until_said("verdict=1", 1);
	end();
}

static void test_it_is_called_off_meanwhile(void)
{
	begin(is_called_off);
	until_said("why=turn", 1);
	kill(helper, SIGTERM);
	end();
	begin(suspend_is_called_off);
	until_said("speed=100", 1);
	kill(helper, SIGTERM);
	end();
}

static void test_it_waits_before_a_suspend(void)
{
	begin(suspends_at_once);
	until_said("speed=100", 2);
	flock(other, LOCK_UN);
	end();
}

static void test_the_turn_is_not_kept_for_good(void)
{
	int status;

	begin(does_not_end);
	until_said("why=turn", 1);
	flock(other, LOCK_UN);
	until_said("round=1", 1);
	CHECK_EQ(flock(other, LOCK_EX), 0); /* the helper lives, and has given it on */
	CHECK_EQ(waitpid(helper, &status, WNOHANG), 0);
	kill(helper, SIGKILL);
	waitpid(helper, &status, 0);
	close(reports);
	close(other);
	turn_close(&turn);
}

int main(void)
{
	alarm(60); /* nothing here takes a second */
	CHECK_RUN(test_it_waits_for_its_turn);
	CHECK_RUN(test_what_an_earlier_one_left);
	CHECK_RUN(test_it_is_called_off_meanwhile);
	CHECK_RUN(test_it_waits_before_a_suspend);
	CHECK_RUN(test_the_turn_is_not_kept_for_good);
	return CHECK_DONE();
}
