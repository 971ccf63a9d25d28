/* SPDX-License-Identifier: BSD-2-Clause */
/* Who else has the file: locks of several kinds, held by a process of our own making. */
#include "storage/claim.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/log.h"
#include "tests/unit/check.h"

static char dir[] = "/tmp/vstor-claim.XXXXXX", path[64], other[64];

/* What claim_disk() says of the file, opened anew by that name. */
static int claim(const char *name, bool readonly)
{
	int fd = open(name, readonly ? O_RDONLY : O_RDWR), rc;
	if (!CHECK(fd >= 0))
		return -errno;
	rc = claim_disk(fd, name, readonly);
	close(fd);
	return rc;
}

static void test_one_writer_or_several_readers(void)
{
	int fd = open(path, O_RDWR), second = open(path, O_RDONLY);

	CHECK_EQ(claim_disk(fd, path, false), 0);
	CHECK_EQ(claim(path, false), -EBUSY);
	CHECK_EQ(claim(path, true), -EBUSY);
	close(fd);
	CHECK_EQ(claim_disk(second, path, true), 0);
	CHECK_EQ(claim(path, true), 0);
	CHECK_EQ(claim(path, false), -EBUSY);
	close(second);
	CHECK_EQ(claim(path, false), 0);
}

static void test_by_whatever_name(void)
{
	int fd = open(path, O_RDWR);

	CHECK_EQ(claim_disk(fd, path, false), 0);
	CHECK_EQ(link(path, other), 0);
	CHECK_EQ(claim(other, false), -EBUSY);
	CHECK_EQ(unlink(other), 0);
	CHECK_EQ(symlink(path, other), 0);
	CHECK_EQ(claim(other, false), -EBUSY);
	CHECK_EQ(unlink(other), 0);
	close(fd);
}

/* Another process holds one lock: the claims of a writer and of a reader beside it. */
static void beside(int cmd, short type, off_t start, off_t len, int writer, int reader)
{
	struct flock l = {.l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = len};
	int ready[2];
	char byte;
	pid_t pid;

	if (!CHECK_EQ(pipe(ready), 0))
		return;
	pid = fork();
	if (pid == 0) {
		int fd = open(path, O_RDWR);
		if (fd < 0 || fcntl(fd, cmd, &l) < 0 || write(ready[1], "", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	close(ready[1]);
	if (CHECK_EQ(read(ready[0], &byte, 1), 1)) {
		CHECK_EQ(claim(path, false), writer);
		CHECK_EQ(claim(path, true), reader);
	}
	close(ready[0]);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static void test_beside_posix_locks(void)
{
	beside(F_SETLK, F_WRLCK, 0, 0, -EBUSY, -EBUSY);
	beside(F_SETLK, F_WRLCK, 4096, 1, -EBUSY, -EBUSY);
	beside(F_SETLK, F_RDLCK, 4096, 1, -EBUSY, 0);
}

/* Byte 101: it writes. Byte 103: it resizes. Byte 100: it reads; 201: others shall not write. */
static void test_beside_the_locks_of_qemu(void)
{
	beside(F_OFD_SETLK, F_RDLCK, 101, 1, -EBUSY, -EBUSY);
	beside(F_OFD_SETLK, F_RDLCK, 103, 1, -EBUSY, -EBUSY);
	beside(F_OFD_SETLK, F_RDLCK, 100, 1, -EBUSY, 0);
	beside(F_OFD_SETLK, F_RDLCK, 201, 1, -EBUSY, 0);
	CHECK_EQ(claim(path, false), 0);
}

int main(void)
{
	int fd;

	if (!mkdtemp(dir))
		return 1;
	snprintf(path, sizeof(path), "%s/disk", dir);
	snprintf(other, sizeof(other), "%s/other", dir);
	fd = open(path, O_RDWR | O_CREAT | O_EXCL, 0600);
	if (fd < 0 || ftruncate(fd, 65536) < 0)
		return 1;
	close(fd);
	log_set_destination("syslog"); /* the messages are not what is tested */
	CHECK_RUN(test_one_writer_or_several_readers);
	CHECK_RUN(test_by_whatever_name);
	CHECK_RUN(test_beside_posix_locks);
	CHECK_RUN(test_beside_the_locks_of_qemu);
	unlink(path);
	rmdir(dir);
	return CHECK_DONE();
}
