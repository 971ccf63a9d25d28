/* SPDX-License-Identifier: BSD-2-Clause */
/* The sender slows its guest, and that is undone whatever happens. */
#include <fcntl.h>
#include <sys/resource.h>

#include "tests/unit/xen/migration/migration_rig.h"

static void helper_wants(unsigned speed)
{
	const struct precopy_report r = {.what = PRECOPY_LOOK, .at = clock_ns(), .speed = speed};
	char text[320];

	precopy_report_print(&r, text, sizeof(text));
	fake_helper_says(text);
}

static void is_slowed_then_saved(void)
{
	helper_begins();
	helper_wants(25);
	CHECK_EQ(w.guest->cap, 50); /* two vCPUs */
	helper_wants(3);
	CHECK_EQ(w.guest->cap, 6);
	helper_reports(PRECOPY_SUSPEND);
	CHECK_EQ(w.guest->cap, 0); /* to suspend itself, it needs all its speed */
	helper_wants(3);
	CHECK_EQ(w.guest->cap, 0);
	fake_suspends(w.guest);
	helper_reports(PRECOPY_SUSPENDED);
	fake_save_ends(0);
}

static void test_slowed(void)
{
	begin();
	w.guest->vcpus = 2;
	w.o.saving.precopy.throttle = true;
	w.copying = is_slowed_then_saved;
	migrate();
	CHECK_EQ(w.result.end, MIGRATION_MOVED);
	CHECK(w.result.throttle_ns > 0);
	end();
}

/* What `vstor recover` finds when all that know of the cap are killed now; -1: nothing. */
static int noted_cap(void)
{
	char uuid[GUEST_UUID_MAX], path[128];
	int cap = -1, fd;

	guest_uuid_text(&w.guest->uuid, uuid);
	snprintf(path, sizeof(path), "%s/%s.lock", dir, uuid);
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (CHECK(fd >= 0) && !guest_claim_noted_cap(fd, 5, &cap))
		cap = -1;
	close(fd);
	return cap;
}

static void is_slowed_then_cancels(void)
{
	helper_begins();
	CHECK_EQ(noted_cap(), 40); /* before anything is done */
	helper_wants(50);
	CHECK_EQ(w.guest->cap, 20); /* it had 40 hundredths of a CPU at most */
	cancels();
}

static void test_slowed_then_called_off(void)
{
	begin();
	w.o.saving.precopy.throttle = true;
	w.guest->cap = 40;
	w.copying = is_slowed_then_cancels;
	stays();
	CHECK_EQ(w.guest->cap, 40);
	end();
	CHECK_EQ(noted_cap(), -1);
}

/* The next one: what it finds is not the guest's own cap. */
static void test_slowed_by_one_that_was_killed(void)
{
	char uuid[GUEST_UUID_MAX];
	int claim;

	begin();
	guest_uuid_text(&w.guest->uuid, uuid);
	claim = guest_claim(uuid);
	CHECK_EQ(guest_claim_note_cap(claim, 5, 40), 0);
	close(claim);
	w.guest->cap = 2;
	w.o.saving.precopy.throttle = true;
	w.copying = is_slowed_then_cancels;
	stays();
	CHECK_EQ(w.guest->cap, 40);
	end();
	CHECK_EQ(noted_cap(), -1);
}

/* Its file cannot be written: then nothing is changed that would have to be put back. */
static void is_not_slowed_then_cancels(void)
{
	helper_begins();
	helper_wants(3);
	CHECK_EQ(w.guest->cap, 0);
	cancels();
}

static void test_cap_cannot_be_kept(void)
{
	const struct rlimit none = {0, RLIM_INFINITY};
	struct rlimit before;

	begin();
	w.o.saving.precopy.throttle = true;
	w.copying = is_not_slowed_then_cancels;
	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &before);
	setrlimit(RLIMIT_FSIZE, &none);
	stays();
	setrlimit(RLIMIT_FSIZE, &before);
	end();
}

/* It has used more than a low cap gives it, and its scheduler lets it stand still for that. */
static uint64_t stood_from;

static void until_it_is_let_run(void *arg)
{
	if (!strstr(fake.did, "cap 5, cap 5, cap 5, ")) {
		if (!CHECK(clock_ns() - stood_from < 30 * SEC_NS))
			abort();
		loop_timer_set(w.loop, &w.timer, 5 * MS_NS, until_it_is_let_run, arg);
		return;
	}
	CHECK_EQ(w.guest->cap, 3);
	CHECK(clock_ns() - stood_from >= 50 * MS_NS); /* the least, as it has no bound here */
	helper_reports(PRECOPY_SUSPEND);
	CHECK_EQ(w.guest->cap, 0);
	fake_suspends(w.guest);
	helper_reports(PRECOPY_SUSPENDED);
	fake_save_ends(0);
}

static void stands_still(void)
{
	helper_begins();
	helper_wants(3);
	CHECK_EQ(w.guest->cap, 3);
	stood_from = clock_ns();
	until_it_is_let_run(NULL);
}

static void test_stands_still(void)
{
	begin();
	w.o.saving.precopy.throttle = true;
	w.copying = stands_still;
	migrate();
	CHECK_EQ(w.result.end, MIGRATION_MOVED);
	end();
}

int main(void)
{
	rig_open();
	CHECK_RUN(test_slowed);
	CHECK_RUN(test_slowed_then_called_off);
	CHECK_RUN(test_slowed_by_one_that_was_killed);
	CHECK_RUN(test_cap_cannot_be_kept);
	CHECK_RUN(test_stands_still);
	return rig_close() || CHECK_DONE();
}
