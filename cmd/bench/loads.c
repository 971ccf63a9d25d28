/* SPDX-License-Identifier: BSD-2-Clause */
#include "cmd/bench/loads.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "core/bytes.h"
#include "core/workers.h"

/* How far a paced thread that was held up may run after its schedule. */
#define MAX_BEHIND (100 * MS_NS)

struct load_thread {
	struct job job;
	struct load *load;
	unsigned index;
	int error;
	pthread_mutex_t lock; /* of what follows: the thread adds, the loop takes */
	uint64_t bytes;
	struct hist latency;
};

struct load {
	struct loop *loop;
	struct load_spec spec;
	struct load_events ev;
	struct workers *workers;
	struct loop_timer tick, end;
	atomic_bool stopping;
	int stop_fd; /* an eventfd; readable from load_stop() on, to wake paced threads */
	uint64_t start, last_tick, ticks;
	uint64_t counts_from; /* since the start: the warm-up's end */
	unsigned running;
	uint64_t total_bytes;
	struct hist span, total;
	struct load_thread thread[];
};

void load_spec_close(struct load_spec *spec)
{
	spec->close(spec->arg);
	spec->arg = NULL;
}

unsigned load_cpus(void)
{
	long n = sysconf(_SC_NPROCESSORS_ONLN);

	return n < 1 ? 1 : MIN((unsigned)n, LOAD_MAX_THREADS);
}

uint64_t load_seed(unsigned thread)
{
	return (clock_ns() ^ (thread + 1) * 0x9e3779b97f4a7c15ull) | 1;
}

/* Waits until `due`, or for load_stop(). */
static void pace(struct load *ld, uint64_t due)
{
	struct pollfd p = {.fd = ld->stop_fd, .events = POLLIN};
	uint64_t now = clock_ns(), wait;
	struct timespec ts;

	if (due <= now)
		return;
	wait = due - now;
	ts = (struct timespec){.tv_sec = (time_t)(wait / SEC_NS), .tv_nsec = (long)(wait % SEC_NS)};
	ppoll(&p, 1, &ts, NULL);
}

static void run_thread(struct job *j)
{
	struct load_thread *t = container_of(j, struct load_thread, job);
	struct load *ld = t->load;
	double ns_per_byte = 0, due = (double)clock_ns();

	if (ld->spec.rate)
		ns_per_byte = (double)SEC_NS * ld->spec.threads / (double)ld->spec.rate;
	while (!atomic_load_explicit(&ld->stopping, memory_order_relaxed)) {
		uint64_t t0 = clock_ns(), t1;
		int64_t n = ld->spec.op(ld->spec.arg, t->index);

		if (n < 0) {
			t->error = (int)n;
			break;
		}
		t1 = clock_ns();
		pthread_mutex_lock(&t->lock);
		t->bytes += (uint64_t)n;
		hist_add(&t->latency, t1 - t0);
		pthread_mutex_unlock(&t->lock);
		if (ns_per_byte > 0) {
			due += ns_per_byte * (double)n;
			due = MAX(due, (double)t1 - MAX_BEHIND);
			pace(ld, (uint64_t)due);
		}
	}
}

/* Gathers what the threads did since the last time. */
static void take_sample(struct load *ld)
{
	uint64_t now = clock_ns();
	struct load_sample s = {.from_ns = ld->last_tick - ld->start,
				.to_ns = now - ld->start,
				.latency = &ld->span};

	s.warmup = ld->counts_from == UINT64_MAX;
	hist_reset(&ld->span);
	for (unsigned i = 0; i < ld->spec.threads; i++) {
		struct load_thread *t = &ld->thread[i];

		pthread_mutex_lock(&t->lock);
		hist_merge(&ld->span, &t->latency);
		hist_reset(&t->latency);
		s.bytes += t->bytes;
		t->bytes = 0;
		pthread_mutex_unlock(&t->lock);
	}
	s.ops = ld->span.n;
	if (ld->counts_from == UINT64_MAX && s.to_ns >= ld->spec.times.warmup) {
		ld->counts_from = s.to_ns;
	} else if (ld->counts_from != UINT64_MAX) {
		hist_merge(&ld->total, &ld->span);
		ld->total_bytes += s.bytes;
	}
	ld->last_tick = now;
	ld->ev.sample(ld->ev.arg, &s);
}

static void tick(void *arg)
{
	struct load *ld = arg;
	uint64_t now, due;

	take_sample(ld);
	now = clock_ns();
	do {
		due = ld->start + ++ld->ticks * ld->spec.times.sample;
	} while (due <= now);
	loop_timer_set(ld->loop, &ld->tick, due - now, tick, ld);
}

static void thread_done(struct job *j)
{
	struct load_thread *t = container_of(j, struct load_thread, job);
	struct load *ld = t->load;
	int error = 0;

	load_stop(ld);
	if (--ld->running)
		return;
	loop_timer_del(ld->loop, &ld->tick);
	take_sample(ld);
	for (unsigned i = 0; i < ld->spec.threads && !error; i++)
		error = ld->thread[i].error;
	ld->ev.finished(ld->ev.arg, error);
}

static void end(void *arg)
{
	load_stop(arg);
}

int load_start(struct loop *l, const struct load_spec *spec, const struct load_events *ev,
	       struct load **out)
{
	struct load *ld = calloc(1, sizeof(*ld) + spec->threads * sizeof(ld->thread[0]));
	int err;

	if (!ld)
		return -ENOMEM;
	ld->loop = l;
	ld->spec = *spec;
	ld->ev = *ev;
	for (unsigned i = 0; i < spec->threads; i++) {
		struct load_thread *t = &ld->thread[i];

		t->job = (struct job){.run = run_thread, .done = thread_done, .loop = l};
		t->load = ld;
		t->index = i;
		pthread_mutex_init(&t->lock, NULL);
	}
	ld->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	ld->workers = ld->stop_fd < 0 ? NULL : workers_new(spec->threads);
	if (!ld->workers) {
		err = -errno;
		load_free(ld);
		return err;
	}
	ld->start = ld->last_tick = clock_ns();
	ld->ticks = 1;
	ld->counts_from = spec->times.warmup ? UINT64_MAX : 0;
	loop_timer_set(l, &ld->tick, spec->times.sample, tick, ld);
	if (spec->times.duration)
		loop_timer_set(l, &ld->end, spec->times.warmup + spec->times.duration, end, ld);
	ld->running = spec->threads;
	for (unsigned i = 0; i < spec->threads; i++)
		workers_submit(ld->workers, &ld->thread[i].job);
	*out = ld;
	return 0;
}

void load_stop(struct load *ld)
{
	if (atomic_exchange(&ld->stopping, true))
		return;
	loop_timer_del(ld->loop, &ld->end);
	(void)!write(ld->stop_fd, &(uint64_t){1}, sizeof(uint64_t));
}

struct load_sample load_total(const struct load *ld)
{
	uint64_t to = ld->last_tick - ld->start;

	return (struct load_sample){.from_ns = MIN(ld->counts_from, to),
				    .to_ns = to,
				    .ops = ld->total.n,
				    .bytes = ld->total_bytes,
				    .latency = &ld->total};
}

void load_free(struct load *ld)
{
	if (!ld)
		return;
	workers_free(ld->workers);
	loop_timer_del(ld->loop, &ld->tick);
	loop_timer_del(ld->loop, &ld->end);
	if (ld->stop_fd >= 0)
		close(ld->stop_fd);
	for (unsigned i = 0; i < ld->spec.threads; i++)
		pthread_mutex_destroy(&ld->thread[i].lock);
	free(ld);
}
