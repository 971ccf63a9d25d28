/* SPDX-License-Identifier: BSD-2-Clause */
/* Includes what it tests: it has to put foreign operations into a ring, and to let the kernel fail.
 */
#include <unistd.h>

static long kernel(long nr, ...);
#define syscall kernel
#include "core/uring.c"
#undef syscall

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/wait.h>

#include "core/sandbox.h"
#include "tests/unit/check.h"
#include "tests/unit/core/loop_rig.h"

static bool failing; /* io_uring_enter() finds no memory */
static unsigned failures;

static long kernel(long nr, ...)
{
	long a[6];
	va_list ap;
	va_start(ap, nr);
	for (unsigned i = 0; i < ARRAY_SIZE(a); i++)
		a[i] = va_arg(ap, long);
	va_end(ap);
	if (nr == SYS_io_uring_enter && failing) {
		failures++;
		errno = EAGAIN;
		return -1;
	}
	return syscall(nr, a[0], a[1], a[2], a[3], a[4], a[5]);
}

static int result;
static int file, null; /* open before there is a sandbox */

static void stop_with(struct uring_op *op, int res)
{
	(void)op;
	result = res;
	loop_stop(l, 0);
}

/* What a read by the ring gives. */
static int read_by(struct uring *u)
{
	static char data[64];
	struct uring_op op = {.done = stop_with};
	struct iovec iov = {data, sizeof(data)};
	result = -ENODATA;
	CHECK(uring_read(u, &op, file, &iov, 1, 0));
	CHECK_EQ(run(), 0);
	return result;
}

/* A read whose place in the ring somebody gives to another operation before the kernel sees it. */
static int foreign(struct uring *u, struct io_uring_sqe e)
{
	struct uring_op op = {.done = stop_with};
	struct iovec iov = {NULL, 0};
	unsigned slot = *u->sq_tail & u->sq_mask;
	CHECK(uring_read(u, &op, -1, &iov, 1, 0));
	e.user_data = (uintptr_t)&op;
	u->sqes[slot] = e;
	result = -ENODATA;
	CHECK_EQ(run(), 0);
	return result;
}

static void takes_reads_only(struct uring *u)
{
	static char path[] = "/dev/null", name[] = "user.vstor", data[64];
	struct iovec iov = {data, sizeof(data)};
	const struct io_uring_sqe others[] = {
		{.opcode = IORING_OP_OPENAT, .fd = AT_FDCWD, .addr = (uintptr_t)path},
		{.opcode = 45 /* SOCKET */, .fd = 2 /* AF_INET */, .off = 1 /* SOCK_STREAM */},
		{.opcode = IORING_OP_CONNECT, .fd = null, .addr = (uintptr_t)data},
		{.opcode = 42 /* SETXATTR */, .addr = (uintptr_t)name, .addr2 = (uintptr_t)path},
		{.opcode = IORING_OP_WRITEV, .fd = null, .addr = (uintptr_t)&iov, .len = 1},
		{.opcode = IORING_OP_NOP},
		{.opcode = IORING_OP_READV, .fd = 0, .flags = IOSQE_FIXED_FILE},
	};
	CHECK_EQ(read_by(u), 9);
	for (unsigned i = 0; i < ARRAY_SIZE(others); i++)
		CHECK_EQ(foreign(u, others[i]), -EACCES);
	CHECK_EQ(syscall(SYS_io_uring_register, u->fd, IORING_REGISTER_FILES, &null, 1), -1);
	CHECK(errno == EACCES || errno == EPERM);
	CHECK_EQ(read_by(u), 9);
}

static struct uring *ring(void)
{
	struct uring *u = uring_new(l, 8);
	if (!u)
		printf("# no io_uring here: %s\n", strerror(errno));
	return u;
}

static void test_a_ring_takes_reads_only(void)
{
	struct uring *u;
	begin();
	u = ring();
	if (u)
		takes_reads_only(u);
	uring_free(u);
	end();
}

static struct uring *made;

static void make(void *arg)
{
	(void)arg;
	made = ring();
}

static void confined(void)
{
	struct sandbox_user user;
	const struct sandbox s = {.user = &user, .prepare = make};
	CHECK_EQ(sandbox_find_user(&user, NULL), 0);
	CHECK_EQ(sandbox_enter(&s), 0);
	if (made)
		takes_reads_only(made);
	if (!sandbox_state()->seccomp)
		return;
	CHECK(!uring_new(l, 8));
	CHECK_EQ(errno, EPERM);
}

/* The sandbox is for good: in a child. */
static void test_so_does_one_in_the_sandbox(void)
{
	int status = 0;
	pid_t pid;
	begin();
	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		confined();
		fflush(stdout);
		_exit(check_failures != 0);
	}
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(status, 0);
	end();
}

static void recover(void *arg)
{
	(void)arg;
	failing = false;
}

/* While the kernel has no memory for what is to be read, the loop does the rest, and it does not
 * ask all the time. */
static void test_a_kernel_short_of_memory_is_asked_again(void)
{
	struct loop_timer t = {0};
	struct uring *u;
	begin();
	u = ring();
	if (u) {
		failing = true;
		failures = 0;
		loop_timer_set(l, &t, 20 * MS_NS, recover, NULL);
		CHECK_EQ(read_by(u), 9);
		CHECK(failures > 0 && failures < 200);
	}
	uring_free(u);
	end();
}

int main(void)
{
	file = fileno(tmpfile());
	null = open("/dev/null", O_RDWR);
	CHECK_EQ(pwrite(file, "some data", 9, 0), 9);
	CHECK_RUN(test_a_ring_takes_reads_only);
	CHECK_RUN(test_so_does_one_in_the_sandbox);
	CHECK_RUN(test_a_kernel_short_of_memory_is_asked_again);
	return CHECK_DONE();
}
