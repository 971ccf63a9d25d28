/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/meanwhile.h"

#include <errno.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/loop.h"
#include "tests/unit/check.h"

/* In the place of libc's: a disk that is busy until something writes to the pipe. */
static int gate[2], fails, interrupts;
static unsigned flushes;

int fdatasync(int fd)
{
	char c;

	(void)fd;
	flushes++;
	if (interrupts && interrupts--) {
		errno = EINTR;
		return -1;
	}
	while (gate[0] && read(gate[0], &c, 1) != 1)
		;
	errno = fails;
	return fails ? -1 : 0;
}

int fsync(int fd)
{
	return fdatasync(fd);
}

static unsigned turns;

/* The disk has done its work at the third time. */
static void turn(void *arg)
{
	CHECK(arg == &turns);
	if (++turns == 3)
		CHECK_EQ(write(gate[1], "x", 1), 1);
}

static void test_nothing_else_to_do(void)
{
	gate[0] = 0;
	CHECK_EQ(meanwhile_fdatasync(7), 0);
	fails = EIO;
	CHECK_EQ(meanwhile_fdatasync(7), -EIO);
	CHECK_EQ(meanwhile_fsync(7), -EIO);
	fails = 0;
	interrupts = 2;
	flushes = 0;
	CHECK_EQ(meanwhile_fsync(7), 0);
	CHECK_EQ(flushes, 3);
}

static void test_busy_disk(void)
{
	struct meanwhile m;

	CHECK_EQ(pipe(gate), 0);
	meanwhile_ns = MS_NS;
	meanwhile_add(&m, turn, &turns);
	for (fails = 0; fails <= EIO; fails += EIO) {
		turns = 0;
		CHECK_EQ(meanwhile_fdatasync(7), -fails);
		CHECK(turns >= 3);
	}
	fails = 0;
	interrupts = 1;
	turns = 0;
	CHECK_EQ(meanwhile_fsync(7), 0);
	CHECK(turns >= 3);
	meanwhile_del(&m);
	meanwhile_del(&m);
	turns = 0;
	CHECK_EQ(write(gate[1], "x", 1), 1);
	CHECK_EQ(meanwhile_fsync(7), 0);
	CHECK_EQ(turns, 0);
}

static void never(void *arg)
{
	(void)arg;
	_exit(1);
}

static void open_gate(void *arg)
{
	(void)arg;
	CHECK_EQ(write(gate[1], "x", 1), 1);
}

/* What the parent has to do is not the child's: a connection that both have, for one. */
static void test_forked(void)
{
	struct meanwhile m, own;
	int status;
	pid_t child;

	meanwhile_add(&m, never, NULL);
	child = fork();
	if (child == 0) {
		meanwhile_add(&own, open_gate, NULL);
		_exit(meanwhile_fdatasync(7) != 0);
	}
	CHECK(waitpid(child, &status, 0) == child && status == 0);
	meanwhile_del(&m);
}

int main(void)
{
	CHECK_RUN(test_nothing_else_to_do);
	CHECK_RUN(test_busy_disk);
	CHECK_RUN(test_forked);
	return CHECK_DONE();
}
