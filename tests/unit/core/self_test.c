/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/self.h"

#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/check.h"

/* What we are when we are run by ourselves. */
static int other(const char *word)
{
	char c;

	printf("%zd %d %s\n", read(0, &c, 1), (int)getsid(0), word);
	fprintf(stderr, "told\n");
	return 5;
}

/* That it said this, its input was empty whatever ours is, and it was in this session of ours or in
 * one of its own. */
static void check_said(const char *text, const char *word, bool ours)
{
	char heard[32] = "";
	int input = -1, session = -1;

	CHECK_EQ(sscanf(text, "%d %d %31s", &input, &session, heard), 3);
	CHECK_EQ(input, 0);
	CHECK_EQ(session == (int)getsid(0), ours);
	CHECK_STR(heard, word);
	CHECK_STR(strchr(text, '\n'), "\n"); /* once */
}

/* All that comes until every writer has gone. */
static void read_all(int fd, char *text, size_t size)
{
	size_t n = 0;
	ssize_t got;

	while ((got = read(fd, text + n, size - 1 - n)) > 0)
		n += (size_t)got;
	text[n] = 0;
	close(fd);
}

static void test_spawn(void)
{
	const char *const argv[] = {"self", "word", NULL};
	int out[2], err[2], status = 0;
	char said[64], told[64];
	pid_t pid = 0;

	CHECK(!pipe(out) && !pipe(err));
	CHECK_EQ(self_spawn(argv, out[1], err[1], &pid), 0);
	close(out[1]);
	close(err[1]);
	read_all(out[0], said, sizeof(said));
	read_all(err[0], told, sizeof(told));
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(WEXITSTATUS(status), 5);
	check_said(said, "word", true);
	CHECK_STR(told, "told\n");
}

static void test_keeps_or_null(void)
{
	const char *const argv[] = {"self", "kept", NULL};
	int out[2], before = dup(1), status;
	char said[64];
	pid_t pid = 0;

	CHECK(!pipe(out));
	fflush(stdout);
	dup2(out[1], 1);
	close(out[1]);
	CHECK_EQ(self_spawn(argv, SELF_KEEPS, SELF_NULL, &pid), 0);
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(self_spawn(argv, SELF_NULL, SELF_NULL, &pid), 0);
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	dup2(before, 1);
	close(before);
	read_all(out[0], said, sizeof(said));
	check_said(said, "kept", true);
}

static void test_leave(void)
{
	const char *const argv[] = {"self", "left", NULL};
	char said[64];
	int out[2];

	CHECK(!pipe(out));
	CHECK_EQ(self_leave(argv, out[1], SELF_NULL), 0);
	close(out[1]);
	read_all(out[0], said, sizeof(said));
	check_said(said, "left", false);
	CHECK_EQ(waitpid(-1, NULL, WNOHANG), -1); /* no child of ours */
}

int main(int argc, char **argv)
{
	if (argc > 1)
		return other(argv[1]);
	CHECK_RUN(test_spawn);
	CHECK_RUN(test_keeps_or_null);
	CHECK_RUN(test_leave);
	return CHECK_DONE();
}
