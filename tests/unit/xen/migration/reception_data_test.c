/* SPDX-License-Identifier: BSD-2-Clause */
/* The receiver and data connections (--data), on a host that the test plays: what it offers, to
 * whom, and that nothing of them stays. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "net/lanes.h"
#include "tests/unit/check.h"
#include "tests/unit/fake/xen.h"
#include "xen/guest_claim.h"
#include "xen/message.h"
#include "xen/migration/reception.h"

#define ID "0123456789abcdef0123456789abcdef"

static struct channel_key channels_own = {.data = "fedcba9876543210", .len = 16};

static struct peer {
	struct loop *loop;
	struct toolstack *t;
	struct channel *c;
	struct reception *r;
	bool wants; /* data connections */
	struct lanes_out *lanes;
	struct channel_key key;
	uint64_t port; /* 0: none was offered */
	bool told_key, opened, failed, early, stops;
	struct loop_timer timer;
} p;

static void hang_up(void *arg)
{
	(void)arg;
	channel_free(p.c);
	p.c = NULL;
}

/* ---- the lanes ---- */

static void on_lanes_open(void *arg)
{
	uint8_t *to = lanes_out_reserve(p.lanes);

	(void)arg;
	p.opened = true;
	/* Nothing has begun: it is kept until something does, or until all ends. */
	if (CHECK(to != NULL))
		lanes_out_commit(p.lanes, 1);
	loop_timer_set(p.loop, &p.timer, 50 * MS_NS, hang_up, NULL);
}

static void on_room(void *arg)
{
	(void)arg;
}

static void on_lanes_failed(void *arg, const char *text)
{
	(void)arg;
	CHECK(strstr(text, "--data 127.0.0.1"));
	p.failed = true;
	if (p.stops)
		loop_stop(p.loop, 0);
	else if (!p.opened)
		hang_up(NULL);
}

static const struct lanes_out_ops lanes_ops = {on_lanes_open, on_room, on_lanes_failed};

/* ---- the channel ---- */

static void on_open(void *arg)
{
	struct buf b = {0};

	(void)arg;
	message_put(&b, "protocol", "%u", MIGRATION_PROTOCOL);
	message_put(&b, "mode", "migrate");
	message_put(&b, "id", "%s", ID);
	message_put(&b, "xen", "4.17");
	if (p.wants)
		message_put(&b, "data", "1");
	CHECK_EQ(message_send(p.c, MSG_HELLO, &b), 0);
}

static bool on_frame(void *arg, uint8_t type, const uint8_t *m, size_t n)
{
	char key[64], text[CHANNEL_TEXT_MAX];

	(void)arg;
	p.early |= type == MSG_ARRIVED;
	if (type != MSG_HELLO)
		return true;
	if (message_get_u64(m, n, "data_port", &p.port))
		p.port = 0;
	p.told_key = !message_get(m, n, "data_key", key, sizeof(key));
	if (p.told_key) {
		p.key.len = strlen(key);
		memcpy(p.key.data, key, p.key.len);
	}
	if (!p.port || lanes_out_open(p.loop, "127.0.0.1", (uint16_t)p.port, &p.key, &lanes_ops,
				      NULL, &p.lanes, text))
		loop_timer_set(p.loop, &p.timer, 0, hang_up, NULL);
	return true;
}

static void on_close(void *arg, int err, const char *text)
{
	(void)err;
	(void)text;
	hang_up(arg);
}

static const struct channel_ops peer_ops = {
	.on_open = on_open, .on_frame = on_frame, .on_close = on_close};

static void on_done(void *arg, enum reception_end end)
{
	(void)arg;
	CHECK_EQ(end, RECEPTION_NOTHING);
	loop_stop(p.loop, 0);
}

/* One conversation, to its end; key: the channel's, or NULL. */
static void talk(bool wants, const struct channel_key *key, const struct channel_key *lanes_key)
{
	struct channel_config cfg = {.ops = &peer_ops, .peer = "receiver", .key = key};
	struct channel_config mine = {
		.ops = &reception_ops, .peer = "sender", .server = true, .key = key};
	struct channel *c;
	int sv[2];

	fake_reset();
	p = (struct peer){.loop = loop_new(), .wants = wants};
	if (lanes_key)
		p.key = *lanes_key;
	CHECK_EQ(toolstack_open(p.loop, &p.t), 0);
	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
	CHECK_EQ(channel_new(p.loop, sv[0], sv[0], &cfg, &p.c), 0);
	CHECK_EQ(reception_new(p.loop, p.t, on_done, NULL, &p.r), 0);
	mine.arg = p.r;
	CHECK_EQ(channel_new(p.loop, sv[1], sv[1], &mine, &c), 0);
	reception_channel(p.r, c, key);
	CHECK_EQ(loop_run(p.loop), 0);
	reception_free(p.r);
	CHECK(!p.early);
}

static void end(void)
{
	lanes_out_free(p.lanes);
	loop_timer_del(p.loop, &p.timer);
	channel_free(p.c);
	toolstack_close(p.t);
	loop_free(p.loop);
	CHECK_EQ(fake.open, 0);
}

/* Over a channel that is private and has no key, the key to the lanes is told, and new each time.
 */
static void test_offers(void)
{
	struct channel_key before;

	talk(true, NULL, NULL);
	CHECK(p.port && p.told_key && p.opened);
	before = p.key;
	end();
	talk(true, NULL, NULL);
	CHECK(p.opened);
	CHECK(memcmp(&before.data, &p.key.data, p.key.len) != 0);
	end();
}

static void test_not_asked_for(void)
{
	talk(false, NULL, NULL);
	CHECK(!p.port && !p.told_key);
	end();
}

/* A channel with a key: that is the lanes', too, and is not told. Without it nobody gets in. */
static void test_the_channels_key(void)
{
	const struct channel_key another = {.data = "0000000000000000", .len = 16};

	talk(true, &channels_own, &channels_own);
	CHECK(p.port && !p.told_key && p.opened);
	end();
	talk(true, &channels_own, &another);
	CHECK(p.port && !p.opened && p.failed);
	end();
}

/* The port goes with the reception. */
static void test_closed_afterwards(void)
{
	char text[CHANNEL_TEXT_MAX];

	talk(true, NULL, NULL);
	lanes_out_free(p.lanes);
	p.lanes = NULL;
	p.opened = p.failed = false;
	CHECK_EQ(lanes_out_open(p.loop, "127.0.0.1", (uint16_t)p.port, &p.key, &lanes_ops, NULL,
				&p.lanes, text),
		 0);
	p.stops = true;
	loop_run(p.loop);
	CHECK(p.failed && !p.opened);
	end();
}

int main(void)
{
	char dir[] = "/tmp/vstor-reception-XXXXXX";

	signal(SIGPIPE, SIG_IGN);
	if (!mkdtemp(dir))
		return 1;
	guest_claim_dir = dir;
	CHECK_RUN(test_offers);
	CHECK_RUN(test_not_asked_for);
	CHECK_RUN(test_the_channels_key);
	CHECK_RUN(test_closed_afterwards);
	return check_remove(dir) != 0 || CHECK_DONE();
}
