/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A disk that hangs amid writes, and the loop's thread with it: another one goes on. What holds it
 * up is a write of somebody else to the same file, which has its lock and waits for a page of
 * memory that we do not give (userfaultfd(2)).
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "core/bytes.h"
#include "core/loop_group.h"
#include "storage/disk.h"
#include "tests/unit/check.h"
#include "tests/unit/core/loop_rig.h"

#define SIZE  (1u << 20)
#define PAGE  4096u
#define TRIES 50 /* a write that comes too late after the last is a worker's */

static char path[2][32] = {"build/hang_test.XXXXXX", "build/hang_test.XXXXXX"};
static struct disk *disk[2]; /* [0] hangs */
static struct disk_engine *engine;
static struct loop_timer poll_timer;
static int memory; /* the userfaultfd */
static void *page; /* that it does not give */
static pthread_t holder, first_thread;
static unsigned left;
static bool taken_over;

static struct {
	struct disk_io io;
	struct iovec v;
	uint8_t data[PAGE];
} op[4];

static void *hold(void *arg)
{
	int fd = open(path[0], O_RDWR | O_CLOEXEC);
	(void)arg;
	CHECK_EQ(pwrite(fd, page, PAGE, 0), PAGE);
	close(fd);
	return NULL;
}

static void release(void)
{
	struct uffdio_zeropage z = {.range = {(uintptr_t)page, PAGE}};
	CHECK_EQ(ioctl(memory, UFFDIO_ZEROPAGE, &z), 0);
	pthread_join(holder, NULL);
	madvise(page, PAGE, MADV_DONTNEED);
}

static void start(unsigned i, enum disk_op what, unsigned which, uint64_t off,
		  void (*done)(struct disk_io *io))
{
	op[i].v = (struct iovec){op[i].data, PAGE};
	op[i].io = (struct disk_io){.op = what,
				    .disk = disk[which],
				    .iov = &op[i].v,
				    .niov = 1,
				    .off = off,
				    .done = done};
	left++;
	CHECK(!disk_submit(engine, &op[i].io));
}

static void done(struct disk_io *io)
{
	CHECK_EQ(io->rc, 0);
	note(io == &op[1].io ? 'r' : 'w');
	if (io == &op[1].io) {
		taken_over = !pthread_equal(first_thread, pthread_self());
		CHECK_EQ(disk_hangs(disk[0], clock_ns()), taken_over);
		for (unsigned i = 0; i < PAGE; i++)
			if (!CHECK_EQ(op[1].data[i], 'B'))
				break;
		release();
	}
	if (--left == 0)
		loop_stop(l, 0);
}

/* A write has just ended, so that the next would be done at once. */
static void hang(struct disk_io *io)
{
	struct uffd_msg m;
	CHECK_EQ(io->rc, 0);
	left--;
	first_thread = pthread_self();
	CHECK_EQ(pthread_create(&holder, NULL, hold, NULL), 0);
	CHECK_EQ(read(memory, &m, sizeof(m)), sizeof(m)); /* it waits */
	start(1, DISK_READ, 1, SIZE / 2, done);
	start(2, DISK_WRITE, 0, PAGE, done);
	start(3, DISK_WRITE, 0, 2 * PAGE, done);
}

static void begin_when_ready(void *arg)
{
	(void)arg;
	if (loop_has_standby(l))
		start(0, DISK_WRITE, 0, 0, hang);
	else
		loop_timer_set(l, &poll_timer, MS_NS, begin_when_ready, NULL);
}

static void make_file(unsigned i)
{
	int fd = mkstemp(path[i]);
	struct disk_opts o = {0};
	uint8_t b[PAGE];
	memset(b, 'A' + (int)i, sizeof(b));
	for (unsigned at = 0; at < SIZE; at += PAGE)
		CHECK_EQ(pwrite(fd, b, PAGE, at), PAGE);
	close(fd);
	CHECK_EQ(disk_open(&disk[i], path[i], &o), 0);
}

/* True: the loop has been taken over. */
static bool try_it(bool ring)
{
	struct loop_group *g;
	int fd;
	begin();
	g = loop_group_new(l, 1);
	engine = disk_engine_new(l, 2);
	if (ring)
		disk_engine_use_uring(engine, uring_new(l, DISK_RING_ENTRIES));
	make_file(0);
	make_file(1);
	fd = open(path[1], O_RDWR);
	CHECK_EQ(fsync(fd), 0);
	CHECK_EQ(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0);
	close(fd);
	loop_timer_set(l, &poll_timer, 0, begin_when_ready, NULL);
	CHECK_EQ(loop_group_start(g), 0);
	CHECK_EQ(run(), 0);
	loop_group_stop(g);
	CHECK_STR(order, "rww");
	disk_engine_free(engine);
	for (unsigned i = 0; i < 2; i++) {
		CHECK_EQ(disk_close(disk[i]), 0);
		unlink(path[i]);
		strcpy(path[i] + strlen(path[i]) - 6, "XXXXXX");
	}
	loop_group_free(g);
	end();
	return taken_over;
}

/* The read was under way when the thread that had started it was caught. */
static void test_another_disk_is_read_meanwhile(void)
{
	for (int ring = 0; ring < 2; ring++) {
		unsigned tries = 0;
		while (!try_it(ring) && ++tries < TRIES)
			;
		CHECK(tries < TRIES);
	}
}

static bool can_hang(void)
{
	struct uffdio_api api = {.api = UFFD_API};
	struct uffdio_register r = {.mode = UFFDIO_REGISTER_MODE_MISSING};
	struct statfs fs;
	/* File systems that lock a file while it is written. */
	if (statfs("build", &fs) < 0 ||
	    (fs.f_type != EXT4_SUPER_MAGIC && fs.f_type != XFS_SUPER_MAGIC))
		return false;
	memory = (int)syscall(SYS_userfaultfd, O_CLOEXEC);
	page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	r.range.start = (uintptr_t)page;
	r.range.len = PAGE;
	return memory >= 0 && page != MAP_FAILED && ioctl(memory, UFFDIO_API, &api) == 0 &&
	       ioctl(memory, UFFDIO_REGISTER, &r) == 0;
}

int main(void)
{
	mkdir("build", 0777);
	if (!can_hang()) {
		printf("ok storage/hang: # skip it takes root, and ext4 or XFS\n");
		return 0;
	}
	CHECK_RUN(test_another_disk_is_read_meanwhile);
	return CHECK_DONE();
}
