/* SPDX-License-Identifier: BSD-2-Clause */
#include "storage/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "core/bytes.h"
#include "core/log.h"
#include "tests/unit/check.h"

#define SIZE (4u << 20)

/* A file on a disk if the build directory is on one, so that workers have their part. */
static char path[] = "build/disk_test.XXXXXX";
static struct loop *loop;
static struct disk_engine *engine;

static struct disk *open_disk(struct disk_opts *o)
{
	struct disk *d;
	return disk_open(&d, path, o) == 0 ? d : NULL;
}

struct waiting {
	struct disk_io io;
	bool done;
};
static unsigned outstanding;
static uint64_t failed_at; /* see disk_io.off */

static void on_done(struct disk_io *io)
{
	container_of(io, struct waiting, io)->done = true;
	if (--outstanding == 0)
		loop_stop(loop, 0);
}

/* Submits and waits. */
static int run(struct disk_io *io)
{
	struct waiting w = {.io = *io};
	w.io.done = on_done;
	outstanding = 1;
	if (!disk_submit(engine, &w.io)) {
		loop_run(loop);
		CHECK(w.done);
	}
	failed_at = w.io.off;
	return w.io.rc;
}

static int transfer(struct disk *d, enum disk_op op, void *p, size_t n, uint64_t off, bool fua)
{
	struct iovec v[3] = {
		{p, n / 3}, {(char *)p + n / 3, n / 3}, {(char *)p + n / 3 * 2, n - n / 3 * 2}};
	struct disk_io io = {.op = op, .disk = d, .iov = v, .niov = 3, .off = off, .fua = fua};
	return run(&io);
}

static void test_what_is_written_is_read(void)
{
	struct disk_opts o = {0};
	struct disk *d = open_disk(&o);
	uint8_t *a = malloc(100000), *b = malloc(100000);
	if (!CHECK(d != NULL))
		return;
	CHECK_EQ(disk_size(d), SIZE);
	for (unsigned i = 0; i < 100000; i++)
		a[i] = (uint8_t)(i * 7 + i / 251);
	CHECK_EQ(transfer(d, DISK_WRITE, a, 100000, 12345, false), 0);
	CHECK_EQ(transfer(d, DISK_READ, b, 100000, 12345, false), 0);
	CHECK_MEM(a, b, 100000);
	CHECK_EQ(transfer(d, DISK_WRITE, a, 5000, 512, true), 0);
	CHECK_EQ(transfer(d, DISK_READ, b, 5000, 512, false), 0);
	CHECK_MEM(a, b, 5000);
	CHECK_EQ(run(&(struct disk_io){.op = DISK_SYNC, .disk = d}), 0);
	CHECK_EQ(disk_close(d), 0);
	free(a);
	free(b);
}

static void test_many_at_once(void)
{
	struct disk_opts o = {0};
	struct disk *d = open_disk(&o);
	static struct waiting w[256];
	static struct iovec v[256];
	static uint8_t data[256][512], back[512];
	if (!CHECK(d != NULL))
		return;
	outstanding = 1;
	for (unsigned i = 0; i < 256; i++) {
		memset(data[i], (int)i, 512);
		v[i] = (struct iovec){data[i], 512};
		w[i].io = (struct disk_io){.op = DISK_WRITE,
					   .disk = d,
					   .iov = &v[i],
					   .niov = 1,
					   .off = i * 4096ull,
					   .done = on_done};
		outstanding++;
		if (disk_submit(engine, &w[i].io))
			outstanding--;
	}
	if (--outstanding)
		loop_run(loop);
	for (unsigned i = 0; i < 256; i++) {
		CHECK_EQ(w[i].io.rc, 0);
		CHECK_EQ(transfer(d, DISK_READ, back, 512, i * 4096ull, false), 0);
		CHECK_MEM(back, data[i], 512);
	}
	CHECK_EQ(disk_close(d), 0);
}

static void test_a_file_that_shrinks_gives_an_error(void)
{
	struct disk_opts o = {0};
	struct disk *d = open_disk(&o);
	uint8_t b[4096];
	uint64_t reached = 0;
	if (!CHECK(d != NULL))
		return;
	CHECK_EQ(truncate(path, SIZE / 2), 0);
	CHECK_EQ(transfer(d, DISK_READ, b, sizeof(b), SIZE - sizeof(b), false), -EIO);
	CHECK_EQ(failed_at, SIZE - sizeof(b));
	CHECK_EQ(transfer(d, DISK_READ, b, sizeof(b), SIZE / 2 - 2048, false), -EIO);
	CHECK_EQ(failed_at, SIZE / 2);
	CHECK_EQ(disk_read(d, b, sizeof(b), SIZE / 2 - 100, &reached), -EIO);
	CHECK_EQ(reached, SIZE / 2);
	CHECK_EQ(truncate(path, SIZE), 0);
	CHECK_EQ(disk_read(d, b, sizeof(b), SIZE / 2 - 100, &reached), 0);
	CHECK_EQ(reached, SIZE / 2 - 100 + sizeof(b));
	CHECK_EQ(disk_close(d), 0);
}

static void test_discard_and_map(void)
{
	struct disk_opts o = {0};
	struct disk *d = open_disk(&o);
	uint8_t *b = malloc(SIZE);
	bool mapped;
	uint64_t run_len;
	if (!CHECK(d != NULL))
		return;
	memset(b, 0x55, SIZE);
	CHECK_EQ(disk_write(d, b, SIZE, 0, false, NULL), 0);
	CHECK_EQ(disk_discard(d, 65536, 131072), 0);
	CHECK_EQ(disk_read(d, b, SIZE, 0, NULL), 0);
	CHECK(b[65535] == 0x55 && b[65536] == 0 && b[65536 + 131071] == 0 &&
	      b[65536 + 131072] == 0x55);
	CHECK_EQ(disk_map(d, 0, &mapped, &run_len), 0);
	CHECK(mapped);
	CHECK_EQ(disk_map(d, 65536, &mapped, &run_len), 0);
	/* A file system without holes says that all is mapped. */
	CHECK(mapped || run_len == 131072);
	CHECK_EQ(disk_close(d), 0);
	free(b);
}

static void test_refusals(void)
{
	struct disk_opts rw = {0}, ro = {.readonly = true}, create = {.create_size = 1 << 20};
	struct disk *d, *e;
	char other[64];
	CHECK_EQ(log_set_destination("syslog"), 0); /* the messages are not what is tested */
	CHECK_EQ(disk_open(&d, "/nonexistent/disk", &rw), -ENOENT);
	CHECK_EQ(disk_open(&d, "/dev/null", &rw), -EINVAL);
	CHECK_EQ(disk_open(&d, "build", &ro), -EINVAL);
	/* one writer, or several readers */
	CHECK_EQ(disk_open(&d, path, &rw), 0);
	CHECK_EQ(disk_open(&e, path, &rw), -EBUSY);
	CHECK_EQ(disk_open(&e, path, &ro), -EBUSY);
	CHECK_EQ(disk_close(d), 0);
	CHECK_EQ(disk_open(&d, path, &ro), 0);
	CHECK(disk_readonly(d));
	CHECK_EQ(disk_open(&e, path, &ro), 0);
	CHECK_EQ(disk_close(d), 0);
	CHECK_EQ(disk_close(e), 0);
	snprintf(other, sizeof(other), "%s.new", path);
	CHECK_EQ(disk_open(&d, other, &create), 0);
	CHECK_EQ(disk_size(d), 1 << 20);
	CHECK_EQ(disk_close(d), 0);
	/* what is there stays as it is */
	create.create_size = 2 << 20;
	CHECK_EQ(disk_open(&d, other, &create), 0);
	CHECK_EQ(disk_size(d), 1 << 20);
	CHECK_EQ(disk_close(d), 0);
	CHECK_EQ(truncate(other, 0), 0);
	CHECK_EQ(disk_open(&d, other, &rw), -EINVAL);
	unlink(other);
}

/* What another has opened: the lock comes with it, and stays when he closes it. */
static void test_handed_over(void)
{
	struct disk_opts o = {0}, ro = {.readonly = true};
	struct disk *d, *e;
	bool created = true;
	int fd = disk_open_file(path, &o, &created);
	CHECK(fd >= 0);
	CHECK(!created);
	CHECK_EQ(disk_open_file(path, &o, &created), -EBUSY);
	o.opened = true;
	o.fd = fd;
	CHECK_EQ(disk_open(&d, "a name", &o), 0);
	close(fd);
	CHECK_EQ(disk_size(d), SIZE);
	CHECK_EQ(strcmp(disk_path(d), "a name"), 0);
	CHECK_EQ(disk_open_file(path, &ro, &created), -EBUSY);
	CHECK_EQ(disk_close(d), 0);
	CHECK_EQ(disk_open(&d, "closed", &o), -EBADF);
	/* open for reading only */
	o.fd = disk_open_file(path, &ro, &created);
	CHECK_EQ(disk_open(&d, path, &o), -EBADF);
	o.readonly = true;
	CHECK_EQ(disk_open(&d, path, &o), 0);
	CHECK_EQ(disk_open(&e, path, &ro), 0);
	close(o.fd);
	CHECK_EQ(disk_close(d), 0);
	CHECK_EQ(disk_close(e), 0);
}

/* All that disk_send() gives of [off, off + n); how much that is, or the error that ends it. */
static int sent(struct disk *d, uint64_t off, size_t n, uint8_t *to)
{
	int p[2], r = 0;
	size_t got = 0;
	if (!CHECK_EQ(pipe(p), 0))
		return -errno;
	while (got < n && (r = disk_send(d, off + got, n - got, p[1])) > 0) {
		for (int k = 0; k < r;) {
			ssize_t m = read(p[0], to + got, (size_t)(r - k));
			if (!CHECK(m > 0))
				return -EIO;
			k += (int)m;
			got += (size_t)m;
		}
	}
	close(p[0]);
	close(p[1]);
	return r < 0 ? r : (int)got;
}

static void test_sent_without_a_copy(void)
{
	struct disk_opts o = {0};
	struct disk *d = open_disk(&o);
	uint8_t *a = malloc(SIZE), *b = malloc(SIZE);
	int fd = open(path, O_RDONLY);
	struct statfs fs;
	if (!CHECK(d != NULL && fstatfs(fd, &fs) == 0))
		return;
	for (unsigned i = 0; i < SIZE; i++)
		a[i] = (uint8_t)(i * 11 + i / 509);
	CHECK_EQ(disk_write(d, a, SIZE, 0, false, NULL), 0);
	CHECK(disk_resident(d, 0, SIZE));
	CHECK(disk_resident(d, 512, SIZE - 1024));
	CHECK_EQ(sent(d, 0, SIZE, b), SIZE);
	CHECK_MEM(a, b, SIZE);
	CHECK_EQ(sent(d, 1536, 100000, b), 100000);
	CHECK_MEM(a + 1536, b, 100000);

	/* What is only on the medium: told so, but on a file system that has none. */
	CHECK_EQ(disk_sync(d), 0);
	CHECK_EQ(posix_fadvise(fd, SIZE / 2, SIZE / 2, POSIX_FADV_DONTNEED), 0);
	if (fs.f_type != TMPFS_MAGIC) {
		CHECK(!disk_resident(d, SIZE / 2, 4096));
		CHECK(!disk_resident(d, SIZE / 2 - 65536, 131072));
	}
	CHECK(disk_resident(d, 0, SIZE / 4));
	CHECK_EQ(sent(d, SIZE / 2, 100000, b), 100000);
	CHECK_MEM(a + SIZE / 2, b, 100000);

	/* Never more than there is, however long it was before. */
	CHECK_EQ(truncate(path, SIZE / 2 + 1000), 0);
	CHECK(!disk_resident(d, SIZE / 2, 4096));
	CHECK(!disk_resident(d, SIZE - 4096, 4096));
	CHECK_EQ(sent(d, SIZE / 2, 4096, b), -EIO);
	CHECK_EQ(sent(d, SIZE - 4096, 4096, b), -EIO);
	CHECK_EQ(truncate(path, SIZE), 0);
	CHECK_EQ(sent(d, SIZE / 2 + 1000, 1, b), 1);
	CHECK_EQ(b[0], 0);
	CHECK_EQ(disk_close(d), 0);
	close(fd);
	free(a);
	free(b);
}

/* Reads of what is only on the medium, small and large, whole and with an end amid them. */
static void test_cold_reads(void)
{
	struct disk_opts o = {0};
	struct disk *d = open_disk(&o);
	static struct waiting w[400];
	static struct iovec v[400];
	uint8_t *a = malloc(SIZE), *b = malloc(SIZE);
	int fd = open(path, O_RDONLY);
	if (!CHECK(d != NULL))
		return;
	for (unsigned i = 0; i < SIZE; i++)
		a[i] = (uint8_t)(i * 13 + i / 257);
	CHECK_EQ(disk_write(d, a, SIZE, 0, false, NULL), 0);
	CHECK_EQ(disk_sync(d), 0);
	CHECK_EQ(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0);
	/* more than a ring takes, in an order that no read-ahead sees */
	outstanding = 1;
	for (unsigned i = 0; i < 400; i++) {
		size_t n = i % 10 ? 512 * (1 + i % 16) : 100 << 10, at = i * 37 % 400 * 10000u;
		v[i] = (struct iovec){b + at, n < 10000 ? n : 10000};
		w[i] = (struct waiting){.io = {.op = DISK_READ,
					       .disk = d,
					       .iov = &v[i],
					       .niov = 1,
					       .off = at,
					       .done = on_done}};
		outstanding++;
		if (disk_submit(engine, &w[i].io))
			outstanding--;
	}
	if (--outstanding)
		loop_run(loop);
	for (unsigned i = 0; i < 400; i++) {
		size_t at = i * 37 % 400 * 10000u;
		size_t n = i % 10 ? 512 * (1 + i % 16) : 10000;
		CHECK_EQ(w[i].io.rc, 0);
		CHECK_MEM(a + at, b + at, n < 10000 ? n : 10000);
	}
	CHECK_EQ(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0);
	CHECK_EQ(transfer(d, DISK_READ, b, 200000, 4096, false), 0);
	CHECK_MEM(a + 4096, b, 200000);
	CHECK_EQ(truncate(path, SIZE / 2), 0);
	CHECK_EQ(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0);
	CHECK_EQ(transfer(d, DISK_READ, b, 8192, SIZE / 2 - 4096, false), -EIO);
	CHECK_EQ(truncate(path, SIZE), 0);
	CHECK_EQ(disk_close(d), 0);
	close(fd);
	free(a);
	free(b);
}

/* A write that fails does so with its error, whoever does it. */
static void test_failing_write(void)
{
	struct disk_opts o = {0};
	struct disk *d = open_disk(&o);
	struct rlimit old, low = {.rlim_cur = SIZE / 2};
	uint8_t b[8192] = {1};
	if (!CHECK(d != NULL && getrlimit(RLIMIT_FSIZE, &old) == 0))
		return;
	low.rlim_max = old.rlim_max;
	signal(SIGXFSZ, SIG_IGN);
	CHECK_EQ(setrlimit(RLIMIT_FSIZE, &low), 0);
	CHECK_EQ(transfer(d, DISK_WRITE, b, sizeof(b), SIZE / 2 - 4096, false), -EFBIG);
	CHECK_EQ(transfer(d, DISK_WRITE, b, sizeof(b), SIZE / 2 + 4096, false), -EFBIG);
	CHECK_EQ(transfer(d, DISK_WRITE, b, 512, SIZE / 2 + 512, false), -EFBIG);
	CHECK_EQ(setrlimit(RLIMIT_FSIZE, &old), 0);
	CHECK_EQ(transfer(d, DISK_WRITE, b, sizeof(b), SIZE / 2 + 4096, false), 0);
	CHECK_EQ(disk_close(d), 0);
}

static void test_io(void)
{
	test_what_is_written_is_read();
	test_many_at_once();
	test_a_file_that_shrinks_gives_an_error();
	test_cold_reads();
	test_failing_write();
}

static void test_workers(void)
{
	test_io();
}

static void test_io_uring(void)
{
	struct uring *u = uring_new(loop, DISK_RING_ENTRIES);
	if (!u) {
		printf("# no io_uring here: %s\n", strerror(errno));
		return;
	}
	disk_engine_use_uring(engine, u);
	test_io();
}

int main(void)
{
	int fd;
	mkdir("build", 0777);
	fd = mkstemp(path);
	if (fd < 0 || ftruncate(fd, SIZE) < 0) {
		printf("not ok storage/disk: cannot make %s: %s\n", path, strerror(errno));
		return 1;
	}
	close(fd);
	loop = loop_new();
	engine = disk_engine_new(loop, 4);
	CHECK_RUN(test_workers);
	CHECK_RUN(test_discard_and_map);
	CHECK_RUN(test_refusals);
	CHECK_RUN(test_handed_over);
	CHECK_RUN(test_sent_without_a_copy);
	CHECK_RUN(test_io_uring);
	disk_engine_free(engine);
	loop_free(loop);
	unlink(path);
	return CHECK_DONE();
}
