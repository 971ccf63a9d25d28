/* SPDX-License-Identifier: BSD-2-Clause */
/* Flushes that fail. The kernel's part is played here: it tells of an error once. */
#include <dlfcn.h>
#include <errno.h>
#include <semaphore.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "core/log.h"
#include "storage/disk_priv.h"
#include "tests/unit/check.h"

#define SIZE (1u << 20)

static char path[] = "build/flush_test.XXXXXX";
static struct loop *loop;
static struct disk_engine *engine;
static uint8_t data[4096];

static int flush_error; /* of the next flush; 0: it succeeds */
static int write_error; /* of all writes, before anything is written */
static sem_t flushed;

static int take_error(void)
{
	int err = __atomic_exchange_n(&flush_error, 0, __ATOMIC_RELAXED);
	sem_post(&flushed);
	errno = err;
	return err ? -1 : 0;
}

int fdatasync(int fd)
{
	(void)fd;
	return take_error();
}

/* As storage/disk.c calls pwritev2(2). */
long syscall(long number, ...)
{
	long (*next)(long, ...) = (long (*)(long, ...))dlsym(RTLD_NEXT, "syscall");
	long a[6];
	va_list ap;
	va_start(ap, number);
	for (unsigned i = 0; i < 6; i++)
		a[i] = va_arg(ap, long);
	va_end(ap);
	if (number == SYS_pwritev2 && write_error) {
		errno = write_error;
		return -1;
	}
	if (number == SYS_pwritev2 && a[5] & RWF_DSYNC) {
		long r = next(number, a[0], a[1], a[2], a[3], a[4], 0L);
		return r < 0 || take_error() == 0 ? r : -1;
	}
	return next(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

/* What it takes to write one piece without a flush. */
ssize_t pwrite(int fd, const void *p, size_t n, off_t off)
{
	struct iovec v = {(void *)p, n};
	return syscall(SYS_pwritev2, fd, &v, 1L, (long)off, 0L, 0L);
}

static struct disk *open_disk(bool writethrough)
{
	struct disk_opts o = {.writethrough = writethrough};
	struct disk *d = NULL;
	CHECK_EQ(disk_open(&d, path, &o), 0);
	d->in_memory = false; /* wherever this runs */
	flush_error = write_error = 0;
	return d;
}

static int put(struct disk *d, bool fua)
{
	return disk_write(d, data, sizeof(data), 8192, fua, NULL);
}

static void check_latched(struct disk *d, int err)
{
	uint64_t reached = 0;
	CHECK_EQ(disk_flush_error(d), err);
	CHECK_EQ(disk_sync(d), -EIO);
	CHECK_EQ(disk_sync(d), -EIO);
	CHECK_EQ(disk_write(d, data, sizeof(data), 8192, true, &reached), -EIO);
	CHECK_EQ(reached, 8192); /* of what is not on the medium, the first */
	CHECK_EQ(disk_read(d, data, sizeof(data), 0, NULL), 0);
	disk_flush_acknowledge(d);
	CHECK_EQ(disk_flush_error(d), 0);
	CHECK_EQ(disk_sync(d), 0);
	CHECK_EQ(put(d, true), 0);
}

static void test_a_failed_flush_is_remembered(void)
{
	struct disk *d = open_disk(false);
	flush_error = ENOSPC;
	CHECK_EQ(disk_sync(d), -ENOSPC);
	CHECK_EQ(put(d, false), 0);
	check_latched(d, ENOSPC);
	CHECK_EQ(disk_close(d), 0);
}

static void test_so_is_that_of_a_fua_write(void)
{
	struct disk *d = open_disk(false);
	flush_error = EIO;
	CHECK_EQ(put(d, true), -EIO);
	check_latched(d, EIO);
	d->no_rwf = true; /* an old kernel: flushed by itself */
	flush_error = EIO;
	CHECK_EQ(put(d, true), -EIO);
	check_latched(d, EIO);
	CHECK_EQ(disk_close(d), 0);
}

/* A full file system does not lose what is there already. */
static void test_a_failed_write_is_no_failed_flush(void)
{
	struct disk *d = open_disk(false);
	write_error = ENOSPC;
	CHECK_EQ(put(d, true), -ENOSPC);
	CHECK_EQ(disk_flush_error(d), 0);
	write_error = 0;
	CHECK_EQ(disk_sync(d), 0);
	CHECK_EQ(put(d, true), 0);
	CHECK_EQ(disk_close(d), 0);
}

/* All writes of a disk that writes through promise what a flush does. */
static void test_writethrough(void)
{
	struct disk *d = open_disk(true);
	flush_error = EIO;
	CHECK_EQ(put(d, false), -EIO);
	CHECK_EQ(put(d, false), -EIO);
	check_latched(d, EIO);
	CHECK_EQ(put(d, false), 0);
	CHECK_EQ(disk_close(d), 0);
}

static void on_done(struct disk_io *io)
{
	(void)io;
	loop_stop(loop, 0);
}

/* Of two at the same time one is told; both have failed. */
static void test_beside_another(void)
{
	struct disk *d = open_disk(false);
	struct disk_io io = {.op = DISK_SYNC, .disk = d, .done = on_done};
	while (sem_trywait(&flushed) == 0)
		;
	CHECK(!disk_submit(engine, &io));
	sem_wait(&flushed); /* its flush has succeeded, and the loop has not told so yet */
	flush_error = EIO;
	CHECK_EQ(disk_sync(d), -EIO);
	loop_run(loop);
	CHECK_EQ(io.rc, -EIO);
	disk_flush_acknowledge(d);
	CHECK_EQ(disk_close(d), 0);
}

/* It is not forgotten at the end either. */
static void test_close(void)
{
	struct disk *d = open_disk(false);
	flush_error = EIO;
	CHECK_EQ(disk_sync(d), -EIO);
	CHECK_EQ(disk_close(d), -EIO);
}

int main(void)
{
	int fd;
	mkdir("build", 0777);
	fd = mkstemp(path);
	if (fd < 0 || ftruncate(fd, SIZE) < 0) {
		puts("not ok storage/flush: no file");
		return 1;
	}
	close(fd);
	log_init("flush_test");
	log_set_destination("syslog"); /* the messages are not what is tested */
	sem_init(&flushed, 0, 0);
	loop = loop_new();
	engine = disk_engine_new(loop, 2);
	CHECK_RUN(test_a_failed_flush_is_remembered);
	CHECK_RUN(test_so_is_that_of_a_fua_write);
	CHECK_RUN(test_a_failed_write_is_no_failed_flush);
	CHECK_RUN(test_writethrough);
	CHECK_RUN(test_beside_another);
	CHECK_RUN(test_close);
	disk_engine_free(engine);
	loop_free(loop);
	unlink(path);
	return CHECK_DONE();
}
