/* SPDX-License-Identifier: BSD-2-Clause */
/* vstor target: serves files and block devices as iSCSI disks. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmd/cmd.h"
#include "cmd/target_config.h"
#include "cmd/target_control.h"
#include "cmd/target_luns.h"
#include "cmd/target_open.h"
#include "cmd/target_opener.h"
#include "cmd/target_state.h"
#include "core/log.h"
#include "core/loop_group.h"
#include "core/sandbox.h"
#include "net/iscsi/report.h"
#include "net/iscsi/target.h"
#include "net/metrics.h"

#define MAX_SESSIONS 256
#define DISK_THREADS 8
#define SPIN	     50000 /* ns; longer than a round trip in a fast network */

struct target_run {
	int argc;
	char **argv;
	struct loop *loop;
	struct disk_engine *engine;
	struct loop_group *loops; /* with --threads: the others serve connections only */
	struct disk_engine *others[TARGET_MAX_THREADS];
	struct uring
		*rings[TARGET_MAX_THREADS]; /* of the loops; the engines' when there are some */
	struct target_server *server;
	struct aoe_target *aoe; /* NULL: none is asked for */
	struct aoe_macs aoe_allow;
	struct target_config *config, *fresh; /* fresh: being compared */
	struct opener *opener;
	struct sandbox_user user;
	struct target_luns luns;
	struct target_control requests;
	struct control *control;
	struct metrics *metrics;
	struct loop_signal term, intr, hup;
	const char *state_dir; /* NULL: there is none */
	int lock;	       /* of it; -1: there is none */
	bool draining, again;
};

/* ---- the end ---- */

static void drained(void *arg)
{
	struct target_run *r = arg;
	loop_stop(r->loop, 0);
}

static void without_aoe(void *arg)
{
	struct target_run *r = arg;
	target_server_drain(r->server, drained, r);
}

static void unchanging(void *arg)
{
	struct target_run *r = arg;
	if (r->aoe)
		aoe_target_drain(r->aoe, without_aoe, r);
	else
		without_aoe(r);
}

static void on_term(void *arg, int signo)
{
	struct target_run *r = arg;
	(void)signo;
	if (r->draining)
		return;
	r->draining = true;
	target_luns_stop(&r->luns, unchanging, r);
}

/* ---- SIGHUP ---- */

static unsigned portals(const struct target_config *c)
{
	return c->listen.n ? (unsigned)c->listen.n : 1;
}

static const char *portal(const struct target_config *c, unsigned i)
{
	return c->listen.n ? c->listen.v[i] : TARGET_ANYWHERE;
}

static bool listen_at(struct target_run *r, const char *address)
{
	int fds[FDS_MAX], n = opener_ask(r->opener, TARGET_PORTAL, address, fds);
	return target_server_listen(r->server, address, fds, n) == 0;
}

static bool has_portal(const struct target_config *c, const char *address)
{
	for (unsigned i = 0; i < portals(c); i++)
		if (strcmp(portal(c, i), address) == 0)
			return true;
	return false;
}

/* Listens at what `to` has and `from` has not; true when all of it worked. */
static bool listen_new(struct target_run *r, const struct target_config *from,
		       const struct target_config *to)
{
	for (unsigned i = 0; i < portals(to); i++)
		if (!has_portal(from, portal(to, i)) && !listen_at(r, portal(to, i)))
			return false;
	return true;
}

static void unlisten_gone(struct target_run *r, const struct target_config *from,
			  const struct target_config *to)
{
	for (unsigned i = 0; i < portals(from); i++)
		if (!has_portal(to, portal(from, i)))
			target_server_unlisten(r->server, portal(from, i));
}

static void warn_unchanged(const char *option, const char *now, const char *wanted)
{
	if (now != wanted && (!now || !wanted || strcmp(now, wanted) != 0))
		log_warn("--%s %s: only a restart brings this into force", option,
			 wanted ? wanted : "(none)");
}

static void warn_unchanged_list(const char *option, const struct opt_list *now,
				const struct opt_list *wanted)
{
	bool same = now->n == wanted->n;
	for (size_t i = 0; same && i < now->n; i++)
		same = strcmp(now->v[i], wanted->v[i]) == 0;
	if (!same)
		log_warn("--%s: only a restart brings the change into force", option);
}

/* Every new disk is open: the rest that can fail is to listen. */
static const char *commit(void *arg)
{
	struct target_run *r = arg;
	struct target_config *old = r->config;

	/* The old ones first: a new one may want the same port. */
	unlisten_gone(r, old, r->fresh);
	if (!listen_new(r, old, r->fresh)) {
		unlisten_gone(r, r->fresh, old);
		listen_new(r, r->fresh, old);
		return "cannot listen";
	}
	warn_unchanged("control", old->control, r->fresh->control);
	warn_unchanged("metrics", old->metrics, r->fresh->metrics);
	if (old->threads != r->fresh->threads)
		log_warn("--threads %llu: only a restart brings this into force",
			 (unsigned long long)r->fresh->threads);
	warn_unchanged_list("aoe", &old->aoe_words, &r->fresh->aoe_words);
	warn_unchanged_list("aoe-allow", &old->aoe_allow_words, &r->fresh->aoe_allow_words);
	warn_unchanged("state-dir", old->state_dir, r->fresh->state_dir);
	warn_unchanged("user", old->user, r->fresh->user);
	target_opener_taken(r->opener);
	target_server_set_access(r->server, r->fresh->access, &r->fresh->credentials);
	r->config = r->fresh;
	r->fresh = NULL;
	target_config_free(old);
	return NULL;
}

static void on_hup(void *arg, int signo);

static void reread(void *arg, const char *error)
{
	struct target_run *r = arg;
	if (error)
		log_error("the configuration stays as it was: %s", error);
	else
		log_info("the configuration has been reread");
	target_config_free(r->fresh);
	r->fresh = NULL;
	if (r->again) {
		r->again = false;
		on_hup(r, SIGHUP);
	}
}

static void on_hup(void *arg, int signo)
{
	struct target_run *r = arg;
	enum log_level level = log_threshold;
	int rc;

	(void)signo;
	if (r->draining)
		return;
	if (r->fresh) {
		r->again = true;
		return;
	}
	rc = target_config_read(&r->fresh, r->argc, r->argv, r->opener);
	log_threshold = level; /* which -v would have raised once more */
	if (rc)
		log_error("the configuration stays as it was");
	else
		target_luns_replace(&r->luns, r->fresh->luns, r->fresh->luns_n, commit, reread, r);
}

/* ---- the beginning ---- */

static int tell_ready(uint64_t fd)
{
	if (fd == NO_FD)
		return 0;
	if (write((int)fd, "\n", 1) != 1) {
		log_error("--ready-fd %llu: %s; name a descriptor that is open for writing",
			  (unsigned long long)fd, strerror(errno));
		return 1;
	}
	close((int)fd);
	return 0;
}

static int add_luns(struct target_run *r)
{
	struct target_config *c = r->config;
	target_luns_number(&r->luns, c->luns, c->luns_n);
	for (unsigned i = 0; i < c->luns_n; i++) {
		int rc = target_luns_start(&r->luns, &c->luns[i]);
		if (rc)
			return rc == -EEXIST ? 2 : 1;
	}
	return 0;
}

/* The default place may be taken by another target, or not be ours to write: that is no reason not
 * to serve. */
static int open_control(struct target_run *r)
{
	const char *path = r->config->control;
	int rc;
	if (!path && geteuid() != 0)
		return 0;
	rc = control_open(&r->control, r->loop, path ? path : CONTROL_DEFAULT, target_control_serve,
			  &r->requests);
	if (rc == 0)
		return 0;
	if (path) {
		log_error("--control %s: %s; choose another", path, strerror(-rc));
		return 1;
	}
	log_info("%s: %s; no control socket: choose one with --control", CONTROL_DEFAULT,
		 strerror(-rc));
	return 0;
}

static void metrics_page(void *arg, FILE *f)
{
	struct target_run *r = arg;
	report_metrics(r->server, f);
}

static void use_ring(struct target_run *r, struct disk_engine *e, unsigned i)
{
	disk_engine_use_uring(e, r->rings[i]);
	r->rings[i] = NULL;
}

static int add_loops(struct target_run *r)
{
	unsigned n = (unsigned)r->config->threads;
	for (unsigned i = 0; i < n; i++)
		loop_set_spin(loop_group_get(r->loops, i), SPIN);
	for (unsigned i = 1; i < n; i++) {
		r->others[i] = disk_engine_beside(r->engine, loop_group_get(r->loops, i));
		if (!r->others[i])
			return -errno;
		use_ring(r, r->others[i], i);
		if (target_server_add_loop(r->server, r->others[i]))
			return -ENOMEM;
	}
	return 0;
}

static int run(struct target_run *r)
{
	int rc = loop_group_start(r->loops);
	if (rc) {
		log_error("--threads %llu: cannot start them: %s; use fewer",
			  (unsigned long long)r->config->threads, strerror(-rc));
		return 1;
	}
	rc = loop_run(r->loop);
	loop_group_stop(r->loops);
	return rc;
}

static int serve(struct target_run *r)
{
	struct target_config *c = r->config;
	struct target_server_config config = {.loop = r->loop,
					      .engine = r->engine,
					      .access = c->access,
					      .credentials = c->credentials,
					      .max_sessions = MAX_SESSIONS,
					      .tell = r->aoe ? aoe_target_report : NULL,
					      .tell_arg = r->aoe};
	int rc;

	r->server = target_server_new(&config);
	rc = r->server ? add_loops(r) : -ENOMEM;
	if (rc) {
		log_error("cannot start: %s", strerror(-rc));
		return 1;
	}
	target_luns_init(&r->luns, r->server, r->engine, r->opener);
	rc = r->aoe ? aoe_target_start(r->aoe, r->engine) : 0;
	if (rc) {
		log_error("cannot start AoE: %s", strerror(-rc));
		return 1;
	}
	r->luns.aoe = r->aoe;
	r->luns.stateful = r->state_dir != NULL;
	r->requests = (struct target_control){
		.server = r->server, .luns = &r->luns, .config = &r->config};
	if (r->state_dir && target_state_lock(r->state_dir, &r->lock))
		return 1;
	rc = add_luns(r);
	if (rc)
		return rc;
	if (r->state_dir)
		target_state_review(&r->luns);
	for (unsigned i = 0; i < portals(c); i++)
		if (!listen_at(r, portal(c, i)))
			return 1;
	if (loop_signal_add(r->loop, &r->term, SIGTERM, on_term, r) ||
	    loop_signal_add(r->loop, &r->intr, SIGINT, on_term, r) ||
	    loop_signal_add(r->loop, &r->hup, SIGHUP, on_hup, r)) {
		log_error("cannot catch signals: %s", strerror(errno));
		return 1;
	}
	rc = tell_ready(c->ready_fd);
	return rc ? rc : run(r);
}

static void make_rings(void *arg)
{
	struct target_run *r = arg;
	for (unsigned i = 0; i < r->config->threads; i++) {
		r->rings[i] = uring_new(loop_group_get(r->loops, i), DISK_RING_ENTRIES);
		if (r->rings[i])
			continue;
		log_info("no io_uring on this kernel (%s): going on without", strerror(errno));
		return;
	}
}

/* What is wrong with an interface is no reason not to serve iSCSI. */
static int open_aoe(struct target_run *r)
{
	const struct target_config *c = r->config;
	if (!c->aoe_words.n)
		return 0;
	r->aoe_allow = c->aoe_allow;
	r->aoe = aoe_target_new(&r->aoe_allow);
	if (!r->aoe) {
		log_error("cannot start: %s", strerror(errno));
		return 1;
	}
	for (size_t i = 0; i < c->aoe_words.n; i++)
		aoe_target_open(r->aoe, c->aoe[i].ifname, c->aoe[i].shelf, c->aoe[i].slot);
	return 0;
}

/* What takes rights that are given up here, and has no opener later. */
static int enter_sandbox(struct target_run *r)
{
	const struct target_config *c = r->config;
	const struct sandbox box = {.user = &r->user,
				    .dir = r->state_dir,
				    .ours = target_state_file,
				    .prepare = make_rings,
				    .arg = r,
				    .syslog = log_is_syslog()};
	int rc = open_control(r);
	if (rc)
		return rc;
	rc = c->metrics ? metrics_open(&r->metrics, r->loop, c->metrics, metrics_page, r) : 0;
	if (rc)
		return rc == -EINVAL ? 2 : 1;
	rc = open_aoe(r);
	if (rc)
		return rc;
	rc = target_opener_start(&r->opener, r->argc, r->argv, r->config, r->control);
	if (rc) {
		log_error("cannot start: %s", strerror(-rc));
		return 1;
	}
	return sandbox_enter(&box) ? 1 : 0;
}

static int start(struct target_run *r)
{
	int rc;
	r->state_dir = target_state_choose(r->config->state_dir, &r->user);
	r->loop = loop_new();
	r->loops = r->loop ? loop_group_new(r->loop, (unsigned)r->config->threads) : NULL;
	rc = r->loops ? enter_sandbox(r) : 0;
	if (rc)
		return rc;
	r->engine = r->loops ? disk_engine_new(r->loop, DISK_THREADS) : NULL;
	if (!r->engine) {
		log_error("cannot start: %s", strerror(errno));
		return 1;
	}
	use_ring(r, r->engine, 0);
	return serve(r);
}

static int find_user(struct target_run *r)
{
	const char *name = r->config->user;
	int rc = sandbox_find_user(&r->user, name);
	if (rc)
		log_error("--user %s: %s", name,
			  rc == -ENOENT ? "no such user; add it, or name another"
					: "only root can become another user; leave this out");
	return rc;
}

int cmd_target(int argc, char **argv)
{
	struct target_run r = {.argc = argc, .argv = argv, .lock = -1};
	int rc = target_config_read(&r.config, argc, argv, NULL), status;

	if (rc)
		return rc < 0 ? opts_exit(rc) : rc;
	status = find_user(&r) ? 1 : start(&r);
	control_close(r.control);
	metrics_close(r.metrics);
	for (struct served_lun *s = r.luns.list; s; s = s->next)
		lun_stop(s->lun);
	for (unsigned i = 0; i < TARGET_MAX_THREADS; i++)
		disk_engine_free(r.others[i]);
	disk_engine_free(r.engine);
	for (unsigned i = 0; i < TARGET_MAX_THREADS; i++)
		uring_free(r.rings[i]);
	target_server_free(r.server);
	aoe_target_free(r.aoe);
	if (target_luns_close(&r.luns))
		status = 1;
	loop_group_free(r.loops);
	if (r.lock >= 0)
		close(r.lock);
	opener_end(r.opener);
	loop_free(r.loop);
	target_config_free(r.config);
	return status;
}
