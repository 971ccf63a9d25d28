#include "xen/reception.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "core/bytes.h"
#include "core/log.h"
#include "net/channel_pump.h"
#include "xen/disks.h"
#include "xen/handover.h"
#include "xen/host.h"
#include "xen/message.h"
#include "xen/migration_table.h"
#include "xen/preflight.h"
#include "xen/save_helper.h"
#include "xen/stream.h"

#define EVENTS_MAX  16
#define PIPE_BYTES  (1 << 20)
#define PREAMBLE_NS (2 * MS_NS) /* libxl needs a few turns of the loop for it */
#define CPU_MAX	    2048
/* For the goodbye after the end; the channel's own time-outs end it before. */
#define GOODBYE_NS (15 * SEC_NS)

struct reception {
	struct loop *loop;
	struct toolstack *t;
	struct channel *c;
	enum receiver_state state;
	enum receiver_event events[EVENTS_MAX];
	unsigned n_events;
	struct loop_task task;
	struct loop_timer timer; /* whatever the state waits for */

	char id[MIGRATION_ID_LEN + 1];
	char name[GUEST_NAME_MAX], uuid[GUEST_UUID_MAX];
	char *json;
	libxl_domain_config config;
	bool has_config;
	unsigned xen_major, xen_minor;
	bool same_host;
	char cpu[CPU_MAX];
	struct verdicts verdicts;
	struct disks disks;

	struct handover handover;
	struct handover_ask ask;
	bool asking;
	uint32_t domid;
	int pipe[2];
	struct channel_sink sink;
	struct stream stream;
	uint8_t preamble[STREAM_PREAMBLE];
	size_t have;
	bool waiting; /* a frame is held until the events have run */
	bool held;    /* the frame in hand has been looked at already */
	size_t skip;  /* its bytes that were the preamble's */
	bool restored, all_here;
	struct toolstack_op op;
	libxl_domain_restore_params params;
	uint64_t go_at;

	char cause[512];
	bool failed_to_destroy, finishing, ended;
	enum reception_end end;
	void (*done)(void *arg, enum reception_end end);
	void *arg;
};

/* ---- events -----------------------------------------------------------------------------------
 */

static void act(struct reception *r, enum receiver_action a);

static void finish(struct reception *r)
{
	if (r->ended)
		return;
	r->ended = true;
	loop_timer_del(r->loop, &r->timer);
	r->done(r->arg, r->end);
}

static void run_events(void *arg)
{
	struct reception *r = arg;

	while (r->n_events) {
		enum receiver_event e = r->events[0];
		const struct receiver_row *row = receiver_step(r->state, e);

		memmove(r->events, r->events + 1, --r->n_events * sizeof(r->events[0]));
		if (!row)
			continue;
		log_debug("domain %s: event %d: %s, then %s", r->name, e,
			  receiver_state_name(r->state), receiver_state_name(row->next));
		r->state = row->next;
		act(r, row->action);
	}
	if (r->waiting && r->c) {
		r->waiting = false;
		channel_resume(r->c);
	}
	if (r->state == R_END && !r->c && !r->asking)
		finish(r);
}

static void raise_event(struct reception *r, enum receiver_event e)
{
	if (r->n_events < EVENTS_MAX)
		r->events[r->n_events++] = e;
	loop_defer(r->loop, &r->task);
}

__attribute__((format(printf, 2, 3))) static void because(struct reception *r, const char *fmt, ...)
{
	va_list ap;

	if (r->cause[0])
		return;
	va_start(ap, fmt);
	vsnprintf(r->cause, sizeof(r->cause), fmt, ap);
	va_end(ap);
}

/* The sender did or sent what it may not: it is told, and what there is of the guest goes. */
static void refuse(struct reception *r, const char *why)
{
	because(r, "%s", why);
	raise_event(r, RE_CANCEL);
}

static void drop_channel(struct reception *r)
{
	channel_sink_stop(&r->sink);
	channel_free(r->c);
	r->c = NULL;
}

static void say(struct reception *r, enum message_type type, struct buf *b)
{
	if (r->c && message_send(r->c, type, b) == 0)
		return;
	buf_free(b);
	because(r, "the channel takes no more");
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

/* ---- what comes over the channel --------------------------------------------------------------
 */

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

static void close_pipe_end(struct reception *r, int end)
{
	if (end == 1) {
		channel_sink_stop(&r->sink);
		/* What the pipe will never take must not keep other messages waiting. */
		if (r->held && r->c)
			channel_resume(r->c);
		r->held = false;
	}
	if (r->pipe[end] >= 0)
		close(r->pipe[end]);
	r->pipe[end] = -1;
}

static void both_done(struct reception *r)
{
	if (r->restored && r->all_here)
		raise_event(r, RE_RESTORED);
}

static void on_restored(void *arg, int rc)
{
	struct reception *r = arg;

	close_pipe_end(r, 0);
	if (rc) {
		because(r, "restoring it failed: %s", toolstack_cause(r->t, rc));
		raise_event(r, RE_RESTORE_FAILED);
		return;
	}
	r->restored = true;
	/* When it is being called off, nothing more comes. */
	if (r->state == R_ABORT)
		raise_event(r, RE_RESTORED);
	both_done(r);
}

static void on_sink_failed(void *arg, int err)
{
	struct reception *r = arg;

	/* The restore says why; this only tells that it has ended. */
	log_debug("domain %s: the restore helper takes no more: %s", r->name, strerror(-err));
}

static void start_restore(struct reception *r)
{
	char *incoming;
	int rc;

	if (asprintf(&incoming, "%s%s", r->name, HANDOVER_INCOMING) < 0 ||
	    pipe2(r->pipe, O_CLOEXEC)) {
		because(r, "cannot start the restore: %s", strerror(errno));
		raise_event(r, RE_RESTORE_FAILED);
		return;
	}
	free(r->config.c_info.name);
	r->config.c_info.name = incoming;
	fcntl(r->pipe[1], F_SETPIPE_SZ, PIPE_BYTES);
	(void)!write(r->pipe[1], r->preamble, STREAM_PREAMBLE); /* into an empty pipe */
	channel_sink_start(r->loop, &r->sink, r->c, r->pipe[1], on_sink_failed, r);
	libxl_domain_restore_params_init(&r->params);
	r->params.stream_version = 2;
	toolstack_forget_cause(r->t);
	rc = libxl_domain_create_restore(toolstack_ctx(r->t), &r->config, &r->domid, r->pipe[0], -1,
					 &r->params, toolstack_how(r->t, &r->op, on_restored, r),
					 NULL);
	if (rc)
		toolstack_failed(&r->op, rc);
}

/* The first bytes are kept back until they are all here and known to be good. */
static size_t take_preamble(struct reception *r, const uint8_t *p, size_t n)
{
	size_t k = MIN(n, STREAM_PREAMBLE - r->have);

	if (!k)
		return 0;
	memcpy(r->preamble + r->have, p, k);
	r->have += k;
	if (r->have == STREAM_PREAMBLE)
		start_restore(r);
	return k;
}

static bool on_data(struct reception *r, const uint8_t *p, size_t n)
{
	if (r->state != R_RESTORE || r->all_here)
		return true;
	if (!r->held) {
		if (stream_feed(&r->stream, p, n)) {
			because(r, "the stream is damaged: %s", r->stream.error);
			raise_event(r, RE_CANCEL);
			return true;
		}
		r->skip = take_preamble(r, p, n);
	}
	if (r->pipe[1] < 0)
		return true;
	r->held = !channel_sink_frame(&r->sink, p + r->skip, n - r->skip);
	return !r->held;
}

static void on_end(struct reception *r, const uint8_t *p, size_t n)
{
	uint64_t bytes;

	if (message_get_u64(p, n, "bytes", &bytes) || bytes != r->stream.bytes ||
	    !r->stream.ended) {
		refuse(r, "the stream is not complete");
		return;
	}
	r->all_here = true;
	close_pipe_end(r, 1);
	both_done(r);
}

static bool on_frame(void *arg, uint8_t type, const uint8_t *p, size_t n)
{
	struct reception *r = arg;

	/* What the last message has raised comes before the next one is looked at. */
	if (r->n_events) {
		r->waiting = true;
		return false;
	}
	if (type == MSG_DATA)
		return on_data(r, p, n);
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

	because(r, "%s", err ? text : "the sender has hung up");
	drop_channel(r);
	raise_event(r, RE_LOST);
}

const struct channel_ops reception_ops = {.on_frame = on_frame, .on_close = on_close};

/* ---- actions ----------------------------------------------------------------------------------
 */

static void send_hello(struct reception *r)
{
	unsigned major, minor;
	struct buf b = {0};

	toolstack_xen_version(r->t, &major, &minor);
	message_put(&b, "protocol", "%u", MIGRATION_PROTOCOL);
	message_put(&b, "vstor", "%s", VSTOR_VERSION);
	message_put(&b, "xen", "%u.%u", major, minor);
	message_put(&b, "boot", "%s", host_boot_id());
	say(r, MSG_HELLO, &b);
}

static void take_config(struct reception *r)
{
	const char *name;

	r->has_config = true;
	libxl_domain_config_init(&r->config);
	toolstack_forget_cause(r->t);
	if (!r->json || libxl_domain_config_from_json(toolstack_ctx(r->t), &r->config, r->json)) {
		because(r, "the guest's configuration cannot be read: %s",
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

static void begin_restore(struct reception *r)
{
	int rc;

	if (r->verdicts.refused) {
		refuse(r, "a condition is not met");
		return;
	}
	rc = handover_begin(&r->handover, r->id, r->uuid, r->name);
	if (rc) {
		because(r, "cannot keep a record in %s: %s", handover_dir, strerror(-rc));
		raise_event(r, RE_RESTORE_FAILED);
		return;
	}
	log_info("domain %s: receiving it", r->name);
	stream_init(&r->stream);
}

/* The helper sees the end of its pipe, and libxl is asked to stop; on_restored() follows. */
static void abort_restore(void *arg)
{
	struct reception *r = arg;
	int waiting = 0;

	if (r->op.running && ioctl(r->pipe[0], FIONREAD, &waiting) == 0 &&
	    (uint64_t)waiting > r->sink.bytes) {
		loop_timer_set(r->loop, &r->timer, PREAMBLE_NS, abort_restore, r);
		return;
	}
	close_pipe_end(r, 1);
	if (r->op.running)
		toolstack_abort(&r->op);
	else
		raise_event(r, RE_RESTORED);
}

static void on_op(void *arg, int rc)
{
	struct reception *r = arg;

	if (rc)
		because(r, "%s", toolstack_cause(r->t, rc));
	raise_event(r, rc ? RE_UNDONE : RE_DONE);
}

static void start(struct reception *r)
{
	char incoming[GUEST_NAME_MAX + sizeof(HANDOVER_INCOMING)];
	libxl_ctx *ctx = toolstack_ctx(r->t);
	int rc = handover_set(&r->handover, HANDOVER_STARTING);

	r->go_at = clock_ns();
	toolstack_forget_cause(r->t);
	snprintf(incoming, sizeof(incoming), "%s%s", r->name, HANDOVER_INCOMING);
	if (rc || libxl_domain_rename(ctx, r->domid, incoming, r->name)) {
		because(r, "cannot give it its name: %s", toolstack_cause(r->t, ERROR_FAIL));
		raise_event(r, RE_UNDONE);
		return;
	}
	rc = libxl_domain_unpause(ctx, r->domid, toolstack_how(r->t, &r->op, on_op, r));
	if (rc)
		toolstack_failed(&r->op, rc);
}

static void send_running(struct reception *r)
{
	struct buf b = {0};

	handover_set(&r->handover, HANDOVER_RUNNING);
	log_info("domain %s: runs here, started %.1f ms after it was handed over", r->name,
		 (double)(clock_ns() - r->go_at) / MS_NS);
	r->end = RECEPTION_RUNNING;
	message_put(&b, "took_ns", "%" PRIu64, clock_ns() - r->go_at);
	say(r, MSG_RUNNING, &b);
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
	int rc;

	close_pipe_end(r, 1);
	r->end = RECEPTION_FAILED;
	/* libxl has destroyed it already, unless it was complete or called off. */
	if (!r->domid || r->domid == (uint32_t)INVALID_DOMID ||
	    guest_life(r->t, r->domid) == GUEST_ABSENT) {
		raise_event(r, RE_DONE);
		return;
	}
	toolstack_forget_cause(r->t);
	rc = libxl_domain_destroy(toolstack_ctx(r->t), r->domid,
				  toolstack_how(r->t, &r->op, on_destroyed, r));
	if (rc)
		toolstack_failed(&r->op, rc);
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
	case RA_RESTORE: begin_restore(r); break;
	case RA_ABORT_RESTORE: abort_restore(r); break;
	case RA_SEND_READY: say(r, MSG_READY, &(struct buf){0}); break;
	case RA_START: start(r); break;
	case RA_SEND_RUNNING: send_running(r); break;
	case RA_DESTROY: destroy(r); break;
	case RA_END_RUNNING: handover_end(&r->handover); break;
	case RA_END_GONE: end_gone(r); break;
	}
}

/* ---- from outside -----------------------------------------------------------------------------
 */

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
	r->pipe[0] = r->pipe[1] = -1;
	r->handover.fd = -1;
	r->task = (struct loop_task){.fn = run_events, .arg = r};
	snprintf(r->name, sizeof(r->name), "?");
	r->done = done;
	r->arg = arg;
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
	close_pipe_end(r, 0);
	close_pipe_end(r, 1);
	loop_timer_del(r->loop, &r->timer);
	loop_defer_cancel(r->loop, &r->task);
	handover_end(&r->handover);
	disks_fini(&r->disks);
	verdicts_fini(&r->verdicts);
	if (r->has_config)
		libxl_domain_config_dispose(&r->config);
	free(r->json);
	free(r);
}
