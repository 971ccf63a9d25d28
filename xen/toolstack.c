/* SPDX-License-Identifier: BSD-2-Clause */
#include "xen/toolstack.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>
#include <xentoollog.h>

#include "core/log.h"

/* One registration of libxl's. epoll refuses the same fd twice, and libxl may register one more
 * than once: so each watches a duplicate of its own. */
struct watch {
	struct watch *next, **prev;
	struct toolstack *t;
	void *for_libxl;
	struct loop_fd fd;	 /* of a descriptor, when dup >= 0 */
	struct loop_timer timer; /* of a time-out, when dup < 0 */
	int dup, original;
	short events;
};

struct toolstack {
	xentoollog_logger log; /* first: libxl gives us a pointer to it */
	struct loop *loop;
	libxl_ctx *ctx;
	struct watch *watches;
	struct loop_signal sigchld;
	struct toolstack_listener listener;
	char cause[256];
	struct release running;
};

/* ---- libxl's log ---- */

/* libxl puts "file.c:line:function: " before what it has to say. */
static const char *without_place(const char *text)
{
	int end = 0;

	sscanf(text, "%*[a-z0-9_].c:%*d:%*[A-Za-z0-9_]: %n", &end);
	return text + end;
}

__attribute__((format(printf, 5, 0))) static void on_log(struct xentoollog_logger *l,
							 xentoollog_level level, int errnoval,
							 const char *context, const char *format,
							 va_list al)
{
	struct toolstack *t = (struct toolstack *)l;
	char text[512];
	size_t n;

	vsnprintf(text, sizeof(text), format, al);
	if (context && strcmp(context, TOOLSTACK_REPORT) == 0) {
		if (t->listener.report)
			t->listener.report(t->listener.arg, text);
		return;
	}
	n = strlen(text);
	if (errnoval >= 0 && n < sizeof(text))
		snprintf(text + n, sizeof(text) - n, ": %s", strerror(errnoval));
	if (level >= XTL_ERROR && !t->cause[0])
		snprintf(t->cause, sizeof(t->cause), "%.250s", without_place(text));
	/* libxl says a failure several times over; the user gets one line, from whoever asked. */
	log_at(level >= XTL_WARN ? LOG_LEVEL_INFO : LOG_LEVEL_DEBUG, "%s: %s",
	       context ? context : "libxl", text);
}

static void on_progress(struct xentoollog_logger *l, const char *context, const char *doing_what,
			int percent, unsigned long done, unsigned long total)
{
	(void)l;
	(void)percent;
	log_debug("%s: %s %lu of %lu", context ? context : "libxl", doing_what, done, total);
}

static void on_log_destroy(struct xentoollog_logger *l)
{
	(void)l;
}

const char *toolstack_cause(struct toolstack *t, int rc)
{
	if (!t->cause[0])
		snprintf(t->cause, sizeof(t->cause), "libxl error %d", rc);
	return t->cause;
}

int toolstack_memory(struct toolstack *t, const libxl_domain_config *c, uint64_t *need,
		     uint64_t *spare)
{
	libxl_domain_config copy; /* libxl fills defaults in while it reckons */
	int rc;

	libxl_domain_config_init(&copy);
	libxl_domain_config_copy(t->ctx, &copy, c);
	rc = libxl_domain_need_memory(t->ctx, &copy, INVALID_DOMID, need);
	if (!rc)
		rc = libxl_get_free_memory(t->ctx, spare);
	libxl_domain_config_dispose(&copy);
	*need >>= 10;
	*spare >>= 10;
	return rc;
}

void toolstack_forget_cause(struct toolstack *t)
{
	t->cause[0] = 0;
}

void toolstack_listen(struct toolstack *t, const struct toolstack_listener *to)
{
	t->listener = *to;
}

/* ---- descriptors and time-outs ---- */

static struct watch *watch_new(struct toolstack *t, void *for_libxl)
{
	struct watch *w = calloc(1, sizeof(*w));

	if (!w)
		return NULL;
	w->t = t;
	w->for_libxl = for_libxl;
	w->dup = -1;
	w->next = t->watches;
	if (w->next)
		w->next->prev = &w->next;
	w->prev = &t->watches;
	t->watches = w;
	return w;
}

static void watch_free(struct watch *w)
{
	*w->prev = w->next;
	if (w->next)
		w->next->prev = w->prev;
	loop_fd_del(w->t->loop, &w->fd);
	loop_timer_del(w->t->loop, &w->timer);
	if (w->dup >= 0)
		close(w->dup);
	free(w);
}

static unsigned loop_events(short events)
{
	return (events & (POLLIN | POLLPRI) ? LOOP_READ : 0) | (events & POLLOUT ? LOOP_WRITE : 0);
}

static void on_fd(void *arg, unsigned events)
{
	struct watch *w = arg;
	struct pollfd p = {.fd = w->dup, .events = w->events};

	(void)events;
	/* libxl tells an error from an end of file by poll's own bits. */
	if (poll(&p, 1, 0) > 0)
		libxl_osevent_occurred_fd(w->t->ctx, w->for_libxl, w->original, w->events,
					  p.revents);
}

static int fd_register(void *user, int fd, void **out, short events, void *for_libxl)
{
	struct toolstack *t = user;
	struct watch *w = watch_new(t, for_libxl);
	int err;

	if (!w)
		return ENOMEM;
	w->original = fd;
	w->events = events;
	w->dup = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	if (w->dup < 0) {
		err = errno;
		watch_free(w);
		return err;
	}
	err = -loop_fd_add(t->loop, &w->fd, w->dup, loop_events(events), on_fd, w);
	if (err) {
		watch_free(w);
		return err;
	}
	*out = w;
	return 0;
}

static int fd_modify(void *user, int fd, void **registration, short events)
{
	struct watch *w = *registration;

	(void)user;
	(void)fd;
	w->events = events;
	return -loop_fd_mod(w->t->loop, &w->fd, loop_events(events));
}

static void fd_deregister(void *user, int fd, void *registration)
{
	(void)user;
	(void)fd;
	watch_free(registration);
}

static void on_timeout(void *arg)
{
	struct watch *w = arg;
	struct toolstack *t = w->t;
	void *for_libxl = w->for_libxl;

	watch_free(w);
	libxl_osevent_occurred_timeout(t->ctx, for_libxl);
}

static void set_timeout(struct watch *w, struct timeval abs)
{
	struct timeval now;
	int64_t us;

	/* libxl's absolute times are the wall clock's. */
	gettimeofday(&now, NULL);
	us = (int64_t)(abs.tv_sec - now.tv_sec) * 1000000 + (abs.tv_usec - now.tv_usec);
	loop_timer_set(w->t->loop, &w->timer, us > 0 ? (uint64_t)us * 1000 : 0, on_timeout, w);
}

static int timeout_register(void *user, void **out, struct timeval abs, void *for_libxl)
{
	struct watch *w = watch_new(user, for_libxl);

	if (!w)
		return ENOMEM;
	set_timeout(w, abs);
	*out = w;
	return 0;
}

static int timeout_modify(void *user, void **registration, struct timeval abs)
{
	(void)user;
	set_timeout(*registration, abs);
	return 0;
}

static void timeout_deregister(void *user, void *registration)
{
	(void)user;
	watch_free(registration);
}

static const libxl_osevent_hooks event_hooks = {
	.fd_register = fd_register,
	.fd_modify = fd_modify,
	.fd_deregister = fd_deregister,
	.timeout_register = timeout_register,
	.timeout_modify = timeout_modify,
	.timeout_deregister = timeout_deregister,
};

static const libxl_childproc_hooks child_hooks = {.chldowner = libxl_sigchld_owner_mainloop};

static void on_sigchld(void *arg, int signo)
{
	struct toolstack *t = arg;

	(void)signo;
	libxl_childproc_sigchld_occurred(t->ctx);
}

/* ---- operations ---- */

static void op_deliver(void *arg)
{
	struct toolstack_op *op = arg;

	op->running = false;
	op->done(op->arg, op->rc);
}

static void on_op_done(libxl_ctx *ctx, int rc, void *for_callback)
{
	(void)ctx;
	toolstack_failed(for_callback, rc);
}

const libxl_asyncop_how *toolstack_how(struct toolstack *t, struct toolstack_op *op,
				       void (*done)(void *arg, int rc), void *arg)
{
	toolstack_forget_cause(t);
	*op = (struct toolstack_op){
		.t = t, .done = done, .arg = arg, .running = true, .task = {op_deliver, op}};
	op->how.callback = on_op_done;
	op->how.u.for_callback = op;
	return &op->how;
}

void toolstack_failed(struct toolstack_op *op, int rc)
{
	op->rc = rc;
	/* We may be deep inside libxl here. */
	loop_defer(op->t->loop, &op->task);
}

void toolstack_abort(struct toolstack_op *op)
{
	if (op->running)
		libxl_ao_abort(op->t->ctx, &op->how);
}

/* ---- opening ---- */

/* libxl's calls carry a version of the hypervisor's interface that changes with each release; of
 * all its errors, the hypervisor's "wrong version" looks most like "not permitted". */
static int check_version(struct toolstack *t)
{
	const libxl_version_info *v = libxl_get_version_info(t->ctx);
	char text[RELEASE_TEXT];

	if (!v) {
		log_error("Xen: cannot ask the hypervisor for its version: %s; is this dom0?",
			  toolstack_cause(t, ERROR_FAIL));
		return -ENXIO;
	}
	t->running =
		(struct release){(unsigned)v->xen_version_major, (unsigned)v->xen_version_minor};
	if (release_same(t->running, RELEASE_BUILT))
		return 0;
	release_misfit(t->running, text);
	log_error("%s", text);
	return -EPROTONOSUPPORT;
}

/* Why libxl could not be opened, as far as one can see from outside. */
static void explain_no_xen(struct toolstack *t)
{
	if (access("/proc/xen", F_OK) && access("/sys/hypervisor/type", F_OK))
		log_error("no Xen on this host: run this in dom0 of a Xen host");
	else if (geteuid() != 0)
		log_error("Xen: not permitted: run this as root");
	else if (access("/dev/xen/privcmd", F_OK) && access("/proc/xen/privcmd", F_OK))
		log_error("Xen: no /dev/xen/privcmd: load the module xen-privcmd; is this dom0?");
	else
		log_error("Xen: libxl does not start: %s; is xenstored running?",
			  toolstack_cause(t, ERROR_FAIL));
}

int toolstack_open(struct loop *l, struct toolstack **out)
{
	struct toolstack *t = calloc(1, sizeof(*t));
	int rc;

	if (!t)
		return -ENOMEM;
	t->loop = l;
	t->log.vmessage = on_log;
	t->log.progress = on_progress;
	t->log.destroy = on_log_destroy;
	if (libxl_ctx_alloc(&t->ctx, LIBXL_VERSION, 0, &t->log)) {
		explain_no_xen(t);
		t->ctx = NULL;
		rc = -ENXIO;
		goto out;
	}
	rc = check_version(t);
	if (rc)
		goto out;
	rc = loop_signal_add(l, &t->sigchld, SIGCHLD, on_sigchld, t);
	if (rc)
		goto out;
	libxl_childproc_setmode(t->ctx, &child_hooks, t);
	libxl_osevent_register_hooks(t->ctx, &event_hooks, t);
	toolstack_forget_cause(t);
	*out = t;
	return 0;
out:
	toolstack_close(t);
	return rc;
}

void toolstack_close(struct toolstack *t)
{
	if (!t)
		return;
	if (t->ctx)
		libxl_ctx_free(t->ctx);
	while (t->watches)
		watch_free(t->watches);
	loop_signal_del(t->loop, &t->sigchld);
	free(t);
}

void toolstack_forked(struct toolstack *t)
{
	libxl_postfork_child_noexec(t->ctx);
}

libxl_ctx *toolstack_ctx(struct toolstack *t)
{
	return t->ctx;
}

struct release toolstack_xen(struct toolstack *t)
{
	return t->running;
}
