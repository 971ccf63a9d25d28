/* SPDX-License-Identifier: BSD-2-Clause */
/* What the receiver does at each step. */
#include "xen/migration/reception_priv.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/bytes.h"
#include "core/log.h"
#include "xen/migration/addresses.h"
#include "xen/copy/compression.h"
#include "xen/held_disks.h"
#include "xen/host.h"
#include "xen/migration/inquiry.h"
#include "xen/message.h"
#include "xen/migration/monitor.h"
#include "xen/weight.h"

/* For a guest whose links are not looked at. */
uint64_t reception_settle_in = 2 * SEC_NS;
/* For disks, should the links not come up: a guest need not have a driver for its cards. */
#define HOLD_NS (2 * SEC_NS)

static void say_arrived(void *arg, uint64_t next)
{
	struct buf b = {0};

	message_put(&b, "next", "%" PRIu64, next);
	reception_say(arg, MSG_ARRIVED, &b);
}

static void send_hello(struct reception *r)
{
	const struct release xen = toolstack_xen(r->t);
	struct buf b = {0};

	message_put(&b, "protocol", "%u", MIGRATION_PROTOCOL);
	message_put(&b, "vstor", "%s", VSTOR_VERSION);
	message_put(&b, "xen", "%u.%u", xen.major, xen.minor);
	message_put(&b, "boot", "%s", host_boot_id());
	r->cache_max = compression_cache_max();
	compression_offer(&b, r->cache_max);
	host_facts_put(r->t, &b);
	data_net_offer(&r->data, r->loop, r->key, &r->restoring, say_arrived, r, &b);
	reception_say(r, MSG_HELLO, &b);
}

static void take_config(struct reception *r)
{
	const struct release here = toolstack_xen(r->t);
	const char *name;

	r->has_config = true;
	libxl_domain_config_init(&r->config);
	toolstack_forget_cause(r->t);
	if (!r->json || libxl_domain_config_from_json(toolstack_ctx(r->t), &r->config, r->json)) {
		/* An older libxl need not know all that a newer one writes. */
		because(r->cause,
			"the guest's configuration, written by Xen %u.%u, cannot be read by Xen "
			"%u.%u: %s",
			r->xen.major, r->xen.minor, here.major, here.minor,
			toolstack_cause(r->t, ERROR_FAIL));
		reception_raise(r, RE_CANCEL);
		return;
	}
	name = r->config.c_info.name;
	if (!name || !name[0] || strlen(name) >= sizeof(r->name) || strchr(name, '\n')) {
		reception_refuse(r, "the guest's name is not usable");
		return;
	}
	snprintf(r->name, sizeof(r->name), "%s", name);
	guest_uuid_text(&r->config.c_info.uuid, r->uuid);
}

static void on_disks(void *arg)
{
	reception_fence_join(arg);
}

static void check(struct reception *r)
{
	const struct preflight_peer peer = {.same_host = r->same_host,
					    .xen = r->xen,
					    .cpu = r->cpu,
					    .said = r->said.data,
					    .said_len = r->said.len};

	preflight_destination(r->t, &r->config, r->json, &peer, &r->verdicts);
	disks_attach(&r->disks, r->loop, &r->config, &r->said, &r->verdicts, on_disks, r);
}

static void send_verdicts(struct reception *r)
{
	struct buf b = {0};

	buf_put(&b, r->verdicts.fields.data, r->verdicts.fields.len);
	referee_put(&b, &r->referee);
	reception_say(r, MSG_VERDICTS, &b);
}

static void on_restored(void *arg, int err)
{
	struct reception *r = arg;

	if (err && r->restoring.cause[0])
		because(r->cause, "%s", r->restoring.cause);
	reception_raise(r, err ? RE_RESTORE_FAILED : RE_RESTORED);
}

int reception_record(struct reception *r)
{
	if (r->handover.ledger.fd >= 0)
		return 0;
	return handover_begin(&r->handover, r->id, r->uuid, r->name, &r->referee, &r->disks);
}

static void restore(struct reception *r)
{
	char *incoming;
	int rc;

	if (r->verdicts.refused) {
		because(r->cause, "a condition is not met");
		reception_raise(r, RE_RESTORE_FAILED);
		return;
	}
	rc = reception_record(r);
	if (rc || asprintf(&incoming, "%s%s", r->name, GUEST_INCOMING) < 0) {
		because(r->cause, "cannot keep a record in %s: %s", ledger_dir, strerror(-rc));
		reception_raise(r, RE_RESTORE_FAILED);
		return;
	}
	free(r->config.c_info.name);
	r->config.c_info.name = incoming;
	log_info("domain %s: receiving it", r->name);
	restoring_start(&r->restoring, r->loop, r->t, &r->config, r->c, on_restored, r);
	if (!r->silent) /* else nobody waits for the links */
		restoring_hold_disks(&r->restoring);
	stream_allow_packed(&r->restoring.stream, r->cache_max);
	data_net_start(&r->data);
}

/* When there is nothing to call off, nothing more comes either. */
static void abort_restore(struct reception *r)
{
	if (r->restoring.started && !r->restoring.ended)
		restoring_abort(&r->restoring);
	else
		reception_raise(r, RE_RESTORE_FAILED);
}

static void on_op(void *arg, int rc)
{
	struct reception *r = arg;

	if (rc)
		because(r->cause, "%s", toolstack_cause(r->t, rc));
	reception_raise(r, rc ? RE_UNDONE : RE_DONE);
}

/* A word of our record; false after a cause was given. */
static bool write_down(struct reception *r, enum handover_is is)
{
	int rc = handover_set(&r->handover, is);

	if (rc)
		because(r->cause, "cannot keep a record in %s: %s", ledger_dir, strerror(-rc));
	return rc == 0;
}

/* With what it took after the last of the stream: memory and processor, then devices. */
static void send_ready(struct reception *r)
{
	const struct restoring *s = &r->restoring;
	uint64_t devices = MIN(MAX(s->here_at, s->memory_at), s->done_at);
	struct buf b = {0};

	if (!write_down(r, HANDOVER_READY)) {
		reception_raise(r, RE_CANCEL);
		return;
	}
	message_put(&b, "devices_ns", "%" PRIu64, s->done_at - devices);
	reception_say(r, MSG_READY, &b);
}

static void start(struct reception *r)
{
	int rc;

	if (!write_down(r, HANDOVER_STARTING) && !write_down(r, HANDOVER_STARTING)) {
		reception_raise(r, RE_UNDONE);
		return;
	}
	rc = libxl_domain_unpause(toolstack_ctx(r->t), r->restoring.domid,
				  toolstack_how(r->t, &r->op, on_op, r));
	if (rc)
		toolstack_failed(&r->op, rc);
}

/* ---- once it runs here ---- */

/* What the guest has told the other host. */
static void add_addresses(struct reception *r, const libxl_device_nic *from,
			  struct announce_nic *nic)
{
	char word[64];
	size_t at = 0;
	struct message_field f;
	int devid, start;

	while (message_next(r->said.data, r->said.len, &at, &f)) {
		snprintf(word, sizeof(word), "%.*s", (int)MIN(f.value_len, 60), f.value);
		if (message_field_is(&f, "address") && sscanf(word, "%d %n", &devid, &start) == 1 &&
		    devid == from->devid)
			announce_add_address(nic, word + start);
	}
}

static void on_announced(void *arg)
{
	struct reception *r = arg;

	r->announcing = false;
	reception_look(r);
}

static void announce(struct reception *r)
{
	int n = r->config.num_nics, rc;
	struct announce_nic *nics = calloc((size_t)n + 1, sizeof(*nics));

	for (int i = 0; nics && i < n; i++) {
		const libxl_device_nic *from = &r->config.nics[i];

		addresses_nic(from, r->restoring.domid, &nics[i]);
		add_addresses(r, from, &nics[i]);
	}
	rc = nics ? announce_start(&r->announce, r->loop, nics, (unsigned)n, on_announced, r)
		  : -ENOMEM;
	r->announcing = rc == 0;
	if (rc)
		log_warn("domain %s: cannot be announced to the network: %s", r->name,
			 strerror(-rc));
	free(nics);
}

/* Its network is back, or has had its time. */
static void let_disks_go(void *arg)
{
	struct reception *r = arg;

	if (r->restoring.holds)
		held_disks_let_go(r->restoring.domid);
	r->restoring.holds = false;
}

/*
 * The guest has connected its cards again, or has had its time: until then it has this host to
 * itself, for nobody hears of it earlier. Should we be killed before the record says running, what
 * is missing is done by who finds it.
 */
static void look_after(void *arg)
{
	struct reception *r = arg;

	loop_timer_del(r->loop, &r->later);
	let_disks_go(r);
	weight_restore(r->t, r->restoring.domid);
	r->renamed = !libxl_domain_rename(toolstack_ctx(r->t), r->restoring.domid,
					  r->config.c_info.name, r->name);
	if (!r->renamed)
		log_warn("domain %s: it runs here, but as %s: %s: xl rename gives it its name",
			 r->name, r->config.c_info.name, toolstack_cause(r->t, ERROR_FAIL));
	monitor_start(r->renamed ? r->name : r->config.c_info.name, false);
	handover_set(&r->handover, HANDOVER_RUNNING);
	handover_end(&r->handover);
	r->settling_in = false;
	reception_say(r, MSG_SETTLED, &(struct buf){0}); /* without a channel: RE_LOST */
}

/* Once the answer is on its way. */
static void settle_in(void *arg)
{
	struct reception *r = arg;

	if (!r->silent)
		announce(r);
	if (r->announcing) {
		announce_when_up(&r->announce, look_after);
		loop_timer_set(r->loop, &r->later, HOLD_NS, let_disks_go, r);
	} else {
		let_disks_go(r);
		loop_timer_set(r->loop, &r->later, reception_settle_in, look_after, r);
	}
}

/* Everything but the answer could wait, and does: the sender's clock is running. */
static void send_running(struct reception *r)
{
	uint64_t took_ns = clock_ns() - r->go_at;
	struct buf b = {0};

	message_put(&b, "took_ns", "%" PRIu64, took_ns);
	r->settling_in = true;
	reception_say(r, MSG_RUNNING, &b);
	r->end = RECEPTION_RUNNING;
	log_info("domain %s: runs here, started %.1f ms after it was handed over", r->name,
		 (double)took_ns / MS_NS);
	loop_timer_set(r->loop, &r->later, 0, settle_in, r);
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
	reception_raise(r, rc ? RE_UNDONE : RE_DONE);
}

static void destroy(struct reception *r)
{
	uint32_t domid = r->restoring.domid;
	int rc;

	r->end = RECEPTION_FAILED;
	/* libxl has destroyed it already, unless it was complete or called off. */
	if (!domid || domid == (uint32_t)INVALID_DOMID || guest_life(r->t, domid) == GUEST_ABSENT) {
		reception_raise(r, RE_DONE);
		return;
	}
	rc = libxl_domain_destroy(toolstack_ctx(r->t), domid,
				  toolstack_how(r->t, &r->op, on_destroyed, r));
	if (rc)
		toolstack_failed(&r->op, rc);
}

/* The sender cannot have destroyed its copy yet: as long as it hears us it waits for our word, and
 * then it asks for a while, the longer if we are heard (xen/migration/inquiry.h), before it goes by
 * the disk's alone. */
static bool sender_has_its_copy(const struct reception *r)
{
	return !r->won || (r->c && !r->raced && clock_ns() - r->go_at < inquiry_patience / 2);
}

/*
 * It could not be started. From here on nobody may, should we die while it goes. When that cannot
 * be written down it may be started yet, as long as it is there: so nothing is said before it is
 * not.
 */
static void take_back(struct reception *r)
{
	bool back = sender_has_its_copy(r);
	int rc = back ? handover_set(&r->handover, HANDOVER_PREPARING) : 0;

	if (back && (rc == 0 || r->won)) {
		destroy(r);
		return;
	}
	r->end = RECEPTION_FAILED;
	r->failed_to_destroy = true;
	if (r->won)
		log_error("domain %s: it is this host's now, and does not start: %s; it is paused: "
			  "xl unpause %s",
			  r->name, r->cause, r->config.c_info.name);
	else
		log_error("domain %s: it does not start (%s), and that cannot be recorded in %s: "
			  "%s; it is "
			  "paused: xl unpause %s",
			  r->name, r->cause, ledger_dir, strerror(-rc), r->config.c_info.name);
	reception_raise(r, RE_UNDONE);
}

static void end_gone(struct reception *r)
{
	struct buf b = {0};

	if (r->failed_to_destroy) {
		handover_end(&r->handover);
		disks_release(&r->disks);
	} else {
		handover_set(&r->handover, HANDOVER_GONE);
		reception_fence_leave(r);
	}
	if (r->end == RECEPTION_FAILED)
		log_error("domain %s: not received: %s", r->name, r->cause);
	if (!r->c || r->finishing)
		return;
	/* Only what is destroyed can be promised never to start. */
	if (!r->failed_to_destroy) {
		message_put(&b, "cause", "%s", r->cause);
		reception_say(r, MSG_FAILED, &b);
	}
	reception_goodbye(r);
}

void reception_act(struct reception *r, enum receiver_action a)
{
	switch (a) {
	case RA_NONE: break;
	case RA_SEND_HELLO: send_hello(r); break;
	case RA_TAKE_CONFIG: take_config(r); break;
	case RA_CHECK: check(r); break;
	case RA_SEND_VERDICTS: send_verdicts(r); break;
	case RA_RESTORE: restore(r); break;
	case RA_ABORT_RESTORE: abort_restore(r); break;
	case RA_SEND_READY: send_ready(r); break;
	case RA_TAKE:
	case RA_RACE: reception_whose(r, a); break;
	case RA_START: start(r); break;
	case RA_SEND_RUNNING: send_running(r); break;
	case RA_TAKE_BACK: take_back(r); break;
	case RA_DESTROY: destroy(r); break;
	case RA_END_GONE: end_gone(r); break;
	}
}
