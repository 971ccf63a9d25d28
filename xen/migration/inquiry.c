/* SPDX-License-Identifier: BSD-2-Clause */
#include "xen/migration/inquiry.h"

#include <stdio.h>
#include <string.h>

#include "core/bytes.h"
#include "core/log.h"
#include "xen/message.h"

#define AGAIN_NS   (2 * SEC_NS)
#define ATTEMPT_NS (30 * SEC_NS) /* a login by ssh, and a domain destroyed there */
#define GOODBYE_NS (2 * SEC_NS)

uint64_t inquiry_patience = 60 * SEC_NS;
uint64_t inquiry_silence = 20 * SEC_NS;

static void attempt(void *arg);
static void on_late(void *arg);

static void end(struct inquiry *q, enum handover_is is)
{
	inquiry_stop(q);
	q->done(q->arg, is);
}

static void again(struct inquiry *q, const char *cause)
{
	channel_free(q->c);
	q->c = NULL;
	snprintf(q->cause, sizeof(q->cause), "%s", cause);
	log_debug("migration %s: %s does not say what became of it: %s", q->id, q->way->host,
		  cause);
	if (clock_ns() + AGAIN_NS > q->deadline)
		end(q, HANDOVER_UNKNOWN);
	else
		loop_timer_set(q->loop, &q->timer, AGAIN_NS, attempt, q);
}

/* It lives, and will know. */
static void busy(struct inquiry *q)
{
	q->deadline = MAX(q->deadline, MIN(clock_ns() + q->silence_ns, q->last));
	again(q, "it is still being started there");
}

static void on_open(void *arg)
{
	struct inquiry *q = arg;
	struct buf b = {0};

	message_put(&b, "protocol", "%u", MIGRATION_PROTOCOL);
	message_put(&b, "vstor", "%s", VSTOR_VERSION);
	message_put(&b, "mode", "ask");
	message_put(&b, "id", "%s", q->id);
	message_send(q->c, MSG_HELLO, &b);
}

/* It says goodbye behind that: a command that was run for the channel ends by itself. */
static void answered(struct inquiry *q, enum handover_is is)
{
	q->answered = true;
	q->answer = is;
	if (is == HANDOVER_UNKNOWN)
		snprintf(q->cause, sizeof(q->cause), "it does not know");
	channel_finish(q->c);
	loop_timer_set(q->loop, &q->timer, GOODBYE_NS, on_late, q);
}

static bool on_frame(void *arg, uint8_t type, const uint8_t *p, size_t n)
{
	struct inquiry *q = arg;
	char word[16], cause[CHANNEL_TEXT_MAX];
	enum handover_is is;

	if (type == MSG_FAILED && !message_check(p, n) &&
	    !message_get(p, n, "cause", cause, sizeof(cause)))
		again(q, cause);
	else if (type != MSG_ANSWER || message_check(p, n) ||
		 message_get(p, n, "is", word, sizeof(word)) || handover_parse(word, &is))
		again(q, "it does not speak this protocol");
	else if (is == HANDOVER_BUSY)
		busy(q);
	else
		answered(q, is);
	return true;
}

static void on_close(void *arg, int err, const char *text)
{
	struct inquiry *q = arg;

	if (q->answered)
		end(q, q->answer);
	else
		again(q, err ? text : "it hung up without an answer");
}

static const struct channel_ops ops = {
	.on_open = on_open, .on_frame = on_frame, .on_close = on_close};

static void on_late(void *arg)
{
	struct inquiry *q = arg;

	if (q->answered)
		end(q, q->answer);
	else
		again(q, "it does not answer");
}

static void attempt(void *arg)
{
	struct inquiry *q = arg;
	uint64_t now = clock_ns(), left = q->deadline > now ? q->deadline - now : 0;
	struct channel_config cfg = {
		.ops = &ops, .arg = q, .peer = q->way->host, .key = q->way->key};
	int rc = q->way->open(q->way->arg, q->loop, &cfg, &q->c);

	if (rc) {
		q->c = NULL;
		again(q, strerror(-rc));
	} else {
		loop_timer_set(q->loop, &q->timer, MIN(left, ATTEMPT_NS), on_late, q);
	}
}

void inquiry_start(struct inquiry *q, struct loop *l, const struct migration_way *way,
		   const char *id, uint64_t silence_ns, uint64_t limit_ns,
		   void (*done)(void *arg, enum handover_is is), void *arg)
{
	uint64_t now = clock_ns();

	inquiry_stop(q);
	*q = (struct inquiry){.loop = l,
			      .way = way,
			      .id = id,
			      .silence_ns = silence_ns,
			      .deadline = now + MIN(silence_ns, limit_ns),
			      .last = now + limit_ns,
			      .done = done,
			      .arg = arg};
	loop_timer_set(l, &q->timer, 0, attempt, q);
}

void inquiry_stop(struct inquiry *q)
{
	if (!q->loop)
		return;
	loop_timer_del(q->loop, &q->timer);
	channel_free(q->c);
	q->c = NULL;
}
