/* SPDX-License-Identifier: BSD-2-Clause */
#include "cmd/bench/loads.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "tests/unit/check.h"

#define LIMIT (20 * SEC_NS)
#define BYTES 1000

static struct loop *l;
static struct load *ld;
static struct loop_timer guard, timer;
static atomic_uint ops[4];
static unsigned fail_after, samples;
static uint64_t warm_ops, sample_ops, sample_bytes, sample_end;
static bool finished_once, late, gap_between_samples;
static int result;
static bool stop_at_once;
static struct loop_task first;

static int64_t op(void *arg, unsigned thread)
{
	(void)arg;
	if (atomic_fetch_add(&ops[thread], 1) + 1 == fail_after)
		return -EXDEV;
	if (stop_at_once)
		loop_post(l, &first);
	return BYTES;
}

static void sample(void *arg, const struct load_sample *s)
{
	(void)arg;
	samples++;
	sample_ops += s->ops;
	sample_bytes += s->bytes;
	if (s->warmup) {
		warm_ops += s->ops;
		CHECK_EQ(sample_ops, warm_ops); /* the warm-up comes first */
	}
	gap_between_samples |= s->from_ns != sample_end;
	sample_end = s->to_ns;
	CHECK_EQ(s->ops, s->latency->n);
}

static void finished(void *arg, int error)
{
	(void)arg;
	CHECK(!finished_once);
	finished_once = true;
	result = error;
	loop_stop(l, 0);
}

static void too_late(void *arg)
{
	(void)arg;
	late = true;
	loop_stop(l, 0);
}

static void begin(struct load_spec spec)
{
	const struct load_events ev = {.sample = sample, .finished = finished};

	spec.op = op;
	if (!spec.times.sample)
		spec.times.sample = SEC_NS;
	for (unsigned i = 0; i < 4; i++)
		atomic_store(&ops[i], 0);
	samples = 0;
	warm_ops = sample_ops = sample_bytes = sample_end = 0;
	finished_once = late = gap_between_samples = false;
	l = loop_new();
	if (!l || load_start(l, &spec, &ev, &ld))
		abort();
	loop_timer_set(l, &guard, LIMIT, too_late, NULL);
}

static void end(void)
{
	struct load_sample t = load_total(ld);

	CHECK(!late);
	CHECK(finished_once);
	/* The samples leave nothing out and count nothing twice. */
	CHECK_EQ(sample_ops, warm_ops + t.ops);
	CHECK_EQ(sample_bytes, (warm_ops + t.ops) * BYTES);
	CHECK_EQ(sample_end, t.to_ns);
	CHECK(!gap_between_samples);
	CHECK_EQ(t.bytes, t.ops * BYTES);
	load_free(ld);
	loop_timer_del(l, &guard);
	loop_timer_del(l, &timer);
	loop_free(l);
}

static void test_duration_ends_it(void)
{
	begin((struct load_spec){.threads = 3, .times.duration = 1200 * MS_NS});
	loop_run(l);
	CHECK_EQ(result, 0);
	CHECK(samples >= 2);
	CHECK_EQ(load_total(ld).ops, ops[0] + ops[1] + ops[2]);
	CHECK(ops[0] && ops[1] && ops[2] && !ops[3]);
	CHECK(load_total(ld).to_ns >= 1200 * MS_NS);
	end();
}

/* The warm-up is sampled, but not in the totals. */
static void test_warmup_does_not_count(void)
{
	begin((struct load_spec){
		.threads = 2,
		.times = {.duration = SEC_NS, .warmup = SEC_NS, .sample = 10 * MS_NS}});
	loop_run(l);
	CHECK(samples > 2);
	CHECK(warm_ops > 0 && load_total(ld).ops > 0);
	CHECK(load_total(ld).from_ns >= SEC_NS);
	CHECK(load_total(ld).to_ns >= 2 * SEC_NS);
	end();
}

static void stop(void *arg)
{
	(void)arg;
	load_stop(ld);
	load_stop(ld);
}

static void test_stop_ends_it_early(void)
{
	begin((struct load_spec){.threads = 2, .times.duration = 3600 * SEC_NS});
	loop_timer_set(l, &timer, 20 * MS_NS, stop, NULL);
	loop_run(l);
	CHECK_EQ(result, 0);
	CHECK_EQ(samples, 1);
	end();
}

static void test_stop_wakes_a_paced_thread(void)
{
	/* one operation in 1000 s */
	first = (struct loop_task){.fn = stop};
	stop_at_once = true;
	begin((struct load_spec){.threads = 1, .rate = 1});
	loop_run(l);
	stop_at_once = false;
	CHECK_EQ(load_total(ld).ops, 1);
	end();
}

static void test_rate_is_kept_by_all_threads_together(void)
{
	uint64_t want;

	begin((struct load_spec){.threads = 4, .rate = 400 * BYTES, .times.duration = 500 * MS_NS});
	loop_run(l);
	/* Each thread may be one operation ahead of its schedule, never more. */
	want = load_total(ld).to_ns * 400 / SEC_NS;
	CHECK(load_total(ld).ops <= want + 4);
	CHECK(load_total(ld).ops >= 4);
	end();
}

static void test_error_of_one_thread_ends_all(void)
{
	fail_after = 100;
	begin((struct load_spec){.threads = 4});
	loop_run(l);
	CHECK_EQ(result, -EXDEV);
	fail_after = 0;
	end();
}

int main(void)
{
	CHECK_RUN(test_duration_ends_it);
	CHECK_RUN(test_warmup_does_not_count);
	CHECK_RUN(test_stop_ends_it_early);
	CHECK_RUN(test_stop_wakes_a_paced_thread);
	CHECK_RUN(test_rate_is_kept_by_all_threads_together);
	CHECK_RUN(test_error_of_one_thread_ends_all);
	return CHECK_DONE();
}
