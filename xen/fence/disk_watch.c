/* SPDX-License-Identifier: BSD-2-Clause */
#include "xen/fence/disk_watch.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <libxl_utils.h>
#include <xenstore.h>

#include "core/log.h"
#include "core/self.h"
#include "xen/device_watch.h"
#include "xen/fence/fencing.h"
#include "xen/guardian.h"
#include "xen/guest.h"
#include "xen/guest_claim.h"
#include "xen/fence/referee_seen.h"

#define SOON 4 /* so much more often it looks while the guest is paused */
#define VAIN 5 /* looks for a disk: a guest that has just come gets its disks late */

uint64_t disk_watch_ns = 2 * SEC_NS;
uint64_t disk_watch_patience = 20 * SEC_NS;

struct disk_watch {
	struct loop *loop;
	struct toolstack *t;
	uint32_t domid;
	char name[GUEST_NAME_MAX];
	struct device_watch devices;
	char disk[32]; /* that which decides; "": none yet */
	unsigned vain; /* so often there was none */
	struct reservation seen;

	bool held; /* this host has held it: until then it may well be another's */
	uint64_t mine;
	uint64_t known[RESERVATION_SEEN_MAX]; /* others' keys that mean nothing, the last of them */
	unsigned n_known;
	const struct reservation_key *rival;
	char host[RESERVATION_NAME_MAX]; /* whose it is */

	bool paused; /* by a watch, this one or one that was killed */
	bool ends;
	struct guardian guardian; /* while it is paused */
	uint64_t paused_at;
	struct toolstack_op op;
	struct loop_timer timer;
	struct loop_signal term;
};

/* ---- what the disk tells ---- */

enum seen {
	SEEN_NOTHING, /* it is silent, or not this host's yet */
	SEEN_ALONE,
	SEEN_CALLED, /* another host has registered, and it is no migration */
	SEEN_TAKEN,
};

static bool is_others(uint64_t key)
{
	return referee_is_key(key) && !referee_ours(key);
}

static bool is_known(const struct disk_watch *w, uint64_t key)
{
	for (unsigned i = 0; i < w->n_known && i < RESERVATION_SEEN_MAX; i++)
		if (w->known[i] == key)
			return true;
	return false;
}

static void know(struct disk_watch *w, uint64_t key)
{
	w->known[w->n_known++ % RESERVATION_SEEN_MAX] = key;
}

/* Those that came before this host's, or with a migration of it, mean nothing, now and later. */
static const struct reservation_key *find_rival(struct disk_watch *w, bool first)
{
	const struct reservation_key *rival = NULL;

	for (unsigned i = 0; i < w->seen.n; i++) {
		const struct reservation_key *k = &w->seen.keys[i];

		if (!is_others(k->key) || is_known(w, k->key))
			continue;
		if (first || (uint16_t)k->key == (uint16_t)w->mine)
			know(w, k->key);
		else
			rival = k;
	}
	return rival;
}

static enum seen judge(struct disk_watch *w)
{
	const struct reservation_key *holder = seen_holder(&w->seen);
	bool first = !w->held;

	if (holder && referee_ours(holder->key)) {
		w->mine = holder->key;
		w->held = true;
	}
	if (!w->held)
		return SEEN_NOTHING;
	/* Of what other programs do nothing is known. */
	if (holder && is_others(holder->key)) {
		w->rival = holder;
		return SEEN_TAKEN;
	}
	w->rival = find_rival(w, first);
	return w->rival ? SEEN_CALLED : SEEN_ALONE;
}

/* The disk that decides, as takeover chooses it: the first of those that can be fenced. */
static void choose(struct disk_watch *w)
{
	struct referee *r = calloc(1, sizeof(*r));
	const char *disk = "";

	if (!r)
		return;
	w->vain++;
	fencing_list(w->domid, true, r, NULL);
	for (unsigned i = 0; i < r->n; i++) {
		int rc = referee_check(r->disk[i].path);

		if (rc == -EOPNOTSUPP || rc == -ENOLCK)
			continue;
		w->vain = 0;
		if (rc == 0)
			disk = r->disk[i].path;
		break; /* else it is silent */
	}
	if (strcmp(disk, w->disk) != 0) {
		/* For another's disk no guest would have been paused. */
		w->held = w->paused && !w->disk[0];
		snprintf(w->disk, sizeof(w->disk), "%s", disk);
	}
	free(r);
}

static enum seen see(struct disk_watch *w)
{
	if (device_watch_touched(&w->devices) || !w->disk[0])
		choose(w);
	if (!w->disk[0] || referee_read(w->disk, &w->seen))
		return SEEN_NOTHING;
	return judge(w);
}

/* ---- who comes after a watch that is killed ---- */

/* That the guest is paused by its watch is noted where libxl keeps what it knows of a domain. */
static void note_path(const struct disk_watch *w, char path[64])
{
	snprintf(path, 64, "/libxl/%" PRIu32 "/vstor-paused", w->domid);
}

static bool is_noted(const struct disk_watch *w)
{
	struct xs_handle *xs = xs_open(0);
	char path[64], *text = NULL;
	bool is;

	note_path(w, path);
	if (xs)
		text = xs_read(xs, XBT_NULL, path, &(unsigned){0});
	is = text != NULL;
	free(text);
	if (xs)
		xs_close(xs);
	return is;
}

static void note(const struct disk_watch *w, bool paused)
{
	struct xs_handle *xs = xs_open(0);
	char path[64];
	bool ok;

	note_path(w, path);
	ok = xs && (paused ? xs_write(xs, XBT_NULL, path, "1", 1) : xs_rm(xs, XBT_NULL, path));
	if (!ok && paused)
		log_warn("domain %s: should its watch be killed, it stays paused: xenstore: %s",
			 w->name, strerror(errno));
	if (xs)
		xs_close(xs);
}

static void on_orphaned(void *arg, const void *text, size_t n)
{
	const struct disk_watch *w = arg;

	const struct timespec gap = {.tv_sec = (time_t)(disk_watch_ns / SEC_NS),
				     .tv_nsec = (long)(disk_watch_ns % SEC_NS)};

	(void)text;
	(void)n;
	nanosleep(&gap, NULL); /* one that cannot live is not started again and again at once */
	disk_watch_start(w->domid);
}

/* Before it is paused. A paused guest whose watch is gone would stay so. */
static void guard(struct disk_watch *w)
{
	int rc;

	note(w, true);
	if (w->guardian.fd >= 0)
		return;
	rc = guardian_start(&w->guardian, -1, on_orphaned, w);
	if (rc)
		log_warn("domain %s: cannot start its watch's guardian: %s", w->name,
			 strerror(-rc));
}

static void goes_on(struct disk_watch *w)
{
	w->paused = false;
	note(w, false);
	guardian_dismiss(&w->guardian);
}

/* ---- the guest ---- */

static void look(void *arg);

static void look_in(struct disk_watch *w, uint64_t ns)
{
	loop_timer_set(w->loop, &w->timer, ns, look, w);
}

static void on_paused(void *arg, int rc)
{
	struct disk_watch *w = arg;

	w->paused = rc == 0;
	w->paused_at = clock_ns();
	if (rc) {
		log_error("domain %s: cannot be paused: %s", w->name, toolstack_cause(w->t, rc));
		goes_on(w);
	}
	look_in(w, rc ? disk_watch_ns / SOON : 0);
}

static void pause_guest(struct disk_watch *w)
{
	int rc;

	log_warn("domain %s: %s is about to take its disk %s (key 0x%" PRIx64
		 "): it is paused until that is decided",
		 w->name, w->host, w->disk, w->rival->key);
	guard(w);
	rc = libxl_domain_pause(toolstack_ctx(w->t), w->domid,
				toolstack_how(w->t, &w->op, on_paused, w));
	if (rc)
		toolstack_failed(&w->op, rc);
}

static void on_unpaused(void *arg, int rc)
{
	struct disk_watch *w = arg;

	if (rc)
		log_error("domain %s: cannot be unpaused: %s", w->name, toolstack_cause(w->t, rc));
	else
		goes_on(w);
	look_in(w, disk_watch_ns / SOON);
}

static void unpause_guest(struct disk_watch *w)
{
	int rc = libxl_domain_unpause(toolstack_ctx(w->t), w->domid,
				      toolstack_how(w->t, &w->op, on_unpaused, w));

	if (rc)
		toolstack_failed(&w->op, rc);
}

static void on_destroyed(void *arg, int rc)
{
	struct disk_watch *w = arg;

	if (!rc) {
		loop_stop(w->loop, 0);
		return;
	}
	log_error("domain %s: cannot be destroyed: %s: it is paused: xl destroy %s", w->name,
		  toolstack_cause(w->t, rc), w->name);
	look_in(w, disk_watch_ns);
}

static void destroy_guest(struct disk_watch *w)
{
	int rc;

	log_warn("domain %s: %s has taken its disk %s: it is destroyed here", w->name, w->host,
		 w->disk);
	rc = libxl_domain_destroy(toolstack_ctx(w->t), w->domid,
				  toolstack_how(w->t, &w->op, on_destroyed, w));
	if (rc)
		toolstack_failed(&w->op, rc);
}

/* ---- the watch ---- */

/* False: an operation has been begun, which looks again. */
static bool act(struct disk_watch *w, enum seen seen, bool alive)
{
	switch (seen) {
	case SEEN_NOTHING: return true;
	case SEEN_ALONE:
		if (!w->paused)
			return true;
		log_warn("domain %s: its disk %s is still this host's: it goes on", w->name,
			 w->disk);
		unpause_guest(w);
		return false;
	case SEEN_CALLED:
		if (!w->paused && alive) {
			pause_guest(w);
			return false;
		}
		if (!w->paused || clock_ns() - w->paused_at < disk_watch_patience)
			return true;
		log_warn("domain %s: %s has registered with its disk %s and does not take it: it "
			 "goes on",
			 w->name, w->host, w->disk);
		find_rival(w, true);
		unpause_guest(w);
		return false;
	case SEEN_TAKEN: break;
	}
	/* One that is suspended is a migration's. */
	if (!alive)
		return true;
	/* What was seen may be older than its resumption: it counts when it is so, still. */
	if (w->paused)
		destroy_guest(w);
	else
		pause_guest(w);
	return false;
}

/* It has another while it comes. */
static void read_name(struct disk_watch *w)
{
	char *name = libxl_domid_to_name(toolstack_ctx(w->t), w->domid);

	if (name)
		snprintf(w->name, sizeof(w->name), "%s", name);
	free(name);
}

/* The disk first: what the hypervisor says is the later word then. */
static void look(void *arg)
{
	struct disk_watch *w = arg;
	enum seen seen = see(w);
	enum guest_life life = guest_life(w->t, w->domid);

	if (seen != SEEN_ALONE)
		read_name(w);
	if (seen == SEEN_CALLED || seen == SEEN_TAKEN)
		seen_name(w->rival, w->host, sizeof(w->host));
	if (life != GUEST_RUNS)
		w->vain = 0;
	else if (w->paused) /* somebody else has let it go on */
		goes_on(w);
	if (w->ends || w->vain == VAIN || life == GUEST_ABSENT || life == GUEST_DYING)
		loop_stop(w->loop, 0);
	else if (act(w, seen, life == GUEST_RUNS || life == GUEST_PAUSED))
		look_in(w, w->paused ? disk_watch_ns / SOON : disk_watch_ns);
}

static void on_term(void *arg, int signo)
{
	struct disk_watch *w = arg;

	(void)signo;
	w->ends = true;
	if (!w->op.running)
		look_in(w, 0);
}

static int watch(struct disk_watch *w)
{
	char devices[64];
	int status;

	snprintf(devices, sizeof(devices), "backend/vbd/%" PRIu32, w->domid);
	device_watch_start(&w->devices, devices);
	if (loop_signal_add(w->loop, &w->term, SIGTERM, on_term, w))
		log_warn("domain %s: SIGTERM: %s", w->name, strerror(errno));
	w->guardian.fd = -1;
	w->paused = is_noted(w);
	if (w->paused) {
		log_warn("domain %s: its watch was killed after it had paused it: another goes on",
			 w->name);
		w->paused_at = clock_ns();
		guard(w);
	}
	look_in(w, 0);
	status = loop_run(w->loop);
	loop_signal_del(w->loop, &w->term);
	loop_timer_del(w->loop, &w->timer);
	if (w->ends && w->paused && !libxl_domain_unpause(toolstack_ctx(w->t), w->domid, NULL))
		note(w, false);
	guardian_dismiss(&w->guardian);
	device_watch_stop(&w->devices);
	return status;
}

int disk_watch_run(struct loop *l, struct toolstack *t, uint32_t domid)
{
	struct disk_watch *w = calloc(1, sizeof(*w));
	char number[16], path[512];
	int claim, status = 1;

	if (!w)
		return 1;
	w->loop = l;
	w->t = t;
	w->domid = domid;
	read_name(w);
	snprintf(number, sizeof(number), "%" PRIu32, domid);
	claim = guest_claim(number);
	if (claim >= 0) {
		status = watch(w);
		snprintf(path, sizeof(path), "%s/%s.lock", guest_claim_dir, number);
		unlink(path);
		close(claim);
	} else if (claim == -EBUSY) {
		status = 0;
	} else {
		log_error("domain %s: its disk is not watched: a lock in %s: %s", w->name,
			  guest_claim_dir, strerror(-claim));
	}
	free(w);
	return status;
}

void disk_watch_start(uint32_t domid)
{
	char number[16];
	const char *const argv[] = {"vstor",  "watch",	     number, "--log",
				    "syslog", "--log-level", "info", NULL};
	int rc;

	snprintf(number, sizeof(number), "%" PRIu32, domid);
	/* Who started us may wait for the end of our standard output. */
	rc = self_leave(argv, SELF_NULL, SELF_NULL);
	if (rc)
		log_warn("domain %s: should another host take its disk, it gets I/O errors: its "
			 "watch does not start: %s",
			 number, strerror(-rc));
}
