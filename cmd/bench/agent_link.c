/* SPDX-License-Identifier: BSD-2-Clause */
#include "cmd/bench/agent.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/bytes.h"
#include "core/log.h"

#define CLOCK_ASKED 16
#define CLOCK_EVERY (20 * MS_NS)
#define CLOCK_LIMIT (2 * SEC_NS) /* a guest that is busy answers late: then one has to do */
#define RETRY_NS    (500 * MS_NS)
#define CONNECT_NS  (15 * SEC_NS)  /* the guest may be busy */
#define PATIENCE    (180 * SEC_NS) /* for one that was there: longer than the link's own */

static const struct channel_ops channel_ops;

static void give_up(void *arg)
{
	struct agent_link *a = arg;

	a->ops->lost(a->arg, a->error);
}

static void retry(void *arg)
{
	struct agent_link *a = arg;
	const struct channel_config cfg = {.ops = &channel_ops,
					   .arg = a,
					   .peer = a->where,
					   .key = &a->key,
					   .handshake_ns = CONNECT_NS,
					   .dead_ns = AGENT_DEAD_NS};
	int err = channel_connect(a->loop, &a->addrs, &cfg, &a->channel);

	if (err) {
		snprintf(a->error, sizeof(a->error), "agent %s: %s", a->where, strerror(-err));
		a->channel = NULL;
		loop_defer(a->loop, &a->give_up);
	}
}

static void on_open(void *arg)
{
	struct agent_link *a = arg;
	uint8_t version[4];

	put_be32(version, AGENT_VERSION);
	channel_send(a->channel, AGENT_HELLO, version, sizeof(version));
}

/* Broken links are made anew until it has been too long. */
static void on_close(void *arg, int err, const char *text)
{
	struct agent_link *a = arg;
	uint64_t now = clock_ns();

	channel_free(a->channel);
	a->channel = NULL;
	if (a->open)
		a->give_up_at = now + PATIENCE;
	a->open = a->asking = a->probing = false;
	loop_timer_del(a->loop, &a->ask);
	snprintf(a->error, sizeof(a->error), "%.200s; does `vstor bench agent` run there?", text);
	if (!a->was_open || err == -EACCES || err == -EPROTO || now >= a->give_up_at) {
		loop_defer(a->loop, &a->give_up);
		return;
	}
	loop_timer_set(a->loop, &a->retry, RETRY_NS, retry, a);
}

static void on_hello(struct agent_link *a, struct reader *r)
{
	uint32_t version = read_be32(r);
	char what[512];

	if (r->failed || version != AGENT_VERSION) {
		snprintf(a->error, sizeof(a->error),
			 "agent %s: speaks version %u, this vstor %d: put the same vstor into the "
			 "guest",
			 a->where, version, AGENT_VERSION);
		channel_free(a->channel);
		a->channel = NULL;
		loop_defer(a->loop, &a->give_up);
		return;
	}
	snprintf(what, sizeof(what), "%.*s", (int)MIN(r->left, sizeof(what) - 1),
		 (const char *)r->p);
	a->open = a->was_open = true;
	if (a->stopping) /* what had not come of it is asked for again */
		agent_link_stop(a);
	a->ops->ready(a->arg, what);
}

static void ask(void *arg)
{
	struct agent_link *a = arg;
	uint8_t now[8];

	put_be64(now, clock_ns());
	channel_send(a->channel, AGENT_CLOCK, now, sizeof(now));
}

/* One exchange: the agent's clock was read about half way. The fastest is the best. */
static void on_clock(struct agent_link *a, struct reader *r)
{
	uint64_t mine = read_be64(r), its = read_be64(r), now = clock_ns();

	if (r->failed || !a->asking || mine > now)
		return;
	if (now - mine < a->round_trip) {
		a->round_trip = now - mine;
		a->offset = (int64_t)(mine + (now - mine) / 2 - its);
	}
	if (++a->asked < CLOCK_ASKED && now < a->asked_until) {
		loop_timer_set(a->loop, &a->ask, CLOCK_EVERY, ask, a);
		return;
	}
	a->asking = false;
	a->ops->clock(a->arg, a->offset, a->round_trip);
}

/* As much as the channel takes, until it has been long enough. */
static void probe(void *arg)
{
	struct agent_link *a = arg;
	uint8_t *p;

	while (a->probing && (p = channel_reserve(a->channel, AGENT_CHUNK))) {
		a->probe_left -= AGENT_CHUNK;
		a->probing = clock_ns() < a->probe_until && a->probe_left;
		memset(p, 0, AGENT_CHUNK);
		p[0] = !a->probing;
		channel_commit(a->channel, AGENT_PROBE, AGENT_CHUNK);
	}
}

static void on_probed(struct agent_link *a, struct reader *r)
{
	uint64_t bytes = read_be64(r), ns = read_be64(r);

	if (!r->failed && a->ops->probed)
		a->ops->probed(a->arg, bytes, ns);
}

static void on_load(struct agent_link *a, uint8_t type, struct reader *r)
{
	unsigned id = read_u8(r);
	int status = type == AGENT_END ? read_u8(r) : 0;
	char text[1024];
	struct buf b;

	if (r->failed || id >= AGENT_LOADS)
		return;
	if (type == AGENT_DATA) {
		buf_put(&a->json[id], r->p, r->left);
		return;
	}
	snprintf(text, sizeof(text), "%.*s", (int)MIN(r->left, sizeof(text) - 1),
		 (const char *)r->p);
	if (type == AGENT_LINE)
		a->ops->line(a->arg, id, text);
	else if (type == AGENT_FAILED)
		a->ops->failed(a->arg, id, text);
	else {
		b = a->json[id];
		a->json[id] = (struct buf){0};
		a->ops->result(a->arg, id, &b, status, text);
	}
}

static bool on_frame(void *arg, uint8_t type, const uint8_t *p, size_t n)
{
	struct agent_link *a = arg;
	struct reader r = reader_of(p, n);

	switch (type) {
	case AGENT_HELLO: on_hello(a, &r); break;
	case AGENT_CLOCK: on_clock(a, &r); break;
	case AGENT_PROBED: on_probed(a, &r); break;
	case AGENT_LINE:
	case AGENT_FAILED:
	case AGENT_DATA:
	case AGENT_END: on_load(a, type, &r); break;
	case AGENT_DONE:
		a->stopping = false;
		a->ops->done(a->arg);
		break;
	default: break;
	}
	return true;
}

static const struct channel_ops channel_ops = {
	.on_open = on_open, .on_frame = on_frame, .on_writable = probe, .on_close = on_close};

const char *agent_key_file(const char *given)
{
	return given || access(AGENT_KEY_FILE, F_OK) < 0 ? given : AGENT_KEY_FILE;
}

int agent_link_open(struct loop *l, struct agent_link *a, const char *where, const char *key_file,
		    const struct agent_ops *ops, void *arg)
{
	char text[CHANNEL_TEXT_MAX];
	int err;

	*a = (struct agent_link){.loop = l,
				 .where = where,
				 .ops = ops,
				 .arg = arg,
				 .give_up = {.fn = give_up, .arg = a}};
	err = channel_key_load(&a->key, key_file, text);
	if (err) {
		log_error("%s", text);
		return err;
	}
	err = sock_resolve(where, AGENT_PORT, &a->addrs);
	if (err) {
		log_error("agent %s: %s", where, sock_strerror(err));
		return err;
	}
	retry(a);
	return 0;
}

void agent_link_renew(struct agent_link *a)
{
	if (!a->open) /* that is under way */
		return;
	channel_free(a->channel);
	a->channel = NULL;
	a->open = a->asking = a->probing = false;
	a->give_up_at = clock_ns() + PATIENCE;
	loop_timer_del(a->loop, &a->ask);
	loop_timer_set(a->loop, &a->retry, 0, retry, a);
}

void agent_link_reset(struct agent_link *a)
{
	if (a->open)
		channel_send(a->channel, AGENT_RESET, NULL, 0);
}

void agent_link_start(struct agent_link *a, unsigned id, const char *const *words)
{
	struct buf b = {0};

	buf_put_u8(&b, (uint8_t)id);
	for (; *words; words++)
		buf_put(&b, *words, strlen(*words) + 1);
	if (a->open && !b.failed)
		channel_send(a->channel, AGENT_START, b.data, b.len);
	buf_free(&b);
}

void agent_link_ask_clock(struct agent_link *a)
{
	if (!a->open)
		return;
	a->asking = true;
	a->asked = 0;
	a->round_trip = UINT64_MAX;
	a->asked_until = clock_ns() + CLOCK_LIMIT;
	ask(a);
}

void agent_link_probe(struct agent_link *a)
{
	if (!a->open)
		return;
	a->probing = true;
	a->probe_until = clock_ns() + AGENT_PROBE_NS;
	a->probe_left = AGENT_PROBE_BYTES;
	probe(a);
}

void agent_link_stop(struct agent_link *a)
{
	a->stopping = true;
	for (unsigned i = 0; i < AGENT_LOADS; i++)
		buf_free(&a->json[i]);
	if (a->open)
		channel_send(a->channel, AGENT_STOP, NULL, 0);
}

void agent_link_close(struct agent_link *a)
{
	if (!a->loop)
		return;
	channel_free(a->channel);
	loop_timer_del(a->loop, &a->retry);
	loop_timer_del(a->loop, &a->ask);
	loop_defer_cancel(a->loop, &a->give_up);
	for (unsigned i = 0; i < AGENT_LOADS; i++)
		buf_free(&a->json[i]);
	channel_key_wipe(&a->key);
	*a = (struct agent_link){0};
}
