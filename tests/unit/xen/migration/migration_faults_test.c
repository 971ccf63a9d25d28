/* SPDX-License-Identifier: BSD-2-Clause */
/* The sender when something else is at the guest, and when its own calls fail. */
#include "core/log.h"
#include "tests/unit/fake/files.h"
#include "tests/unit/xen/migration/migration_rig.h"
#include "xen/guest_claim.h"

/* ---- somebody is at it ---- */

/* A second vstor migrate of the same guest; it does not get to the guest, nor to the other host. */
static void test_another_migrates_it(void)
{
	int claim;

	begin();
	claim = guest_claim(UUID);
	CHECK(claim >= 0);
	CHECK_EQ(migration_start(w.loop, w.t, &w.o, on_done, NULL, &w.m), -EBUSY);
	CHECK_EQ(w.calls, 0);
	CHECK_STR(fake.did, "");
	close(claim);
	w.m = NULL;
	end();
}

/* Back, while it is still coming: there is no such guest yet, and what there is of it is paused. */
static void test_it_is_still_coming(void)
{
	begin();
	snprintf(w.guest->name, sizeof(w.guest->name), "guest--incoming");
	w.guest->paused = true;
	CHECK(migration_start(w.loop, w.t, &w.o, on_done, NULL, &w.m) < 0);
	w.m = NULL;
	w.o.domain = "guest--incoming";
	migrate();
	CHECK_EQ(w.result.end, MIGRATION_HERE);
	CHECK(strstr(w.result.cause, "is paused") != NULL);
	CHECK(w.guest->paused);
	CHECK_STR(w.guest->name, "guest--incoming");
	end();
}

/* ---- its journal ---- */

/* What an earlier one has left open comes first. */
static void test_one_is_open(void)
{
	const struct recovery_note note = {.uuid = UUID, .guest = {.domid = 5, .name = "guest"}};
	struct departure d;

	begin();
	CHECK_EQ(departure_begin(&d, &note, &w.o.way), 0);
	departure_end(&d, false);
	CHECK_EQ(migration_start(w.loop, w.t, &w.o, on_done, NULL, &w.m), -EEXIST);
	w.m = NULL;
	CHECK_STR(fake.did, "");
	CHECK_EQ(ledger_remove(UUID), 0);
	end();
}

/* The n-th call on a file fails, whichever that is: it moves, or it stays. */
static bool fails_at(unsigned n, enum fake_fault fault)
{
	bool failed;

	begin();
	fake_files_fail(n, fault);
	if (migration_start(w.loop, w.t, &w.o, on_done, NULL, &w.m) == 0) {
		loop_run(w.loop);
		migration_result(w.m, &w.result);
	} else {
		w.result.end = MIGRATION_HERE;
		w.m = NULL;
	}
	failed = fake_files.failed;
	fake_files_fail(0, 0);
	if (w.result.end == MIGRATION_MOVED) {
		CHECK(!fake_domain(5));
	} else {
		CHECK_EQ(w.result.end, MIGRATION_HERE);
		CHECK(!w.guest->shutdown && !w.guest->log_dirty);
		CHECK_STR(w.guest->name, "guest");
		CHECK_STR(w.guest->control, "");
	}
	/* One that could not be removed tells a later vstor to look. */
	migration_free(w.m);
	w.m = NULL;
	CHECK_EQ(ledger_remove(UUID), 0);
	end();
	return failed;
}

static void test_files_fail(void)
{
	for (int fault = 0; fault < FAKE_CUT; fault++) {
		unsigned n = 1;

		while (fails_at(n, (enum fake_fault)fault))
			n++;
		CHECK(n > 12); /* there were calls to fail */
	}
}

/* ---- its channel ---- */

static bool is_ours(int fd)
{
	return fd == w.socket;
}

/* What the receiver will say when it is asked. The save begins whether it has heard of that or not.
 */
static bool knows(enum message_type type)
{
	if (type == MSG_GO)
		w.answer = "running";
	return type == MSG_BEGIN;
}

static struct loop_timer until_saved;

static void on_look(void *arg)
{
	if (fake.save)
		saves();
	else
		loop_timer_set(w.loop, &until_saved, 5 * MS_NS, on_look, arg);
}

/* The n-th thing that is sent fails: it runs where the receiver has started it, and nowhere else.
 */
static bool channel_fails_at(unsigned n, enum fake_fault fault)
{
	bool failed;

	begin();
	w.hears = knows;
	w.answer = "gone";
	fake_files_fail(n, fault);
	fake_files.sent_on = is_ours;
	on_look(NULL);
	migrate();
	loop_timer_del(w.loop, &until_saved);
	failed = fake_files.failed;
	fake_files_fail(0, 0);
	if (strcmp(w.answer, "running") == 0) {
		CHECK_EQ(w.result.end, MIGRATION_MOVED);
		CHECK(!fake_domain(5));
	} else {
		CHECK_EQ(w.result.end, MIGRATION_HERE);
		CHECK(!w.guest->shutdown && !w.guest->log_dirty);
		CHECK_STR(w.guest->name, "guest");
	}
	end();
	return failed;
}

static void test_channel_fails(void)
{
	for (int fault = 0; fault < FAKE_CUT; fault++) {
		unsigned n = 1;

		if (fault == FAKE_ENOSPC) /* as EIO, here */
			continue;
		while (channel_fails_at(n, (enum fake_fault)fault))
			n++;
		CHECK(n > 6);
	}
}

int main(void)
{
	rig_open();
	CHECK_RUN(test_one_is_open);
	CHECK_RUN(test_files_fail);
	CHECK_RUN(test_channel_fails);
	log_set_destination("syslog"); /* what is refused */
	CHECK_RUN(test_another_migrates_it);
	CHECK_RUN(test_it_is_still_coming);
	return rig_close() || CHECK_DONE();
}
