/* SPDX-License-Identifier: BSD-2-Clause */
#include "xen/reception.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/log.h"
#include "xen/compression.h"
#include "xen/disks.h"
#include "xen/events.h"
#include "xen/handover.h"
#include "xen/host.h"
#include "xen/message.h"
#include "xen/migration_table.h"
#include "xen/monitor.h"
#include "xen/preflight.h"
#include "xen/restoring.h"
#include "xen/save_helper.h"

#define CPU_MAX 2048
/* For the goodbye after the end; the channel's own time-outs end it before. */
#define GOODBYE_NS (15 * SEC_NS)

struct reception {
	struct loop *loop;
	struct toolstack *t;
	struct channel *c;
	enum receiver_state state;
	struct events events;
	struct loop_timer timer; /* what follows by itself */
	struct loop_timer limit; /* of the state: see receiver_about() */

	char id[MIGRATION_ID_LEN + 1];
	char name[GUEST_NAME_MAX], uuid[GUEST_UUID_MAX];
	char *json;
	libxl_domain_config config;
	bool has_config;
	unsigned xen_major, xen_minor;
	bool same_host;
	char cpu[CPU_MAX];
	uint64_t cache_max; /* bytes; what the sender has been offered */
	struct verdicts verdicts;
	struct disks disks;

	struct handover handover;
	struct handover_ask ask;
	bool asking;
	struct restoring restoring;
	struct toolstack_op op;
	bool waiting; /* a frame is held until the events have run */
	uint64_t go_at;

	char cause[512];
	bool failed_to_destroy, renamed, monitored, finishing, ended;
	enum reception_end end;
	void (*done)(void *arg, enum reception_end end);
	void *arg;
};

/* ---- events ---- */

static void act(struct reception *r, enum receiver_action a);

static void finish(struct reception *r)
{
	if (r->ended)
		return;
	r->ended = true;
	loop_timer_del(r->loop, &r->timer);
	loop_timer_del(r->loop, &r->limit);
	r->done(r->arg, r->end);
}

static void drop_channel(struct reception *r);

static void raise_event(struct reception *r, enum receiver_event e)
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
	raise_event(r, about->late);
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
		act(r, row->action);
	}
	if (r->waiting && r->c) {
		r->waiting = false;
		channel_resume(r->c);
	}
	if (r->state == R_END && !r->c && !r->asking)
		finish(r);
}

/* The sender did or sent what it may not: it is told, and what there is of the guest goes. */
static void refuse(struct reception *r, const char *why)
{
	because(r->cause, "%s", why);
	raise_event(r, RE_CANCEL);
}

static void drop_channel(struct reception *r)
{
	restoring_lost(&r->restoring);
	channel_free(r->c);
	r->c = NULL;
}

static void say(struct reception *r, enum message_type type, struct buf *b)
{
	if (r->c && message_send(r->c, type, b) == 0)
		return;
	buf_free(b);
	because(r->cause, "the channel takes no more");
	drop_channel(r);
	raise_event(r, RE_LOST);
}

static void on_no_goodbye(void *arg)
{
	struct reception *r = arg;

	drop_channel(r);
	raise_event(r, RE_LOST);
}

static void goodbye(struct reception *r)
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
	say(r, MSG_ANSWER, &b);
	goodbye(r);
	raise_event(r, RE_CANCEL);
}

static void on_hello(struct reception *r, const uint8_t *p, size_t n)
{
	char mode[16], boot[64], xen[16];
	uint64_t protocol;

	if (r->state != R_HELLO || r->asking) {
		refuse(r, "it greets twice");
		return;
	}
	if (message_get_u64(p, n, "protocol", &protocol) || protocol != MIGRATION_PROTOCOL) {
		refuse(r, "this vstor speaks another version of the protocol: use the same version "
			  "on both hosts");
		return;
	}
	if (message_get(p, n, "mode", mode, sizeof(mode)) ||
	    message_get(p, n, "id", r->id, sizeof(r->id)) || !migration_id_valid(r->id)) {
		refuse(r, "its greeting makes no sense");
		return;
	}
	if (strcmp(mode, "ask") == 0) {
		r->asking = true;
		handover_ask(&r->ask, r->t, r->loop, r->id, on_answer, r);
		return;
	}
	if (message_get(p, n, "xen", xen, sizeof(xen)) ||
	    sscanf(xen, "%u.%u", &r->xen_major, &r->xen_minor) != 2) {
		refuse(r, "its greeting makes no sense");
		return;
	}
	r->same_host = !message_get(p, n, "boot", boot, sizeof(boot)) && boot[0] &&
		       strcmp(boot, host_boot_id()) == 0;
	raise_event(r, RE_HELLO);
}

static void on_config(struct reception *r, const uint8_t *p, size_t n)
{
	free(r->json);
	r->json = strndup((const char *)p, n);
	raise_event(r, RE_CONFIG);
}

static void on_preflight(struct reception *r, const uint8_t *p, size_t n)
{
	if (message_get(p, n, "cpu", r->cpu, sizeof(r->cpu)))
		r->cpu[0] = 0;
	raise_event(r, RE_PREFLIGHT);
}

static void on_end(struct reception *r, const uint8_t *p, size_t n)
{
	uint64_t bytes;

	if (message_get_u64(p, n, "bytes", &bytes) || restoring_end(&r->restoring, bytes))
		refuse(r, "the stream is not complete");
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
		refuse(r, "a message makes no sense");
		return true;
	}
	switch (type) {
	case MSG_HELLO: on_hello(r, p, n); break;
	case MSG_PREFLIGHT: on_preflight(r, p, n); break;
	case MSG_BEGIN: raise_event(r, RE_BEGIN); break;
	case MSG_END: on_end(r, p, n); break;
	case MSG_GO: raise_event(r, RE_GO); break;
	default: refuse(r, "an unexpected message"); break;
	}
	return true;
}

static void on_close(void *arg, int err, const char *text)
{
	struct reception *r = arg;

	because(r->cause, "%s", err ? text : "the sender has hung up");
	drop_channel(r);
	raise_event(r, RE_LOST);
}

const struct channel_ops reception_ops = {.on_frame = on_frame, .on_close = on_close};

/* ---- actions ---- */

static void send_hello(struct reception *r)
{
	unsigned major, minor;
	struct buf b = {0};

	toolstack_xen_version(r->t, &major, &minor);
	message_put(&b, "protocol", "%u", MIGRATION_PROTOCOL);
	message_put(&b, "vstor", "%s", VSTOR_VERSION);
	message_put(&b, "xen", "%u.%u", major, minor);
	message_put(&b, "boot", "%s", host_boot_id());
	r->cache_max = compression_cache_max();
	compression_offer(&b, r->cache_max);
	say(r, MSG_HELLO, &b);
}

static void take_config(struct reception *r)
{
	const char *name;

	r->has_config = true;
	libxl_domain_config_init(&r->config);
	toolstack_forget_cause(r->t);
	if (!r->json || libxl_domain_config_from_json(toolstack_ctx(r->t), &r->config, r->json)) {
		because(r->cause, "the guest's configuration cannot be read: %s",
			toolstack_cause(r->t, ERROR_FAIL));
		raise_event(r, RE_CANCEL);
		return;
	}
	name = r->config.c_info.name;
	if (!name || !name[0] || strlen(name) >= sizeof(r->name) || strchr(name, '\n')) {
		refuse(r, "the guest's name is not usable");
		return;
	}
	snprintf(r->name, sizeof(r->name), "%s", name);
	guest_uuid_text(&r->config.c_info.uuid, r->uuid);
}

static void on_disks(void *arg)
{
	raise_event(arg, RE_VERDICTS);
}

static void check(struct reception *r)
{
	const struct preflight_peer peer = {.same_host = r->same_host,
					    .xen_major = r->xen_major,
					    .xen_minor = r->xen_minor,
					    .cpu = r->cpu};

	preflight_destination(r->t, &r->config, r->json, &peer, &r->verdicts);
	disks_attach(&r->disks, r->loop, &r->config, &r->verdicts, on_disks, r);
}

static void send_verdicts(struct reception *r)
{
	struct buf b = {0};

	buf_put(&b, r->verdicts.fields.data, r->verdicts.fields.len);
	say(r, MSG_VERDICTS, &b);
}

static void on_restored(void *arg, int err)
{
	struct reception *r = arg;

	if (err && r->restoring.cause[0])
		because(r->cause, "%s", r->restoring.cause);
	raise_event(r, err ? RE_RESTORE_FAILED : RE_RESTORED);
}

static void restore(struct reception *r)
{
	char *incoming;
	int rc;

	if (r->verdicts.refused) {
		because(r->cause, "a condition is not met");
		raise_event(r, RE_RESTORE_FAILED);
		return;
	}
	rc = handover_begin(&r->handover, r->id, r->uuid, r->name);
	if (rc || asprintf(&incoming, "%s%s", r->name, HANDOVER_INCOMING) < 0) {
		because(r->cause, "cannot keep a record in %s: %s", handover_dir, strerror(-rc));
		raise_event(r, RE_RESTORE_FAILED);
		return;
	}
	free(r->config.c_info.name);
	r->config.c_info.name = incoming;
	log_info("domain %s: receiving it", r->name);
	restoring_start(&r->restoring, r->loop, r->t, &r->config, r->c, on_restored, r);
	stream_allow_packed(&r->restoring.stream, r->cache_max);
}

/* When there is nothing to call off, nothing more comes either. */
static void abort_restore(struct reception *r)
{
	if (r->restoring.started && !r->restoring.ended)
		restoring_abort(&r->restoring);
	else
		raise_event(r, RE_RESTORE_FAILED);
}

static void on_op(void *arg, int rc)
{
	struct reception *r = arg;

	if (rc)
		because(r->cause, "%s", toolstack_cause(r->t, rc));
	raise_event(r, rc ? RE_UNDONE : RE_DONE);
}

static void start(struct reception *r)
{
	int rc = handover_set(&r->handover, HANDOVER_STARTING);

	r->go_at = clock_ns();
	if (rc) {
		because(r->cause, "cannot keep a record in %s: %s", handover_dir, strerror(-rc));
		raise_event(r, RE_UNDONE);
		return;
	}
	rc = libxl_domain_unpause(toolstack_ctx(r->t), r->restoring.domid,
				  toolstack_how(r->t, &r->op, on_op, r));
	if (rc)
		toolstack_failed(&r->op, rc);
}

/* What the guest has here besides its processor. */
static void look_after(void *arg)
{
	struct reception *r = arg;

	if (r->monitored)
		return;
	r->monitored = true;
	monitor_start(r->renamed ? r->name : r->config.c_info.name);
}

/* Everything but the answer could wait, and does: the sender's clock is running. */
static void send_running(struct reception *r)
{
	uint64_t took_ns = clock_ns() - r->go_at;
	struct buf b = {0};

	message_put(&b, "took_ns", "%" PRIu64, took_ns);
	say(r, MSG_RUNNING, &b);
	handover_set(&r->handover, HANDOVER_RUNNING);
	r->end = RECEPTION_RUNNING;
	r->renamed = !libxl_domain_rename(toolstack_ctx(r->t), r->restoring.domid,
					  r->config.c_info.name, r->name);
	if (!r->renamed)
		log_warn("domain %s: it runs here, but as %s: %s: xl rename gives it its name",
			 r->name, r->config.c_info.name, toolstack_cause(r->t, ERROR_FAIL));
	log_info("domain %s: runs here, started %.1f ms after it was handed over", r->name,
		 (double)took_ns / MS_NS);
	/* Once the answer is on its way. */
	loop_timer_set(r->loop, &r->timer, 0, look_after, r);
}

static void end_running(struct reception *r)
{
	look_after(r);
	handover_end(&r->handover);
}

static void on_destroyed(void *arg, int rc)
{
	struct reception *r = arg;

	if (rc) {
		r->failed_to_destroy = true;
		log_error("domain %s: what has come of it cannot be destroyed: %s; it is paused: "
			  "xl destroy %s",
			  r->name, toolstack_cause(r->t, rc), r->config.c_info.name);
	}
	raise_event(r, rc ? RE_UNDONE : RE_DONE);
}

static void destroy(struct reception *r)
{
	uint32_t domid = r->restoring.domid;
	int rc;

	r->end = RECEPTION_FAILED;
	/* libxl has destroyed it already, unless it was complete or called off. */
	if (!domid || domid == (uint32_t)INVALID_DOMID || guest_life(r->t, domid) == GUEST_ABSENT) {
		raise_event(r, RE_DONE);
		return;
	}
	rc = libxl_domain_destroy(toolstack_ctx(r->t), domid,
				  toolstack_how(r->t, &r->op, on_destroyed, r));
	if (rc)
		toolstack_failed(&r->op, rc);
}

/* It could not be started. From here on nobody may, should we die while it goes. */
static void take_back(struct reception *r)
{
	int rc = handover_set(&r->handover, HANDOVER_PREPARING);

	if (rc == 0) {
		destroy(r);
		return;
	}
	r->end = RECEPTION_FAILED;
	r->failed_to_destroy = true;
	log_error("domain %s: it does not start (%s), and that cannot be recorded in %s: %s; it is "
		  "paused: xl unpause %s",
		  r->name, r->cause, handover_dir, strerror(-rc), r->config.c_info.name);
	raise_event(r, RE_UNDONE);
}

static void end_gone(struct reception *r)
{
	struct buf b = {0};

	if (!r->failed_to_destroy)
		handover_set(&r->handover, HANDOVER_GONE);
	handover_end(&r->handover);
	disks_release(&r->disks);
	if (r->end == RECEPTION_FAILED)
		log_error("domain %s: not received: %s", r->name, r->cause);
	if (!r->c || r->finishing)
		return;
	/* Only what is destroyed can be promised never to start. */
	if (!r->failed_to_destroy) {
		message_put(&b, "cause", "%s", r->cause);
		say(r, MSG_FAILED, &b);
	}
	goodbye(r);
}

static void act(struct reception *r, enum receiver_action a)
{
	switch (a) {
	case RA_NONE: break;
	case RA_SEND_HELLO: send_hello(r); break;
	case RA_TAKE_CONFIG: take_config(r); break;
	case RA_CHECK: check(r); break;
	case RA_SEND_VERDICTS: send_verdicts(r); break;
	case RA_RESTORE: restore(r); break;
	case RA_ABORT_RESTORE: abort_restore(r); break;
	case RA_SEND_READY: say(r, MSG_READY, &(struct buf){0}); break;
	case RA_START: start(r); break;
	case RA_SEND_RUNNING: send_running(r); break;
	case RA_TAKE_BACK: take_back(r); break;
	case RA_DESTROY: destroy(r); break;
	case RA_END_RUNNING: end_running(r); break;
	case RA_END_GONE: end_gone(r); break;
	}
}

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
	r->handover.fd = -1;
	events_init(&r->events, l, run_events, r);
	snprintf(r->name, sizeof(r->name), "?");
	r->done = done;
	r->arg = arg;
	enter(r, R_HELLO);
	*out = r;
	return 0;
}

void reception_channel(struct reception *r, struct channel *c)
{
	r->c = c;
}

void reception_cancel(struct reception *r, const char *why)
{
	refuse(r, why);
}

void reception_free(struct reception *r)
{
	if (!r)
		return;
	drop_channel(r);
	restoring_fini(&r->restoring);
	loop_timer_del(r->loop, &r->timer);
	loop_timer_del(r->loop, &r->limit);
	events_fini(&r->events);
	handover_end(&r->handover);
	disks_fini(&r->disks);
	verdicts_fini(&r->verdicts);
	if (r->has_config)
		libxl_domain_config_dispose(&r->config);
	free(r->json);
	free(r);
}
