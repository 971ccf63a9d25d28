/* SPDX-License-Identifier: BSD-2-Clause */
/* The life of a reception: its events, what comes over the channel, its beginning and its end. */
#include "xen/migration/reception_priv.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/log.h"
#include "xen/host.h"
#include "xen/message.h"
#include "xen/copy/save_helper.h"

/* For the goodbye after the end; the channel's own time-outs end it before. */
#define GOODBYE_NS (15 * SEC_NS)

/* ---- events ---- */

void reception_look(struct reception *r)
{
	if (r->ended || r->state != R_END || r->c || r->asking || r->announcing ||
	    r->fencing.running)
		return;
	r->ended = true;
	loop_timer_del(r->loop, &r->timer);
	loop_timer_del(r->loop, &r->limit);
	loop_timer_del(r->loop, &r->later);
	r->done(r->arg, r->end);
}

static void drop_channel(struct reception *r);

void reception_raise(struct reception *r, enum receiver_event e)
{
	events_raise(&r->events, e);
}

static void on_limit(void *arg)
{
	struct reception *r = arg;
	const struct receiver_about *about = receiver_about(r->state);

	because(r->cause, "the sender did nothing for %u s (%s)", about->limit, about->name);
	if (about->late == RE_LOST)
		drop_channel(r);
	reception_raise(r, about->late);
}

static void enter(struct reception *r, enum receiver_state s)
{
	unsigned limit = receiver_about(s)->limit;

	r->state = s;
	if (limit && limit != LIMIT_GOES_ON)
		loop_timer_set(r->loop, &r->limit, limit * SEC_NS, on_limit, r);
	else if (!limit)
		loop_timer_del(r->loop, &r->limit);
}

static void run_events(void *arg)
{
	struct reception *r = arg;
	unsigned e;

	while (events_take(&r->events, &e)) {
		const struct receiver_row *row = receiver_step(r->state, e);

		if (!row)
			continue;
		log_debug("domain %s: %s: %s, then %s", r->name, receiver_event_name(e),
			  receiver_state_name(r->state), receiver_state_name(row->next));
		enter(r, row->next);
		reception_act(r, row->action);
	}
	if (r->waiting && r->c) {
		r->waiting = false;
		channel_resume(r->c);
	}
	reception_look(r);
}

/* The sender did or sent what it may not: it is told, and what there is of the guest goes. */
void reception_refuse(struct reception *r, const char *why)
{
	because(r->cause, "%s", why);
	reception_raise(r, RE_CANCEL);
}

static void drop_channel(struct reception *r)
{
	restoring_lost(&r->restoring);
	data_net_end(&r->data);
	channel_free(r->c);
	r->c = NULL;
}

/* A guest that is settling in has to be seen to first. */
static void lost(struct reception *r)
{
	drop_channel(r);
	if (!r->settling_in)
		reception_raise(r, RE_LOST);
}

void reception_say(struct reception *r, enum message_type type, struct buf *b)
{
	if (r->c && message_send(r->c, type, b) == 0)
		return;
	buf_free(b);
	because(r->cause, "the channel takes no more");
	lost(r);
}

static void on_no_goodbye(void *arg)
{
	struct reception *r = arg;

	drop_channel(r);
	reception_raise(r, RE_LOST);
}

void reception_goodbye(struct reception *r)
{
	if (!r->c || r->finishing)
		return;
	r->finishing = true;
	channel_finish(r->c);
	loop_timer_set(r->loop, &r->timer, GOODBYE_NS, on_no_goodbye, r);
}

/* ---- what comes over the channel ---- */

static void on_answer(void *arg, enum handover_is is)
{
	struct reception *r = arg;
	struct buf b = {0};

	r->asking = false;
	log_info("migration %s: asked what became of it: %s", r->id, handover_word(is));
	message_put(&b, "is", "%s", handover_word(is));
	reception_say(r, MSG_ANSWER, &b);
	reception_goodbye(r);
	reception_raise(r, RE_CANCEL);
}

static void on_hello(struct reception *r, const uint8_t *p, size_t n)
{
	char mode[16], boot[64], xen[16], why[320];

	if (r->state != R_HELLO || r->asking) {
		reception_refuse(r, "it greets twice");
		return;
	}
	if (message_agree(p, n, false, why, sizeof(why))) {
		reception_refuse(r, why);
		return;
	}
	if (message_get(p, n, "mode", mode, sizeof(mode)) ||
	    message_get(p, n, "id", r->id, sizeof(r->id)) || !migration_id_valid(r->id)) {
		reception_refuse(r, "its greeting makes no sense");
		return;
	}
	if (strcmp(mode, "ask") == 0) {
		r->asking = true;
		handover_ask(&r->ask, r->t, r->loop, r->id, !r->silent, on_answer, r);
		return;
	}
	data_net_heard(&r->data, p, n);
	if (message_get(p, n, "xen", xen, sizeof(xen)) ||
	    sscanf(xen, "%u.%u", &r->xen.major, &r->xen.minor) != 2) {
		reception_refuse(r, "its greeting makes no sense");
		return;
	}
	r->same_host = !message_get(p, n, "boot", boot, sizeof(boot)) && boot[0] &&
		       strcmp(boot, host_boot_id()) == 0;
	reception_raise(r, RE_HELLO);
}

static void on_config(struct reception *r, const uint8_t *p, size_t n)
{
	free(r->json);
	r->json = strndup((const char *)p, n);
	reception_raise(r, RE_CONFIG);
}

static void on_preflight(struct reception *r, const uint8_t *p, size_t n)
{
	if (message_get(p, n, "cpu", r->cpu, sizeof(r->cpu)))
		r->cpu[0] = 0;
	buf_free(&r->said);
	r->said = (struct buf){0};
	buf_put(&r->said, p, n);
	reception_raise(r, RE_PREFLIGHT);
}

static void on_end(struct reception *r, const uint8_t *p, size_t n)
{
	uint64_t bytes;

	if (message_get_u64(p, n, "bytes", &bytes) || restoring_end(&r->restoring, bytes))
		reception_refuse(r, "the stream is not complete");
}

static bool on_frame(void *arg, uint8_t type, const uint8_t *p, size_t n)
{
	struct reception *r = arg;

	/* What the last message has raised comes before the next one is looked at. */
	if (r->events.n) {
		r->waiting = true;
		return false;
	}
	if (type == MSG_DATA)
		return restoring_data(&r->restoring, p, n);
	if (type == MSG_CONFIG) {
		on_config(r, p, n);
		return true;
	}
	if (message_check(p, n)) {
		reception_refuse(r, "a message makes no sense");
		return true;
	}
	switch (type) {
	case MSG_HELLO: on_hello(r, p, n); break;
	case MSG_PREFLIGHT: on_preflight(r, p, n); break;
	case MSG_BEGIN: reception_raise(r, RE_BEGIN); break;
	case MSG_END: on_end(r, p, n); break;
	case MSG_GO: reception_raise(r, RE_GO); break;
	default: reception_refuse(r, "an unexpected message"); break;
	}
	return true;
}

static void on_close(void *arg, int err, const char *text)
{
	struct reception *r = arg;

	because(r->cause, "%s", err ? text : "the sender has hung up");
	lost(r);
}

const struct channel_ops reception_ops = {.on_frame = on_frame, .on_close = on_close};

/* ---- from outside ---- */

int reception_new(struct loop *l, struct toolstack *t,
		  void (*done)(void *arg, enum reception_end end), void *arg,
		  struct reception **out)
{
	struct reception *r = calloc(1, sizeof(*r));
	int rc = save_helper_install();

	if (!r || rc) {
		free(r);
		return rc ? rc : -ENOMEM;
	}
	r->loop = l;
	r->t = t;
	r->handover.ledger.fd = -1;
	events_init(&r->events, l, run_events, r);
	snprintf(r->name, sizeof(r->name), "?");
	r->done = done;
	r->arg = arg;
	enter(r, R_HELLO);
	*out = r;
	return 0;
}

void reception_silent(struct reception *r)
{
	r->silent = true;
}

void reception_channel(struct reception *r, struct channel *c, const struct channel_key *key)
{
	r->key = key;
	r->c = c;
}

void reception_cancel(struct reception *r, const char *why)
{
	reception_refuse(r, why);
}

void reception_free(struct reception *r)
{
	if (!r)
		return;
	drop_channel(r);
	restoring_fini(&r->restoring);
	loop_timer_del(r->loop, &r->timer);
	loop_timer_del(r->loop, &r->limit);
	loop_timer_del(r->loop, &r->later);
	events_fini(&r->events);
	announce_stop(&r->announce);
	fencing_fini(&r->fencing);
	handover_end(&r->handover);
	disks_fini(&r->disks);
	verdicts_fini(&r->verdicts);
	if (r->has_config)
		libxl_domain_config_dispose(&r->config);
	buf_free(&r->said);
	free(r->json);
	free(r);
}
