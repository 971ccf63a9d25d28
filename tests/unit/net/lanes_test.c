/* SPDX-License-Identifier: BSD-2-Clause */
/* Both ends of the lanes on one loop, over loopback addresses. With the source, to cut single
 * lanes. */
#include "net/lanes.c"

#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "net/channel_priv.h"
#include "tests/unit/check.h"

#define TOTAL (24u << 20)

static struct channel_key key = {.data = "0123456789abcdef", .len = 16};

struct rig {
	struct loop *loop;
	struct lanes_out *out;
	struct lanes_in *in;
	uint64_t made, got; /* bytes */
	uint64_t held_at;   /* on_bytes refuses when it comes here, once */
	uint64_t cut_at;    /* then lane 0 is cut at the receiver */
	unsigned cuts;	    /* how many lanes */
	unsigned used;	    /* lanes that have carried something, a bit each */
	bool opened, failed;
	char text[CHANNEL_TEXT_MAX];
	struct loop_timer timer, limit;
	uint64_t unsaid;    /* what the receiver has said, and the sender not heard yet */
	bool deaf;	    /* keep it from the sender */
	uint64_t silent_at; /* then lane 0 falls silent */
	uint64_t bound_at;  /* then the lanes are bound */
	int wire[2];	    /* from a receiver that is a process of its own */
};

static uint8_t pattern(uint64_t i)
{
	return (uint8_t)(i * 2654435761u >> 13);
}

static void produce(struct rig *r)
{
	uint8_t *p;

	while (r->made < TOTAL && (p = lanes_out_reserve(r->out))) {
		/* Of every length, a full one among them. */
		size_t n = MIN((uint64_t)(r->made % 7 ? 1 + r->made % LANES_PIECE : LANES_PIECE),
			       TOTAL - r->made);

		for (size_t i = 0; i < n; i++)
			p[i] = pattern(r->made + i);
		lanes_out_commit(r->out, n);
		r->made += n;
	}
	if (r->made == TOTAL && lanes_out_empty(r->out))
		loop_stop(r->loop, 0);
}

static void on_opened(void *arg)
{
	struct rig *r = arg;

	r->opened = true;
	produce(r);
}

static void on_room(void *arg)
{
	struct rig *r = arg;

	CHECK(r->opened);
	produce(r);
}

static void on_failed(void *arg, const char *text)
{
	struct rig *r = arg;

	CHECK(!r->failed);
	r->failed = true;
	snprintf(r->text, sizeof(r->text), "%s", text);
	loop_stop(r->loop, 1);
}

static void go_on(void *arg)
{
	struct rig *r = arg;

	lanes_in_resume(r->in);
}

static void cut(struct rig *r)
{
	for (unsigned i = 0; i < r->cuts; i++) {
		channel_free(r->in->lanes[i].c);
		r->in->lanes[i].c = NULL;
	}
	r->cuts = 0;
}

static void on_cut(void *arg)
{
	cut(arg);
}

static void falls_silent(void *arg);

static bool on_bytes(void *arg, const uint8_t *p, size_t n)
{
	struct rig *r = arg;

	if (r->held_at && r->got >= r->held_at) {
		r->held_at = 0;
		loop_timer_set(r->loop, &r->timer, 5 * MS_NS, go_on, r);
		return false;
	}
	for (size_t i = 0; i < n; i++)
		if (p[i] != pattern(r->got + i))
			return CHECK(!"the bytes as they were sent");
	r->got += n;
	if (r->silent_at && r->got >= r->silent_at && !r->timer.pos) {
		r->silent_at = 0;
		loop_timer_set(r->loop, &r->timer, 0, falls_silent, r);
	}
	if (r->bound_at && r->got >= r->bound_at)
		lanes_out_bound(r->out, 70000);
	/* Not from inside a lane's own callback. */
	if (r->cuts && r->got >= r->cut_at && !r->timer.pos)
		loop_timer_set(r->loop, &r->timer, 0, on_cut, r);
	return true;
}

static void on_arrived(void *arg, uint64_t next)
{
	struct rig *r = arg;

	r->unsaid = next;
	if (!r->deaf)
		CHECK_EQ(lanes_out_arrived(r->out, next), 0);
}

static const struct lanes_out_ops out_ops = {on_opened, on_room, on_failed};
static const struct lanes_in_ops in_ops = {on_bytes, on_arrived};

static void on_limit(void *arg)
{
	loop_stop(arg, -1);
}

/* Runs until the loop is stopped: its status. */
static int run(struct rig *r, const char *addresses)
{
	int status;

	r->loop = loop_new();
	CHECK_EQ(lanes_in_open(r->loop, &key, &in_ops, r, &r->in), 0);
	CHECK_EQ(lanes_out_open(r->loop, addresses, lanes_in_port(r->in), &key, &out_ops, r,
				&r->out, r->text),
		 0);
	loop_timer_set(r->loop, &r->limit, 60 * SEC_NS, on_limit, r->loop);
	status = loop_run(r->loop);
	for (unsigned i = 0; i < r->out->n; i++) {
		struct channel_stats s = {0};

		if (r->out->lanes[i].c)
			channel_stats(r->out->lanes[i].c, &s);
		r->used += s.bytes_sent > TOTAL / 20;
	}
	return status;
}

static void clear(struct rig *r)
{
	lanes_out_free(r->out);
	lanes_in_free(r->in);
	loop_timer_del(r->loop, &r->timer);
	loop_timer_del(r->loop, &r->limit);
	loop_free(r->loop);
}

static void test_one_lane(void)
{
	struct rig r = {0};

	CHECK_EQ(run(&r, "127.0.0.1"), 0);
	CHECK_EQ(r.got, TOTAL);
	CHECK(lanes_out_bytes(r.out) > TOTAL);
	clear(&r);
}

static void test_three_lanes_share(void)
{
	struct rig r = {0};

	CHECK_EQ(run(&r, "127.0.0.1,127.0.0.2,127.0.0.3"), 0);
	CHECK_EQ(r.got, TOTAL);
	CHECK_EQ(r.used, 3);
	clear(&r);
}

static void test_a_receiver_that_is_slow(void)
{
	struct rig r = {.held_at = TOTAL / 3};

	CHECK_EQ(run(&r, "127.0.0.1,127.0.0.2"), 0);
	CHECK_EQ(r.got, TOTAL);
	CHECK_EQ(r.held_at, 0);
	clear(&r);
}

static void test_a_lane_is_lost(void)
{
	struct rig r = {.cut_at = TOTAL / 3, .cuts = 1};

	CHECK_EQ(run(&r, "127.0.0.1,127.0.0.2"), 0);
	CHECK_EQ(r.got, TOTAL);
	CHECK(!r.failed);
	CHECK_EQ(r.out->alive, 1);
	clear(&r);
}

static void test_the_last_lane_is_lost(void)
{
	struct rig r = {.cut_at = TOTAL / 3, .cuts = 2};

	CHECK_EQ(run(&r, "127.0.0.1,127.0.0.2"), 1);
	CHECK(r.failed);
	CHECK(strstr(r.text, "--data 127.0.0."));
	CHECK(r.got < TOTAL);
	clear(&r);
}

/* The network of a lane swallows what is sent; the other one is heard. */
static void falls_silent(void *arg)
{
	struct rig *r = arg;
	struct channel *c = r->in->lanes[0].c;

	loop_fd_del(r->loop, &c->in_watch);
	loop_timer_del(r->loop, &c->timer);
}

/* Amid the stream: it goes on, with less on its way. */
static void test_bound(void)
{
	struct rig r = {.bound_at = TOTAL / 3};
	int bytes = 0;
	socklen_t n = sizeof(bytes);

	CHECK_EQ(run(&r, "127.0.0.1,127.0.0.2"), 0);
	CHECK_EQ(r.got, TOTAL);
	for (unsigned i = 0; i < 2; i++) {
		CHECK_EQ(getsockopt(channel_socket(r.out->lanes[i].c), SOL_SOCKET, SO_SNDBUF,
				    &bytes, &n),
			 0);
		CHECK_EQ(bytes, 2 * 70000); /* the kernel counts its own, too */
	}
	clear(&r);
}

static void test_a_lane_falls_silent(void)
{
	struct rig r = {0};

	dead_ns = SEC_NS;
	r.silent_at = TOTAL / 3;
	CHECK_EQ(run(&r, "127.0.0.1,127.0.0.2"), 0);
	CHECK_EQ(r.got, TOTAL);
	CHECK_EQ(r.out->alive, 1);
	clear(&r);
	dead_ns = 10 * SEC_NS;
}

/* ---- a receiver that is a process of its own, and busy with something else for a while ---- */

static bool on_bytes_busy(void *arg, const uint8_t *p, size_t n)
{
	struct rig *r = arg;

	(void)p;
	if (r->got < TOTAL / 3 && r->got + n >= TOTAL / 3)
		usleep((useconds_t)(behind_ns() / 1000 + 500000));
	r->got += n;
	return true;
}

static void tell_parent(void *arg, uint64_t next)
{
	struct rig *r = arg;

	CHECK_EQ(write(r->wire[1], &next, sizeof(next)), sizeof(next));
}

static void receive(struct rig *r)
{
	static const struct lanes_in_ops busy_ops = {on_bytes_busy, tell_parent};
	uint64_t port;

	r->loop = loop_new();
	CHECK_EQ(lanes_in_open(r->loop, &key, &busy_ops, r, &r->in), 0);
	port = lanes_in_port(r->in);
	CHECK_EQ(write(r->wire[1], &port, sizeof(port)), sizeof(port));
	loop_run(r->loop); /* until it is killed */
}

static void on_told(void *arg, unsigned events)
{
	struct rig *r = arg;
	uint64_t next;

	(void)events;
	CHECK_EQ(read(r->wire[0], &next, sizeof(next)), sizeof(next));
	CHECK_EQ(lanes_out_arrived(r->out, next), 0);
}

/* No lane is to blame for it. */
static void test_a_receiver_that_is_busy(void)
{
	struct rig r = {0};
	struct loop_fd watch_wire = {0};
	uint64_t port;
	pid_t pid;

	dead_ns = 5 * SEC_NS;
	CHECK_EQ(pipe(r.wire), 0);
	pid = fork();
	if (pid == 0)
		receive(&r);
	CHECK_EQ(read(r.wire[0], &port, sizeof(port)), sizeof(port));
	r.loop = loop_new();
	CHECK_EQ(lanes_out_open(r.loop, "127.0.0.1,127.0.0.2", (uint16_t)port, &key, &out_ops, &r,
				&r.out, r.text),
		 0);
	CHECK_EQ(loop_fd_add(r.loop, &watch_wire, r.wire[0], LOOP_READ, on_told, &r), 0);
	loop_timer_set(r.loop, &r.limit, 60 * SEC_NS, on_limit, r.loop);
	CHECK_EQ(loop_run(r.loop), 0);
	CHECK_EQ(r.out->alive, 2);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	loop_fd_del(r.loop, &watch_wire);
	clear(&r);
	close(r.wire[0]);
	close(r.wire[1]);
	dead_ns = 10 * SEC_NS;
}

/* Whatever the receiver does not say has arrived is bounded at both ends. */
static void test_the_window(void)
{
	struct rig r = {.deaf = true};

	r.loop = loop_new();
	CHECK_EQ(lanes_in_open(r.loop, &key, &in_ops, &r, &r.in), 0);
	CHECK_EQ(lanes_out_open(r.loop, "127.0.0.1", lanes_in_port(r.in), &key, &out_ops, &r,
				&r.out, r.text),
		 0);
	loop_timer_set(r.loop, &r.limit, 60 * SEC_NS, on_limit, r.loop);
	while (r.unsaid < LANES_WINDOW) {
		loop_timer_set(r.loop, &r.timer, 5 * MS_NS, on_limit, r.loop);
		loop_run(r.loop);
		if (!CHECK(r.limit.pos)) /* the limit has not passed */
			break;
	}
	CHECK_EQ(r.unsaid, LANES_WINDOW);
	CHECK(!lanes_out_reserve(r.out));
	CHECK(!lanes_out_empty(r.out));
	CHECK_EQ(lanes_out_arrived(r.out, LANES_WINDOW + 1), -EPROTO);
	CHECK_EQ(lanes_out_arrived(r.out, 3), 0);
	CHECK_EQ(lanes_out_arrived(r.out, 2), -EPROTO);
	CHECK(lanes_out_reserve(r.out) != NULL);
	clear(&r);
}

static void test_nobody_there(void)
{
	struct rig r = {0};
	uint16_t port;

	r.loop = loop_new();
	CHECK_EQ(lanes_in_open(r.loop, NULL, &in_ops, &r, &r.in), 0);
	CHECK_EQ(lanes_in_key(r.in)->len, 32);
	port = lanes_in_port(r.in);
	/* Another key than the receiver's. */
	CHECK_EQ(lanes_out_open(r.loop, "127.0.0.1", port, &key, &out_ops, &r, &r.out, r.text), 0);
	loop_timer_set(r.loop, &r.limit, 60 * SEC_NS, on_limit, r.loop);
	CHECK_EQ(loop_run(r.loop), 1);
	CHECK(strstr(r.text, "--data 127.0.0.1: "));
	lanes_out_free(r.out);
	lanes_in_free(r.in);
	r.in = NULL;
	r.failed = false;
	/* Nobody at all. */
	CHECK_EQ(lanes_out_open(r.loop, "127.0.0.1", port, &key, &out_ops, &r, &r.out, r.text), 0);
	CHECK_EQ(loop_run(r.loop), 1);
	CHECK(strstr(r.text, "--data 127.0.0.1: "));
	CHECK(!r.opened);
	clear(&r);
}

static void test_bad_lists(void)
{
	static const char *const bad[] = {"", "127.0.0.1,", ",127.0.0.1", "no such host",
					  "1.1.1.1,1.1.1.2,1.1.1.3,1.1.1.4,1.1.1.5,1.1.1.6,1.1.1.7,"
					  "1.1.1.8,1.1.1.9"};
	struct loop *l = loop_new();

	for (size_t i = 0; i < ARRAY_SIZE(bad) - 1; i++) {
		char text[CHANNEL_TEXT_MAX] = "";
		struct lanes_out *o;

		CHECK(lanes_out_open(l, bad[i], 1, &key, &out_ops, NULL, &o, text) < 0);
		CHECK(strncmp(text, "--data", 6) == 0);
	}
	loop_free(l);
}

/* A peer with the key that sends nonsense loses its lane, and nothing else happens. */
static void test_nonsense(void)
{
	struct rig r = {0};
	struct lane_in lane = {.in = NULL};
	uint8_t p[NUMBER + 4] = {0};

	r.loop = loop_new();
	CHECK_EQ(lanes_in_open(r.loop, &key, &in_ops, &r, &r.in), 0);
	CHECK_EQ(lanes_out_open(r.loop, "127.0.0.1", lanes_in_port(r.in), &key, &out_ops, &r,
				&r.out, r.text),
		 0);
	r.made = TOTAL + 1; /* produce nothing */
	loop_timer_set(r.loop, &r.limit, 60 * SEC_NS, on_limit, r.loop);
	while (!r.in->lanes[0].c && CHECK(r.limit.pos)) {
		loop_timer_set(r.loop, &r.timer, 5 * MS_NS, on_limit, r.loop);
		loop_run(r.loop);
	}
	lane = r.in->lanes[0];
	put_be64(p, LANES_WINDOW); /* the first that is too far on */
	on_piece(&r.in->lanes[0], PIECE, p, sizeof(p));
	CHECK(!r.in->lanes[0].c);
	CHECK(lane.c != NULL);
	CHECK_EQ(r.got, 0);
	clear(&r);
}

int main(void)
{
	CHECK_RUN(test_one_lane);
	CHECK_RUN(test_three_lanes_share);
	CHECK_RUN(test_a_receiver_that_is_slow);
	CHECK_RUN(test_a_lane_is_lost);
	CHECK_RUN(test_the_last_lane_is_lost);
	CHECK_RUN(test_bound);
	CHECK_RUN(test_a_lane_falls_silent);
	CHECK_RUN(test_a_receiver_that_is_busy);
	CHECK_RUN(test_the_window);
	CHECK_RUN(test_nobody_there);
	CHECK_RUN(test_bad_lists);
	CHECK_RUN(test_nonsense);
	return CHECK_DONE();
}
