/* SPDX-License-Identifier: BSD-2-Clause */
/* The sender, with a host and a receiver that the test plays: how each failure is put back. */
#include "xen/migration.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/check.h"
#include "tests/unit/fake/xen.h"
#include "xen/handover.h"
#include "xen/message.h"
#include "xen/precopy_report.h"
#include "xen/save_helper.h"
#include "xen/stream.h"

static char dir[] = "/tmp/vstor-migration-XXXXXX";

static struct world {
	struct loop *loop;
	struct toolstack *t;
	struct migration *m;
	struct migration_options o;
	struct fake_domain *guest;
	struct channel *receiver;
	/* What the receiver does when a message has come; false: what a good one does. */
	bool (*hears)(enum message_type type);
	/* What the guest and its save do once the save has begun. */
	void (*copying)(void);
	const char *answer; /* to "what became of it"; NULL: nobody answers */
	unsigned calls;	    /* channels that the sender has opened */
	struct loop_timer timer;
	struct migration_result result;
	bool done;
} w;

/* ---- the receiver ---- */

static void says(enum message_type type, const char *key, const char *value)
{
	struct buf b = {0};

	if (key)
		message_put(&b, key, "%s", value);
	if (type == MSG_HELLO)
		message_put(&b, "protocol", "%u", MIGRATION_PROTOCOL);
	CHECK_EQ(message_send(w.receiver, type, &b), 0);
}

static void hang_up(void)
{
	channel_free(w.receiver);
	w.receiver = NULL;
}

static void on_copying(void *arg)
{
	(void)arg;
	w.copying();
}

static void on_hello(const uint8_t *p, size_t n)
{
	char mode[16] = "";

	message_get(p, n, "mode", mode, sizeof(mode));
	if (strcmp(mode, "ask") == 0)
		says(MSG_ANSWER, "is", w.answer);
	else
		says(MSG_HELLO, "boot", "another");
}

static bool on_frame(void *arg, uint8_t type, const uint8_t *p, size_t n)
{
	(void)arg;
	if (w.hears && w.hears(type))
		return true;
	switch (type) {
	case MSG_HELLO: on_hello(p, n); break;
	case MSG_PREFLIGHT: says(MSG_VERDICTS, "ok", "all of it"); break;
	case MSG_BEGIN: loop_timer_set(w.loop, &w.timer, 0, on_copying, NULL); break;
	case MSG_END: says(MSG_READY, "devices_ns", "7"); break;
	case MSG_GO: says(MSG_RUNNING, "took_ns", "1000"); break;
	default: break;
	}
	return true;
}

static void on_close(void *arg, int err, const char *text)
{
	(void)arg;
	(void)err;
	(void)text;
	hang_up();
}

static const struct channel_ops ops = {.on_frame = on_frame, .on_close = on_close};

static int open_way(void *arg, struct loop *l, const struct channel_config *cfg,
		    struct channel **out)
{
	const struct channel_config mine = {.ops = &ops, .peer = "sender", .server = true};
	int sv[2];

	(void)arg;
	if (w.calls++ && !w.answer)
		return -ECONNREFUSED;
	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
	channel_free(w.receiver);
	CHECK_EQ(channel_new(l, sv[1], sv[1], &mine, &w.receiver), 0);
	return channel_new(l, sv[0], sv[0], cfg, out);
}

/* ---- the save ---- */

static void helper_begins(void)
{
	static const uint8_t preamble[STREAM_PREAMBLE];

	CHECK(fake.save != NULL);
	CHECK(save_helper_get(5, PRECOPY_ENV) != NULL);
	CHECK_EQ(write(fake.save_fd, preamble, sizeof(preamble)), sizeof(preamble));
}

static void helper_reports(int what)
{
	const struct precopy_report r = {.what = what, .at = clock_ns(), .speed = 100};
	char text[320];

	precopy_report_print(&r, text, sizeof(text));
	fake_helper_says(text);
}

/* As libxl does when the helper wants the guest suspended. */
static void asks_the_guest(void)
{
	helper_begins();
	helper_reports(PRECOPY_SUSPEND);
	snprintf(w.guest->control, sizeof(w.guest->control), "suspend");
}

static void saves(void)
{
	asks_the_guest();
	fake_suspends(w.guest);
	helper_reports(PRECOPY_SUSPENDED);
	fake_save_ends(0);
}

static void cancels(void)
{
	CHECK(migration_cancel(w.m, "interrupted"));
}

/* ---- a migration ---- */

static void on_done(void *arg)
{
	(void)arg;
	w.done = true;
	loop_stop(w.loop, 0);
}

static void begin(void)
{
	fake_reset();
	w = (struct world){.loop = loop_new(), .copying = saves};
	w.o = (struct migration_options){.domain = "guest", .way = {.open = open_way, .host = "b"}};
	w.guest = fake_domain_new(5, "guest");
	CHECK_EQ(toolstack_open(w.loop, &w.t), 0);
}

static void migrate(void)
{
	CHECK_EQ(migration_start(w.loop, w.t, &w.o, on_done, NULL, &w.m), 0);
	CHECK(!w.done);
	loop_run(w.loop);
	migration_result(w.m, &w.result);
}

/* Not moved, and as if nothing had been tried. */
static void stays(void)
{
	migrate();
	CHECK_EQ(w.result.end, MIGRATION_HERE);
	CHECK_STR(w.guest->name, "guest");
	CHECK_STR(w.guest->control, "");
	CHECK(!w.guest->log_dirty);
	CHECK(w.result.cause[0]);
}

static void end(void)
{
	migration_free(w.m);
	channel_free(w.receiver);
	CHECK(save_helper_get(5, PRECOPY_ENV) == NULL);
	toolstack_close(w.t);
	loop_free(w.loop);
	CHECK_EQ(fake.open, 0);
}

static void test_moves(void)
{
	begin();
	migrate();
	CHECK_EQ(w.result.end, MIGRATION_MOVED);
	CHECK_EQ(w.result.devices_ns, 7);
	CHECK_STR(w.result.cause, "");
	CHECK_STR(fake.did, "retrieve 5, suspend 5, rename 5, "
			    "retrieve 5, destroy 5, ");
	end();
}

/* ---- its devices change in mid-copy ---- */

static void attaches_then_saves(void)
{
	w.guest->disks = 1;
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

/* ---- slowed down ---- */

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

static void is_slowed_then_cancels(void)
{
	helper_begins();
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
}

/* ---- what becomes of the guest meanwhile ---- */

static void crashes(void)
{
	helper_begins();
	w.guest->shutdown = true;
	w.guest->reason = LIBXL_SHUTDOWN_REASON_CRASH;
	fake_save_ends(ERROR_FAIL);
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
	CHECK_STR(fake.did, "retrieve 5, suspend 5, rename 5, "
			    "retrieve 5, rename 5, resume 5, ");
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
	CHECK_STR(fake.did, "retrieve 5, suspend 5, rename 5, "
			    "retrieve 5, destroy 5, ");
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
	char path[128], command[64];

	signal(SIGPIPE, SIG_IGN);
	if (!mkdtemp(dir))
		return 1;
	handover_dir = dir;
	for (const char *const *p = (const char *const[]){"bus", "bus/xen-backend",
							  "bus/xen-backend/devices", NULL};
	     *p; p++) {
		snprintf(path, sizeof(path), "%s/%s", dir, *p);
		mkdir(path, 0700);
	}
	CHECK_RUN(test_moves);
	CHECK_RUN(test_disk_attached_in_mid_copy);
	CHECK_RUN(test_called_off_in_mid_copy);
	CHECK_RUN(test_receiver_dies_in_mid_copy);
	CHECK_RUN(test_called_off_at_once);
	CHECK_RUN(test_called_off_before_it_hears);
	CHECK_RUN(test_called_off_when_it_has_agreed);
	CHECK_RUN(test_slowed);
	CHECK_RUN(test_slowed_then_called_off);
	CHECK_RUN(test_it_ends_meanwhile);
	CHECK_RUN(test_it_ends_before_the_copy);
	CHECK_RUN(test_receiver_fails);
	CHECK_RUN(test_rename_fails);
	CHECK_RUN(test_cannot_be_resumed);
	CHECK_RUN(test_lost_after_go);
	CHECK_RUN(test_nobody_answers);
	snprintf(command, sizeof(command), "rm -r %s", dir);
	return system(command) != 0 || CHECK_DONE();
}
