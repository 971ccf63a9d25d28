/* SPDX-License-Identifier: BSD-2-Clause */
/* Includes what it tests: what the kernel and the name server say is given here. */
#define iscsi_session_read     fake_session_read
#define iscsi_kernel_stop      fake_stop
#define iscsi_kernel_start     fake_start
#define iscsi_kernel_set       fake_set
#define iscsi_kernel_bind      fake_bind
#define iscsi_kernel_set_login fake_set_login
#define lookup(...)	       fake_lookup(__VA_ARGS__)
#include "net/iscsi/keeper.c"
#undef lookup

#include "tests/unit/check.h"
#include "tests/unit/core/loop_rig.h"

static struct keeper k;
static struct iscsi_session shown; /* what sysfs has; no state: no session */
static const char *named;	   /* what the name stands for, or NULL */
static unsigned stops;
static char mark[KEEPER_MARK];

int fake_session_read(uint32_t sid, struct iscsi_session *s)
{
	*s = shown;
	s->sid = sid;
	return shown.state[0] ? 0 : -ENOENT;
}

int fake_stop(const struct iscsi_kernel *x, uint32_t sid, bool recover)
{
	(void)x, (void)sid;
	stops += recover;
	return 0;
}

int fake_start(const struct iscsi_kernel *x, uint32_t sid)
{
	(void)x, (void)sid;
	return 0;
}

int fake_set(const struct iscsi_kernel *x, uint32_t sid, enum iscsi_param param, const char *value)
{
	(void)x, (void)sid;
	CHECK_EQ(param, ISCSI_PARAM_IFACE_NAME);
	snprintf(mark, sizeof(mark), "%s", value);
	return 0;
}

int fake_bind(const struct iscsi_kernel *x, uint32_t sid, int sock)
{
	(void)x, (void)sid, (void)sock;
	return 0;
}

int fake_set_login(const struct iscsi_kernel *x, uint32_t sid, const struct iscsi_login *login)
{
	(void)x, (void)sid, (void)login;
	return 0;
}

int fake_lookup(struct lookup *u, struct loop *loop, const char *text, uint16_t port,
		struct sock_addrs *out)
{
	(void)u, (void)loop;
	if (sock_resolve_numeric(text, port, out) == 0)
		return 0;
	return named ? sock_resolve_numeric(named, port, out) : -EINPROGRESS;
}

static void watch(const char *address, const char *peer)
{
	begin();
	shown = (struct iscsi_session){.port = 3260, .state = "LOGGED_IN", .peer = "192.0.2.1"};
	snprintf(shown.target, sizeof(shown.target), "iqn.2026-11.test:one");
	snprintf(shown.address, sizeof(shown.address), "%s", address);
	k = (struct keeper){.loop = l, .session = shown, .state = UP, .since = clock_ns()};
	k.session.sid = 7;
	snprintf(k.peer, sizeof(k.peer), "%s", peer);
	stops = 0;
	named = NULL;
	mark[0] = '\0';
}

static void unwatch(void)
{
	loop_timer_del(l, &k.timer);
	end();
}

static const char *next_place(unsigned attempts)
{
	static char text[SOCK_TEXT_MAX];
	struct sock_addrs a;
	int err;

	k.attempts = attempts;
	err = where_to(&k, &a);
	return err ? sock_strerror(err) : sock_text(&a.v[0], text);
}

/* ---- events that did not arrive ---- */

static const struct iscsi_event missed_events = {.type = ISCSI_EVENT_MISSED};

static void test_an_error_that_was_missed(void)
{
	watch("192.0.2.1", "");
	snprintf(shown.state, sizeof(shown.state), "FAILED");
	on_event(&k, &missed_events);
	CHECK_EQ(k.state, WAITING);
	CHECK_EQ(stops, 1);
	unwatch();
}

/* What drops us as soon as it has let us in gets time; what has been up for long does not. */
static void test_how_long_it_was_up(void)
{
	watch("192.0.2.1", "");
	lost(&k, "gone");
	CHECK(k.timer.due > clock_ns() + FLAP_WAIT / 2);
	CHECK(lasted(&k) < LIMIT);
	unwatch();
	watch("192.0.2.1", "");
	k.since -= 2 * STEADY;
	lost(&k, "gone");
	CHECK(k.timer.due < clock_ns() + FLAP_WAIT / 2);
	CHECK(lasted(&k) < LIMIT);
	unwatch();
}

/* The kernel's stop comes a little after its event. */
static void test_an_error_that_shows_later(void)
{
	watch("192.0.2.1", "");
	on_event(&k, &missed_events);
	CHECK_EQ(k.state, UP);
	CHECK_EQ(stops, 0);
	CHECK(k.timer.pos);
	shown.peer[0] = '\0';
	k.timer.fn(k.timer.arg);
	CHECK_EQ(k.state, WAITING);
	CHECK_EQ(stops, 1);
	unwatch();
}

static void test_nothing_of_ours_was_missed(void)
{
	watch("192.0.2.1", "");
	on_event(&k, &missed_events);
	k.timer.fn(k.timer.arg);
	CHECK_EQ(k.state, UP);
	CHECK_EQ(stops, 0);
	unwatch();
}

static void on_the_loop(void *arg)
{
	(void)arg;
	on_event(&k, &missed_events);
}

static void test_the_end_that_was_missed(void)
{
	static struct loop_task task = {.fn = on_the_loop};
	static const enum state states[] = {UP, WAITING, CONNECTING, LOGIN};

	for (unsigned i = 0; i < ARRAY_SIZE(states); i++) {
		watch("192.0.2.1", "");
		k.state = states[i];
		shown.state[0] = '\0';
		loop_defer(l, &task);
		CHECK_EQ(run(), 0); /* it ends */
		CHECK_EQ(k.state, states[i]);
		CHECK_EQ(stops, 0);
		unwatch();
	}
}

/* ---- where to go ---- */

static void test_a_name_keeps_nobody_waiting(void)
{
	watch("storage", "192.0.2.1:3260");
	CHECK_STR(next_place(0), "192.0.2.1:3260");
	CHECK_STR(next_place(8), "192.0.2.1:3260");
	named = "192.0.2.2";
	CHECK_STR(next_place(1), "192.0.2.1:3260");
	CHECK_STR(next_place(8), "192.0.2.2:3260");
	CHECK_STR(next_place(15), "192.0.2.2:3260");
	CHECK_STR(next_place(16), "192.0.2.1:3260");
	unwatch();
}

static void test_where_a_target_has_moved_to(void)
{
	watch("storage", "192.0.2.1:3260");
	k.away = true;
	snprintf(k.moved_to, sizeof(k.moved_to), "192.0.2.9:3261");
	CHECK_STR(next_place(0), "192.0.2.9:3261");
	snprintf(k.moved_to, sizeof(k.moved_to), "elsewhere:3261");
	CHECK_STR(next_place(0), sock_strerror(-EINPROGRESS));
	unwatch();
	watch("2001:db8::1", "");
	CHECK_STR(next_place(0), "[2001:db8::1]:3260");
	unwatch();
}

/* The mark says all that the next keeper has to know, and is kept up to date. */
static void test_the_mark(void)
{
	struct initiator_id id = {.isid = {0x80, 1, 2, 3, 4, 0xff}}, back;
	char text[KEEPER_MARK], peer[SOCK_TEXT_MAX];

	keeper_mark(&id, NULL, text);
	CHECK_STR(text, "vstor:8001020304ff");
	CHECK(read_mark(text, &back, peer));
	CHECK(!back.digests && !peer[0] && memcmp(back.isid, id.isid, ISCSI_ISID) == 0);
	id.digests = true;
	keeper_mark(&id, "[fe80::1%eth0]:3260", text);
	CHECK(read_mark(text, &back, peer));
	CHECK(back.digests);
	CHECK_STR(peer, "[fe80::1%eth0]:3260");
	CHECK(!read_mark("default", &back, peer));

	watch("storage", "192.0.2.1:3260");
	k.id = id;
	snprintf(k.connected_to, sizeof(k.connected_to), "192.0.2.1:3260");
	logged_in(&k);
	CHECK_STR(mark, "");
	snprintf(k.connected_to, sizeof(k.connected_to), "192.0.2.2:3260");
	logged_in(&k);
	CHECK_STR(mark, "vstor:8001020304ff+digests@192.0.2.2:3260");
	CHECK_STR(k.peer, "192.0.2.2:3260");
	k.away = true; /* what a redirection gave is not what the name stands for */
	snprintf(k.connected_to, sizeof(k.connected_to), "192.0.2.3:3260");
	logged_in(&k);
	CHECK_STR(k.peer, "192.0.2.2:3260");
	unwatch();
}

int main(void)
{
	CHECK_RUN(test_an_error_that_was_missed);
	CHECK_RUN(test_how_long_it_was_up);
	CHECK_RUN(test_an_error_that_shows_later);
	CHECK_RUN(test_nothing_of_ours_was_missed);
	CHECK_RUN(test_the_end_that_was_missed);
	CHECK_RUN(test_a_name_keeps_nobody_waiting);
	CHECK_RUN(test_where_a_target_has_moved_to);
	CHECK_RUN(test_the_mark);
	return CHECK_DONE();
}
