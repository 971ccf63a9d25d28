/* SPDX-License-Identifier: BSD-2-Clause */
#include "xen/migration/settle.h"

#include "tests/unit/check.h"
#include "tests/unit/fake/xen.h"

static struct loop *loop;
static struct toolstack *t;
static struct fake_domain *guest;
static bool done;
static enum settle_is is;
static struct settle s;

static void on_done(void *arg, enum settle_is what)
{
	(void)arg;
	done = true;
	is = what;
	loop_stop(loop, 0);
}

static void begin(void)
{
	fake_reset();
	loop = loop_new();
	CHECK_EQ(toolstack_open(loop, &t), 0);
	guest = fake_domain_new(5, "guest");
	guest->log_dirty = true;
}

/* Settles; whatever became of it, nothing of the migration is left. */
static void settle(bool asked)
{
	const struct settle_guest g = {.domid = 5, .asked = asked, .name = "guest"};

	done = false;
	settle_start(&s, t, loop, &g, on_done, NULL);
	CHECK(!done);
	loop_run(loop);
	CHECK(!guest->log_dirty);
	CHECK(!guest->domid || strcmp(guest->name, "guest") == 0);
	CHECK_STR(guest->control, "");
}

static void end(void)
{
	settle_stop(&s);
	toolstack_close(t);
	loop_free(loop);
	CHECK_EQ(fake.open, 0);
}

static void test_never_asked(void)
{
	begin();
	settle(false);
	CHECK_EQ(is, SETTLE_RUNS);
	guest->paused = true;
	settle(false);
	CHECK_EQ(is, SETTLE_RUNS);
	CHECK(guest->paused);
	CHECK_STR(fake.did, "");
	end();
}

static void test_resumes(void)
{
	begin();
	fake_suspends(guest);
	snprintf(guest->name, sizeof(guest->name), "guest--migratedaway");
	settle(false);
	CHECK_EQ(is, SETTLE_RESUMED);
	CHECK_STR(fake.did, "rename 5, resume 5, ");
	CHECK_STR(fake.monitored, "guest");
	end();
}

/* As fast as before, also when whoever slowed it was killed. */
static void test_puts_the_cap_back(void)
{
	const struct settle_guest g = {.domid = 5, .throttled = true, .cap = 70, .name = "guest"};

	begin();
	guest->cap = 3;
	settle_start(&s, t, loop, &g, on_done, NULL);
	loop_run(loop);
	CHECK_EQ(is, SETTLE_RUNS);
	CHECK_EQ(guest->cap, 70);
	end();
}

static struct loop_timer soon;

static void destroyed(void *arg)
{
	(void)arg;
	guest->domid = 0;
}

static void test_cannot_resume(void)
{
	begin();
	fake_suspends(guest);
	fake.fails = "resume";
	fake.fails_always = true;
	fake.says = "no memory for it";
	settle(false);
	CHECK_EQ(is, SETTLE_STRANDED);
	CHECK_STR(s.cause, "no memory for it");
	end();
}

/* What its host lacked it has again; or somebody has destroyed it. */
static void test_resumes_at_the_second_try(void)
{
	begin();
	fake_suspends(guest);
	fake.fails = "resume";
	settle(false);
	CHECK_EQ(is, SETTLE_RESUMED);
	end();

	begin();
	fake_suspends(guest);
	fake.fails = "resume";
	fake.fails_always = true;
	loop_timer_set(loop, &soon, 10 * MS_NS, destroyed, NULL);
	settle(false);
	CHECK_EQ(is, SETTLE_GONE);
	end();
}

/* The guest has not heard that it should suspend: it never will. */
static void test_takes_the_request_back(void)
{
	begin();
	snprintf(guest->control, sizeof(guest->control), "suspend");
	fake.conflicts = 2;
	settle(true);
	CHECK_EQ(is, SETTLE_RUNS);
	end();
}

/* Another command is not ours to take back. */
static void test_leaves_other_commands(void)
{
	const struct settle_guest g = {.domid = 5, .name = "guest"};

	begin();
	snprintf(guest->control, sizeof(guest->control), "poweroff");
	settle_start(&s, t, loop, &g, on_done, NULL);
	loop_run(loop);
	CHECK_EQ(is, SETTLE_RUNS);
	CHECK_STR(guest->control, "poweroff");
	end();
}

static void later(void *arg)
{
	void (*happens)(void) = arg;

	happens();
}

static void suspends(void)
{
	CHECK(!done); /* it is waited for */
	fake_suspends(guest);
}

static void powers_off(void)
{
	CHECK(!done);
	guest->shutdown = true;
	guest->reason = LIBXL_SHUTDOWN_REASON_POWEROFF;
}

/* The guest has agreed, and keeps its word a little later. */
static void test_waits_for_the_suspend(void)
{
	struct loop_timer timer = {0};

	begin();
	loop_timer_set(loop, &timer, 50 * MS_NS, later, suspends);
	settle(true);
	CHECK_EQ(is, SETTLE_RESUMED);
	CHECK_STR(fake.did, "resume 5, ");

	loop_timer_set(loop, &timer, 50 * MS_NS, later, powers_off);
	settle(true);
	CHECK_EQ(is, SETTLE_DOWN);
	end();
}

static void acknowledges(void)
{
	static struct loop_timer timer;

	guest->control[0] = 0;
	loop_timer_set(loop, &timer, 50 * MS_NS, later, suspends);
}

/* It agrees while the request is being taken back: the transaction does not commit. */
static void test_the_guest_is_quicker(void)
{
	begin();
	snprintf(guest->control, sizeof(guest->control), "suspend");
	fake.meanwhile = acknowledges;
	settle(true);
	CHECK_EQ(is, SETTLE_RESUMED);
	end();
}

static void test_what_became_of_it(void)
{
	begin();
	guest->shutdown = true;
	guest->reason = LIBXL_SHUTDOWN_REASON_REBOOT;
	settle(true);
	CHECK_EQ(is, SETTLE_DOWN);
	guest->reason = LIBXL_SHUTDOWN_REASON_CRASH;
	settle(true);
	CHECK_EQ(is, SETTLE_CRASHED);
	guest->dying = true;
	settle(true);
	CHECK_EQ(is, SETTLE_GONE);
	guest->domid = 0;
	settle(true);
	CHECK_EQ(is, SETTLE_GONE);
	CHECK_STR(fake.did, "");
	end();
}

int main(void)
{
	CHECK_RUN(test_never_asked);
	CHECK_RUN(test_resumes);
	CHECK_RUN(test_puts_the_cap_back);
	CHECK_RUN(test_cannot_resume);
	CHECK_RUN(test_resumes_at_the_second_try);
	CHECK_RUN(test_takes_the_request_back);
	CHECK_RUN(test_leaves_other_commands);
	CHECK_RUN(test_waits_for_the_suspend);
	CHECK_RUN(test_the_guest_is_quicker);
	CHECK_RUN(test_what_became_of_it);
	return CHECK_DONE();
}
