/* SPDX-License-Identifier: BSD-2-Clause */
/* The sender: how each failure is put back. */
#include "tests/unit/xen/migration/migration_rig.h"

static void test_moves(void)
{
	begin();
	migrate();
	CHECK_EQ(w.result.end, MIGRATION_MOVED);
	CHECK_EQ(w.result.devices_ns, 7);
	CHECK_STR(w.result.cause, "");
	CHECK_STR(fake.did, "retrieve 5, suspend 5, rename 5, destroy 5, ");
	end();
}

static void answer(void *arg)
{
	(void)arg;
	fake.rings[0].rsp = fake.rings[0].req;
}

/* Its disk answers when the receiver has been waiting for a while. */
static bool ready_before_the_disk(enum message_type type)
{
	if (type != MSG_END)
		return false;
	says(MSG_READY, "devices_ns", "7");
	loop_timer_set(w.loop, &w.timer, 20 * MS_NS, answer, NULL);
	return true;
}

static void test_the_downtime_is_split(void)
{
	const struct migration_result *r = &w.result;
	uint64_t parts;

	begin();
	fake.rings[0] = (struct fake_ring){5, "51712", -1, .req = 7, .rsp = 5};
	w.hears = ready_before_the_disk;
	migrate();
	CHECK_EQ(r->end, MIGRATION_MOVED);
	CHECK(r->quiesce_ns >= 10 * MS_NS);
	CHECK(r->stopped_at >= r->began && r->stopped_at < r->began + r->total_ns);
	parts = r->suspend_ns + r->copy_ns + r->restore_ns + r->devices_ns + r->quiesce_ns +
		r->start_ns;
	/* All but the way of the last word back. */
	CHECK(parts >= r->downtime_ns && parts - r->downtime_ns <= r->start_ns);
	end();
}

/* It runs there, whether or not the receiver lives to give it its name. */
static bool dies_when_it_runs(enum message_type type)
{
	if (type != MSG_GO)
		return false;
	says(MSG_RUNNING, "took_ns", "1000");
	loop_timer_set(w.loop, &w.timer, 20 * MS_NS, on_hang_up, NULL);
	return true;
}

static void test_receiver_does_not_settle(void)
{
	begin();
	w.hears = dies_when_it_runs;
	migrate();
	CHECK_EQ(w.result.end, MIGRATION_MOVED);
	CHECK_STR(fake.did, "retrieve 5, suspend 5, rename 5, destroy 5, ");
	end();
}

static bool settles_too_early(enum message_type type)
{
	if (type == MSG_BEGIN)
		says(MSG_SETTLED, NULL, NULL);
	return false;
}

static void test_settles_too_early(void)
{
	begin();
	w.hears = settles_too_early;
	stays();
	CHECK_STR(w.result.cause, "an unexpected message");
	end();
}

/* ---- the way is opened while the configuration is read ---- */

static void on_read(void *arg)
{
	(void)arg;
	CHECK_EQ(w.calls, 1); /* the other host has been called meanwhile, */
	CHECK_STR(fake.did, "retrieve 5, ");
	CHECK(!w.done); /* and nothing has come of what it did: libxl is at work */
	fake_read_ends(0);
}

/* It is read only some time after all that the other host does by itself. */
static void reads_slowly(void (*meanwhile)(void *arg))
{
	static struct loop_timer early;

	begin();
	fake.slow_read = true;
	loop_timer_set(w.loop, &w.timer, 100 * MS_NS, on_read, NULL);
	if (meanwhile)
		loop_timer_set(w.loop, &early, 20 * MS_NS, meanwhile, NULL);
}

static void test_reads_slowly(void)
{
	reads_slowly(NULL);
	migrate();
	CHECK_EQ(w.result.end, MIGRATION_MOVED);
	end();
}

static void greets_first(void *arg)
{
	(void)arg;
	says(MSG_HELLO, "boot", "another");
}

static void test_greeted_while_it_reads(void)
{
	reads_slowly(greets_first);
	migrate();
	CHECK_EQ(w.result.end, MIGRATION_MOVED);
	end();
}

static void test_hung_up_while_it_reads(void)
{
	reads_slowly(on_hang_up);
	stays();
	CHECK(fake.read == NULL);
	CHECK_EQ(w.result.settled, SETTLE_RUNS);
	CHECK_STR(fake.did, "retrieve 5, ");
	end();
}

static void interrupts(void *arg)
{
	(void)arg;
	cancels();
}

static void test_called_off_while_it_reads(void)
{
	reads_slowly(interrupts);
	stays();
	CHECK(fake.read == NULL);
	CHECK_STR(w.result.cause, "interrupted");
	CHECK_STR(fake.did, "retrieve 5, ");
	end();
}

static int no_way(void *arg, struct loop *l, const struct channel_config *cfg, struct channel **out)
{
	(void)arg;
	(void)l;
	(void)cfg;
	(void)out;
	w.calls++;
	return -ECONNREFUSED;
}

static void test_no_way(void)
{
	reads_slowly(NULL);
	w.o.way.open = no_way;
	stays();
	CHECK(fake.read == NULL);
	end();
}

/* ---- its devices change in mid-copy ---- */

static void attaches_then_saves(void)
{
	w.guest->disks = 1;
	fake.watched++;
	saves();
}

static void changes_back_then_saves(void)
{
	fake.watched += 2;
	saves();
}

/* The receiver knows nothing of the new disk. */
static void test_disk_attached_in_mid_copy(void)
{
	begin();
	w.copying = attaches_then_saves;
	stays();
	CHECK_EQ(w.result.settled, SETTLE_RESUMED);
	end();
}

/* What may have changed is read once more. */
static void test_devices_touched(void)
{
	begin();
	w.copying = changes_back_then_saves;
	migrate();
	CHECK_EQ(w.result.end, MIGRATION_MOVED);
	CHECK_STR(fake.did, "retrieve 5, suspend 5, rename 5, "
			    "retrieve 5, destroy 5, ");
	end();

	begin();
	fake.no_watch = true;
	migrate();
	CHECK_EQ(w.result.end, MIGRATION_MOVED);
	CHECK_STR(fake.did, "retrieve 5, suspend 5, rename 5, "
			    "retrieve 5, destroy 5, ");
	end();
}

/* ---- called off in mid-copy ---- */

static void copies_then_cancels(void)
{
	helper_begins();
	cancels();
}

static void test_called_off_in_mid_copy(void)
{
	begin();
	w.copying = copies_then_cancels;
	stays();
	CHECK_EQ(w.result.settled, SETTLE_RUNS);
	CHECK_STR(w.result.cause, "interrupted");
	CHECK_STR(fake.did, "retrieve 5, suspend 5, abort 5, ");
	end();
}

static void copies_then_receiver_dies(void)
{
	helper_begins();
	hang_up();
}

static void test_receiver_dies_in_mid_copy(void)
{
	begin();
	w.copying = copies_then_receiver_dies;
	stays();
	CHECK_EQ(w.result.settled, SETTLE_RUNS);
	end();
}

static void on_begins(void *arg)
{
	(void)arg;
	helper_begins();
}

/* libxl's helper has not yet started: an abort has to wait for it. */
static void cancels_at_once(void)
{
	cancels();
	loop_timer_set(w.loop, &w.timer, 20 * MS_NS, on_begins, NULL);
}

static void test_called_off_at_once(void)
{
	begin();
	w.copying = cancels_at_once;
	stays();
	CHECK_EQ(w.result.settled, SETTLE_RUNS);
	end();
}

/* ---- called off while the guest is being asked to suspend ---- */

static void asks_then_cancels(void)
{
	asks_the_guest();
	cancels();
}

/* The guest has not heard of it; libxl forgets the request where it lies. */
static void test_called_off_before_it_hears(void)
{
	begin();
	w.copying = asks_then_cancels;
	stays();
	CHECK_EQ(w.result.settled, SETTLE_RUNS);
	end();
}

static void suspends_late(void *arg)
{
	(void)arg;
	CHECK(!w.done); /* else it would stay suspended: nobody is left to resume it */
	fake_suspends(w.guest);
}

static void agrees_then_cancels(void)
{
	asks_the_guest();
	w.guest->control[0] = 0;
	cancels();
	loop_timer_set(w.loop, &w.timer, 100 * MS_NS, suspends_late, NULL);
}

static void test_called_off_when_it_has_agreed(void)
{
	begin();
	w.copying = agrees_then_cancels;
	stays();
	CHECK_EQ(w.result.settled, SETTLE_RESUMED);
	CHECK(!w.guest->shutdown);
	end();
}
/* ---- what becomes of the guest meanwhile ---- */

static void crashes(void)
{
	helper_begins();
	w.guest->shutdown = true;
	w.guest->reason = LIBXL_SHUTDOWN_REASON_CRASH;
	fake_save_ends(ERROR_FAIL);
}

/* As an administrator, or the guest itself, may have it. */
static void ends_by(libxl_shutdown_reason reason)
{
	asks_the_guest();
	w.guest->shutdown = true;
	w.guest->reason = reason;
	w.guest->control[0] = 0;
	w.guest->log_dirty = false;
	fake_save_ends(ERROR_FAIL);
}

static void powers_off(void)
{
	ends_by(LIBXL_SHUTDOWN_REASON_POWEROFF);
}

static void reboots(void)
{
	ends_by(LIBXL_SHUTDOWN_REASON_REBOOT);
}

static void is_destroyed(void)
{
	asks_the_guest();
	w.guest->domid = 0;
	w.guest->control[0] = 0;
	w.guest->log_dirty = false;
	fake_save_ends(ERROR_FAIL);
}

static void test_it_ends_meanwhile(void)
{
	begin();
	w.copying = crashes;
	stays();
	CHECK_EQ(w.result.settled, SETTLE_CRASHED);
	end();

	begin();
	w.copying = is_destroyed;
	stays();
	CHECK_EQ(w.result.settled, SETTLE_GONE);
	end();

	begin();
	w.copying = powers_off;
	stays();
	CHECK_EQ(w.result.settled, SETTLE_DOWN);
	end();

	begin();
	w.copying = reboots;
	stays();
	CHECK_EQ(w.result.settled, SETTLE_DOWN);
	end();
}

static bool declines_when_it_is_gone(enum message_type type)
{
	if (type != MSG_PREFLIGHT)
		return false;
	w.guest->shutdown = true;
	w.guest->reason = LIBXL_SHUTDOWN_REASON_POWEROFF;
	says(MSG_VERDICTS, "no", "not here");
	return true;
}

static void test_it_ends_before_the_copy(void)
{
	begin();
	w.hears = declines_when_it_is_gone;
	stays();
	CHECK_EQ(w.result.settled, SETTLE_DOWN);
	end();
}

/* ---- when it is suspended ---- */

static bool fails_to_restore(enum message_type type)
{
	if (type != MSG_END)
		return false;
	says(MSG_FAILED, "cause", "no room");
	return true;
}

static void test_receiver_fails(void)
{
	begin();
	w.hears = fails_to_restore;
	stays();
	CHECK_EQ(w.result.settled, SETTLE_RESUMED);
	CHECK_STR(w.result.cause, "b: no room");
	CHECK_STR(fake.did, "retrieve 5, suspend 5, rename 5, rename 5, resume 5, ");
	end();
}

static void saves_but_is_not_renamed(void)
{
	fake.fails = "rename";
	saves();
}

static void test_rename_fails(void)
{
	begin();
	w.copying = saves_but_is_not_renamed;
	stays();
	CHECK_EQ(w.result.settled, SETTLE_RESUMED);
	end();
}

static void saves_but_is_not_resumed(void)
{
	fake.fails = "resume";
	fake.fails_always = true;
	saves();
}

static void test_cannot_be_resumed(void)
{
	begin();
	w.hears = fails_to_restore;
	w.copying = saves_but_is_not_resumed;
	migrate();
	CHECK_EQ(w.result.end, MIGRATION_STRANDED);
	CHECK_EQ(w.result.settled, SETTLE_STRANDED);
	CHECK_STR(w.guest->name, "guest");
	end();
}

/* ---- after GO ---- */

static bool is_lost_at_go(enum message_type type)
{
	if (type != MSG_GO)
		return false;
	hang_up();
	return true;
}

static void test_lost_after_go(void)
{
	begin();
	w.hears = is_lost_at_go;
	w.answer = "gone";
	stays();
	CHECK_EQ(w.result.settled, SETTLE_RESUMED);
	end();

	begin();
	w.hears = is_lost_at_go;
	w.answer = "running";
	migrate();
	CHECK_EQ(w.result.end, MIGRATION_MOVED);
	CHECK_STR(fake.did, "retrieve 5, suspend 5, rename 5, destroy 5, ");
	end();
}

static void gives_up(void *arg)
{
	(void)arg;
	CHECK(migration_cancel(w.m, "interrupted"));
}

static bool is_lost_for_good(enum message_type type)
{
	if (is_lost_at_go(type)) {
		loop_timer_set(w.loop, &w.timer, 100 * MS_NS, gives_up, NULL);
		return true;
	}
	return false;
}

/* Nobody knows: then nothing is touched. */
static void test_nobody_answers(void)
{
	begin();
	w.hears = is_lost_for_good;
	migrate();
	CHECK_EQ(w.result.end, MIGRATION_UNKNOWN);
	CHECK_STR(w.guest->name, "guest--migratedaway");
	CHECK(w.guest->shutdown);
	end();
}

int main(void)
{
	rig_open();
	CHECK_RUN(test_moves);
	CHECK_RUN(test_the_downtime_is_split);
	CHECK_RUN(test_receiver_does_not_settle);
	CHECK_RUN(test_settles_too_early);
	CHECK_RUN(test_reads_slowly);
	CHECK_RUN(test_greeted_while_it_reads);
	CHECK_RUN(test_hung_up_while_it_reads);
	CHECK_RUN(test_called_off_while_it_reads);
	CHECK_RUN(test_no_way);
	CHECK_RUN(test_disk_attached_in_mid_copy);
	CHECK_RUN(test_devices_touched);
	CHECK_RUN(test_called_off_in_mid_copy);
	CHECK_RUN(test_receiver_dies_in_mid_copy);
	CHECK_RUN(test_called_off_at_once);
	CHECK_RUN(test_called_off_before_it_hears);
	CHECK_RUN(test_called_off_when_it_has_agreed);
	CHECK_RUN(test_it_ends_meanwhile);
	CHECK_RUN(test_it_ends_before_the_copy);
	CHECK_RUN(test_receiver_fails);
	CHECK_RUN(test_rename_fails);
	CHECK_RUN(test_cannot_be_resumed);
	CHECK_RUN(test_lost_after_go);
	CHECK_RUN(test_nobody_answers);
	return rig_close() || CHECK_DONE();
}
