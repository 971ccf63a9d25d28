/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/uring.h"

#include <errno.h>
#include <linux/io_uring.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/bytes.h"
#include "core/log.h"

#define AGAIN (1 * MS_NS) /* when the kernel was short of something */

struct uring {
	struct loop *loop;
	int fd;
	struct loop_fd watch;
	struct loop_task submit;
	struct loop_timer again;
	unsigned entries, queued, under_way; /* queued: not yet told to the kernel */

	/* shared with the kernel: two rings in one mapping, and the entries of the first */
	uint8_t *rings;
	size_t rings_len, sqes_len;
	struct io_uring_sqe *sqes;
	struct io_uring_cqe *cqes;
	unsigned *sq_tail, *sq_array, *cq_head, *cq_tail;
	unsigned sq_mask, cq_mask;
};

static int enter(struct uring *u, unsigned submit, unsigned wait)
{
	long r = syscall(SYS_io_uring_enter, u->fd, submit, wait, wait ? IORING_ENTER_GETEVENTS : 0,
			 NULL, 0);
	return r < 0 ? -errno : (int)r;
}

static void submit(void *arg)
{
	struct uring *u = arg;
	while (u->queued) {
		int n;
		loop_unlock(u->loop);
		n = enter(u, u->queued, 0);
		loop_lock(u->loop);
		if (n == -EINTR)
			continue;
		if (n <= 0) { /* short of memory, or of room for completions */
			log_debug("io_uring_enter: %s; again later", strerror(-n));
			loop_timer_set(u->loop, &u->again, AGAIN, submit, u);
			return;
		}
		u->queued -= (unsigned)n;
	}
}

/* Takes the completions there are; with `tell` those who wait for them are told. */
static void reap(struct uring *u, bool tell)
{
	unsigned head = *u->cq_head;
	while (head != __atomic_load_n(u->cq_tail, __ATOMIC_ACQUIRE)) {
		const struct io_uring_cqe *e = &u->cqes[head & u->cq_mask];
		struct uring_op *op = (void *)(uintptr_t)e->user_data;
		int res = e->res;
		__atomic_store_n(u->cq_head, ++head, __ATOMIC_RELEASE);
		u->under_way--;
		if (tell)
			op->done(op, res);
	}
}

static void on_completions(void *arg, unsigned events)
{
	(void)events;
	reap(arg, true);
}

bool uring_read(struct uring *u, struct uring_op *op, int fd, const struct iovec *iov, unsigned n,
		uint64_t off)
{
	unsigned tail = *u->sq_tail, slot = tail & u->sq_mask;
	if (u->under_way == u->entries)
		return false;
	u->sqes[slot] = (struct io_uring_sqe){
		.opcode = IORING_OP_READV,
		.fd = fd,
		.addr = (uintptr_t)iov,
		.len = n,
		.off = off,
		.user_data = (uintptr_t)op,
	};
	u->sq_array[slot] = slot;
	__atomic_store_n(u->sq_tail, tail + 1, __ATOMIC_RELEASE);
	u->queued++;
	u->under_way++;
	loop_defer(u->loop, &u->submit);
	return true;
}

static int map(struct uring *u, const struct io_uring_params *p)
{
	size_t sq = p->sq_off.array + p->sq_entries * sizeof(unsigned);
	size_t cq = p->cq_off.cqes + p->cq_entries * sizeof(struct io_uring_cqe);
	void *m;
	u->rings_len = MAX(sq, cq);
	m = mmap(NULL, u->rings_len, PROT_READ | PROT_WRITE, MAP_SHARED, u->fd, IORING_OFF_SQ_RING);
	if (m == MAP_FAILED)
		return -errno;
	u->rings = m;
	u->sqes_len = p->sq_entries * sizeof(struct io_uring_sqe);
	m = mmap(NULL, u->sqes_len, PROT_READ | PROT_WRITE, MAP_SHARED, u->fd, IORING_OFF_SQES);
	if (m == MAP_FAILED)
		return -errno;
	u->sqes = m;
	u->sq_tail = (unsigned *)(u->rings + p->sq_off.tail);
	u->sq_array = (unsigned *)(u->rings + p->sq_off.array);
	u->sq_mask = *(unsigned *)(u->rings + p->sq_off.ring_mask);
	u->cq_head = (unsigned *)(u->rings + p->cq_off.head);
	u->cq_tail = (unsigned *)(u->rings + p->cq_off.tail);
	u->cq_mask = *(unsigned *)(u->rings + p->cq_off.ring_mask);
	u->cqes = (struct io_uring_cqe *)(u->rings + p->cq_off.cqes);
	u->entries = p->sq_entries;
	return 0;
}

/* Whoever takes the process over has a ring that reads what is open, and nothing else: seccomp does
 * not see what goes through it. Nothing more can be registered, either. */
static int restrict_and_enable(int fd)
{
	struct io_uring_restriction only = {
		.opcode = IORING_RESTRICTION_SQE_OP,
		.sqe_op = IORING_OP_READV,
	};
	if (syscall(SYS_io_uring_register, fd, IORING_REGISTER_RESTRICTIONS, &only, 1) < 0 ||
	    syscall(SYS_io_uring_register, fd, IORING_REGISTER_ENABLE_RINGS, NULL, 0) < 0)
		return -errno;
	return 0;
}

struct uring *uring_new(struct loop *l, unsigned entries)
{
	struct uring *u = calloc(1, sizeof(*u));
	struct io_uring_params p = {.flags = IORING_SETUP_R_DISABLED};
	int rc;
	if (!u)
		return NULL;
	u->loop = l;
	u->submit = (struct loop_task){.fn = submit, .arg = u};
	u->fd = (int)syscall(SYS_io_uring_setup, entries, &p);
	rc = u->fd < 0 ? -errno : 0;
	/* POLL_32BITS came with the kernel that reads into the page cache without a thread. */
	if (rc == 0 && (~p.features &
			(IORING_FEAT_SINGLE_MMAP | IORING_FEAT_NODROP | IORING_FEAT_POLL_32BITS)))
		rc = -EOPNOTSUPP;
	if (rc == 0)
		rc = restrict_and_enable(u->fd);
	if (rc == 0)
		rc = map(u, &p);
	if (rc == 0)
		rc = loop_fd_add(l, &u->watch, u->fd, LOOP_READ, on_completions, u);
	if (rc == 0)
		return u;
	uring_free(u);
	errno = -rc;
	return NULL;
}

void uring_free(struct uring *u)
{
	if (!u)
		return;
	loop_fd_del(u->loop, &u->watch);
	loop_defer_cancel(u->loop, &u->submit);
	loop_timer_del(u->loop, &u->again);
	while (u->under_way) {
		int n = enter(u, u->queued, 1);
		if (n < 0 && n != -EINTR && n != -EAGAIN && n != -EBUSY)
			break;
		u->queued -= n > 0 ? (unsigned)n : 0;
		reap(u, false);
	}
	if (u->sqes)
		munmap(u->sqes, u->sqes_len);
	if (u->rings)
		munmap(u->rings, u->rings_len);
	if (u->fd >= 0)
		close(u->fd);
	free(u);
}
