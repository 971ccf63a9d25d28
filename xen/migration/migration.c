/* SPDX-License-Identifier: BSD-2-Clause */
/* The life of a migration at the sender: its events, its beginning and its end. */
#include "xen/migration/migration_priv.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/digest.h"
#include "core/log.h"
#include "xen/guest_claim.h"
#include "xen/migration/pause.h"
#include "xen/migration/recovery.h"
#include "xen/copy/save_helper.h"
#include "xen/turn.h"

/* Waiting in the channel: with the pipes and the sockets it is what the last pages queue behind. */
#define QUEUE_BYTES (512u << 10)

/* For the guardian to learn from the receiver what became of a guest that was handed over. */
#define RECOVERY_NS (300 * SEC_NS)

/* ---- times ---- */

/* GO and RUNNING cross the link once each; what the receiver took is known: the rest of the time
 * between the two is the link's, half of it each way. */
static uint64_t downtime(const struct migration *m)
{
	uint64_t round_trip;

	if (!m->saving.suspend_at || !m->running_at)
		return 0;
	round_trip = m->running_at - m->go_at;
	round_trip -= m->took_ns < round_trip ? m->took_ns : round_trip;
	return m->running_at - round_trip / 2 - m->saving.suspend_at;
}

/* 0 when either has not come to pass. */
static uint64_t span(uint64_t from, uint64_t to)
{
	return from && to > from ? to - from : 0;
}

/* For the prediction of the next. */
static void learn(const struct migration *m)
{
	struct pause p = {.pages = price_late_pages(&m->saving.price)};

	if (!downtime(m) || m->o.saving.offline)
		return;
	p.fixed_ns = downtime(m) - span(m->saving.suspended_at, m->sent_at);
	pause_learn(m->o.way.host, &p);
}

/* ---- what others are to know of it ---- */

struct settle_guest migration_settle_guest(const struct migration *m, bool asked)
{
	struct settle_guest g = {
		.domid = m->guest.domid, .asked = asked, .throttled = m->throttled, .cap = m->cap};

	snprintf(g.name, sizeof(g.name), "%s", m->guest.name);
	return g;
}

struct recovery_note migration_note(struct migration *m, bool handed_over)
{
	struct recovery_note n = {.guest = migration_settle_guest(m, m->asked),
				  .handed_over = handed_over,
				  .promised = m->promised,
				  .referee = m->referee};

	snprintf(n.id, sizeof(n.id), "%s", m->id);
	snprintf(n.uuid, sizeof(n.uuid), "%s", m->guest.uuid);
	guardian_note(&m->guardian, &n, sizeof(n));
	return n;
}

/* ---- events ---- */

static void enter(struct migration *m, enum sender_state s);

/* Changes with all that goes on: a guest that waits for its turn sends nothing. */
static uint64_t mark(const struct migration *m)
{
	return m->saving.pump.bytes + m->saving.report.at;
}

static void on_late(void *arg)
{
	struct migration *m = arg;
	const struct sender_about *about = sender_about(m->state);
	char why[160];

	if (m->state == S_COPY && mark(m) != m->late_mark) {
		enter(m, S_COPY);
		return;
	}
	snprintf(why, sizeof(why), "%s does not do its part: nothing came of it for long (%s)",
		 m->o.way.host, about->name);
	if (about->late == SE_LOST) {
		migration_lost(m, why);
	} else if (about->late == SE_UNKNOWN) {
		inquiry_stop(&m->inquiry);
		migration_raise(m, migration_nobody_knows(m));
	} else {
		because(m->cause, "%s", why);
		migration_raise(m, about->late);
	}
}

static void enter(struct migration *m, enum sender_state s)
{
	unsigned limit = sender_about(s)->limit;

	m->state = s;
	m->late_mark = mark(m);
	if (limit && limit != LIMIT_GOES_ON)
		loop_timer_set(m->loop, &m->late, limit * SEC_NS, on_late, m);
	else if (!limit)
		loop_timer_del(m->loop, &m->late);
}

static void run_events(void *arg)
{
	struct migration *m = arg;
	unsigned e;

	if (m->guest.op.running) /* on_guest() comes back to them */
		return;
	while (m->state != S_END && events_take(&m->events, &e)) {
		const struct sender_row *row = sender_step(m->state, e);

		if (!row) {
			log_debug("domain %s: %s means nothing while %s", m->guest.name,
				  sender_event_name(e), sender_state_name(m->state));
			continue;
		}
		log_debug("domain %s: %s: %s, then %s", m->guest.name, sender_event_name(e),
			  sender_state_name(m->state), sender_state_name(row->next));
		enter(m, row->next);
		migration_act(m, row->action);
	}
	if (m->state == S_END && !m->ended) {
		m->ended = clock_ns();
		if (m->end == MIGRATION_MOVED)
			learn(m);
		m->done(m->arg);
	}
}

void migration_raise(struct migration *m, enum sender_event e)
{
	events_raise(&m->events, e);
}

/* ---- from outside ---- */

_Static_assert(sizeof(struct recovery_note) < PIPE_BUF, "a note to the guardian is one message");

static void on_limit(void *arg)
{
	struct migration *m = arg;

	/* The policy knows the time, too: it stops the guest when the round is over. */
	if (m->o.saving.precopy.force && m->state >= S_COPY)
		log_warn("domain %s: --timeout has come: it is stopped as soon as may be",
			 m->guest.name);
	else
		migration_cancel(m, "it took longer than --timeout allows");
}

static void on_guest(void *arg, int err)
{
	struct migration *m = arg;

	if (err)
		because(m->cause, "its configuration cannot be read");
	if (m->cause[0])
		migration_raise(m, SE_CANCEL);
	else
		events_kick(&m->events);
	if (m->c)
		channel_resume(m->c);
}

/* While libxl reads the guest's configuration, which takes it long, the way to the other host is
 * opened: ssh, or that host, has its own work to do for it. */
static void connect_peer(struct migration *m)
{
	const struct channel_config cfg = {.ops = &migration_channel_ops,
					   .arg = m,
					   .peer = m->o.way.host,
					   .key = m->o.way.key,
					   .high_water = QUEUE_BYTES};
	int rc = m->o.way.open(m->o.way.arg, m->loop, &cfg, &m->c);

	if (rc) {
		m->c = NULL;
		migration_lost(m, strerror(-rc));
	}
}

/* In the guardian: this process's own loop and toolstack are not to be touched there. */
static void on_orphaned(void *arg, const void *text, size_t n)
{
	struct migration *m = arg;
	struct recovery_note last;
	struct recovery_result is;

	if (n != sizeof(last))
		return;
	memcpy(&last, text, n);
	toolstack_forked(m->t);
	/* Its disk will tell: for that it is waited as long as it takes. */
	is = recovery_run(&last, &m->o.way,
			  last.referee.n && last.referee.theirs ? 0 : RECOVERY_NS);
	if (is.end == RECOVERY_OPEN)
		return;
	ledger_remove(m->guest.uuid);
	if (!is.slow)
		guest_claim_forget_cap(m->claim);
}

/* One that was killed together with its guardian may have left the guest slowed. */
static void put_back_cap(struct migration *m)
{
	int cap;

	if (!guest_claim_noted_cap(m->claim, m->guest.domid, &cap))
		return;
	if (!throttle_put(m->t, m->guest.domid, cap))
		guest_claim_forget_cap(m->claim);
}

int migration_start(struct loop *l, struct toolstack *t, const struct migration_options *o,
		    void (*done)(void *arg), void *arg, struct migration **out)
{
	struct migration *m = calloc(1, sizeof(*m));
	uint8_t id[MIGRATION_ID_LEN / 2];
	char devices[64];
	int rc;

	if (!m)
		return -ENOMEM;
	m->o = *o;
	m->loop = l;
	m->t = t;
	m->claim = m->guardian.fd = m->departure.ledger.fd = -1;
	events_init(&m->events, l, run_events, m);
	m->done = done;
	m->arg = arg;
	m->began = clock_ns();
	rc = save_helper_install();
	if (!rc)
		rc = random_bytes(id, sizeof(id));
	if (rc) {
		log_error("domain %s: %s", o->domain, strerror(-rc));
		goto out;
	}
	for (size_t i = 0; i < sizeof(id); i++)
		snprintf(m->id + 2 * i, 3, "%02x", id[i]);
	rc = guest_find(t, o->domain, &m->guest);
	if (rc)
		goto out;
	m->claim = guest_claim(m->guest.uuid);
	if (m->claim < 0) {
		rc = m->claim;
		log_error(rc == -EBUSY ? "domain %s: it is being migrated already"
				       : "domain %s: cannot keep its lock in /run/vstor: %s",
			  m->guest.name, strerror(-rc));
		goto out;
	}
	/* What an earlier one has left comes first: killed from here on, this one would be settled
	 * by a note that knows nothing of it. */
	rc = departure_left(m->guest.uuid);
	if (rc) {
		if (rc == -EEXIST)
			log_error("domain %s: an earlier migration of it was cut off: vstor "
				  "recover %s first",
				  m->guest.name, m->guest.name);
		else
			log_error("domain %s: its journal in %s cannot be read: %s", m->guest.name,
				  ledger_dir, strerror(-rc));
		goto out;
	}
	put_back_cap(m);
	rc = guardian_start(&m->guardian, m->claim, on_orphaned, m);
	if (rc) {
		log_error("domain %s: cannot start its guardian: %s", m->guest.name, strerror(-rc));
		goto out;
	}
	migration_note(m, false);
	if (o->timeout_ns && o->saving.precopy.force)
		m->o.saving.precopy.stop_at = m->began + o->timeout_ns;
	m->o.saving.precopy.patient = o->timeout_ns != 0;
	if (o->timeout_ns)
		loop_timer_set(l, &m->limit, o->timeout_ns, on_limit, m);
	snprintf(devices, sizeof(devices), "/libxl/%u/device", m->guest.domid); /* libxl's notes */
	device_watch_start(&m->devices, devices);
	share_watch(&m->share, m->guest.domid);
	enter(m, S_CONNECT);
	connect_peer(m);
	guest_read(&m->guest, on_guest, m);
	*out = m;
	return 0;
out:
	migration_free(m);
	return rc;
}

bool migration_cancel(struct migration *m, const char *why)
{
	/* Its disk will say whose it is, however long that is silent; without one, nobody knows. */
	if (m->state == S_GO || m->state == S_TAKE || m->state == S_DESTROY ||
	    (m->state == S_ASK && migration_fenced(m)))
		return false;
	because(m->cause, "%s", why);
	if (!m->guest.op.running) /* else on_guest() sees the cause */
		migration_raise(m, SE_CANCEL);
	return true;
}

bool migration_waits(const struct migration *m, char *what, size_t size)
{
	if ((m->state != S_TAKE && m->state != S_ASK) || !migration_fenced(m))
		return false;
	snprintf(what, size,
		 "it was cut off at the hand-over, and only its disk (%s) or %s can tell whose it "
		 "is: it stays suspended here until one of them answers",
		 m->referee.disk[0].path, m->o.way.host);
	return true;
}

void migration_progress(const struct migration *m, struct migration_progress *p)
{
	const struct precopy_report *report = &m->saving.report;
	struct channel_stats s = {.bytes_sent = m->bytes};

	if (m->c)
		channel_stats(m->c, &s);
	*p = (struct migration_progress){
		.state = m->state,
		.round = m->saving.rounds,
		.round_bytes = report->pages * PRECOPY_PAGE,
		.round_sent = report->sent * PRECOPY_PAGE,
		.sent = s.bytes_sent + data_net_bytes(&m->data),
		.dirty = report->dirty * PRECOPY_PAGE,
		.speed = report->speed,
		.elapsed_ns = (m->ended ? m->ended : clock_ns()) - m->began,
	};
}

const struct verdicts *migration_verdicts(const struct migration *m)
{
	return &m->verdicts;
}

/* 0: not known. */
static uint64_t predicted(const struct migration *m)
{
	uint64_t ns = price_predicted(&m->saving.price);

	return ns == UINT64_MAX ? 0 : ns;
}

void migration_result(const struct migration *m, struct migration_result *r)
{
	/* The receiver's word, as far as it can be true. */
	uint64_t settling = span(m->sent_at, m->ready_at);
	uint64_t devices = m->devices_ns < settling ? m->devices_ns : settling;
	uint64_t quiesce = span(m->ready_at, m->quiet_at); /* beside the restore until then */

	*r = (struct migration_result){
		.end = m->end,
		.settled = m->settled,
		.unheard = m->end == MIGRATION_MOVED && m->unheard,
		.third = m->end == MIGRATION_MOVED && m->third,
		.cause = m->end == MIGRATION_MOVED || m->end == MIGRATION_CHECKED ? "" : m->cause,
		.began = m->began,
		.total_ns = m->ended - m->began,
		.downtime_ns = downtime(m),
		.stopped_at = m->saving.suspend_at,
		.suspend_ns = span(m->saving.suspend_at, m->saving.suspended_at),
		.copy_ns = span(m->saving.suspended_at, m->sent_at),
		.restore_ns = settling - devices,
		.devices_ns = devices,
		.quiesce_ns = quiesce,
		.start_ns = span(m->ready_at + quiesce, m->running_at),
		.bytes = m->bytes + data_net_bytes(&m->data),
		.rounds = m->saving.rounds,
		.pages = &m->saving.pages,
		.price = &m->saving.price,
		.predicted_ns = predicted(m),
		.throttle_ns =
			m->saving.throttles ? throttle_lost(&m->saving.throttle, m->ended) : 0,
		.name = m->guest.name,
		.id = m->id,
	};
}

void migration_free(struct migration *m)
{
	if (!m)
		return;
	turn_give();
	migration_drop_channel(m);
	saving_fini(&m->saving);
	data_net_close(&m->data);
	settle_stop(&m->settle);
	fencing_fini(&m->fencing);
	path_watch_stop(&m->paths);
	quiesce_stop(&m->quiesce);
	inquiry_stop(&m->inquiry);
	loop_timer_del(m->loop, &m->limit);
	loop_timer_del(m->loop, &m->late);
	loop_timer_del(m->loop, &m->soon);
	events_fini(&m->events);
	verdicts_fini(&m->verdicts);
	guest_fini(&m->guest);
	guest_fini(&m->again);
	device_watch_stop(&m->devices);
	departure_end(&m->departure, false);
	guardian_dismiss(&m->guardian);
	if (m->throttled &&
	    (m->end == MIGRATION_MOVED || (m->saving.throttle.cap == m->cap && !m->settle.slow)))
		guest_claim_forget_cap(m->claim);
	if (m->claim >= 0)
		close(m->claim);
	free(m);
}
