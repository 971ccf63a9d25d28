/* SPDX-License-Identifier: BSD-2-Clause */
/* Includes what it tests: the kernel and the keeper are played here. */
#include <stdio.h>

#define keeper_release	     fake_release
#define keeper_start	     fake_start
#define iscsi_kernel_destroy fake_destroy
#define iscsi_kernel_send    fake_send
#define iscsi_events_open    fake_events_open
#define iscsi_events_close   fake_events_close
#include "net/iscsi/logout.c"

#include <errno.h>

#include "tests/unit/check.h"

static char steps[64];
static int destroyed; /* what the kernel answers */
static struct iscsi_events *listening;

static void step(const char *s)
{
	snprintf(steps + strlen(steps), sizeof(steps) - strlen(steps), "%s ", s);
}

void fake_release(uint32_t sid)
{
	CHECK_EQ(sid, 7);
	step("release");
}

int fake_start(const struct iscsi_session *s)
{
	CHECK_EQ(s->sid, 7);
	step("keep");
	return 0;
}

int fake_destroy(const struct iscsi_kernel *k, uint32_t sid)
{
	(void)k;
	CHECK_EQ(sid, 7);
	step("destroy");
	return destroyed;
}

static void answer(void *arg)
{
	const uint8_t bhs[ISCSI_BHS] = {ISCSI_LOGOUT_RESPONSE};
	const struct iscsi_event other = {.type = ISCSI_EVENT_ERROR, .sid = 8},
				 ours = {.type = ISCSI_EVENT_PDU, .sid = 7, .bhs = bhs};

	(void)arg;
	listening->fn(listening->arg, &other);
	step("answer");
	listening->fn(listening->arg, &ours);
}

int fake_send(const struct iscsi_kernel *k, uint32_t sid, const uint8_t *bhs, const void *data,
	      size_t len)
{
	static struct loop_task task = {.fn = answer};

	(void)k, (void)data, (void)len;
	CHECK_EQ(sid, 7);
	CHECK_EQ(bhs[0], ISCSI_LOGOUT_REQUEST | ISCSI_IMMEDIATE);
	step("logout");
	loop_defer(listening->loop, &task);
	return 0;
}

int fake_events_open(struct iscsi_events *ev, struct loop *l,
		     void (*fn)(void *arg, const struct iscsi_event *e), void *arg)
{
	*ev = (struct iscsi_events){.loop = l, .fn = fn, .arg = arg};
	listening = ev;
	return 0;
}

void fake_events_close(struct iscsi_events *ev)
{
	(void)ev;
}

static int end(const char *state, int kernel_says, char error[ATTACH_ERROR])
{
	const struct iscsi_kernel k = {.fd = -1};
	struct iscsi_session s = {
		.sid = 7, .target = "iqn.2026-11.test:one", .iface = "vstor:800102030405"};

	snprintf(s.state, sizeof(s.state), "%s", state);
	steps[0] = error[0] = '\0';
	destroyed = kernel_says;
	return iscsi_session_end(&k, &s, error);
}

static void test_the_target_is_told(void)
{
	char error[ATTACH_ERROR];

	CHECK_EQ(end("LOGGED_IN", 0, error), 0);
	CHECK_STR(steps, "release logout answer destroy ");
	CHECK_EQ(end("FAILED", 0, error), 0);
	CHECK_STR(steps, "release destroy ");
}

/* What the kernel does not let go of is not left without a keeper. */
static void test_a_session_that_stays_is_kept(void)
{
	char error[ATTACH_ERROR];

	CHECK_EQ(end("LOGGED_IN", -EBUSY, error), -EBUSY);
	CHECK_STR(steps, "release logout answer destroy keep ");
	CHECK(strstr(error, "iqn.2026-11.test:one: the kernel keeps the session"));
}

int main(void)
{
	CHECK_RUN(test_the_target_is_told);
	CHECK_RUN(test_a_session_that_stays_is_kept);
	return CHECK_DONE();
}
