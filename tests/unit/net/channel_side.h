/* SPDX-License-Identifier: BSD-2-Clause */
/* One side of a channel under test: what its callbacks have seen, and how to run it. */
#ifndef TESTS_UNIT_NET_CHANNEL_SIDE_H
#define TESTS_UNIT_NET_CHANNEL_SIDE_H

#include <string.h>

#include "core/bytes.h"
#include "net/channel.h"
#include "tests/unit/check.h"

#define MAX_FRAMES 16

/* What one side's callbacks have seen. */
struct side {
	struct loop *loop;
	struct channel *c;
	bool opened, closed, hold, free_on_open, free_on_frame;
	int err;
	unsigned frames, writable;
	uint8_t type[MAX_FRAMES];
	char data[MAX_FRAMES][16];
	size_t len[MAX_FRAMES];
	char text[CHANNEL_TEXT_MAX];
	unsigned closes_to_stop; /* how many closed sides end the loop */
	unsigned *closes;
};

static void on_open(void *arg)
{
	struct side *s = arg;
	CHECK(!s->opened);
	s->opened = true;
	if (s->free_on_open) {
		channel_free(s->c);
		s->c = NULL;
		loop_stop(s->loop, 0);
	}
}

static bool on_frame(void *arg, uint8_t type, const uint8_t *p, size_t n)
{
	struct side *s = arg;
	CHECK(s->opened && !s->closed);
	if (s->hold)
		return false;
	if (s->frames < MAX_FRAMES) {
		s->type[s->frames] = type;
		s->len[s->frames] = n;
		memcpy(s->data[s->frames], p, MIN(n, sizeof(s->data[0])));
	}
	s->frames++;
	if (s->free_on_frame) {
		channel_free(s->c);
		s->c = NULL;
		loop_stop(s->loop, 0);
	}
	return true;
}

static void on_writable(void *arg)
{
	struct side *s = arg;
	s->writable++;
}

static void on_close(void *arg, int err, const char *text)
{
	struct side *s = arg;
	CHECK(!s->closed);
	CHECK(text != NULL);
	s->closed = true;
	s->err = err;
	snprintf(s->text, sizeof(s->text), "%s", text);
	channel_free(s->c);
	s->c = NULL;
	if (!s->closes || ++*s->closes == 2)
		loop_stop(s->loop, 0);
}

static const struct channel_ops ops = {on_open, on_frame, on_writable, on_close};

static void on_limit(void *arg)
{
	loop_stop(arg, -1);
}

static void on_soon(void *arg)
{
	loop_stop(arg, 0);
}

/* Runs until a side stops the loop; a failed check when none does. */
static inline void run(struct loop *l)
{
	struct loop_timer limit = {0};
	loop_timer_set(l, &limit, 30 * SEC_NS, on_limit, l);
	CHECK_EQ(loop_run(l), 0);
	loop_timer_del(l, &limit);
}

/* Lets the loop do all that it can do at once. */
static inline void settle(struct loop *l)
{
	struct loop_timer soon = {0};
	for (unsigned i = 0; i < 3; i++) {
		loop_timer_set(l, &soon, 0, on_soon, l);
		loop_run(l);
	}
}

/* Runs the loop for a moment; for waiting until something has come about, in a bounded loop. */
static inline void wait_ms(struct loop *l, unsigned ms)
{
	struct loop_timer soon = {0};
	loop_timer_set(l, &soon, ms * MS_NS, on_soon, l);
	loop_run(l);
	loop_timer_del(l, &soon);
}

static inline struct channel_config config(struct side *s, bool server, const struct channel_key *k)
{
	return (struct channel_config){.ops = &ops,
				       .arg = s,
				       .peer = server ? "client" : "server",
				       .key = k,
				       .server = server};
}

#endif
