/* SPDX-License-Identifier: BSD-2-Clause */
#include "xen/migration/survey.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "xen/message.h"

void survey_stop(struct survey *s)
{
	if (!s->loop)
		return;
	loop_timer_del(s->loop, &s->timer);
	channel_free(s->c);
	s->c = NULL;
}

static void end(struct survey *s, int err, const char *cause)
{
	survey_stop(s);
	snprintf(s->cause, sizeof(s->cause), "%s", cause);
	s->done(s->arg, err);
}

static void on_open(void *arg)
{
	struct survey *s = arg;
	struct buf b = {0};

	message_put(&b, "protocol", "%u", MIGRATION_PROTOCOL);
	message_put(&b, "vstor", "%s", VSTOR_VERSION);
	message_put(&b, "mode", "survey");
	/* Of the form of an id, and no migration's. */
	message_put(&b, "id", "%0*d", MIGRATION_ID_LEN, 0);
	message_put(&b, "xen", "0.0");
	if (message_send(s->c, MSG_HELLO, &b))
		end(s, -EPIPE, "the channel takes nothing");
}

static bool on_frame(void *arg, uint8_t type, const uint8_t *p, size_t n)
{
	struct survey *s = arg;
	char cause[CHANNEL_TEXT_MAX];

	if (message_check(p, n))
		end(s, -EPROTO, "a message makes no sense");
	else if (type == MSG_FAILED && !message_get(p, n, "cause", cause, sizeof(cause)))
		end(s, -EPROTO, cause);
	else if (type == MSG_HELLO && message_agree(p, n, true, cause, sizeof(cause)))
		end(s, -EPROTO, cause);
	else if (type != MSG_HELLO || host_facts_get(p, n, &s->facts))
		end(s, -EPROTO,
		    "the vstor there does not tell what its host has: use the same version on "
		    "both hosts");
	else
		end(s, 0, "");
	return true;
}

static void on_close(void *arg, int err, const char *text)
{
	end(arg, err ? err : -EPIPE, err ? text : "it hung up without an answer");
}

static const struct channel_ops ops = {
	.on_open = on_open, .on_frame = on_frame, .on_close = on_close};

static void on_limit(void *arg)
{
	end(arg, -ETIMEDOUT, "it does not answer");
}

static void on_cannot_start(void *arg)
{
	struct survey *s = arg;

	end(s, s->err, strerror(-s->err));
}

void survey_start(struct survey *s, struct loop *l, const struct migration_way *way,
		  uint64_t limit_ns, void (*done)(void *arg, int err), void *arg)
{
	struct channel_config cfg = {.ops = &ops, .arg = s, .peer = way->host, .key = way->key};

	*s = (struct survey){.loop = l, .way = way, .done = done, .arg = arg};
	loop_timer_set(l, &s->timer, limit_ns, on_limit, s);
	s->err = way->open(way->arg, l, &cfg, &s->c);
	if (s->err) {
		s->c = NULL;
		loop_timer_set(l, &s->timer, 0, on_cannot_start, s);
	}
}
