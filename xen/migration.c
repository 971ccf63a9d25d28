#include "xen/migration.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/digest.h"
#include "core/log.h"
#include "xen/cpu.h"
#include "xen/guardian.h"
#include "xen/guest.h"
#include "xen/host.h"
#include "xen/message.h"
#include "xen/quiesce.h"
#include "xen/recovery.h"
#include "xen/save_helper.h"

#define QUIESCE_NS (30 * SEC_NS)
#define ANSWER_NS  (60 * SEC_NS) /* from GO to RUNNING: the receiver only renames and unpauses */
#define ASK_NS	   (60 * SEC_NS)
#define EVENTS_MAX 16

struct migration {
	struct migration_options o;
	struct loop *loop;
	struct toolstack *t;
	struct guest guest;
	char id[MIGRATION_ID_LEN + 1];
	enum sender_state state;

	/* Events wait here until whoever raised them is done. */
	enum sender_event events[EVENTS_MAX];
	unsigned n_events;
	struct loop_task task;

	struct channel *c;
	struct saving saving;
	struct toolstack_op op;
	struct quiesce quiesce;
	struct inquiry inquiry;
	struct loop_timer limit, answer; /* answer: whatever the state waits for */
	struct verdicts verdicts;
	bool away; /* our domain carries its name of HANDOVER_AWAY */
	int claim; /* see handover_claim() */
	struct guardian guardian;

	uint64_t began, ended, suspend_at, go_at, running_at, took_ns, bytes;
	char cause[512];
	enum migration_end end;
	void (*done)(void *arg);
	void *arg;
};

/* ---- events -----------------------------------------------------------------------------------
 */

static void act(struct migration *m, enum sender_action a);

static void run_events(void *arg)
{
	struct migration *m = arg;

	while (m->n_events && m->state != S_END) {
		enum sender_event e = m->events[0];
		const struct sender_row *row = sender_step(m->state, e);

		memmove(m->events, m->events + 1, --m->n_events * sizeof(m->events[0]));
		if (!row) {
			log_debug("domain %s: event %d means nothing while %s", m->guest.name, e,
				  sender_state_name(m->state));
			continue;
		}
		log_debug("domain %s: event %d: %s, then %s", m->guest.name, e,
			  sender_state_name(m->state), sender_state_name(row->next));
		m->state = row->next;
		act(m, row->action);
	}
	if (m->state == S_END && !m->ended) {
		m->ended = clock_ns();
		m->done(m->arg);
	}
}

static void raise_event(struct migration *m, enum sender_event e)
{
	if (m->n_events < EVENTS_MAX)
		m->events[m->n_events++] = e;
	loop_defer(m->loop, &m->task);
}

/* The first cause is the one that counts: later ones follow from it. */
__attribute__((format(printf, 2, 3))) static void because(struct migration *m, const char *fmt, ...)
{
	va_list ap;

	if (m->cause[0])
		return;
	va_start(ap, fmt);
	vsnprintf(m->cause, sizeof(m->cause), fmt, ap);
	va_end(ap);
}

static void on_op(void *arg, int rc)
{
	struct migration *m = arg;

	if (rc)
		log_info("domain %s: %s: %s", m->guest.name, sender_state_name(m->state),
			 toolstack_cause(m->t, rc));
	raise_event(m, rc ? SE_UNDONE : SE_DONE);
}

/* ---- the channel ------------------------------------------------------------------------------
 */

static void on_open(void *arg)
{
	raise_event(arg, SE_OPEN);
}

static void on_writable(void *arg)
{
	struct migration *m = arg;

	saving_kick(&m->saving);
}

static void drop_channel(struct migration *m)
{
	struct channel_stats s;

	if (!m->c)
		return;
	saving_stop_sending(&m->saving);
	channel_stats(m->c, &s);
	m->bytes = s.bytes_sent;
	channel_free(m->c);
	m->c = NULL;
}

static void lost(struct migration *m, const char *why)
{
	because(m, "%s", why);
	drop_channel(m);
	raise_event(m, SE_LOST);
}

static void on_close(void *arg, int err, const char *text)
{
	struct migration *m = arg;

	if (!err && m->state == S_DESTROY) {
		drop_channel(m);
		return;
	}
	lost(m, err ? text : "the other side has hung up");
}

static void on_hello(struct migration *m, const uint8_t *p, size_t n)
{
	char boot[64];
	uint64_t protocol;

	if (message_get_u64(p, n, "protocol", &protocol) || protocol != MIGRATION_PROTOCOL) {
		lost(m, "the vstor there speaks another version of this protocol: use the same "
			"version on both hosts");
		return;
	}
	if (!message_get(p, n, "boot", boot, sizeof(boot)) && strcmp(boot, host_boot_id()) == 0)
		log_info("domain %s: %s is this very host", m->guest.name, m->o.way.host);
	raise_event(m, SE_HELLO);
}

static void on_verdicts(struct migration *m, const uint8_t *p, size_t n)
{
	if (verdicts_merge(&m->verdicts, p, n)) {
		lost(m, "the verdicts make no sense");
	} else if (m->verdicts.refused) {
		because(m, "%s", m->verdicts.why);
		raise_event(m, SE_DECLINED);
	} else {
		raise_event(m, m->o.check_only ? SE_CHECKED : SE_ACCEPTED);
	}
}

static bool on_frame(void *arg, uint8_t type, const uint8_t *p, size_t n)
{
	struct migration *m = arg;
	char cause[256];

	if (message_check(p, n)) {
		lost(m, "a message makes no sense");
		return true;
	}
	switch (type) {
	case MSG_HELLO: on_hello(m, p, n); break;
	case MSG_VERDICTS: on_verdicts(m, p, n); break;
	case MSG_READY: raise_event(m, SE_READY); break;
	case MSG_RUNNING:
		m->running_at = clock_ns();
		message_get_u64(p, n, "took_ns", &m->took_ns);
		raise_event(m, SE_RUNNING);
		break;
	case MSG_FAILED:
		if (message_get(p, n, "cause", cause, sizeof(cause)))
			snprintf(cause, sizeof(cause), "no cause given");
		because(m, "%s: %s", m->o.way.host, cause);
		raise_event(m, SE_FAILED);
		break;
	default: lost(m, "an unexpected message"); break;
	}
	return true;
}

static const struct channel_ops ops = {
	.on_open = on_open,
	.on_frame = on_frame,
	.on_writable = on_writable,
	.on_close = on_close,
};

static void say(struct migration *m, enum message_type type, struct buf *b)
{
	int rc = m->c ? message_send(m->c, type, b) : -EPIPE;

	if (rc)
		lost(m, strerror(-rc));
}

/* ---- actions, in the order of a good day ------------------------------------------------------
 */

static void send_hello(struct migration *m)
{
	unsigned major, minor;
	struct buf b = {0};

	toolstack_xen_version(m->t, &major, &minor);
	message_put(&b, "protocol", "%u", MIGRATION_PROTOCOL);
	message_put(&b, "vstor", "%s", VSTOR_VERSION);
	message_put(&b, "xen", "%u.%u", major, minor);
	message_put(&b, "boot", "%s", host_boot_id());
	message_put(&b, "mode", "migrate");
	message_put(&b, "id", "%s", m->id);
	say(m, MSG_HELLO, &b);
}

static void send_guest(struct migration *m)
{
	char *json = libxl_domain_config_to_json(toolstack_ctx(m->t), &m->guest.config);
	struct buf b = {0};

	preflight_source(&m->guest, !m->o.saving.offline, &m->verdicts);
	if (json)
		buf_put(&b, json, strlen(json));
	free(json);
	if (!b.len) {
		lost(m, "its configuration cannot be written as JSON");
		return;
	}
	say(m, MSG_CONFIG, &b);

	b = (struct buf){0};
	buf_printf(&b, "cpu=");
	cpu_policy_print(m->guest.domid, &b);
	buf_printf(&b, "\n");
	say(m, MSG_PREFLIGHT, &b);
}

static void on_saved(void *arg, int err)
{
	struct migration *m = arg;

	if (err && m->saving.cause[0])
		because(m, "%s", m->saving.cause);
	raise_event(m, err ? SE_SAVE_FAILED : SE_SAVED);
}

static void copy(struct migration *m)
{
	say(m, MSG_BEGIN, &(struct buf){0});
	if (m->c)
		saving_start(&m->saving, m->loop, &m->guest, &m->o.saving, m->c, MSG_DATA, on_saved,
			     m);
	else
		raise_event(m, SE_SAVE_FAILED);
}

static void on_quiet(void *arg, int err)
{
	struct migration *m = arg;

	if (err) {
		because(m,
			"its disks still have writes in flight %d s after it was suspended: is the "
			"storage reachable?",
			(int)(QUIESCE_NS / SEC_NS));
		raise_event(m, SE_CANCEL);
	} else {
		raise_event(m, SE_QUIET);
	}
}

static void settle(struct migration *m)
{
	struct buf b = {0};

	message_put(&b, "bytes", "%llu", (unsigned long long)m->saving.pump.bytes);
	say(m, MSG_END, &b);
	quiesce_start(&m->quiesce, m->loop, m->guest.domid, QUIESCE_NS, on_quiet, m);
}

static void note(struct migration *m, bool handed_over)
{
	struct recovery_note n = {.domid = m->guest.domid, .handed_over = handed_over};

	snprintf(n.name, sizeof(n.name), "%s", m->guest.name);
	snprintf(n.id, sizeof(n.id), "%s", m->id);
	guardian_note(&m->guardian, &n, sizeof(n));
}

static int rename_guest(struct migration *m, bool away)
{
	char name[GUEST_NAME_MAX + sizeof(HANDOVER_AWAY)];

	snprintf(name, sizeof(name), "%s%s", m->guest.name, HANDOVER_AWAY);
	if (m->away == away)
		return 0;
	if (libxl_domain_rename(toolstack_ctx(m->t), m->guest.domid, away ? m->guest.name : name,
				away ? name : m->guest.name))
		return -EIO;
	m->away = away;
	return 0;
}

static void on_no_answer(void *arg)
{
	struct migration *m = arg;

	if (m->state == S_GO)
		lost(m, "no answer after the guest was handed over");
}

static void hand_over(struct migration *m)
{
	struct buf b = {0};

	loop_timer_del(m->loop, &m->limit);
	note(m, true);
	if (rename_guest(m, true)) {
		because(m, "cannot rename it here: %s", toolstack_cause(m->t, ERROR_FAIL));
		drop_channel(m);
		raise_event(m, SE_FAILED); /* GO was not said: the receiver will never start it */
		return;
	}
	m->go_at = clock_ns();
	loop_timer_set(m->loop, &m->answer, ANSWER_NS, on_no_answer, m);
	say(m, MSG_GO, &b);
}

static void on_asked(void *arg, enum handover_is is)
{
	struct migration *m = arg;

	switch (is) {
	case HANDOVER_RUNNING: raise_event(m, SE_RUNNING); break;
	case HANDOVER_GONE: raise_event(m, SE_FAILED); break;
	default: because(m, "%s", m->inquiry.cause); raise_event(m, SE_UNKNOWN);
	}
}

static void ask(struct migration *m)
{
	log_warn("domain %s: the channel was lost at the moment of the hand-over (%s): asking %s "
		 "what became of it",
		 m->guest.name, m->cause, m->o.way.host);
	inquiry_start(&m->inquiry, m->loop, &m->o.way, m->id, ASK_NS, on_asked, m);
}

static void destroy(struct migration *m)
{
	int rc;

	loop_timer_del(m->loop, &m->answer);
	if (m->c)
		channel_finish(m->c);
	toolstack_forget_cause(m->t);
	rc = libxl_domain_destroy(toolstack_ctx(m->t), m->guest.domid,
				  toolstack_how(m->t, &m->op, on_op, m));
	if (rc)
		toolstack_failed(&m->op, rc);
}

static void resume(struct migration *m)
{
	int rc;

	/* Whatever the receiver still holds, it destroys when it hears no more of us. */
	drop_channel(m);
	quiesce_stop(&m->quiesce);
	loop_timer_del(m->loop, &m->answer);
	if (rename_guest(m, false))
		log_warn("domain %s: it keeps the name %s%s: xl rename gives it back",
			 m->guest.name, m->guest.name, HANDOVER_AWAY);
	if (guest_life(m->t, m->guest.domid) != GUEST_SUSPENDED) {
		raise_event(m, SE_DONE);
		return;
	}
	toolstack_forget_cause(m->t);
	rc = libxl_domain_resume(toolstack_ctx(m->t), m->guest.domid, 1,
				 toolstack_how(m->t, &m->op, on_op, m));
	if (rc)
		toolstack_failed(&m->op, rc);
}

static void finish(struct migration *m, enum migration_end end)
{
	m->end = end;
	if (m->op.rc && end == MIGRATION_MOVED)
		log_warn("domain %s: it runs on %s, but what is left of it here cannot be cleared: "
			 "%s: xl destroy %s%s",
			 m->guest.name, m->o.way.host, toolstack_cause(m->t, m->op.rc),
			 m->guest.name, HANDOVER_AWAY);
	drop_channel(m);
}

static void act(struct migration *m, enum sender_action a)
{
	switch (a) {
	case SA_NONE: break;
	case SA_SEND_HELLO: send_hello(m); break;
	case SA_SEND_GUEST: send_guest(m); break;
	case SA_COPY: copy(m); break;
	case SA_ABORT_SAVE: saving_abort(&m->saving); break;
	case SA_SETTLE: settle(m); break;
	case SA_GO: hand_over(m); break;
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

/* ---- from outside -----------------------------------------------------------------------------
 */

static void on_limit(void *arg)
{
	struct migration *m = arg;

	migration_cancel(m, "it took longer than --timeout allows");
}

static void on_guest(void *arg, int err)
{
	struct migration *m = arg;
	struct channel_config cfg = {
		.ops = &ops, .arg = m, .peer = m->o.way.host, .key = m->o.way.key};
	int rc;

	if (err)
		because(m, "its configuration cannot be read");
	if (m->cause[0]) {
		raise_event(m, SE_CANCEL);
		return;
	}
	rc = m->o.way.open(m->o.way.arg, m->loop, &cfg, &m->c);
	if (rc) {
		m->c = NULL;
		lost(m, strerror(-rc));
	}
}

/* In the guardian: this process's own loop and toolstack are not to be touched there. */
static void on_orphaned(void *arg, const void *text, size_t n)
{
	struct migration *m = arg;
	struct recovery_note last;

	if (n != sizeof(last))
		return;
	memcpy(&last, text, n);
	toolstack_forked(m->t);
	recovery_run(&last, &m->o.way);
}

int migration_start(struct loop *l, struct toolstack *t, const struct migration_options *o,
		    void (*done)(void *arg), void *arg, struct migration **out)
{
	struct migration *m = calloc(1, sizeof(*m));
	uint8_t id[MIGRATION_ID_LEN / 2];
	int rc;

	if (!m)
		return -ENOMEM;
	m->o = *o;
	m->loop = l;
	m->t = t;
	m->claim = m->guardian.fd = -1;
	m->task = (struct loop_task){.fn = run_events, .arg = m};
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
	m->claim = handover_claim(m->guest.uuid);
	if (m->claim < 0) {
		rc = m->claim;
		log_error(rc == -EBUSY ? "domain %s: it is being migrated already"
				       : "domain %s: cannot keep its lock in /run/vstor: %s",
			  m->guest.name, strerror(-rc));
		goto out;
	}
	rc = guardian_start(&m->guardian, m->claim, on_orphaned, m);
	if (rc) {
		log_error("domain %s: cannot start its guardian: %s", m->guest.name, strerror(-rc));
		goto out;
	}
	note(m, false);
	if (o->timeout_ns)
		loop_timer_set(l, &m->limit, o->timeout_ns, on_limit, m);
	guest_read(&m->guest, on_guest, m);
	*out = m;
	return 0;
out:
	migration_free(m);
	return rc;
}

bool migration_cancel(struct migration *m, const char *why)
{
	if (m->state == S_GO || m->state == S_DESTROY)
		return false;
	because(m, "%s", why);
	if (!m->guest.op.running) /* else on_guest() sees the cause */
		raise_event(m, SE_CANCEL);
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
		.round_bytes = report->dirty * PRECOPY_PAGE,
		.round_sent = m->saving.pump.bytes - m->saving.report_bytes,
		.sent = s.bytes_sent,
		.dirty = report->round ? report->dirty * PRECOPY_PAGE : 0,
		.elapsed_ns = (m->ended ? m->ended : clock_ns()) - m->began,
	};
}

const struct verdicts *migration_verdicts(const struct migration *m)
{
	return &m->verdicts;
}

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

void migration_result(const struct migration *m, struct migration_result *r)
{
	*r = (struct migration_result){
		.end = m->end,
		.cause = m->end == MIGRATION_MOVED || m->end == MIGRATION_CHECKED ? "" : m->cause,
		.total_ns = m->ended - m->began,
		.downtime_ns = downtime(m),
		.bytes = m->bytes,
		.rounds = m->saving.rounds,
		.name = m->guest.name,
		.id = m->id,
	};
}

void migration_free(struct migration *m)
{
	if (!m)
		return;
	drop_channel(m);
	saving_fini(&m->saving);
	quiesce_stop(&m->quiesce);
	inquiry_stop(&m->inquiry);
	loop_timer_del(m->loop, &m->limit);
	loop_timer_del(m->loop, &m->answer);
	loop_defer_cancel(m->loop, &m->task);
	verdicts_fini(&m->verdicts);
	guest_fini(&m->guest);
	guardian_dismiss(&m->guardian);
	if (m->claim >= 0)
		close(m->claim);
	free(m);
}
