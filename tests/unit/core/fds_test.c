/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/fds.h"

#include <errno.h>
#include <stdlib.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/unit/check.h"

static int near, far;

static void up(void)
{
	int sv[2];
	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
	near = sv[0];
	far = sv[1];
}

static void down(void)
{
	close(near);
	close(far);
}

/* How many descriptors this process has, as far as the first hundred. */
static unsigned descriptors(void)
{
	unsigned n = 0;
	for (int fd = 0; fd < 100; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static void test_what_is_open_goes_over(void)
{
	int p[2], got[FDS_MAX];
	unsigned n = FDS_MAX;
	char b[8];
	up();
	CHECK_EQ(pipe(p), 0);
	CHECK_EQ(fds_send(near, "abc", 3, p, 2), 3);
	close(p[0]);
	close(p[1]);
	CHECK_EQ(fds_receive(far, b, sizeof(b), 0, got, &n), 3);
	if (!CHECK_EQ(n, 2))
		return;
	CHECK(fcntl(got[0], F_GETFD) & FD_CLOEXEC);
	CHECK_EQ(write(got[1], "through", 7), 7);
	CHECK_EQ(read(got[0], b, sizeof(b)), 7);
	close(got[0]);
	close(got[1]);
	down();
}

static void test_too_many_are_closed(void)
{
	int three[] = {0, 1, 2}, got[FDS_MAX];
	unsigned before, n;
	char b[8];
	up();
	before = descriptors();
	for (unsigned room = 0; room < 3; room++) {
		n = room;
		CHECK_EQ(fds_send(near, "x", 1, three, 3), 1);
		CHECK_EQ(fds_receive(far, b, sizeof(b), 0, got, &n), 1);
		CHECK_EQ(n, room);
		CHECK_EQ(descriptors(), before + room);
		for (unsigned i = 0; i < n; i++)
			close(got[i]);
	}
	down();
}

static void test_bytes_alone(void)
{
	int got[FDS_MAX];
	unsigned n = FDS_MAX;
	char b[8];
	up();
	CHECK_EQ(fds_receive(far, b, sizeof(b), MSG_DONTWAIT, got, &n), -EAGAIN);
	CHECK_EQ(n, 0);
	CHECK_EQ(fds_send(near, "abcdefgh", 8, NULL, 0), 8);
	n = FDS_MAX;
	CHECK_EQ(fds_receive(far, b, 5, 0, got, &n), 5);
	CHECK_EQ(n, 0);
	close(near);
	CHECK_EQ(fds_receive(far, b, 5, 0, got, &n), 3);
	CHECK_EQ(fds_receive(far, b, 5, 0, got, &n), 0);
	CHECK_EQ(fds_send(far, "a", 1, NULL, 0), -EPIPE);
	close(far);
}

static void test_text(void)
{
	char path[] = "/tmp/vstor-fds-XXXXXX", b[8];
	int fd = mkstemp(path);
	CHECK_EQ(fds_write_text(path, "abc"), 0);
	CHECK_EQ(read(fd, b, sizeof(b)), 3);
	CHECK_EQ(fds_write_text(path, ""), 0);
	close(fd);
	unlink(path);
	CHECK_EQ(fds_write_text(path, "abc"), -ENOENT); /* it makes none */
	CHECK_EQ(fds_write_text("/dev/full", "abc"), -ENOSPC);
}

int main(void)
{
	CHECK_RUN(test_what_is_open_goes_over);
	CHECK_RUN(test_too_many_are_closed);
	CHECK_RUN(test_bytes_alone);
	CHECK_RUN(test_text);
	return CHECK_DONE();
}
