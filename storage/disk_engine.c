/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where a disk's I/O runs: at once, in the kernel by io_uring, or in worker threads. Each has what
 * it is best at, as measured (ext4, Linux 6.18):
 * - what the page cache has, and tmpfs: at once. Buffered writes, too, before the loop goes on: to
 *   hand one to a worker costs more than to do it. But when the kernel makes writers wait for the
 *   medium a loop must not be one of them for long: another thread takes it over then (see
 *   loop_risk()). After a slow write, those on that disk are a worker's for a while; and a worker
 * is sent ahead when the last write is not quite recent, or something on it hangs;
 * - small reads that have to wait for the medium: io_uring, for a third to two thirds of the CPU
 *   time of a worker. Large ones are copied side by side by workers;
 * - buffered writes that are not done at once: a worker, which does them all for one wake-up;
 * - what has to be on the medium, and calls of several steps: workers. io_uring has but threads
 *   of its own for these, which are no faster.
 * Each disk has workers of its own: one that hangs keeps those that wait for it, and no others.
 */
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "core/bytes.h"
#include "core/log.h"
#include "core/uring.h"
#include "storage/disk_priv.h"

#define RING_MAX   (64u << 10) /* bytes */
#define RING_KEPT  (1u << 20)  /* of memory for reads, kept for the next */
#define CLASSES	   5	       /* of it: 4 to 64 KiB */
#define PAGE	   4096u       /* a part of one may have to be read first */
#define SLOW_WRITE (25 * MS_NS)
#define RECENT	   (20 * MS_NS)
#define HANGING	   (100 * MS_NS) /* longer than a flush takes */
#define PAUSE_MIN  (10 * SEC_NS)
#define PAUSE_MAX  (640 * SEC_NS)

struct disk_pool {
	struct disk *disk;
	struct pools *pools;
	struct workers *workers;
	struct disk_pool *next;
};

/* Of all engines that go together: whoever frees the first of them waits for all of it. */
struct pools {
	pthread_mutex_t lock; /* of the list: disks are closed by workers, too */
	struct disk_pool *list;
	struct workers *common; /* for what is of no disk, or ends one */
	unsigned threads;	/* of each pool */
};

/* Buffered writes are gathered here; those that are not done by the loop go to one worker of their
 * disk together: a wake-up costs more than a copy into the page cache. What waits for the medium
 * gets a job each, to run side by side. */
struct disk_engine {
	struct loop *loop;
	struct pools *pools;
	struct uring *uring;	 /* NULL: workers do it all */
	struct ring_read *reads; /* that it has */
	struct ring_read *kept[CLASSES];
	size_t kept_bytes;
	bool shares; /* the pools are another engine's */
	struct disk_io *batch, **batch_tail;
	struct disk_io *left, **left_tail; /* of these: for workers */
	struct loop_task flush;
	struct disk_io *writing; /* by the loop */
	uint64_t began;		 /* clock_ns() of when it has begun that */
};

/* Does it flush? */
static bool flushes(const struct disk_io *io)
{
	return io->op == DISK_SYNC || (io->op == DISK_WRITE && (io->fua || io->disk->writethrough));
}

static void run_blocking(struct disk_io *io)
{
	struct disk *d = io->disk;
	uint64_t begin = io->off;
	switch (io->op) {
	case DISK_READ: io->rc = disk_transfer(d, false, io->iov, io->niov, &io->off, 0); break;
	case DISK_WRITE:
		io->rc = disk_transfer(d, true, io->iov, io->niov, &io->off,
				       flushes(io) ? RWF_DSYNC : 0);
		if (io->rc == 0)
			io->off = begin; /* it may fail yet, in the loop */
		break;
	case DISK_SYNC: io->rc = disk_sync(d); break;
	case DISK_CALL: io->rc = io->call(io); break;
	}
}

static void job_run(struct job *j)
{
	run_blocking(container_of(j, struct disk_io, job));
}

/* ---- workers ---- */

static struct workers *workers_of(struct disk_engine *e, struct disk *d)
{
	struct disk_pool *p = d ? d->pool : NULL;
	if (p || !d || d->no_pool)
		return p ? p->workers : e->pools->common;
	p = calloc(1, sizeof(*p));
	if (p)
		p->workers = workers_new(e->pools->threads);
	if (!p || !p->workers) {
		log_warn("%s: no threads of its own: %s; it shares those of all", d->path,
			 strerror(errno));
		d->no_pool = true; /* to try again each time would cost too much */
		free(p);
		return e->pools->common;
	}
	p->disk = d;
	p->pools = e->pools;
	pthread_mutex_lock(&e->pools->lock);
	p->next = e->pools->list;
	e->pools->list = p;
	pthread_mutex_unlock(&e->pools->lock);
	d->pool = p;
	return p->workers;
}

void disk_pool_free(struct disk *d)
{
	struct disk_pool *mine = d->pool, **p;
	if (!mine)
		return;
	pthread_mutex_lock(&mine->pools->lock);
	for (p = &mine->pools->list; *p != mine; p = &(*p)->next)
		;
	*p = mine->next;
	pthread_mutex_unlock(&mine->pools->lock);
	workers_free(mine->workers);
	free(mine);
	d->pool = NULL;
}

static struct pools *pools_new(unsigned threads)
{
	struct pools *p = calloc(1, sizeof(*p));
	if (!p)
		return NULL;
	p->threads = threads;
	p->common = workers_new(threads);
	if (!p->common) {
		int saved = errno;
		free(p);
		errno = saved;
		return NULL;
	}
	pthread_mutex_init(&p->lock, NULL);
	return p;
}

static void pools_free(struct pools *p)
{
	workers_free(p->common); /* which may be closing disks */
	while (p->list)
		disk_pool_free(p->list->disk);
	pthread_mutex_destroy(&p->lock);
	free(p);
}

static void submit_job(struct disk_engine *e, struct disk_io *io, void (*run)(struct job *),
		       void (*done)(struct job *))
{
	struct disk *d = io->disk;
	io->job = (struct job){.run = run, .done = done, .loop = e->loop};
	if (d && d->jobs++ == 0)
		d->stirred = clock_ns();
	workers_submit(workers_of(e, d), &io->job);
}

static void job_ended(struct disk *d)
{
	if (!d)
		return;
	d->jobs--;
	d->stirred = clock_ns();
}

bool disk_hangs(const struct disk *d, uint64_t now)
{
	return d->left || (d->jobs && now > d->stirred + HANGING);
}

/* Of flushes at the same time one is told of the error: that it was this one's, too, is known by
 * now. */
static void end(struct disk_io *io)
{
	if (io->rc == 0 && flushes(io) && disk_flush_error(io->disk))
		io->rc = -EIO;
	io->done(io);
}

static void job_done(struct job *j)
{
	struct disk_io *io = container_of(j, struct disk_io, job);
	job_ended(io->disk);
	end(io);
}

static void batch_run(struct job *j)
{
	for (struct disk_io *io = container_of(j, struct disk_io, job); io; io = io->next)
		run_blocking(io);
}

static void batch_done(struct job *j)
{
	struct disk_io *io = container_of(j, struct disk_io, job), *next;
	job_ended(io->disk);
	io->disk->written = clock_ns();
	for (; io; io = next) {
		next = io->next;
		io->done(io);
	}
}

/* ---- io_uring ---- */

/* Into memory of its own: when the loop is taken over from a thread that hangs, what that has
 * started ends no sooner than it, and somebody else has to read it meanwhile. */
struct ring_read {
	struct uring_op op;
	struct disk_engine *engine;
	struct disk_io *io; /* NULL: somebody else reads it */
	struct ring_read *next, **prev;
	struct iovec v;
	unsigned class;
	uint8_t data[];
};

static size_t class_size(unsigned class)
{
	return (size_t)PAGE << class;
}

static struct ring_read *ring_get(struct disk_engine *e, size_t want)
{
	struct ring_read *r;
	unsigned class = 0;
	while (class_size(class) < want)
		class ++;
	r = e->kept[class];
	if (!r) {
		r = malloc(sizeof(*r) + class_size(class));
		if (r)
			r->class = class;
		return r;
	}
	e->kept[class] = r->next;
	e->kept_bytes -= class_size(class);
	return r;
}

static void ring_put(struct disk_engine *e, struct ring_read *r)
{
	if (e->kept_bytes + class_size(r->class) > RING_KEPT) {
		free(r);
		return;
	}
	r->next = e->kept[r->class];
	e->kept[r->class] = r;
	e->kept_bytes += class_size(r->class);
}

static void free_reads(struct ring_read *r)
{
	for (struct ring_read *next; r; r = next) {
		next = r->next;
		free(r);
	}
}

static void ring_done(struct uring_op *op, int res)
{
	struct ring_read *r = container_of(op, struct ring_read, op);
	const uint8_t *p = r->data;
	struct disk_io *io = r->io;
	*r->prev = r->next;
	if (r->next)
		r->next->prev = r->prev;
	if (io && res == (int)r->v.iov_len) {
		for (unsigned i = 0; i < io->niov; p += io->iov[i++].iov_len)
			memcpy(io->iov[i].iov_base, p, io->iov[i].iov_len);
		io->rc = 0;
		io->done(io);
	} else if (io) {
		/* A part, or an error: a worker does all of it, as he does it without a ring. */
		if (res == -EAGAIN || res == -EOPNOTSUPP || res == -EINVAL)
			disk_set(&io->disk->no_ring);
		submit_job(r->engine, io, job_run, job_done);
	}
	ring_put(r->engine, r);
}

static size_t length(const struct disk_io *io)
{
	size_t n = 0;
	for (unsigned i = 0; i < io->niov; i++)
		n += io->iov[i].iov_len;
	return n;
}

/* False: it is one for the workers. */
static bool ring_submit(struct disk_engine *e, struct disk_io *io)
{
	size_t want = length(io);
	struct ring_read *r;
	if (!e->uring || want > RING_MAX || disk_is_set(&io->disk->no_ring))
		return false;
	r = ring_get(e, want);
	if (!r)
		return false;
	r->op.done = ring_done;
	r->engine = e;
	r->io = io;
	r->v = (struct iovec){r->data, want};
	if (!uring_read(e->uring, &r->op, io->disk->fd, &r->v, 1, io->off)) {
		ring_put(e, r);
		return false;
	}
	r->prev = &e->reads;
	r->next = e->reads;
	if (r->next)
		r->next->prev = &r->next;
	e->reads = r;
	return true;
}

/* Those of the thread that has been left behind. */
static void ring_leave(struct disk_engine *e)
{
	for (struct ring_read *r = e->reads; r; r = r->next) {
		struct disk_io *io = r->io;
		r->io = NULL;
		if (io)
			submit_job(e, io, job_run, job_done);
	}
}

/* ---- at once ---- */

/* A read straight from the page cache. True when the cache had all of it (or the read failed). */
static bool read_cached(struct disk *d, struct disk_io *io)
{
	ssize_t r;
	if (disk_is_set(&d->no_nowait) || io->niov > IOV_MAX)
		return false;
	r = disk_rw(d, false, io->iov, io->niov, io->off, RWF_NOWAIT);
	if (r == (ssize_t)length(io)) {
		io->rc = 0;
		return true;
	}
	if (r < 0 && (errno == EOPNOTSUPP || errno == ENOSYS || errno == EPERM))
		disk_set(&d->no_nowait);
	return false; /* a part of it will be read again with the rest: simpler than keeping it */
}

/* A write for which the page cache is good enough. */
static bool is_buffered(const struct disk_io *io)
{
	return io->op == DISK_WRITE && !io->fua && !io->disk->writethrough;
}

/* Not if it may have to wait for the medium, as far as one can tell. */
static bool may_write(const struct disk_engine *e, const struct disk_io *io, uint64_t now)
{
	const struct disk *d = io->disk;
	return (io->off | length(io)) % PAGE == 0 && now >= d->writes_from &&
	       now < d->written + RECENT && !disk_hangs(d, now) && loop_has_standby(e->loop);
}

/* Workers write for a while. A slow one so soon after the last pause: a longer pause. */
static void pause_writes(struct disk *d, uint64_t began, uint64_t now)
{
	if (d->pause && now - d->writes_from < 2 * d->pause)
		d->pause = MIN(2 * d->pause, PAUSE_MAX);
	else
		d->pause = PAUSE_MIN;
	d->writes_from = now + d->pause;
	log_debug("%s: a write takes %llu ms; workers write for %llu s", d->path,
		  (unsigned long long)((now - began) / MS_NS),
		  (unsigned long long)(d->pause / SEC_NS));
}

static void write_io(void *arg)
{
	run_blocking(arg);
}

/* It has ended after others have taken over. */
static void write_late(void *arg)
{
	struct disk_io *io = arg;
	io->disk->left--;
	job_ended(io->disk);
	io->done(io);
}

/* False: another thread goes on with the loop. */
static bool write_at_once(struct disk_engine *e, struct disk_io *io, uint64_t now)
{
	struct disk *d = io->disk;
	e->writing = io;
	e->began = now;
	io->job.task = (struct loop_task){.fn = write_late, .arg = io};
	if (!loop_risk(e->loop, write_io, io, &io->job.task))
		return false;
	e->writing = NULL;
	d->written = clock_ns();
	if (d->written - now >= SLOW_WRITE)
		pause_writes(d, now, d->written);
	io->done(io);
	return true;
}

/* The thread that does it has been left behind: it counts as a worker. */
static void left_behind(struct disk_engine *e)
{
	struct disk *d = e->writing->disk;
	if (d->jobs++ == 0)
		d->stirred = e->began;
	d->left++;
	pause_writes(d, e->began, clock_ns());
	e->writing = NULL;
	ring_leave(e);
}

static void give_to_worker(struct disk_engine *e)
{
	struct disk_io *left = e->left;
	*e->left_tail = NULL;
	e->left_tail = &e->left;
	e->left = NULL;
	while (left) {
		struct disk_io *head = left, **tail = &head->next, **p = &left;
		const struct disk *d = head->disk;
		left = head->next;
		*tail = NULL;
		while (*p) {
			struct disk_io *io = *p;
			if (io->disk != d) {
				p = &io->next;
				continue;
			}
			*p = io->next;
			io->next = NULL;
			*tail = io;
			tail = &io->next;
		}
		submit_job(e, head, batch_run, batch_done);
	}
}

static void flush_batch(void *arg)
{
	struct disk_engine *e = arg;
	struct disk_io *io;
	if (e->writing)
		left_behind(e);
	while ((io = e->batch)) {
		uint64_t now = clock_ns();
		e->batch = io->next;
		if (!e->batch)
			e->batch_tail = &e->batch;
		if (!may_write(e, io, now)) {
			*e->left_tail = io;
			e->left_tail = &io->next;
		} else if (!write_at_once(e, io, now)) {
			return;
		}
	}
	give_to_worker(e);
}

/* Other loops go on meanwhile. */
static bool run_at_once(struct disk_engine *e, struct disk_io *io)
{
	struct disk *d = io->disk;
	bool done = true;
	loop_unlock(e->loop);
	if (d->in_memory)
		run_blocking(io);
	else
		done = read_cached(d, io);
	loop_lock(e->loop);
	return done;
}

bool disk_submit(struct disk_engine *e, struct disk_io *io)
{
	bool transfer = io->op == DISK_READ || io->op == DISK_WRITE;
	if (transfer && (io->disk->in_memory || io->op == DISK_READ) && run_at_once(e, io))
		return true;
	if (is_buffered(io)) {
		io->next = NULL;
		*e->batch_tail = io;
		e->batch_tail = &io->next;
		loop_defer(e->loop, &e->flush);
		return false;
	}
	if (io->op != DISK_READ || !ring_submit(e, io))
		submit_job(e, io, job_run, job_done);
	return false;
}

static struct disk_engine *new_engine(struct loop *l)
{
	struct disk_engine *e = calloc(1, sizeof(*e));
	if (!e)
		return NULL;
	e->loop = l;
	e->batch_tail = &e->batch;
	e->left_tail = &e->left;
	e->flush.fn = flush_batch;
	e->flush.arg = e;
	return e;
}

struct disk_engine *disk_engine_new(struct loop *l, unsigned threads)
{
	struct disk_engine *e = new_engine(l);
	if (!e)
		return NULL;
	e->pools = pools_new(threads);
	if (!e->pools) {
		int saved = errno;
		free(e);
		errno = saved;
		return NULL;
	}
	return e;
}

struct disk_engine *disk_engine_beside(const struct disk_engine *e, struct loop *l)
{
	struct disk_engine *new = new_engine(l);
	if (new) {
		new->pools = e->pools;
		new->shares = true;
	}
	return new;
}

void disk_engine_use_uring(struct disk_engine *e, struct uring *u)
{
	e->uring = u;
}

struct loop *disk_engine_loop(const struct disk_engine *e)
{
	return e->loop;
}

void disk_engine_free(struct disk_engine *e)
{
	if (!e)
		return;
	flush_batch(e);
	uring_free(e->uring);
	free_reads(e->reads);
	for (unsigned i = 0; i < CLASSES; i++)
		free_reads(e->kept[i]);
	if (!e->shares)
		pools_free(e->pools);
	free(e);
}
