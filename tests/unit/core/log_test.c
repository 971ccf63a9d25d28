/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/log.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/loop.h"
#include "tests/unit/check.h"

static char text[1 << 20]; /* what came on stderr */
static int saved, file;

static void capture(void)
{
	saved = dup(STDERR_FILENO);
	file = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (file < 0 || dup2(file, STDERR_FILENO) < 0)
		abort();
}

static void release(void)
{
	ssize_t n;

	dup2(saved, STDERR_FILENO);
	close(saved);
	n = pread(file, text, sizeof(text) - 1, 0);
	text[n < 0 ? 0 : n] = '\0';
	close(file);
}

static void test_one_line_with_the_role_first(void)
{
	log_init("vstor test");
	capture();
	log_error("disk %d: %s", 3, "gone");
	release();
	CHECK_STR(text, "vstor test: disk 3: gone\n");
}

static void test_levels(void)
{
	static const char *const names[] = {"error", "warn", "info", "debug"};

	for (int i = 0; i < 4; i++) {
		char want[64] = "";

		CHECK_EQ(log_set_level(names[i]), 0);
		capture();
		log_error("e");
		log_warn("w");
		log_info("i");
		log_debug("d");
		release();
		for (int k = 0; k <= i; k++)
			snprintf(want + strlen(want), sizeof(want) - strlen(want),
				 "vstor test: %c\n", "ewid"[k]);
		CHECK_STR(text, want);
	}
	CHECK_EQ(log_set_level("loud"), -EINVAL);
	CHECK_EQ(log_set_level(""), -EINVAL);
	CHECK_EQ(log_threshold, LOG_LEVEL_DEBUG);
	log_set_level("warn");
	CHECK_EQ(log_set_destination("nowhere"), -EINVAL);
	CHECK_EQ(log_set_destination("stderr"), 0);
}

static void test_arguments_of_silent_levels_are_not_evaluated(void)
{
	int n = 0;

	log_debug("%d", ++n);
	CHECK_EQ(n, 0);
}

static void test_no_forged_lines_nor_terminal_codes(void)
{
	capture();
	log_error("name '%s'", "a\nvstor test: b\x1b[2J\x7f\tc");
	release();
	CHECK_STR(text, "vstor test: name 'a?vstor test: b?[2J??c'\n");
}

static void test_long_message_is_cut_to_one_line(void)
{
	char *big = malloc(100001);

	memset(big, 'x', 100000);
	big[100000] = '\0';
	capture();
	log_error("%s", big);
	release();
	CHECK(strlen(text) < 4096);
	CHECK(strchr(text, '\n') == text + strlen(text) - 1);
	free(big);
}

static void test_errno_is_kept(void)
{
	capture();
	errno = EXDEV;
	log_error("x");
	CHECK_EQ(errno, EXDEV);
	release();
}

static void *writer(void *arg)
{
	for (int i = 0; i < 200; i++)
		log_error("%s", (const char *)arg);
	return NULL;
}

static void test_lines_of_threads_do_not_mix(void)
{
	char a[200], b[200];
	pthread_t ta, tb;
	unsigned lines = 0, broken = 0;

	memset(a, 'a', sizeof(a));
	memset(b, 'b', sizeof(b));
	a[199] = b[199] = '\0';
	capture();
	pthread_create(&ta, NULL, writer, a);
	pthread_create(&tb, NULL, writer, b);
	pthread_join(ta, NULL);
	pthread_join(tb, NULL);
	release();
	for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
		const char *msg = line + strlen("vstor test: ");

		lines++;
		broken += strcmp(msg, a) != 0 && strcmp(msg, b) != 0;
	}
	CHECK_EQ(lines, 400);
	CHECK_EQ(broken, 0);
}

static void test_limit_holds_back_and_tells_how_many(void)
{
	struct log_limit lim = {.burst = 3, .period_ns = 3600 * SEC_NS};
	unsigned allowed = 0, suppressed = 9;

	for (int i = 0; i < 10; i++) {
		allowed += log_allowed(&lim, &suppressed);
		CHECK_EQ(suppressed, 0);
	}
	CHECK_EQ(allowed, 3);
	/* The next period begins: as if an hour had passed. */
	lim.since -= 3600 * SEC_NS;
	CHECK(log_allowed(&lim, &suppressed));
	CHECK_EQ(suppressed, 7);
	CHECK(log_allowed(&lim, &suppressed));
	CHECK_EQ(suppressed, 0);
}

int main(void)
{
	CHECK_RUN(test_one_line_with_the_role_first);
	CHECK_RUN(test_levels);
	CHECK_RUN(test_arguments_of_silent_levels_are_not_evaluated);
	CHECK_RUN(test_no_forged_lines_nor_terminal_codes);
	CHECK_RUN(test_long_message_is_cut_to_one_line);
	CHECK_RUN(test_errno_is_kept);
	CHECK_RUN(test_lines_of_threads_do_not_mix);
	CHECK_RUN(test_limit_holds_back_and_tells_how_many);
	return CHECK_DONE();
}
