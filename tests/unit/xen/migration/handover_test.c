/* SPDX-License-Identifier: BSD-2-Clause */
/* The receiver's records and their locks, and what is done about what is found. */
#include "xen/guest_claim.h"
#include "xen/migration/handover.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/unit/check.h"
#include "tests/unit/fake/xen.h"
#include "tests/unit/xen/fence/disks.h"

#define ID   "0123456789abcdef0123456789abcdef"
#define ID2  "fedcba9876543210fedcba9876543210"
#define UUID "01234567-89ab-cdef-0123-456789abcdef"

static void test_words(void)
{
	enum handover_is is;

	for (int i = HANDOVER_PREPARING; i <= HANDOVER_UNKNOWN; i++) {
		CHECK_EQ(handover_parse(handover_word((enum handover_is)i), &is), 0);
		CHECK_EQ(is, i);
	}
	CHECK_EQ(handover_parse("", &is), -EINVAL);
	CHECK_EQ(handover_parse("runs", &is), -EINVAL);
}

static const struct referee fenced = {.mine = 0x7673000000010007,
				      .theirs = 0x7673000000020007,
				      .n = 1,
				      .disk = {{.vdev = "xvda", .path = "/dev/sda"}}};

static const struct disks none;

static void test_record(void)
{
	char sda[] = "/dev/sda", sdb[] = "/dev/sdb", *attached[] = {sda, sdb};
	const struct disks disks = {.attached = attached, .n_attached = 2};
	struct handover h, seen;

	CHECK_EQ(handover_begin(&h, ID, UUID, "guest one", &fenced, &disks), 0);
	/* its process lives: us */
	CHECK_EQ(handover_open(&seen, ID), -EBUSY);
	CHECK_EQ(seen.is, HANDOVER_PREPARING);
	CHECK_EQ(handover_set(&h, HANDOVER_STARTING), 0);
	CHECK_EQ(handover_open(&seen, ID), -EBUSY);
	CHECK_EQ(seen.is, HANDOVER_STARTING);
	handover_end(&h);
	handover_end(&h);
	CHECK_EQ(handover_set(&h, HANDOVER_GONE), -EBADF);
	/* now it is dead */
	CHECK_EQ(handover_open(&seen, ID), 0);
	CHECK_EQ(seen.is, HANDOVER_STARTING);
	CHECK_STR(seen.uuid, UUID);
	CHECK_STR(seen.name, "guest one");
	CHECK_EQ(seen.referee.n, 1);
	CHECK(seen.referee.mine == fenced.mine && seen.referee.theirs == fenced.theirs);
	CHECK_STR(seen.referee.disk[0].path, "/dev/sda");
	CHECK_STR(seen.attached, "/dev/sda /dev/sdb");
	CHECK_EQ(handover_set(&seen, HANDOVER_RUNNING), 0);
	handover_end(&seen);
	/* an id is used once */
	CHECK_EQ(handover_begin(&h, ID, UUID, "guest one", &fenced, &(struct disks){0}), -EEXIST);
}

/* What a killed receiver has left, and what is done with it. */
static void test_rule(void)
{
	CHECK_EQ(handover_rule(HANDOVER_PREPARING, GUEST_PAUSED, true), HANDOVER_DESTROY);
	CHECK_EQ(handover_rule(HANDOVER_READY, GUEST_PAUSED, true), HANDOVER_TAKE);
	CHECK_EQ(handover_rule(HANDOVER_READY, GUEST_PAUSED, false), HANDOVER_DESTROY);
	CHECK_EQ(handover_rule(HANDOVER_READY, GUEST_DYING, true), HANDOVER_DESTROY);
	CHECK_EQ(handover_rule(HANDOVER_READY, GUEST_ABSENT, true), HANDOVER_ANSWER_GONE);
	CHECK_EQ(handover_rule(HANDOVER_STARTING, GUEST_PAUSED, true), HANDOVER_START);
	CHECK_EQ(handover_rule(HANDOVER_STARTING, GUEST_ABSENT, true), HANDOVER_ANSWER_UNKNOWN);
}

/* ---- what a killed receiver left, on a host that the test plays ---- */

static enum handover_is answered;

static void on_answer(void *arg, enum handover_is is)
{
	answered = is;
	loop_stop(arg, 0);
}

static void ask(bool announce)
{
	struct loop *l = loop_new();
	struct toolstack *t;
	struct handover_ask a;

	CHECK_EQ(toolstack_open(l, &t), 0);
	handover_ask(&a, t, l, ID2, announce, on_answer, l);
	loop_run(l);
	toolstack_close(t);
	loop_free(l);
}

/* A disk of domain 5 that its killed receiver held. */
static void hold_a_disk(void)
{
	fake_node_set("/libxl/5/vstor-hold", "1");
	fake_node_set("backend/vbd/5/51712", "");
	fake_node_set("backend/vbd/5/51712/vstor-held", "8:0");
}

static bool disk_is_held(void)
{
	const char *number = fake_node("backend/vbd/5/51712/physical-device");

	return !number || strcmp(number, "8:0") != 0 || fake_node("/libxl/5/vstor-hold");
}

/* GO had come: it is started, and the network hears of it unless something else tells it. */
static void test_starts_what_was_left(void)
{
	char uuid[GUEST_UUID_MAX], path[128];
	struct fake_domain *d;
	struct handover h;

	for (int announce = 0; announce < 2; announce++) {
		fake_reset();
		d = fake_domain_new(5, "guest--incoming");
		d->paused = true;
		hold_a_disk();
		guest_uuid_text(&d->uuid, uuid);
		CHECK_EQ(handover_begin(&h, ID2, uuid, "guest", &(struct referee){0}, &none), 0);
		CHECK_EQ(handover_set(&h, HANDOVER_STARTING), 0);
		handover_end(&h);
		ask(announce);
		CHECK_EQ(answered, HANDOVER_RUNNING);
		CHECK(!d->paused);
		CHECK(!disk_is_held());
		CHECK_STR(d->name, "guest");
		CHECK_STR(fake.monitored, "guest");
		CHECK_EQ(fake.announced, announce);
		snprintf(path, sizeof(path), "%s/%s", guest_claim_dir, ID2);
		unlink(path);
	}
}

/* ---- the disk decides, but is silent ---- */

static bool mute;

static int answers_late(const char *device, struct sg_io_hdr *io)
{
	if (!mute)
		return direct(device, io);
	io->host_status = 0x0e;
	return 0;
}

static void on_swept(void *arg)
{
	loop_stop(arg, 0);
}

/* True: there is a guest left of which its disk does not tell. */
static bool sweep(void)
{
	struct loop *l = loop_new();
	struct handover_sweep s;
	struct toolstack *t;

	CHECK_EQ(toolstack_open(l, &t), 0);
	handover_sweep(&s, t, l, false, on_swept, l);
	loop_run(l);
	toolstack_close(t);
	loop_free(l);
	return s.silent;
}

/* Killed when all of the guest was there: it stays paused as long as its disk is silent. */
static void test_disk_is_silent(void)
{
	struct referee a = {.n = 1, .disk = {{"xvda", "/dev/0", false}}}, b = a;
	struct fake_domain *d;
	struct handover h;
	char uuid[GUEST_UUID_MAX];

	for (int lost = 0; lost < 2; lost++) {
		fake_reset();
		d = fake_domain_new(5, "guest--incoming");
		d->paused = true;
		guest_uuid_text(&d->uuid, uuid);
		disks_up();
		reservation_sg_io = answers_late;
		be(B); /* the source; threads are the other host */
		CHECK_EQ(referee_begin(&a), REFEREE_WON);
		b.theirs = a.mine;
		be(A);
		CHECK_EQ(referee_join(&b), REFEREE_WON);
		a.theirs = b.mine;
		CHECK_EQ(handover_begin(&h, ID2, uuid, "guest", &b, &none), 0);
		CHECK_EQ(handover_set(&h, HANDOVER_READY), 0);
		handover_end(&h);
		fencing_patience = fencing_grace = 10 * MS_NS;
		mute = true;
		CHECK(sweep() && sweep());
		CHECK(d->domid && d->paused);
		CHECK_STR(fake.did, "");
		mute = false;
		be(B);
		if (lost)
			CHECK_EQ(referee_claim(&a, false), REFEREE_WON);
		be(A);
		CHECK(!sweep());
		if (lost)
			CHECK_STR(fake.did, "destroy 5, ");
		else
			CHECK(!d->paused && strcmp(d->name, "guest") == 0);
		CHECK(writes(lost ? B : A, 0) && !writes(lost ? A : B, 0));
		rig_down();
		CHECK_EQ(ledger_remove(ID2), 0);
	}
}

/*
 * Its receiver was killed when it had registered: the key goes as soon as the disk answers, also
 * after the record was settled. What this host holds of that disk by then for a guest of its own
 * stays.
 */
static void test_leaves_the_disks(void)
{
	struct referee a = {.n = 1, .disk = {{"xvda", "/dev/0", false}}}, b = a;
	struct handover h;
	char why[REFEREE_TEXT];

	fake_reset();
	disks_up();
	reservation_sg_io = answers_late;
	be(B);
	CHECK_EQ(referee_begin(&a), REFEREE_WON);
	b.theirs = a.mine;
	be(A);
	b.mine = referee_destination_key(&b);
	CHECK_EQ(handover_begin(&h, ID2, UUID, "guest", &b, &none), 0);
	CHECK_EQ(referee_join(&b), REFEREE_WON);
	handover_end(&h);
	mute = true;
	sweep();
	mute = false;
	CHECK(has("/dev/0", b.mine));
	sweep();
	CHECK(!has("/dev/0", b.mine));
	CHECK_EQ(handover_open(&h, ID2), 0);
	CHECK_EQ(h.is, HANDOVER_GONE);
	CHECK_EQ(h.referee.n, 0);
	handover_end(&h);
	CHECK_EQ(ledger_remove(ID2), 0);

	CHECK_EQ(handover_begin(&h, ID2, UUID, "guest", &b, &none), 0);
	handover_end(&h);
	be(B);
	CHECK_EQ(referee_release("/dev/0", NULL, NULL), 0);
	be(A);
	CHECK_EQ(referee_hold("/dev/0", 0, why), REFEREE_WON);
	sweep();
	CHECK(writes(A, 0) && !writes(B, 0));
	rig_down();
	CHECK_EQ(ledger_remove(ID2), 0);
}

static void test_cap(void)
{
	int claim = guest_claim(UUID), cap = -1;

	CHECK(!guest_claim_noted_cap(claim, 5, &cap));
	CHECK_EQ(guest_claim_note_cap(claim, 5, 1000), 0);
	CHECK_EQ(guest_claim_note_cap(claim, 5, 0), 0);
	close(claim);
	claim = guest_claim(UUID);
	CHECK(guest_claim_noted_cap(claim, 5, &cap));
	CHECK_EQ(cap, 0);
	CHECK(!guest_claim_noted_cap(claim, 55, &cap)); /* it was another domain's */
	guest_claim_forget_cap(claim);
	CHECK(!guest_claim_noted_cap(claim, 5, &cap));
	close(claim);
	CHECK_EQ(guest_claim_note_cap(-1, 5, 0), -EBADF);
}

static void test_refusals(void)
{
	struct handover h;
	char path[128];
	int fd;

	CHECK_EQ(handover_begin(&h, "../x", UUID, "x", &fenced, &none), -EINVAL);
	CHECK_EQ(handover_open(&h, "../x"), -EINVAL);
	CHECK_EQ(handover_open(&h, ID2), -ENOENT);
	snprintf(path, sizeof(path), "%s/%s", guest_claim_dir, ID2);
	fd = open(path, O_CREAT | O_WRONLY, 0600);
	CHECK_EQ(write(fd, "half", 4), 4);
	close(fd);
	CHECK_EQ(handover_open(&h, ID2), -EBADMSG);
	unlink(path);
}

static void test_claim(void)
{
	int a = guest_claim(UUID);

	CHECK(a >= 0);
	CHECK_EQ(guest_claim(UUID), -EBUSY);
	close(a);
	a = guest_claim(UUID);
	CHECK(a >= 0);
	close(a);
	CHECK_EQ(guest_claim("../../etc/x"), -EINVAL);
}

/* Its receiver was killed between starting it and letting go of its disks and its processor. */
static void test_looks_after_it(void)
{
	char uuid[GUEST_UUID_MAX], path[128];
	struct fake_domain *d;
	struct handover h;

	fake_reset();
	d = fake_domain_new(5, "guest--incoming");
	d->weight = 16;
	fake_node_set("/libxl/5/vstor-weight", "256");
	hold_a_disk();
	guest_uuid_text(&d->uuid, uuid);
	CHECK_EQ(handover_begin(&h, ID2, uuid, "guest", &(struct referee){0}, &none), 0);
	CHECK_EQ(handover_set(&h, HANDOVER_STARTING), 0);
	handover_end(&h);
	CHECK(disk_is_held());
	ask(false);
	CHECK_EQ(answered, HANDOVER_RUNNING);
	CHECK(!disk_is_held());
	CHECK_EQ(d->weight, 256);
	snprintf(path, sizeof(path), "%s/%s", guest_claim_dir, ID2);
	unlink(path);
}

int main(void)
{
	char dir[] = "/tmp/vstor-handover-XXXXXX";

	if (!mkdtemp(dir))
		return 1;
	guest_claim_dir = ledger_dir = dir;
	CHECK_RUN(test_words);
	CHECK_RUN(test_record);
	CHECK_RUN(test_rule);
	CHECK_RUN(test_starts_what_was_left);
	CHECK_RUN(test_looks_after_it);
	CHECK_RUN(test_disk_is_silent);
	CHECK_RUN(test_leaves_the_disks);
	CHECK_RUN(test_cap);
	CHECK_RUN(test_refusals);
	CHECK_RUN(test_claim);
	return check_remove(dir) != 0 || CHECK_DONE();
}
