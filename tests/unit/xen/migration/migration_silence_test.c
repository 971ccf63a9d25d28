/* SPDX-License-Identifier: BSD-2-Clause */
/* The sender when the guest's disks are fenced, and one of those that could tell whose it is, or
 * all, are silent. */
#include <semaphore.h>

#include "tests/unit/xen/migration/fenced_rig.h"
#include "xen/migration/migration_priv.h"

/* ---- the disk does not answer at once ---- */

static unsigned mute;

static int answers_late(const char *device, struct sg_io_hdr *io)
{
	if (mute) {
		mute--;
		io->host_status = 0x0e;
		return 0;
	}
	return direct(device, io);
}

static bool vanishes_with_the_disk(void)
{
	mute = 4;
	reservation_sg_io = answers_late;
	return vanishes();
}

static void test_disk_is_silent_for_a_while(void)
{
	fenced(plays);
	at_go = vanishes_with_the_disk;
	stays();
	CHECK_EQ(w.result.settled, SETTLE_RESUMED);
	CHECK_EQ(mute, 0);
	over();
}

/* ---- neither the disk nor the receiver answers ---- */

static unsigned waited,
	calls_until; /* so often the receiver is called before the disk answers; 0: never */
static struct loop_timer impatient;

static bool promises_once, promise_noted;
static int answers_after_calls(const char *device, struct sg_io_hdr *io)
{
	if (calls_until && w.calls >= calls_until)
		return direct(device, io);
	io->host_status = 0x0e;
	return 0;
}

/* The user interrupts, over and over: there is nothing to tell yet, and so it does not end. */
static void interrupts(void *arg)
{
	char what[400];
	struct departed d;

	departure_read(UUID, &d);
	promise_noted |= d.note.promised;
	loop_timer_set(w.loop, &impatient, 5 * MS_NS, interrupts, arg);
	if (promises_once && w.calls > 2)
		w.answer = "unknown";
	if (!migration_waits(w.m, what, sizeof(what)))
		return;
	CHECK(strstr(what, "/dev/1") != NULL && strstr(what, " or b ") != NULL);
	CHECK(!migration_cancel(w.m, "interrupted"));
	waited++;
}

static bool vanishes_and_the_user_interrupts(void)
{
	reservation_sg_io = answers_after_calls;
	interrupts(NULL);
	return vanishes();
}

static bool claims_and_both_are_silent(void)
{
	CHECK_EQ(claims(), REFEREE_WON);
	return vanishes_and_the_user_interrupts();
}

static void all_silent(bool (*then)(void), const char *answer, unsigned until)
{
	fenced(plays);
	fencing_patience = inquiry_patience = 30 * MS_NS;
	waited = 0;
	at_go = then;
	w.answer = answer;
	calls_until = until;
}

static void over_silent(void)
{
	CHECK(waited > 0);
	loop_timer_del(w.loop, &impatient);
	fencing_patience = 40 * SEC_NS;
	inquiry_patience = 60 * SEC_NS;
	over();
}

static void test_neither_answers(void)
{
	all_silent(vanishes_and_the_user_interrupts, NULL, 4);
	stays();
	CHECK_EQ(w.result.settled, SETTLE_RESUMED);
	CHECK_EQ(w.calls, 4); /* the receiver was asked in between, three times */
	CHECK(!promise_noted);
	CHECK_EQ(claims(), REFEREE_LOST);
	over_silent();

	all_silent(claims_and_both_are_silent, NULL, 4);
	migrate();
	CHECK_EQ(w.result.end, MIGRATION_MOVED);
	CHECK(w.result.unheard);
	check_owner(B);
	over_silent();
}

/* The disk never does, as the storage's network is down here. */
static void test_receiver_answers_at_last(void)
{
	all_silent(claims_and_both_are_silent, "running", 0);
	migrate();
	CHECK_EQ(w.result.end, MIGRATION_MOVED);
	CHECK(!w.result.unheard);
	over_silent();
}

/* ---- the disk answers long after it has been given up ---- */

static sem_t gate;
static enum { CLAIMS, ASKS, KNOWS, HEARS } step;

static int hangs(const char *device, struct sg_io_hdr *io)
{
	sem_wait(&gate);
	sem_post(&gate);
	return direct(device, io);
}

static void next_step(void *arg)
{
	if (step == CLAIMS && w.m->state == S_TAKE && w.m->fencing.running) {
		migration_raise(w.m, SE_MUTE); /* its time is up */
		step = ASKS;
	} else if (step == ASKS && w.m->state == S_ASK && w.calls > 1) {
		sem_post(&gate);
		step = KNOWS;
	} else if (step == KNOWS && !w.m->fencing.running) {
		w.answer = "gone";
		step = HEARS;
	}
	if (step != HEARS)
		loop_timer_set(w.loop, &impatient, MS_NS, next_step, arg);
}

static bool claims_and_the_disk_hangs(void)
{
	CHECK_EQ(claims(), REFEREE_WON);
	reservation_sg_io = hangs;
	next_step(NULL);
	return vanishes();
}

/* What it says then is no reason to destroy the guest before the receiver has been asked: it may
 * have failed to start it. */
static void test_late_answer_of_the_disk(void)
{
	fenced(plays);
	sem_init(&gate, 0, 0);
	step = CLAIMS;
	at_go = claims_and_the_disk_hangs;
	stays();
	CHECK_EQ(step, HEARS);
	CHECK_EQ(w.result.settled, SETTLE_RESUMED);
	CHECK_EQ(claims(), REFEREE_LOST);
	sem_destroy(&gate);
	over();
}

/* It has promised; but only the disk can give the guest back. */
static void test_receiver_promises_and_the_disk_is_silent(void)
{
	promise_noted = false;
	all_silent(claims_and_both_are_silent, "gone", 4);
	stays();
	CHECK_EQ(w.result.settled, SETTLE_RESUMED);
	CHECK_EQ(claims(), REFEREE_LOST);
	CHECK(promise_noted); /* by then, for whoever comes should we be killed */
	over_silent();
	/* What it has promised holds when it is not heard of any more. */
	all_silent(claims_and_both_are_silent, "gone", 4);
	promises_once = true;
	stays();
	CHECK_EQ(w.result.settled, SETTLE_RESUMED);
	CHECK_EQ(claims(), REFEREE_LOST);
	promises_once = false;
	over_silent();
}

int main(void)
{
	rig_open();
	log_set_level("error");
	make_sysfs(dir);
	CHECK_RUN(test_disk_is_silent_for_a_while);
	CHECK_RUN(test_neither_answers);
	CHECK_RUN(test_receiver_answers_at_last);
	CHECK_RUN(test_late_answer_of_the_disk);
	CHECK_RUN(test_receiver_promises_and_the_disk_is_silent);
	return rig_close() || CHECK_DONE();
}
