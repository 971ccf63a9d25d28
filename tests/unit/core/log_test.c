/* SPDX-License-Identifier: BSD-2-Clause */
/* Includes what it tests, to have a syslog daemon of its own. */
#define SYSLOG_SOCKET "build/log_test.socket"
#include "core/log.c"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/stat.h>
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

/* Whether reading all that a descriptor has gives one whole line with both texts. */
static bool says(int fd, const char *a, const char *b)
{
	static char got[1 << 18];
	size_t have = 0;
	ssize_t n;
	bool found = false;

	while (have < sizeof(got) - 1 && (n = read(fd, got + have, sizeof(got) - 1 - have)) > 0) {
		have += (size_t)n;
		if (got[have - 1] != '\n') /* a datagram has none */
			got[have++] = '\n';
	}
	got[have] = '\0';
	for (char *line = strtok(got, "\n"); line; line = strtok(NULL, "\n"))
		found |= strstr(line, a) && strstr(line, b);
	return found;
}

static void test_nobody_reads_stderr(void)
{
	int p[2], old = dup(STDERR_FILENO);

	CHECK_EQ(pipe2(p, O_CLOEXEC), 0);
	CHECK_EQ(fcntl(p[0], F_SETFL, O_NONBLOCK), 0);
	dup2(p[1], STDERR_FILENO);
	for (int i = 0; i < 5000; i++) /* ten times what the pipe takes */
		log_error("%0100d", i);
	CHECK(says(p[0], "vstor test: ", "00000000001"));
	log_error("once more");
	log_error("and again");
	dup2(old, STDERR_FILENO);
	CHECK(says(p[0], "vstor test: ", " lines of the log are lost"));
	close(old);
	close(p[0]);
	close(p[1]);
}

static int daemon_socket(void)
{
	const struct sockaddr_un a = {.sun_family = AF_UNIX, .sun_path = SYSLOG_SOCKET};
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	unlink(SYSLOG_SOCKET);
	CHECK_EQ(bind(fd, (const struct sockaddr *)&a, sizeof(a)), 0);
	return fd;
}

static void test_syslog(void)
{
	int fd = daemon_socket(), next, again;
	char want[64];

	snprintf(want, sizeof(want), "vstor test[%d]: one", (int)getpid());
	CHECK_EQ(log_set_destination("syslog"), 0);
	next = dup(fd);
	close(next);
	log_warn("%s", "one");
	CHECK(says(fd, "<28>", want));
	/* Said again, as when a configuration is reread: the socket stays. */
	CHECK_EQ(log_set_destination("syslog"), 0);
	again = dup(fd);
	CHECK_EQ(again, next);
	close(again);
	/* It stands still: whoever writes does not. */
	for (int i = 0; i < 5000; i++)
		log_warn("%0100d", i);
	CHECK(says(fd, "<28>", "00000000001"));
	log_warn("two");
	CHECK(says(fd, "<28>", " lines of the log are lost"));
	/* It is started anew. */
	close(fd);
	log_warn("nobody hears");
	fd = daemon_socket();
	log_warn("three");
	CHECK(says(fd, "<28>", "]: three"));
	close(fd);
	unlink(SYSLOG_SOCKET);
	log_close();
	CHECK_EQ(log_set_destination("stderr"), 0);
}

static void test_the_last_error_is_kept(void)
{
	capture();
	log_init("vstor test");
	log_error("%s: %s", "disk", "is away");
	log_warn("a warning");
	release();
	CHECK_STR(log_last_error(), "disk: is away");
}

int main(void)
{
	CHECK_RUN(test_one_line_with_the_role_first);
	CHECK_RUN(test_levels);
	CHECK_RUN(test_the_last_error_is_kept);
	CHECK_RUN(test_arguments_of_silent_levels_are_not_evaluated);
	CHECK_RUN(test_no_forged_lines_nor_terminal_codes);
	CHECK_RUN(test_long_message_is_cut_to_one_line);
	CHECK_RUN(test_errno_is_kept);
	CHECK_RUN(test_lines_of_threads_do_not_mix);
	CHECK_RUN(test_limit_holds_back_and_tells_how_many);
	mkdir("build", 0777);
	CHECK_RUN(test_nobody_reads_stderr);
	CHECK_RUN(test_syslog);
	return CHECK_DONE();
}
