/* SPDX-License-Identifier: BSD-2-Clause */
#include "xen/migration/handover.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "core/bytes.h"
#include "core/log.h"
#include "xen/held_disks.h"
#include "xen/host.h"
#include "xen/migration/monitor.h"
#include "xen/weight.h"

#define KEPT_S (30 * 86400) /* what became of a migration */

#define HANDOVER_WORD(name, text) [name] = text,
static const char *const words[] = {
#include "xen/migration/migration.def"
};

const char *handover_word(enum handover_is is)
{
	return words[is];
}

int handover_parse(const char *word, enum handover_is *is)
{
	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		if (strcmp(word, words[i]) == 0) {
			*is = i;
			return 0;
		}
	}
	return -EINVAL;
}

static void text_of(const struct handover *h, enum handover_is is, struct buf *b)
{
	message_put(b, "is", "%s", words[is]);
	message_put(b, "uuid", "%s", h->uuid);
	message_put(b, "name", "%s", h->name);
	message_put(b, "boot", "%s", host_boot_id());
	message_put(b, "attached", "%s", h->attached);
	referee_put(b, &h->referee);
}

/* Devices have other names after a reboot, and those are gone. Earlier versions did not note them.
 */
static void read_attached(struct handover *h, const struct buf *b)
{
	char boot[64];

	if (message_get(b->data, b->len, "boot", boot, sizeof(boot)) ||
	    strcmp(boot, host_boot_id()) != 0 ||
	    message_get(b->data, b->len, "attached", h->attached, sizeof(h->attached)))
		h->attached[0] = 0;
}

static int read_text(struct handover *h, const struct buf *b)
{
	char word[16];
	int rc;

	if (message_check(b->data, b->len) || message_get(b->data, b->len, "is", word, 16) ||
	    message_get(b->data, b->len, "uuid", h->uuid, sizeof(h->uuid)) ||
	    message_get(b->data, b->len, "name", h->name, sizeof(h->name)))
		return -EINVAL;
	rc = referee_get(b->data, b->len, &h->referee);
	if (rc == -EINVAL)
		return rc;
	if (rc)
		h->referee.n = 0;
	read_attached(h, b);
	return handover_parse(word, &h->is);
}

int handover_begin(struct handover *h, const char *id, const char *uuid, const char *name,
		   const struct referee *referee, const struct disks *disks)
{
	struct buf b = {0};
	int rc;

	h->ledger.fd = -1;
	if (!migration_id_valid(id))
		return -EINVAL;
	snprintf(h->uuid, sizeof(h->uuid), "%s", uuid);
	snprintf(h->name, sizeof(h->name), "%s", name);
	h->referee = *referee;
	disks_attached(disks, h->attached);
	h->is = HANDOVER_PREPARING;
	text_of(h, h->is, &b);
	rc = ledger_create(&h->ledger, id, &b);
	buf_free(&b);
	return rc;
}

int handover_set(struct handover *h, enum handover_is is)
{
	struct buf b = {0};
	int rc;

	text_of(h, is, &b);
	/* After a crash of the host there is nothing that could be ready. */
	rc = ledger_put(&h->ledger, &b, is != HANDOVER_READY);
	buf_free(&b);
	if (!rc)
		h->is = is;
	return rc;
}

void handover_left(struct handover *h)
{
	h->referee.n = 0;
	h->attached[0] = 0;
	handover_set(h, h->is);
}

void handover_end(struct handover *h)
{
	ledger_close(&h->ledger);
}

int handover_open(struct handover *h, const char *id)
{
	struct buf b = {0};
	int rc;

	h->ledger.fd = -1;
	if (!migration_id_valid(id))
		return -EINVAL;
	rc = ledger_open(&h->ledger, id, &b);
	if ((!rc || rc == -EBUSY) && read_text(h, &b))
		rc = -EINVAL;
	buf_free(&b);
	if (rc)
		handover_end(h);
	return rc;
}

/* ---- asking ---- */

static void ask_deliver(void *arg)
{
	struct handover_ask *a = arg;

	handover_end(&a->h);
	a->done(a->arg, a->answer);
}

static void on_left(void *arg, enum referee_says says)
{
	struct handover_ask *a = arg;

	/* When a disk does not answer the next sweep tries again. */
	if (says == REFEREE_WON) {
		disks_release_named(a->h.attached);
		handover_left(&a->h);
	}
	ask_deliver(a);
}

/* It never starts here: this host's key goes from its disks, and what was attached for it. */
static void leave(struct handover_ask *a)
{
	if (a->h.referee.n)
		fencing_start(&a->fencing, a->loop, FENCING_LEAVE, false, &a->h.referee, 0, on_left,
			      a);
	else if (a->h.attached[0])
		on_left(a, REFEREE_WON);
	else
		ask_deliver(a);
}

static void settled(void *arg, int rc);

static void unpause(struct handover_ask *a)
{
	int rc = libxl_domain_unpause(toolstack_ctx(a->t), a->domid,
				      toolstack_how(a->t, &a->op, settled, a));

	if (rc)
		toolstack_failed(&a->op, rc);
}

static void destroy(struct handover_ask *a)
{
	int rc = libxl_domain_destroy(toolstack_ctx(a->t), a->domid,
				      toolstack_how(a->t, &a->op, settled, a));

	if (rc)
		toolstack_failed(&a->op, rc);
}

/* It runs here: what its receiver would have seen to. */
static void look_after(struct handover_ask *a)
{
	held_disks_let_go(a->domid);
	weight_restore(a->t, a->domid);
	monitor_start(a->h.name, a->announce);
}

static void settled(void *arg, int rc)
{
	struct handover_ask *a = arg;
	bool starting = a->h.is == HANDOVER_STARTING;

	if (rc) {
		log_error("domain %s: what a killed vstor left cannot be %s: %s", a->h.name,
			  starting ? "started" : "destroyed", toolstack_cause(a->t, rc));
		a->answer = HANDOVER_UNKNOWN;
	} else {
		a->answer = starting ? HANDOVER_RUNNING : HANDOVER_GONE;
		handover_set(&a->h, a->answer);
		log_warn("domain %s: a killed vstor had left it half-way; it has been %s",
			 a->h.name, starting ? "started" : "destroyed");
		if (starting)
			look_after(a);
	}
	if (rc || starting)
		ask_deliver(a);
	else
		leave(a);
}

enum handover_do handover_rule(enum handover_is record, enum guest_life life, bool fenced)
{
	switch (record) {
	case HANDOVER_RUNNING: return HANDOVER_ANSWER_RUNNING;
	case HANDOVER_GONE: return HANDOVER_ANSWER_GONE;
	case HANDOVER_PREPARING:
	case HANDOVER_READY:
		if (life == GUEST_ABSENT)
			return HANDOVER_ANSWER_GONE;
		return record == HANDOVER_READY && fenced && life == GUEST_PAUSED
			       ? HANDOVER_TAKE
			       : HANDOVER_DESTROY;
	case HANDOVER_STARTING: break;
	default: return HANDOVER_ANSWER_UNKNOWN;
	}
	switch (life) {
	case GUEST_PAUSED: return HANDOVER_START;
	case GUEST_RUNS:
	case GUEST_SUSPENDED:
	case GUEST_CRASHED:
	case GUEST_DOWN: return HANDOVER_ANSWER_RUNNING; /* it has run */
	case GUEST_ABSENT:
	case GUEST_DYING: break; /* it may have run, and it may not */
	}
	return HANDOVER_ANSWER_UNKNOWN;
}

/* Looks for it under the names it may have, and gives it the right one if it is to run. */
static enum guest_life life_of(struct handover_ask *a)
{
	char name[GUEST_NAME_MAX + sizeof(GUEST_INCOMING)];
	bool starting = a->h.is == HANDOVER_STARTING;

	if (a->h.is == HANDOVER_RUNNING || a->h.is == HANDOVER_GONE)
		return GUEST_ABSENT; /* of no importance */
	snprintf(name, sizeof(name), "%s%s", a->h.name, GUEST_INCOMING);
	if (guest_by_uuid(a->t, a->h.uuid, name, &a->domid) == 0) {
		if (starting)
			libxl_domain_rename(toolstack_ctx(a->t), a->domid, name, a->h.name);
	} else if (guest_by_uuid(a->t, a->h.uuid, starting ? a->h.name : "", &a->domid)) {
		return GUEST_ABSENT; /* "": its making was cut off before it got a name */
	}
	return guest_life(a->t, a->domid);
}

static void answer(struct handover_ask *a, enum handover_is is)
{
	a->answer = is;
	if (is == HANDOVER_GONE && is == a->h.is && a->leaves) {
		leave(a);
		return;
	}
	/* A record is as old as its last word. */
	if (is == HANDOVER_UNKNOWN || is == a->h.is) {
		ask_deliver(a);
		return;
	}
	handover_set(&a->h, is);
	if (is == HANDOVER_GONE)
		leave(a);
	else
		ask_deliver(a);
}

/* A killed process had all of the guest; whether that is to run was not decided yet. */
static void on_raced(void *arg, enum referee_says says)
{
	struct handover_ask *a = arg;

	if (says != REFEREE_WON)
		log_warn("domain %s: %s", a->h.name, a->fencing.r.why);
	if (says == REFEREE_SILENT) {
		a->silent = true;
		answer(a, HANDOVER_UNKNOWN); /* it stays paused, to be asked about again */
	} else if (says == REFEREE_LOST) {
		destroy(a);
	} else if (handover_set(&a->h, HANDOVER_STARTING)) {
		answer(a, HANDOVER_UNKNOWN);
	} else {
		life_of(a); /* it gets its name */
		unpause(a);
	}
}

static void ask_begin(void *arg)
{
	struct handover_ask *a = arg;

	/* Another's is not ours to settle. */
	if (a->h.ledger.fd < 0) {
		ask_deliver(a);
		return;
	}
	switch (handover_rule(a->h.is, life_of(a), a->h.referee.n)) {
	case HANDOVER_DESTROY: destroy(a); break;
	case HANDOVER_START: unpause(a); break;
	case HANDOVER_TAKE:
		/* Then the other records have their turn. */
		fencing_start(&a->fencing, a->loop, FENCING_RACE, false, &a->h.referee,
			      fencing_patience, on_raced, a);
		break;
	case HANDOVER_ANSWER_RUNNING:
		if (a->h.is == HANDOVER_STARTING)
			look_after(a);
		answer(a, HANDOVER_RUNNING);
		break;
	case HANDOVER_ANSWER_GONE: answer(a, HANDOVER_GONE); break;
	case HANDOVER_ANSWER_UNKNOWN: answer(a, HANDOVER_UNKNOWN); break;
	}
}

void handover_ask(struct handover_ask *a, struct toolstack *t, struct loop *l, const char *id,
		  bool announce, void (*done)(void *arg, enum handover_is is), void *arg)
{
	int rc;

	*a = (struct handover_ask){.t = t,
				   .loop = l,
				   .announce = announce,
				   .done = done,
				   .arg = arg,
				   .task = {ask_begin, a}};
	rc = handover_open(&a->h, id);
	a->answer = rc == 0 ? a->h.is : HANDOVER_UNKNOWN;
	if (rc == -EBUSY)
		a->answer = a->h.is == HANDOVER_RUNNING || a->h.is == HANDOVER_GONE ? a->h.is
										    : HANDOVER_BUSY;
	loop_defer(l, &a->task);
}

/* ---- sweeping ---- */

static void sweep_next(void *arg);

static void swept(void *arg, enum handover_is is)
{
	struct handover_sweep *s = arg;

	(void)is;
	s->silent |= s->ask.silent;
	sweep_next(s);
}

static void remove_old(const char *name)
{
	struct stat st;
	struct handover h;
	int rc = handover_open(&h, name);

	if (rc && rc != -EBUSY)
		log_warn("migration %s: its journal in %s is not heeded: %s", name, ledger_dir,
			 ledger_cause(rc));
	if (!rc && (h.is == HANDOVER_RUNNING || h.is == HANDOVER_GONE) &&
	    !fstat(h.ledger.fd, &st) && st.st_mtime + KEPT_S < time(NULL))
		ledger_remove(name);
	handover_end(&h);
}

static void sweep_next(void *arg)
{
	struct handover_sweep *s = arg;
	struct dirent *e;

	while ((e = readdir(s->dir))) {
		if (!migration_id_valid(e->d_name))
			continue;
		remove_old(e->d_name);
		handover_ask(&s->ask, s->t, s->loop, e->d_name, s->announce, swept, s);
		s->ask.leaves = true;
		return;
	}
	closedir(s->dir);
	s->done(s->arg);
}

static void sweep_empty(void *arg)
{
	struct handover_sweep *s = arg;

	s->done(s->arg);
}

void handover_sweep(struct handover_sweep *s, struct toolstack *t, struct loop *l, bool announce,
		    void (*done)(void *arg), void *arg)
{
	*s = (struct handover_sweep){
		.t = t, .loop = l, .announce = announce, .done = done, .arg = arg};
	s->dir = opendir(ledger_dir);
	s->task = (struct loop_task){.fn = s->dir ? sweep_next : sweep_empty, .arg = s};
	loop_defer(l, &s->task);
}
