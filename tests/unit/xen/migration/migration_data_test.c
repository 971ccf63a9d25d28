/* SPDX-License-Identifier: BSD-2-Clause */
/* The sender with the guest's memory over networks of its own (--data). */
#include <fcntl.h>

#include "net/lanes.h"
#include "tests/unit/xen/migration/migration_rig.h"

static struct far {
	struct lanes_in *in;
	uint16_t port; /* that it tells; 0: its own */
	bool offers;
	uint64_t got; /* bytes, by the lanes */
} far;

static bool on_bytes(void *arg, const uint8_t *p, size_t n)
{
	(void)arg;
	(void)p;
	far.got += n;
	return true;
}

static void on_arrived(void *arg, uint64_t next)
{
	char number[24];

	(void)arg;
	snprintf(number, sizeof(number), "%llu", (unsigned long long)next);
	if (w.receiver)
		says(MSG_ARRIVED, "next", number);
}

static const struct lanes_in_ops lanes_ops = {on_bytes, on_arrived};

/* The receiver's HELLO: where its lanes are, and the key to them, as the channel has none. */
static bool offers_lanes(enum message_type type)
{
	struct buf b = {0};

	CHECK(type != MSG_DATA); /* what goes over lanes does not go over the channel */
	if (type != MSG_HELLO || !far.offers)
		return false;
	CHECK_EQ(lanes_in_open(w.loop, NULL, &lanes_ops, NULL, &far.in), 0);
	message_put(&b, "protocol", "%u", MIGRATION_PROTOCOL);
	message_put(&b, "boot", "another");
	message_put(&b, "data_port", "%u", far.port ? far.port : lanes_in_port(far.in));
	message_put(&b, "data_key", "%.*s", (int)lanes_in_key(far.in)->len,
		    (const char *)lanes_in_key(far.in)->data);
	CHECK_EQ(message_send(w.receiver, MSG_HELLO, &b), 0);
	return true;
}

static void begin_data(const char *addresses)
{
	begin();
	far = (struct far){.offers = true};
	w.hears = offers_lanes;
	w.o.data = addresses;
}

static void end_data(void)
{
	lanes_in_free(far.in);
	end();
}

/* Some megabytes, in the pipe as it has room. */
static void writes_then_ends(void *arg)
{
	static uint8_t bytes[64 << 10];
	static unsigned left;

	(void)arg;
	if (!left)
		left = 64;
	while (left && write(fake.save_fd, bytes, sizeof(bytes)) > 0)
		left--;
	if (left) {
		loop_timer_set(w.loop, &w.timer, MS_NS, writes_then_ends, NULL);
		return;
	}
	helper_reports(PRECOPY_SUSPEND);
	fake_suspends(w.guest);
	helper_reports(PRECOPY_SUSPENDED);
	fake_save_ends(0);
}

static void saves_much(void)
{
	fcntl(fake.save_fd, F_SETFL, O_NONBLOCK);
	writes_then_ends(NULL);
}

static void test_moves_over_two(void)
{
	begin_data("127.0.0.1,127.0.0.2");
	w.copying = saves_much;
	migrate();
	CHECK_EQ(w.result.end, MIGRATION_MOVED);
	CHECK_EQ(far.got, 64 << 16);
	CHECK(w.result.bytes > far.got); /* both networks are counted */
	end_data();
}

static void test_none_offered(void)
{
	begin_data("127.0.0.1");
	far.offers = false;
	stays();
	CHECK(strstr(w.result.cause, "--data: the vstor there offers no data connections"));
	CHECK(!fake.save);
	end_data();
}

static void test_nobody_there(void)
{
	begin_data("127.0.0.1");
	far.port = 1;
	stays();
	CHECK(strstr(w.result.cause, "--data 127.0.0.1: "));
	CHECK_STR(fake.did, "retrieve 5, ");
	end_data();
}

/* All of them, in mid-copy: the save is called off. */
static void copies_then_loses_them(void)
{
	helper_begins();
	lanes_in_free(far.in);
	far.in = NULL;
}

static void test_all_lost(void)
{
	begin_data("127.0.0.1,127.0.0.2");
	w.copying = copies_then_loses_them;
	stays();
	CHECK(strstr(w.result.cause, "--data 127.0.0."));
	CHECK_STR(fake.did, "retrieve 5, suspend 5, abort 5, ");
	end_data();
}

/* Before they are open there is nothing to call off but them. */
static bool is_cancelled_at_verdicts(enum message_type type)
{
	if (type == MSG_PREFLIGHT)
		loop_timer_set(w.loop, &w.timer, 0, on_copying, NULL);
	return offers_lanes(type);
}

static void test_called_off_while_they_open(void)
{
	begin_data("127.0.0.1");
	w.hears = is_cancelled_at_verdicts;
	w.copying = cancels;
	stays();
	CHECK_STR(w.result.cause, "interrupted");
	CHECK_STR(fake.did, "retrieve 5, ");
	end_data();
}

/* ---- without them ---- */

static int send_buffer(void)
{
	int bytes = 0;
	socklen_t n = sizeof(bytes);

	CHECK_EQ(getsockopt(w.socket, SOL_SOCKET, SO_SNDBUF, &bytes, &n), 0);
	return bytes;
}

static void round_begins(unsigned round)
{
	const struct precopy_report r = {
		.what = PRECOPY_ROUND, .at = clock_ns(), .round = round, .speed = 100};
	char text[320];

	precopy_report_print(&r, text, sizeof(text));
	fake_helper_says(text);
}

/* The kernel has its own way with the bulk, not with what the last pages would wait for. */
static void goes_two_rounds(void)
{
	const int large = 1000000;
	int before;

	setsockopt(w.socket, SOL_SOCKET, SO_SNDBUFFORCE, &large, sizeof(large));
	before = send_buffer();
	helper_begins();
	round_begins(0);
	CHECK_EQ(send_buffer(), before);
	round_begins(1);
	CHECK(send_buffer() <= 2 * (256 << 10) && send_buffer() != before);
	hang_up();
	round_begins(2); /* nothing is there any more */
}

static void test_bounds_what_is_queued(void)
{
	begin();
	w.copying = goes_two_rounds;
	stays();
	end();
}

int main(void)
{
	rig_open();
	CHECK_RUN(test_moves_over_two);
	CHECK_RUN(test_none_offered);
	CHECK_RUN(test_nobody_there);
	CHECK_RUN(test_all_lost);
	CHECK_RUN(test_called_off_while_they_open);
	CHECK_RUN(test_bounds_what_is_queued);
	return rig_close() || CHECK_DONE();
}
