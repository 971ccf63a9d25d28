/* SPDX-License-Identifier: BSD-2-Clause */
/* The receiver and a peer that is confused or hostile. What needs a guest is tested in the lab. */
#include "xen/migration/reception.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "core/bytes.h"
#include "core/log.h"
#include "tests/unit/check.h"
#include "xen/guest_claim.h"
#include "xen/migration/handover.h"
#include "xen/message.h"

#define ID   "0123456789abcdef0123456789abcdef"
#define UUID "01234567-89ab-cdef-0123-456789abcdef"

struct peer {
	struct loop *loop;
	struct channel *c;
	struct reception *r;
	void (*speaks)(struct peer *p);
	char answer[16], cause[320];
	bool closed, ended;
	enum reception_end end;
};

static void stop_when_over(struct peer *p)
{
	if (p->closed && p->ended)
		loop_stop(p->loop, 0);
}

static void on_open(void *arg)
{
	struct peer *p = arg;

	p->speaks(p);
}

static bool on_frame(void *arg, uint8_t type, const uint8_t *m, size_t n)
{
	struct peer *p = arg;

	CHECK_EQ(message_check(m, n), 0);
	if (type == MSG_ANSWER)
		message_get(m, n, "is", p->answer, sizeof(p->answer));
	else if (type == MSG_FAILED)
		message_get(m, n, "cause", p->cause, sizeof(p->cause));
	else
		CHECK_EQ(type, MSG_FAILED);
	return true;
}

static void on_close(void *arg, int err, const char *text)
{
	struct peer *p = arg;

	(void)err;
	(void)text;
	channel_free(p->c);
	p->c = NULL;
	p->closed = true;
	stop_when_over(p);
}

static const struct channel_ops peer_ops = {
	.on_open = on_open, .on_frame = on_frame, .on_close = on_close};

static void on_done(void *arg, enum reception_end end)
{
	struct peer *p = arg;

	CHECK(!p->ended);
	p->ended = true;
	p->end = end;
	stop_when_over(p);
}

/* One conversation, to its end. */
static void talk(struct peer *p, void (*speaks)(struct peer *p))
{
	struct channel_config cfg = {.ops = &peer_ops, .arg = p, .peer = "receiver"};
	struct channel_config mine = {.ops = &reception_ops, .peer = "sender", .server = true};
	struct channel *c;
	int sv[2];

	*p = (struct peer){.loop = loop_new(), .speaks = speaks};
	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
	CHECK_EQ(channel_new(p->loop, sv[0], sv[0], &cfg, &p->c), 0);
	CHECK_EQ(reception_new(p->loop, NULL, on_done, p, &p->r), 0);
	mine.arg = p->r;
	CHECK_EQ(channel_new(p->loop, sv[1], sv[1], &mine, &c), 0);
	reception_channel(p->r, c, NULL);
	loop_run(p->loop);
	reception_free(p->r);
	channel_free(p->c);
	loop_free(p->loop);
}

static void hello(struct peer *p, const char *mode, const char *id, unsigned int protocol)
{
	struct buf b = {0};

	message_put(&b, "protocol", "%u", protocol);
	message_put(&b, "mode", "%s", mode);
	message_put(&b, "id", "%s", id);
	CHECK_EQ(message_send(p->c, MSG_HELLO, &b), 0);
}

/* ---- questions ---- */

static void asks(struct peer *p)
{
	hello(p, "ask", ID, MIGRATION_PROTOCOL);
}

static void test_answers(void)
{
	struct handover h;
	struct peer p;

	talk(&p, asks);
	CHECK_STR(p.answer, "unknown");
	CHECK_EQ(p.end, RECEPTION_NOTHING);

	CHECK_EQ(handover_begin(&h, ID, UUID, "guest", &(struct referee){0}, &(struct disks){0}),
		 0);
	talk(&p, asks);
	CHECK_STR(p.answer, "busy");
	handover_set(&h, HANDOVER_RUNNING);
	talk(&p, asks);
	CHECK_STR(p.answer, "running");
	handover_set(&h, HANDOVER_GONE);
	handover_end(&h);
	talk(&p, asks);
	CHECK_STR(p.answer, "gone");
}

/* ---- vstors of other versions ---- */

static const char *mode, *its_protocol;

/* Whatever else an older or a newer one may say. */
static void of_another_version(struct peer *p)
{
	struct buf b = {0};

	message_put(&b, "later", "something that nobody knows here");
	if (its_protocol)
		message_put(&b, "protocol", "%s", its_protocol);
	message_put(&b, "vstor", "7.8.9");
	message_put(&b, "mode", "%s", mode);
	message_put(&b, "id", "%s", ID);
	CHECK_EQ(message_send(p->c, MSG_HELLO, &b), 0);
	CHECK_EQ(channel_send(p->c, MSG_CONFIG, "{}", 2), 0);
}

/* Refused in words that name both ends; nothing it says is taken for something else. */
static void test_other_versions(void)
{
	static const char *const modes[] = {"migrate", "survey", "ask"};
	char older[16], newer[16], near[16], expect[160];
	const char *const versions[] = {"0", older, newer, near, "-1", "two", NULL};
	struct peer p;

	snprintf(older, sizeof(older), "%u", MIGRATION_PROTOCOL - 1);
	snprintf(newer, sizeof(newer), "%u", MIGRATION_PROTOCOL + 1);
	snprintf(near, sizeof(near), "%u.1", MIGRATION_PROTOCOL);
	for (size_t i = 0; i < ARRAY_SIZE(versions) * ARRAY_SIZE(modes); i++) {
		its_protocol = versions[i / ARRAY_SIZE(modes)];
		mode = modes[i % ARRAY_SIZE(modes)];
		talk(&p, of_another_version);
		CHECK_EQ(p.end, RECEPTION_NOTHING);
		CHECK_STR(p.answer, "");
		snprintf(expect, sizeof(expect),
			 "the sender's vstor 7.8.9 speaks version %s of the protocol of "
			 "migrations, the receiver's vstor " VSTOR_VERSION " version %u: ",
			 its_protocol ? its_protocol : "none", MIGRATION_PROTOCOL);
		if (!CHECK(strncmp(p.cause, expect, strlen(expect)) == 0))
			printf("# cause: %s\n", p.cause);
	}
}

/* ---- nonsense ---- */

static void bad_id(struct peer *p)
{
	hello(p, "ask", "../../../etc/passwd", MIGRATION_PROTOCOL);
}

static void bad_mode(struct peer *p)
{
	hello(p, "dance", ID, MIGRATION_PROTOCOL);
}

static void twice(struct peer *p)
{
	hello(p, "ask", ID, MIGRATION_PROTOCOL);
	hello(p, "ask", ID, MIGRATION_PROTOCOL);
}

static void not_text(struct peer *p)
{
	CHECK_EQ(channel_send(p->c, MSG_HELLO, "\0\1\2", 3), 0);
}

static void unknown_type(struct peer *p)
{
	CHECK_EQ(channel_send(p->c, 99, "", 0), 0);
}

/* GO, the stream and its end, before anything has been agreed. */
static void out_of_turn(struct peer *p)
{
	static uint8_t data[100000];

	CHECK_EQ(channel_send(p->c, MSG_GO, "", 0), 0);
	CHECK_EQ(channel_send(p->c, MSG_BEGIN, "", 0), 0);
	CHECK_EQ(channel_send(p->c, MSG_DATA, data, sizeof(data)), 0);
	CHECK_EQ(channel_send(p->c, MSG_GO, "", 0), 0);
	CHECK_EQ(channel_send(p->c, MSG_END, "bytes=100000\n", 13), 0);
}

static void hangs_up(struct peer *p)
{
	channel_free(p->c);
	p->c = NULL;
	p->closed = true;
}

static void test_nonsense(void)
{
	static void (*const ways[])(struct peer *) = {bad_id,	bad_mode,     twice,
						      not_text, unknown_type, out_of_turn};
	struct peer p;

	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		talk(&p, ways[i]);
		CHECK_EQ(p.end, RECEPTION_NOTHING);
		if (ways[i] != twice)
			CHECK(p.cause[0]);
	}
	talk(&p, hangs_up);
	CHECK_EQ(p.end, RECEPTION_NOTHING);
}

static void noise(struct peer *p)
{
	uint8_t bytes[64];

	for (int i = 0; i < 50; i++) {
		/* all but a HELLO that begins a migration: that needs a Xen host */
		uint8_t type = (uint8_t)(MSG_CONFIG + rand() % (MSG_ANSWER - MSG_CONFIG + 3));

		for (size_t k = 0; k < sizeof(bytes); k++)
			bytes[k] = (uint8_t)(rand() % 4 ? "is=running\n"[k % 11] : rand());
		CHECK_EQ(channel_send(p->c, type, bytes, (size_t)rand() % sizeof(bytes)), 0);
	}
	channel_finish(p->c);
}

static void test_noise(void)
{
	struct peer p;

	srand(3);
	for (int i = 0; i < 200; i++) {
		talk(&p, noise);
		CHECK_EQ(p.end, RECEPTION_NOTHING);
	}
}

int main(void)
{
	char dir[] = "/tmp/vstor-reception-XXXXXX";

	signal(SIGPIPE, SIG_IGN);
	if (!mkdtemp(dir))
		return 1;
	guest_claim_dir = ledger_dir = dir;
	CHECK_RUN(test_answers);
	CHECK_RUN(test_other_versions);
	CHECK_RUN(test_nonsense);
	CHECK_RUN(test_noise);
	return check_remove(dir) != 0 || CHECK_DONE();
}
