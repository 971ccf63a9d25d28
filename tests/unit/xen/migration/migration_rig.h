/* SPDX-License-Identifier: BSD-2-Clause */
/* The sender of a migration, with a host and a receiver that the test plays. Each test begin()s,
 * says in `w` what is to happen, migrate()s, and end()s. */
#ifndef TESTS_UNIT_XEN_MIGRATION_RIG_H
#define TESTS_UNIT_XEN_MIGRATION_RIG_H

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/check.h"
#include "tests/unit/fake/xen.h"
#include "xen/migration/departure.h"
#include "xen/guest_claim.h"
#include "xen/keepsake.h"
#include "xen/message.h"
#include "xen/migration/migration.h"
#include "xen/copy/precopy_report.h"
#include "xen/copy/save_helper.h"
#include "xen/copy/stream.h"

static char dir[] = "/tmp/vstor-migration-XXXXXX", kept[64];

static struct world {
	struct loop *loop;
	struct toolstack *t;
	struct migration *m;
	struct migration_options o;
	struct fake_domain *guest;
	struct channel *receiver;
	/* What the receiver does when a message has come; false: what a good one does. */
	bool (*hears)(enum message_type type);
	const uint8_t *p; /* that message */
	size_t n;
	/* What the guest and its save do once the save has begun. */
	void (*copying)(void);
	const char *answer; /* to "what became of it"; NULL: nobody answers */
	unsigned calls;	    /* channels that the sender has opened */
	int socket;	    /* of the last of them */
	struct loop_timer timer;
	struct migration_result result;
	bool done;
} w;

/* ---- the receiver ---- */

static inline void says(enum message_type type, const char *key, const char *value)
{
	struct buf b = {0};

	if (key)
		message_put(&b, key, "%s", value);
	if (type == MSG_HELLO)
		message_put(&b, "protocol", "%u", MIGRATION_PROTOCOL);
	CHECK_EQ(message_send(w.receiver, type, &b), 0);
}

static inline void hang_up(void)
{
	channel_free(w.receiver);
	w.receiver = NULL;
}

static inline void on_hang_up(void *arg)
{
	(void)arg;
	hang_up();
}

static inline void on_copying(void *arg)
{
	(void)arg;
	w.copying();
}

static inline void on_hello(const uint8_t *p, size_t n)
{
	char mode[16] = "";

	message_get(p, n, "mode", mode, sizeof(mode));
	if (strcmp(mode, "ask") == 0) {
		says(MSG_ANSWER, "is", w.answer);
		channel_finish(w.receiver);
	} else {
		says(MSG_HELLO, "boot", "another");
	}
}

static inline bool on_frame(void *arg, uint8_t type, const uint8_t *p, size_t n)
{
	(void)arg;
	w.p = p;
	w.n = n;
	if (w.hears && w.hears(type))
		return true;
	switch (type) {
	case MSG_HELLO: on_hello(p, n); break;
	case MSG_PREFLIGHT: says(MSG_VERDICTS, "ok", "all of it"); break;
	case MSG_BEGIN: loop_timer_set(w.loop, &w.timer, 0, on_copying, NULL); break;
	case MSG_END: says(MSG_READY, "devices_ns", "7"); break;
	case MSG_GO:
		says(MSG_RUNNING, "took_ns", "1000");
		says(MSG_SETTLED, NULL, NULL);
		break;
	default: break;
	}
	return true;
}

static inline void on_close(void *arg, int err, const char *text)
{
	(void)arg;
	(void)err;
	(void)text;
	hang_up();
}

static const struct channel_ops ops = {.on_frame = on_frame, .on_close = on_close};

static inline int open_way(void *arg, struct loop *l, const struct channel_config *cfg,
			   struct channel **out)
{
	const struct channel_config mine = {
		.ops = &ops, .peer = "sender", .server = true, .dead_ns = 200 * MS_NS};
	int sv[2];

	(void)arg;
	if (w.calls++ && !w.answer)
		return -ECONNREFUSED;
	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
	w.socket = sv[0];
	channel_free(w.receiver);
	CHECK_EQ(channel_new(l, sv[1], sv[1], &mine, &w.receiver), 0);
	return channel_new(l, sv[0], sv[0], cfg, out);
}

/* ---- the save ---- */

static inline void helper_begins(void)
{
	static const uint8_t preamble[STREAM_PREAMBLE];

	CHECK(fake.save != NULL);
	CHECK(save_helper_get(5, PRECOPY_ENV) != NULL);
	CHECK_EQ(write(fake.save_fd, preamble, sizeof(preamble)), sizeof(preamble));
}

static inline void helper_reports(int what)
{
	const struct precopy_report r = {.what = what, .at = clock_ns(), .speed = 100};
	char text[320];

	precopy_report_print(&r, text, sizeof(text));
	fake_helper_says(text);
}

/* As libxl does when the helper wants the guest suspended. */
static inline void asks_the_guest(void)
{
	helper_begins();
	helper_reports(PRECOPY_SUSPEND);
	snprintf(w.guest->control, sizeof(w.guest->control), "suspend");
}

static inline void saves(void)
{
	asks_the_guest();
	fake_suspends(w.guest);
	helper_reports(PRECOPY_SUSPENDED);
	fake_save_ends(0);
}

static inline void cancels(void)
{
	CHECK(migration_cancel(w.m, "interrupted"));
}

/* ---- a migration ---- */

static inline void on_done(void *arg)
{
	(void)arg;
	w.done = true;
	loop_stop(w.loop, 0);
}

static inline void begin(void)
{
	fake_reset();
	w = (struct world){.loop = loop_new(), .copying = saves};
	w.o = (struct migration_options){.domain = "guest", .way = {.open = open_way, .host = "b"}};
	w.guest = fake_domain_new(5, "guest");
	CHECK_EQ(toolstack_open(w.loop, &w.t), 0);
}

static inline void migrate(void)
{
	CHECK_EQ(migration_start(w.loop, w.t, &w.o, on_done, NULL, &w.m), 0);
	CHECK(!w.done);
	loop_run(w.loop);
	migration_result(w.m, &w.result);
}

/* Not moved, and as if nothing had been tried. */
static inline void stays(void)
{
	migrate();
	CHECK_EQ(w.result.end, MIGRATION_HERE);
	CHECK_STR(w.guest->name, "guest");
	CHECK_STR(w.guest->control, "");
	CHECK(!w.guest->log_dirty);
	CHECK(w.result.cause[0]);
}

/* fake_domain_new()'s. */
#define UUID "05050505-0505-0505-0505-050505050505"

/* The journal is there as long as the end is not certain. */
static inline void end(void)
{
	bool open = w.result.end == MIGRATION_UNKNOWN || w.result.end == MIGRATION_STRANDED;
	struct departed d;

	migration_free(w.m);
	CHECK_EQ(departure_read(UUID, &d), open ? 0 : -ENOENT);
	if (open) {
		CHECK_STR(d.note.guest.name, "guest");
		CHECK_EQ(d.note.guest.domid, 5);
		CHECK(d.this_boot && d.note.handed_over);
		CHECK_STR(d.host, "b");
	}
	CHECK_EQ(ledger_remove(UUID), 0);
	channel_free(w.receiver);
	CHECK(save_helper_get(5, PRECOPY_ENV) == NULL);
	toolstack_close(w.t);
	loop_free(w.loop);
	CHECK_EQ(fake.open, 0);
}

/* ---- where records are kept ---- */

static inline void rig_open(void)
{
	char path[128];

	signal(SIGPIPE, SIG_IGN);
	if (!mkdtemp(dir))
		abort();
	guest_claim_dir = ledger_dir = dir;
	snprintf(kept, sizeof(kept), "%s/kept", dir);
	keepsake_dir = kept;
	for (const char *const *p = (const char *const[]){"bus", "bus/xen-backend",
							  "bus/xen-backend/devices", NULL};
	     *p; p++) {
		snprintf(path, sizeof(path), "%s/%s", dir, *p);
		mkdir(path, 0700);
	}
}

/* 0, or a status to exit with. */
static inline int rig_close(void)
{
	return check_remove(dir) != 0;
}

#endif
