/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/unit/fake/files.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

/* As in fake/xen.c. */
#pragma GCC diagnostic ignored "-Wmissing-prototypes"

struct fake_files fake_files;

void fake_files_fail(unsigned n, enum fake_fault fault)
{
	fake_files = (struct fake_files){.fails_at = n, .fault = fault};
}

/* True: this call fails, errno being set. *half: but it does half of its work. */
static bool fails_of(bool counted, bool interruptible, bool *half)
{
	static const int errors[] = {
		[FAKE_EIO] = EIO, [FAKE_ENOSPC] = ENOSPC, [FAKE_EINTR] = EINTR, [FAKE_CUT] = EIO};
	struct fake_files *f = &fake_files;

	*half = false;
	if (f->thread && f->thread != (unsigned long)pthread_self())
		return false;
	errno = EIO;
	if (f->off)
		return true;
	if (!counted || (++f->calls != f->fails_at && !(f->on && f->failed)))
		return false;
	f->failed = true;
	f->off = f->fault == FAKE_CUT;
	*half = f->fault == FAKE_SHORT || f->fault == FAKE_CUT;
	errno = errors[f->fault];
	return f->fault != FAKE_SHORT && (f->fault != FAKE_EINTR || interruptible);
}

static bool fails(bool interruptible, bool *half)
{
	return fails_of(!fake_files.sent_on && !fake_files.passed_on, interruptible, half);
}

static bool passes(int fd)
{
	return fake_files.passed_on && fake_files.passed_on(fd);
}

static bool is_file(int fd)
{
	struct stat st;

	return !fake_files.sent_on && !fake_files.passed_on && fake_files.fails_at &&
	       fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
}

int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...)
{
	mode_t mode = 0;
	va_list ap;
	bool half;

	if (flags & O_CREAT) {
		va_start(ap, flags);
		mode = va_arg(ap, mode_t);
		va_end(ap);
	}
	return fails(false, &half) ? -1 : __real_open(path, flags, mode);
}

ssize_t __real_pwrite(int fd, const void *p, size_t n, off_t at);
ssize_t __wrap_pwrite(int fd, const void *p, size_t n, off_t at)
{
	bool half, fail = fails(true, &half);
	int saved = errno;

	if (half && n > 1 && fail) { /* some of it gets there, and nobody learns of that */
		(void)!__real_pwrite(fd, p, n / 2, at);
		errno = saved;
	}
	return fail ? -1 : __real_pwrite(fd, p, half ? n / 2 : n, at);
}

/* In the thread that asks for it, so that the call that fails can be this one. */
int __wrap_meanwhile_fdatasync(int fd)
{
	bool half;

	while (fails(true, &half))
		if (errno != EINTR)
			return -errno;
	return fdatasync(fd) ? -errno : 0;
}

int __wrap_meanwhile_fsync(int fd)
{
	bool half;

	return fails(false, &half) ? -errno : fsync(fd) ? -errno : 0;
}

int __real_link(const char *from, const char *to);
int __wrap_link(const char *from, const char *to)
{
	bool half;

	return fails(false, &half) ? -1 : __real_link(from, to);
}

int __real_unlink(const char *path);
int __wrap_unlink(const char *path)
{
	bool half;

	return fails(false, &half) ? -1 : __real_unlink(path);
}

ssize_t __real_sendmsg(int fd, const struct msghdr *m, int flags);
ssize_t __wrap_sendmsg(int fd, const struct msghdr *m, int flags)
{
	const struct iovec *v = m->msg_iov;
	bool half, fail = fails_of(fake_files.sent_on && fake_files.sent_on(fd), true, &half);

	if (!fail && half && m->msg_iovlen)
		return send(fd, v->iov_base, (v->iov_len + 1) / 2, flags);
	return fail ? -1 : __real_sendmsg(fd, m, flags);
}

ssize_t __real_read(int fd, void *p, size_t n);
ssize_t __wrap_read(int fd, void *p, size_t n)
{
	bool half = false, fail = passes(fd) && fails_of(true, true, &half);

	return fail ? -1 : __real_read(fd, p, half ? (n + 1) / 2 : n);
}

ssize_t __real_write(int fd, const void *p, size_t n);
ssize_t __wrap_write(int fd, const void *p, size_t n)
{
	bool half = false, fail = (passes(fd) || is_file(fd)) && fails_of(true, true, &half);

	return fail ? -1 : __real_write(fd, p, half ? (n + 1) / 2 : n);
}
