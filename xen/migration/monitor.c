/* SPDX-License-Identifier: BSD-2-Clause */
#include "xen/migration/monitor.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "core/bytes.h"
#include "core/log.h"
#include "core/self.h"
#include "xen/migration/addresses.h"
#include "xen/fence/config_disks.h"
#include "xen/fence/disk_watch.h"
#include "xen/guest.h"
#include "xen/guest_claim.h"
#include "xen/fence/path_watch.h"
#include "xen/weight.h"

#define DUMPS	 "/var/lib/xen/dump" /* xl's, too */
#define GAP_MIN	 (2 * SEC_NS)	     /* as xl: what is left of the old domain needs it to go */
#define GAP_MAX	 (60 * SEC_NS)
#define STEADY	 (30 * SEC_NS) /* a guest that lived this long does not reboot in a circle */
#define ATTEMPTS 10
#define LOOK_NS	 (1 * SEC_NS)

struct monitor {
	struct loop *loop;
	struct toolstack *t;
	struct guest guest;
	int lock;
	char *json;		    /* the guest's configuration, as last read */
	libxl_domain_config config; /* the same, while it is read or used */
	int cap, weight; /* its own, of which a move has lowered it; -1, 0: not lowered */
	libxl_evgen_domain_death *death;
	struct toolstack_op op;
	struct loop_timer timer;
	struct path_watch paths;
	struct loop_task task;
	struct announce announce;
	bool announces;
	bool shut, dead; /* events that came and have not been seen to */
	libxl_shutdown_reason reason;
	libxl_action_on_shutdown action;
	uint64_t born, gap;
	unsigned failures;
};

/* ---- decisions ---- */

libxl_action_on_shutdown monitor_action(const libxl_domain_config *c, libxl_shutdown_reason reason)
{
	switch (reason) {
	case LIBXL_SHUTDOWN_REASON_POWEROFF: return c->on_poweroff;
	case LIBXL_SHUTDOWN_REASON_REBOOT: return c->on_reboot;
	case LIBXL_SHUTDOWN_REASON_CRASH: return c->on_crash;
	case LIBXL_SHUTDOWN_REASON_WATCHDOG: return c->on_watchdog;
	case LIBXL_SHUTDOWN_REASON_SOFT_RESET: return c->on_soft_reset;
	default: return LIBXL_ACTION_ON_SHUTDOWN_DESTROY; /* as xl */
	}
}

uint64_t monitor_gap(uint64_t life_ns, uint64_t last_ns)
{
	if (!last_ns || life_ns >= STEADY)
		return GAP_MIN;
	return MIN(2 * last_ns, GAP_MAX);
}

/* ---- the guest's configuration ---- */

/* A move lowers these for its time. Each is noted before it is lowered, and until it is back: who
 * looks both before and after he reads the guest's configuration does not miss it. */
static void look_for_own(struct monitor *m)
{
	int cap, weight = weight_noted(m->guest.domid);

	if (guest_claim_read_cap(m->guest.uuid, m->guest.domid, &cap))
		m->cap = cap;
	if (weight)
		m->weight = weight;
}

/* The guest may have got or lost devices since: what libxl has stored is kept up to date. */
static void read_config(struct monitor *m, void (*done)(void *arg, int rc))
{
	int rc;

	m->cap = -1;
	m->weight = 0;
	look_for_own(m);
	libxl_domain_config_init(&m->config);
	rc = libxl_retrieve_domain_configuration(toolstack_ctx(m->t), m->guest.domid, &m->config,
						 toolstack_how(m->t, &m->op, done, m));
	if (rc)
		toolstack_failed(&m->op, rc);
}

/* Keeps it, or else what was known before. */
static void keep_config(struct monitor *m, int rc)
{
	libxl_domain_sched_params *sched = &m->config.b_info.sched_params;
	char *json = NULL;

	look_for_own(m);
	if (m->cap >= 0)
		sched->cap = m->cap;
	if (m->weight)
		sched->weight = m->weight;
	if (!rc)
		json = libxl_domain_config_to_json(toolstack_ctx(m->t), &m->config);
	libxl_domain_config_dispose(&m->config);
	if (json) {
		free(m->json);
		m->json = json;
	}
}

/* ---- waiting for its end ---- */

static void see_to(void *arg);

/* From inside libxl. */
static void on_event(void *arg, libxl_event *e)
{
	struct monitor *m = arg;

	if (e->domid == m->guest.domid && e->type == LIBXL_EVENT_TYPE_DOMAIN_DEATH)
		m->dead = true;
	if (e->domid == m->guest.domid && e->type == LIBXL_EVENT_TYPE_DOMAIN_SHUTDOWN) {
		m->shut = true;
		m->reason = e->u.domain_shutdown.shutdown_reason;
	}
	libxl_event_free(toolstack_ctx(m->t), e);
	loop_defer(m->loop, &m->task);
}

static const libxl_event_hooks hooks = {
	.event_occurs_mask = LIBXL_EVENTMASK_ALL,
	.event_occurs = on_event,
};

static void unwatch(struct monitor *m)
{
	path_watch_stop(&m->paths);
	if (m->death)
		libxl_evdisable_domain_death(toolstack_ctx(m->t), m->death);
	m->death = NULL;
	m->shut = m->dead = false;
}

/* What has happened before is told as well. */
static void watch(struct monitor *m)
{
	struct referee r;

	unwatch(m);
	fencing_list(m->guest.domid, true, &r, NULL);
	path_watch_start(&m->paths, m->loop, &r);
	if (libxl_evenable_domain_death(toolstack_ctx(m->t), m->guest.domid, 0, &m->death) == 0)
		return;
	log_error("domain %s: cannot be watched: %s", m->guest.name,
		  toolstack_cause(m->t, ERROR_FAIL));
	loop_stop(m->loop, 1);
}

/* ---- starting it again ---- */

static void create(void *arg);

static void create_later(struct monitor *m)
{
	uint64_t life = m->failures ? 0 : clock_ns() - m->born;

	m->gap = monitor_gap(life, m->gap);
	log_debug("domain %s: starts again in %llu s", m->guest.name, m->gap / SEC_NS);
	loop_timer_set(m->loop, &m->timer, m->gap, create, m);
}

static void failed(struct monitor *m, const char *cause)
{
	if (++m->failures == ATTEMPTS) {
		log_error("domain %s: it was to be started again and cannot be: %s: given up after "
			  "%d attempts; xl create starts it",
			  m->guest.name, cause, ATTEMPTS);
		loop_stop(m->loop, 1);
		return;
	}
	log_warn("domain %s: cannot be started again yet: %s", m->guest.name, cause);
	create_later(m);
}

/* The lock says which domain is watched. */
static void write_lock(struct monitor *m)
{
	char text[16];
	int n = snprintf(text, sizeof(text), "%-11u\n", m->guest.domid);

	if (pwrite(m->lock, text, (size_t)n, 0) != n)
		log_debug("domain %s: lock: %s", m->guest.name, strerror(errno));
}

static void on_started(void *arg, int rc)
{
	struct monitor *m = arg;

	if (rc) {
		log_error("domain %s: created again as domain %u, but it does not start: %s: xl "
			  "unpause %s",
			  m->guest.name, m->guest.domid, toolstack_cause(m->t, rc), m->guest.name);
	} else {
		log_warn("domain %s: runs again, as domain %u", m->guest.name, m->guest.domid);
	}
	m->failures = 0;
	m->born = clock_ns();
	watch(m);
}

static void on_created(void *arg, int rc)
{
	struct monitor *m = arg;

	libxl_domain_config_dispose(&m->config);
	if (rc) {
		failed(m, toolstack_cause(m->t, rc));
		return;
	}
	write_lock(m);
	disk_watch_start(m->guest.domid);
	rc = libxl_domain_unpause(toolstack_ctx(m->t), m->guest.domid,
				  toolstack_how(m->t, &m->op, on_started, m));
	if (rc)
		toolstack_failed(&m->op, rc);
}

static void create(void *arg)
{
	struct monitor *m = arg;
	int rc;

	libxl_domain_config_init(&m->config);
	toolstack_forget_cause(m->t);
	if (!m->json || libxl_domain_config_from_json(toolstack_ctx(m->t), &m->config, m->json)) {
		log_error("domain %s: cannot be started again: its configuration is not known: xl "
			  "create starts it",
			  m->guest.name);
		loop_stop(m->loop, 1);
		return;
	}
	rc = libxl_domain_create_new(toolstack_ctx(m->t), &m->config, &m->guest.domid,
				     toolstack_how(m->t, &m->op, on_created, m), NULL);
	if (rc)
		toolstack_failed(&m->op, rc);
}

/* ---- the actions ---- */

/* The old domain stays, under another name, and another takes its place. */
static void rename_and_create(struct monitor *m)
{
	libxl_domain_config c;
	char suffix[32];
	libxl_uuid uuid;
	time_t now = time(NULL);
	struct tm tm;
	int rc = ERROR_FAIL;

	strftime(suffix, sizeof(suffix), "-%Y%m%dT%H%MZ", gmtime_r(&now, &tm));
	libxl_uuid_generate(&uuid);
	libxl_domain_config_init(&c);
	if (m->json && libxl_domain_config_from_json(toolstack_ctx(m->t), &c, m->json) == 0)
		rc = libxl_domain_preserve(toolstack_ctx(m->t), m->guest.domid, &c.c_info, suffix,
					   uuid);
	libxl_domain_config_dispose(&c);
	if (rc) {
		log_error("domain %s: it cannot be renamed, and stays as it is: %s", m->guest.name,
			  toolstack_cause(m->t, rc));
		loop_stop(m->loop, 1);
	} else {
		create_later(m);
	}
}

static void release_disks(struct monitor *m)
{
	libxl_domain_config c;

	libxl_domain_config_init(&c);
	if (m->json && libxl_domain_config_from_json(toolstack_ctx(m->t), &c, m->json) == 0)
		config_disks_release(&c);
	libxl_domain_config_dispose(&c);
}

static void on_destroyed(void *arg, int rc)
{
	struct monitor *m = arg;

	if (rc) {
		log_error("domain %s: it has shut down and cannot be destroyed: %s: xl destroy %s",
			  m->guest.name, toolstack_cause(m->t, rc), m->guest.name);
		loop_stop(m->loop, 1);
	} else if (m->action == LIBXL_ACTION_ON_SHUTDOWN_DESTROY) {
		release_disks(m);
		loop_stop(m->loop, 0);
	} else {
		create_later(m);
	}
}

static void destroy(struct monitor *m)
{
	int rc;

	rc = libxl_domain_destroy(toolstack_ctx(m->t), m->guest.domid,
				  toolstack_how(m->t, &m->op, on_destroyed, m));
	if (rc)
		toolstack_failed(&m->op, rc);
}

static void dump_core(struct monitor *m)
{
	char path[sizeof(DUMPS) + GUEST_NAME_MAX + 1];

	snprintf(path, sizeof(path), DUMPS "/%s", m->guest.name);
	toolstack_forget_cause(m->t);
	if (libxl_domain_core_dump(toolstack_ctx(m->t), m->guest.domid, path, NULL))
		log_error("domain %s: no core in %s: %s", m->guest.name, path,
			  toolstack_cause(m->t, ERROR_FAIL));
}

static void act(struct monitor *m)
{
	log_warn("domain %s: has shut down (%s): %s", m->guest.name,
		 libxl_shutdown_reason_to_string(m->reason),
		 libxl_action_on_shutdown_to_string(m->action));
	unwatch(m); /* or our own destroying it would be an event */
	switch (m->action) {
	case LIBXL_ACTION_ON_SHUTDOWN_PRESERVE: loop_stop(m->loop, 0); break;
	case LIBXL_ACTION_ON_SHUTDOWN_RESTART_RENAME: rename_and_create(m); break;
	case LIBXL_ACTION_ON_SHUTDOWN_COREDUMP_DESTROY:
		dump_core(m);
		m->action = LIBXL_ACTION_ON_SHUTDOWN_DESTROY;
		destroy(m);
		break;
	case LIBXL_ACTION_ON_SHUTDOWN_COREDUMP_RESTART:
		dump_core(m);
		destroy(m);
		break;
	case LIBXL_ACTION_ON_SHUTDOWN_SOFT_RESET:
		log_warn("domain %s: vstor knows no soft-reset: it starts anew instead",
			 m->guest.name);
		destroy(m);
		break;
	default: destroy(m); break; /* destroy, restart */
	}
}

/* ---- events ---- */

static void on_read(void *arg, int rc)
{
	struct monitor *m = arg;
	libxl_domain_config c;

	keep_config(m, rc);
	libxl_domain_config_init(&c);
	if (!m->json || libxl_domain_config_from_json(toolstack_ctx(m->t), &c, m->json))
		m->action = LIBXL_ACTION_ON_SHUTDOWN_PRESERVE;
	else
		m->action = monitor_action(&c, m->reason);
	libxl_domain_config_dispose(&c);
	act(m);
}

/* A suspended guest is being saved or moved; it may be resumed, and libxl does not tell. */
static void look(void *arg)
{
	struct monitor *m = arg;

	if (guest_life(m->t, m->guest.domid) == GUEST_SUSPENDED)
		loop_timer_set(m->loop, &m->timer, LOOK_NS, look, m);
	else
		watch(m);
}

static void see_to(void *arg)
{
	struct monitor *m = arg;

	if (m->dead) {
		release_disks(m);
		log_info("domain %s: has been destroyed", m->guest.name);
		loop_stop(m->loop, 0);
	} else if (m->shut) {
		m->shut = false;
		if (m->reason == LIBXL_SHUTDOWN_REASON_SUSPEND)
			look(m);
		else
			read_config(m, on_read);
	}
}

/* ---- its life ---- */

/* The lock, when nobody else watches this domain. */
static int lock(struct monitor *m)
{
	char path[512], text[16] = "";

	if (mkdir(guest_claim_dir, 0700) && errno != EEXIST)
		return -errno;
	snprintf(path, sizeof(path), "%s/%s.monitor", guest_claim_dir, m->guest.uuid);
	m->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (m->lock < 0)
		return -errno;
	if (flock(m->lock, LOCK_EX | LOCK_NB) && errno == EWOULDBLOCK) {
		if (pread(m->lock, text, sizeof(text) - 1, 0) > 0 &&
		    strtoul(text, NULL, 10) == m->guest.domid)
			return -EBUSY;
		/* Another domain of this guest, about to go: it was moved within this host. */
		if (flock(m->lock, LOCK_EX))
			return -errno;
	}
	write_lock(m);
	return 0;
}

/* In its own time. */
static void on_announced(void *arg)
{
	(void)arg;
}

static void announce(struct monitor *m)
{
	int n = m->config.num_nics;
	struct announce_nic *nics = calloc((size_t)n + 1, sizeof(*nics));
	int rc = -ENOMEM;

	for (int i = 0; nics && i < n; i++)
		addresses_nic(&m->config.nics[i], m->guest.domid, &nics[i]);
	if (nics)
		rc = announce_start(&m->announce, m->loop, nics, (unsigned)n, on_announced, m);
	if (rc)
		log_warn("domain %s: cannot be announced to the network: %s", m->guest.name,
			 strerror(-rc));
	free(nics);
}

static void on_first_read(void *arg, int rc)
{
	struct monitor *m = arg;

	if (!rc && m->announces)
		announce(m);
	keep_config(m, rc);
	watch(m);
}

int monitor_run(struct loop *l, struct toolstack *t, const char *domain, bool announce)
{
	struct monitor m = {
		.loop = l, .t = t, .lock = -1, .task = {see_to, &m}, .announces = announce};
	int rc = guest_find(t, domain, &m.guest), status = 1;

	if (rc)
		return 1;
	rc = lock(&m);
	if (rc == -EBUSY) {
		log_info("domain %s: it is monitored already", m.guest.name);
		status = 0;
	} else if (rc) {
		log_error("domain %s: cannot keep a lock in %s: %s", m.guest.name, guest_claim_dir,
			  strerror(-rc));
	} else {
		m.born = clock_ns();
		disk_watch_start(m.guest.domid); /* of disks without block-vstor, too */
		libxl_event_register_callbacks(toolstack_ctx(t), &hooks, &m);
		read_config(&m, on_first_read);
		status = loop_run(l);
	}
	loop_timer_del(l, &m.timer);
	announce_stop(&m.announce);
	unwatch(&m);
	free(m.json);
	guest_fini(&m.guest);
	if (m.lock >= 0)
		close(m.lock);
	return status;
}

int monitor_start(const char *domain, bool announce)
{
	const char *const argv[] = {"vstor",  "monitor",     domain, "--log",
				    "syslog", "--log-level", "info", announce ? "--announce" : NULL,
				    NULL};
	/* Who started us may wait for the end of our standard output. */
	int rc = self_leave(argv, SELF_NULL, SELF_NULL);

	if (rc)
		log_error("domain %s: nobody will see to its reboot or end: its monitor does not "
			  "start: %s: run `vstor monitor %s`",
			  domain, strerror(-rc), domain);
	return rc;
}
