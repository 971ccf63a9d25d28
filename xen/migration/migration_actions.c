/* SPDX-License-Identifier: BSD-2-Clause */
/* What the sender does at each step, and what it hears. */
#include "xen/migration/migration_priv.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/log.h"
#include "xen/migration/addresses.h"
#include "xen/cpu.h"
#include "xen/devices.h"
#include "xen/disk_id.h"
#include "xen/guest_claim.h"
#include "xen/host.h"
#include "xen/migration/pause.h"
#include "xen/migration/recovery.h"
#include "xen/turn.h"

#define QUIESCE_NS (30 * SEC_NS)
#define SETTLED_NS (20 * SEC_NS) /* the receiver takes 10 s at most (ANNOUNCE_LINK_NS) */

#define CACHE_LITTLE (1u << 20) /* bytes of a delta cache that do not help much */

/* ---- the channel ---- */

static void on_open(void *arg)
{
	migration_raise(arg, SE_OPEN);
}

static void on_writable(void *arg)
{
	struct migration *m = arg;

	saving_kick(&m->saving);
}

void migration_drop_channel(struct migration *m)
{
	struct channel_stats s;

	if (!m->c)
		return;
	saving_stop_sending(&m->saving);
	share_stop(&m->share);
	channel_stats(m->c, &s);
	m->bytes = s.bytes_sent;
	channel_free(m->c);
	m->c = NULL;
}

/* Ours is cleared, and theirs settled or no more to be heard of. */
static void part(struct migration *m)
{
	if (m->cleared && !m->c)
		migration_raise(m, m->op.rc ? SE_UNDONE : SE_DONE);
}

void migration_lost(struct migration *m, const char *why)
{
	because(m->cause, "%s", why);
	migration_drop_channel(m);
	migration_raise(m, SE_LOST);
	part(m);
}

static void on_close(void *arg, int err, const char *text)
{
	struct migration *m = arg;

	if (!err && m->state == S_DESTROY) {
		migration_drop_channel(m);
		part(m);
		return;
	}
	migration_lost(m, err ? text : "the other side has hung up");
}

static void on_hello(struct migration *m, const uint8_t *p, size_t n)
{
	char boot[64], why[320];

	if (message_agree(p, n, true, why, sizeof(why))) {
		migration_lost(m, why);
		return;
	}
	m->same_host = !message_get(p, n, "boot", boot, sizeof(boot)) && boot[0] &&
		       strcmp(boot, host_boot_id()) == 0;
	if (m->same_host)
		log_info("domain %s: %s is this very host", m->guest.name, m->o.way.host);
	if (compression_agree(&m->o.compression, compression_cache_max(),
			      m->guest.config.b_info.max_memkb * 1024, p, n,
			      &m->o.saving.compression, why, sizeof(why))) {
		migration_lost(m, why);
		return;
	}
	if (m->o.saving.compression.on && !m->o.compression.cache_given &&
	    m->o.saving.compression.cache_bytes < CACHE_LITTLE)
		log_warn("domain %s: this host or %s has hardly any memory free: pages that change "
			 "are sent whole, not as what has changed in them",
			 m->guest.name, m->o.way.host);
	if (data_net_hear(&m->data, m->o.way.key, p, n)) {
		migration_lost(m, "--data: the vstor there offers no data connections: use the "
				  "same version on both hosts");
		return;
	}
	migration_raise(m, SE_HELLO);
}

static void on_verdicts(struct migration *m, const uint8_t *p, size_t n)
{
	if (verdicts_merge(&m->verdicts, p, n) || migration_fence_hear(m, p, n)) {
		migration_lost(m, "the verdicts make no sense");
	} else if (m->verdicts.refused) {
		because(m->cause, "%s", m->verdicts.why);
		migration_raise(m, SE_DECLINED);
	} else {
		migration_raise(m, m->o.check_only ? SE_CHECKED : SE_ACCEPTED);
	}
}

static bool on_frame(void *arg, uint8_t type, const uint8_t *p, size_t n)
{
	struct migration *m = arg;
	char cause[256];

	if (m->guest.op.running) /* nothing is to be said before that; on_guest() lets it go on */
		return false;
	if (message_check(p, n)) {
		migration_lost(m, "a message makes no sense");
		return true;
	}
	switch (type) {
	case MSG_HELLO: on_hello(m, p, n); break;
	case MSG_VERDICTS: on_verdicts(m, p, n); break;
	case MSG_ARRIVED:
		if (data_net_arrived(&m->data, p, n))
			migration_lost(m, "what has arrived there makes no sense");
		break;
	case MSG_READY:
		m->ready_at = clock_ns();
		message_get_u64(p, n, "devices_ns", &m->devices_ns);
		migration_raise(m, SE_READY);
		break;
	case MSG_RUNNING:
		m->running_at = clock_ns();
		message_get_u64(p, n, "took_ns", &m->took_ns);
		migration_raise(m, SE_RUNNING);
		break;
	case MSG_SETTLED:
		if (m->running_at)
			channel_finish(m->c);
		else
			migration_lost(m, "an unexpected message");
		break;
	case MSG_FAILED:
		if (message_get(p, n, "cause", cause, sizeof(cause)))
			snprintf(cause, sizeof(cause), "no cause given");
		because(m->cause, "%s: %s", m->o.way.host, cause);
		migration_raise(m, SE_FAILED);
		break;
	default: migration_lost(m, "an unexpected message"); break;
	}
	return true;
}

const struct channel_ops migration_channel_ops = {
	.on_open = on_open,
	.on_frame = on_frame,
	.on_writable = on_writable,
	.on_close = on_close,
};

static void say(struct migration *m, enum message_type type, struct buf *b)
{
	int rc = -EPIPE;

	if (m->c)
		rc = message_send(m->c, type, b);
	else
		buf_free(b);
	if (rc)
		migration_lost(m, strerror(-rc));
}

/* ---- actions, in the order of a good day ---- */

static void send_hello(struct migration *m)
{
	const struct release xen = toolstack_xen(m->t);
	struct buf b = {0};

	message_put(&b, "protocol", "%u", MIGRATION_PROTOCOL);
	message_put(&b, "vstor", "%s", VSTOR_VERSION);
	message_put(&b, "xen", "%u.%u", xen.major, xen.minor);
	message_put(&b, "boot", "%s", host_boot_id());
	message_put(&b, "mode", "migrate");
	message_put(&b, "id", "%s", m->id);
	m->data.addresses = m->o.data;
	data_net_ask(&m->data, &b);
	say(m, MSG_HELLO, &b);
}

void migration_send_guest(struct migration *m)
{
	struct timespec now;
	struct buf b = {0};
	char *json;

	m->guest.config.c_info.domid = 0; /* a wish for a number is for this host, as in xl */
	json = libxl_domain_config_to_json(toolstack_ctx(m->t), &m->guest.config);
	if (json)
		buf_put(&b, json, strlen(json));
	free(json);
	if (!b.len) {
		migration_lost(m, "its configuration cannot be written as JSON");
		return;
	}
	say(m, MSG_CONFIG, &b);

	b = (struct buf){0};
	buf_printf(&b, "cpu=");
	cpu_policy_print(m->guest.domid, &b);
	buf_printf(&b, "\n");
	clock_gettime(CLOCK_REALTIME, &now);
	message_put(&b, "time_ms", "%lld", (long long)now.tv_sec * 1000 + now.tv_nsec / 1000000);
	disk_ids_put(m->guest.domid, &b);
	addresses_put(m->guest.domid, &b);
	message_put(&b, "fence_host", "%u", referee_host());
	referee_put(&b, &m->referee);
	say(m, MSG_PREFLIGHT, &b);
}

static void check_guest(struct migration *m)
{
	preflight_source(&m->guest, !m->o.saving.offline, m->o.saving.precopy.throttle,
			 &m->verdicts);
	migration_fence_begin(m);
}

static void on_saved(void *arg, int err)
{
	struct migration *m = arg;

	if (err && m->saving.cause[0])
		because(m->cause, "%s", m->saving.cause);
	data_net_close(&m->data);
	migration_raise(m, err ? SE_SAVE_FAILED : SE_SAVED);
}

static bool kept(struct migration *m, int rc)
{
	if (rc)
		because(m->cause, "cannot keep a journal in %s: %s", ledger_dir, strerror(-rc));
	return rc == 0;
}

/* Should we be killed from here on, there is a suspend to take back; should the host go down, the
 * guest may be the receiver's. */
static void on_asks(void *arg)
{
	struct migration *m = arg;
	struct recovery_note n;

	m->asked = true;
	n = migration_note(m, false);
	share_stop(&m->share); /* what is left of the stream is waited for */
	if (!kept(m, departure_note(&m->departure, &n, &m->o.way)))
		migration_raise(m, SE_CANCEL);
}

/* For whoever comes when this process and its guardian have both been killed. */
static void note_cap(struct migration *m)
{
	int rc = guest_claim_note_cap(m->claim, m->guest.domid, m->cap);

	if (!rc)
		return;
	m->throttled = m->saving.throttles = false;
	log_warn("domain %s: it is not going to be slowed down, since its cap cannot be kept in "
		 "%s: %s",
		 m->guest.name, guest_claim_dir, strerror(-rc));
}

/* ssh's own handshake is long, and no work of that kind. */
static void expect_pause(struct migration *m)
{
	struct pause p;

	pause_known(m->o.way.host, m->o.way.port ? clock_ns() - m->began : 0, &p);
	m->o.saving.precopy.fixed_ns = p.fixed_ns;
	m->o.saving.precopy.late_pages = p.pages;
}

static void start_copy(void *arg)
{
	struct migration *m = arg;
	struct recovery_note n;

	expect_pause(m);

	m->throttled = saving_throttle(&m->saving, &m->guest, &m->o.saving, &m->cap);
	if (m->throttled)
		note_cap(m);
	n = migration_note(m, false);
	if (!kept(m, departure_begin(&m->departure, &n, &m->o.way))) {
		migration_raise(m, SE_SAVE_FAILED);
		return;
	}
	say(m, MSG_BEGIN, &(struct buf){0});
	m->o.saving.lanes = m->data.lanes;
	if (!m->c) {
		migration_raise(m, SE_SAVE_FAILED);
		return;
	}
	saving_start(&m->saving, m->loop, &m->guest, &m->o.saving, m->c, MSG_DATA, on_asks,
		     on_saved, m);
	if (!m->data.lanes) /* they have the other networks to themselves */
		share_start(&m->share, m->loop, m->c);
}

static void on_data_room(void *arg)
{
	struct migration *m = arg;

	saving_kick(&m->saving);
}

/* Before the copy nothing has to be undone; amid it the save is called off. */
static void on_data_failed(void *arg, const char *text)
{
	struct migration *m = arg;

	because(m->cause, "%s", text);
	migration_raise(m, m->saving.started ? SE_CANCEL : SE_SAVE_FAILED);
}

static const struct lanes_out_ops data_ops = {
	.on_open = start_copy, .on_room = on_data_room, .on_failed = on_data_failed};

static void copy(struct migration *m)
{
	char text[CHANNEL_TEXT_MAX];

	if (!m->o.data) {
		start_copy(m);
	} else if (lanes_out_open(m->loop, m->o.data, m->data.port, &m->data.key, &data_ops, m,
				  &m->data.lanes, text)) {
		m->data.lanes = NULL;
		because(m->cause, "%s", text);
		migration_raise(m, SE_SAVE_FAILED);
	}
}

static void abort_save(struct migration *m)
{
	if (m->saving.started) {
		saving_abort(&m->saving);
	} else { /* the data connections were not open yet */
		data_net_close(&m->data);
		migration_raise(m, SE_SAVE_FAILED);
	}
}

static void on_quiet(void *arg, int err)
{
	struct migration *m = arg;

	if (err) {
		because(m->cause,
			"its disks still have writes in flight %d s after it was suspended: is the "
			"storage reachable?",
			(int)(QUIESCE_NS / SEC_NS));
		migration_raise(m, SE_CANCEL);
	} else {
		m->quiet_at = clock_ns();
		migration_raise(m, SE_QUIET);
	}
}

/* As xl does: what may run elsewhere is not to be taken for it. Settling gives its name back. */
static int rename_away(struct migration *m)
{
	char name[GUEST_NAME_MAX + sizeof(GUEST_AWAY)];

	snprintf(name, sizeof(name), "%s%s", m->guest.name, GUEST_AWAY);
	return libxl_domain_rename(toolstack_ctx(m->t), m->guest.domid, m->guest.name, name) ? -EIO
											     : 0;
}

static bool same_devices(struct migration *m)
{
	char *before = devices_text(toolstack_ctx(m->t), &m->guest.config);
	char *now = devices_text(toolstack_ctx(m->t), &m->again.config);
	bool same = before && now && strcmp(before, now) == 0;

	free(before);
	free(now);
	return same;
}

static void resume(struct migration *m);

static void wait_for_disks(struct migration *m)
{
	quiesce_start(&m->quiesce, m->loop, m->guest.domid, QUIESCE_NS, on_quiet, m);
}

static void on_reread(void *arg, int err)
{
	struct migration *m = arg;

	if (m->state == S_RESUME) {
		resume(m); /* which has waited for this */
	} else if (err || !same_devices(m)) {
		because(m->cause, err ? "its configuration cannot be read again"
				      : "its devices are not those any more that it had when "
					"this began: try again");
		migration_raise(m, SE_CANCEL);
	} else {
		wait_for_disks(m);
	}
}

/* libxl reads for longer than all the rest takes. */
static void reread(struct migration *m)
{
	m->again = (struct guest){.t = m->t, .domid = m->guest.domid};
	snprintf(m->again.name, sizeof(m->again.name), "%s", m->guest.name);
	libxl_domain_config_init(&m->again.config);
	guest_read(&m->again, on_reread, m);
}

/* While the receiver restores. Devices may have come or gone during the copy: it would not know of
 * them. */
static void look_again(void *arg)
{
	struct migration *m = arg;

	if (m->state != S_SETTLE && m->state != S_READY)
		return;
	if (rename_away(m)) {
		because(m->cause, "cannot rename it here: %s", toolstack_cause(m->t, ERROR_FAIL));
		migration_raise(m, SE_CANCEL);
	}
	if (device_watch_touched(&m->devices))
		reread(m);
	else
		wait_for_disks(m);
}

static void settle(struct migration *m)
{
	struct buf b = {0};

	m->sent_at = clock_ns();
	message_put(&b, "bytes", "%llu", (unsigned long long)m->saving.pump.bytes);
	say(m, MSG_END, &b);
	/* Once that is on its way: the receiver waits for it. */
	loop_timer_set(m->loop, &m->soon, 0, look_again, m);
}

static void hand_over(struct migration *m)
{
	struct buf b = {0};

	loop_timer_del(m->loop, &m->limit);
	migration_note(m, true);
	m->go_at = clock_ns();
	say(m, MSG_GO, &b);
}

/* ---- when the channel was lost at the hand-over ---- */

static void on_asked(void *arg, enum handover_is is)
{
	struct migration *m = arg;

	switch (is) {
	case HANDOVER_RUNNING: migration_raise(m, SE_RUNNING); break;
	case HANDOVER_GONE:
		m->third = migration_third_has_it(m);
		migration_raise(m, m->third ? SE_TAKEN : SE_FAILED);
		break;
	default:
		because(m->cause, "%s", m->inquiry.cause);
		m->unheard = migration_nobody_knows(m) == SE_TAKEN;
		migration_raise(m, migration_nobody_knows(m));
	}
}

static void ask(struct migration *m)
{
	uint64_t silence = m->disk_says == REFEREE_LOST ? inquiry_silence : inquiry_patience;
	char waits[400];

	if (m->disk_says == REFEREE_SILENT && migration_waits(m, waits, sizeof(waits)))
		log_warn("domain %s: %s", m->guest.name, waits);
	else
		log_warn("domain %s: the channel was lost at the moment of the hand-over (%s): "
			 "asking %s what became of it",
			 m->guest.name, m->cause, m->o.way.host);
	inquiry_start(&m->inquiry, m->loop, &m->o.way, m->id, silence, inquiry_patience, on_asked,
		      m);
}

static void on_cleared(void *arg, int rc)
{
	struct migration *m = arg;

	if (rc)
		log_info("domain %s: clearing: %s", m->guest.name, toolstack_cause(m->t, rc));
	m->cleared = true;
	part(m);
}

static void on_unsettled(void *arg)
{
	migration_lost(arg, "the other side does not settle");
}

/* Meanwhile the guest connects its devices there, and then gets its name: when we end, whoever
 * started us finds it by that. */
static void destroy(struct migration *m)
{
	int rc;

	turn_give(); /* its pause is over */
	loop_timer_set(m->loop, &m->soon, SETTLED_NS, on_unsettled, m);
	rc = libxl_domain_destroy(toolstack_ctx(m->t), m->guest.domid,
				  toolstack_how(m->t, &m->op, on_cleared, m));
	if (rc)
		toolstack_failed(&m->op, rc);
}

static void on_settled(void *arg, enum settle_is is)
{
	struct migration *m = arg;

	m->settled = is;
	if (is == SETTLE_STRANDED)
		log_info("domain %s: cannot be resumed: %s", m->guest.name, m->settle.cause);
	migration_raise(m, is == SETTLE_STRANDED ? SE_UNDONE : SE_DONE);
}

static void resume(struct migration *m)
{
	const struct settle_guest g = migration_settle_guest(m, saving_asked(&m->saving));

	/* Whatever the receiver still holds, it destroys when it hears no more of us. */
	migration_drop_channel(m);
	quiesce_stop(&m->quiesce);
	if (m->again.op.running)
		return;
	settle_start(&m->settle, m->t, m->loop, &g, on_settled, m);
}

static void finish(struct migration *m, enum migration_end end)
{
	m->end = end;
	migration_fence_end(m);
	departure_end(&m->departure, end != MIGRATION_UNKNOWN && end != MIGRATION_STRANDED);
	if (end == MIGRATION_HERE && !m->settle.loop)
		m->settled = settle_look(m->t, m->guest.domid);
	if (m->op.rc && end == MIGRATION_MOVED)
		log_warn("domain %s: it runs on %s, but what is left of it here cannot be cleared: "
			 "%s: xl destroy %s%s",
			 m->guest.name, m->o.way.host, toolstack_cause(m->t, m->op.rc),
			 m->guest.name, GUEST_AWAY);
	migration_drop_channel(m);
}

void migration_act(struct migration *m, enum sender_action a)
{
	switch (a) {
	case SA_NONE: break;
	case SA_SEND_HELLO: send_hello(m); break;
	case SA_SEND_GUEST: check_guest(m); break;
	case SA_COPY: copy(m); break;
	case SA_ABORT_SAVE: abort_save(m); break;
	case SA_SETTLE: settle(m); break;
	case SA_GO: hand_over(m); break;
	case SA_KEEP:
	case SA_TAKE:
	case SA_RECLAIM: migration_whose(m, a); break;
	case SA_ASK: ask(m); break;
	case SA_DESTROY: destroy(m); break;
	case SA_RESUME: resume(m); break;
	case SA_END_MOVED: finish(m, MIGRATION_MOVED); break;
	case SA_END_CHECKED: finish(m, MIGRATION_CHECKED); break;
	case SA_END_HERE: finish(m, MIGRATION_HERE); break;
	case SA_END_UNKNOWN: finish(m, MIGRATION_UNKNOWN); break;
	case SA_END_STRANDED: finish(m, MIGRATION_STRANDED); break;
	}
}
