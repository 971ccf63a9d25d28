/* SPDX-License-Identifier: BSD-2-Clause */
/* What the guardian of a killed sender does. */
#include "xen/recovery.h"

#include <errno.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/check.h"
#include "tests/unit/fake/xen.h"

static struct fake_domain *guest;
static struct channel *receiver;
static const char *answer; /* what the receiver says became of it */

static bool on_frame(void *arg, uint8_t type, const uint8_t *p, size_t n)
{
	struct buf b = {0};

	(void)arg;
	(void)p;
	(void)n;
	if (type == MSG_HELLO) {
		message_put(&b, "is", "%s", answer);
		message_send(receiver, MSG_ANSWER, &b);
	}
	return true;
}

static void on_close(void *arg, int err, const char *text)
{
	(void)err;
	(void)text;
	loop_stop(arg, 0);
}

/* A process of its own: the sender's loop ends with the answer. */
static void receive(int fd)
{
	static const struct channel_ops ops = {.on_frame = on_frame, .on_close = on_close};
	struct loop *l = loop_new();
	const struct channel_config cfg = {.ops = &ops, .arg = l, .peer = "sender", .server = true};

	if (!channel_new(l, fd, fd, &cfg, &receiver))
		loop_run(l);
	_exit(0);
}

static int open_way(void *arg, struct loop *l, const struct channel_config *cfg,
		    struct channel **out)
{
	int sv[2];

	(void)arg;
	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
	if (fork() == 0) {
		close(sv[0]);
		receive(sv[1]);
	}
	close(sv[1]);
	return channel_new(l, sv[0], sv[0], cfg, out);
}

static const struct migration_way way = {.open = open_way, .host = "b"};

static struct recovery_note begin(void)
{
	struct recovery_note note = {.guest = {.domid = 5, .name = "guest"}, .id = "0123"};

	fake_reset();
	guest = fake_domain_new(5, "guest");
	guest->log_dirty = true;
	return note;
}

static void recover(const struct recovery_note *note)
{
	(void)recovery_run(note, &way, 30 * SEC_NS);
	while (wait(NULL) > 0)
		; /* its receiver */
	CHECK_EQ(fake.open, 0);
}

static void test_killed_in_mid_copy(void)
{
	const struct recovery_note note = begin();

	recover(&note);
	CHECK(!guest->log_dirty);
	CHECK_STR(fake.did, "");
}

static void test_killed_while_it_is_asked_to_suspend(void)
{
	struct recovery_note note = begin();

	note.guest.asked = true;
	snprintf(guest->control, sizeof(guest->control), "suspend");
	recover(&note);
	CHECK_STR(guest->control, "");
	CHECK_STR(fake.did, "");
}

static void test_killed_when_it_is_suspended(void)
{
	struct recovery_note note = begin();

	note.guest.asked = true;
	fake_suspends(guest);
	snprintf(guest->name, sizeof(guest->name), "guest--migratedaway");
	recover(&note);
	CHECK_STR(guest->name, "guest");
	CHECK(!guest->shutdown);
}

static struct recovery_note begin_handed_over(const char *says)
{
	struct recovery_note note = begin();

	note.handed_over = true;
	fake_suspends(guest);
	snprintf(guest->name, sizeof(guest->name), "guest--migratedaway");
	answer = says;
	return note;
}

static void test_killed_after_go(void)
{
	struct recovery_note note = begin_handed_over("running");

	recover(&note);
	CHECK_STR(fake.did, "destroy 5, ");

	note = begin_handed_over("gone");
	recover(&note);
	CHECK(!guest->shutdown);
	CHECK_STR(guest->name, "guest");

	/* Nobody knows: it may run there. */
	note = begin_handed_over("unknown");
	recover(&note);
	CHECK(guest->shutdown);
	CHECK_STR(fake.did, "");
}

int main(void)
{
	signal(SIGPIPE, SIG_IGN);
	CHECK_RUN(test_killed_in_mid_copy);
	CHECK_RUN(test_killed_while_it_is_asked_to_suspend);
	CHECK_RUN(test_killed_when_it_is_suspended);
	CHECK_RUN(test_killed_after_go);
	return CHECK_DONE();
}
