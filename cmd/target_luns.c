/* SPDX-License-Identifier: BSD-2-Clause */
#include "cmd/target_luns.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmd/lun_change.h"
#include "cmd/target_open.h"
#include "core/bytes.h"
#include "core/log.h"

/* ---- the list ---- */

static bool is(const struct served_lun *s, const char *target, unsigned number)
{
	return s->lun->number == number && strcasecmp(target_name(s->target), target) == 0;
}

struct served_lun *target_luns_find(const struct target_luns *t, const char *target,
				    unsigned number, const char *preferred)
{
	struct served_lun *found = NULL;
	unsigned n = 0;
	for (struct served_lun *s = t->list; s; s = s->next) {
		if (is(s, target ? target : preferred, number))
			return s;
		if (!target && s->lun->number == number) {
			found = s;
			n++;
		}
	}
	return n == 1 ? found : NULL;
}

static bool taken(const struct target_luns *t, const struct lun_setup *setups, unsigned n,
		  const char *target, unsigned number)
{
	if (target_luns_find(t, target, number, NULL))
		return true;
	for (unsigned i = 0; i < n; i++)
		if (setups[i].c.number == number && strcasecmp(setups[i].c.target, target) == 0)
			return true;
	return false;
}

void target_luns_number(const struct target_luns *t, struct lun_setup *setups, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		struct lun_config *c = &setups[i].c;
		unsigned number = 0;
		if (c->number != LUN_NUMBER_ANY)
			continue;
		while (taken(t, setups, n, c->target, number))
			number++;
		c->number = number;
	}
}

struct served_lun *lun_find_twin(const struct target_luns *t, const struct lun_config *c)
{
	struct lun_identity id;
	lun_identify(&id, c);
	for (struct served_lun *s = t->list; s; s = s->next)
		if (lun_identity_same(&id, &s->lun->id))
			return s;
	return NULL;
}

void lun_twin_text(char text[LUN_TWIN_TEXT], const struct lun_config *c,
		   const struct lun_config *other)
{
	struct lun_identity id;
	lun_identify(&id, c);
	snprintf(text, LUN_TWIN_TEXT,
		 "initiators would take it for %s: both have the serial number %s; give it another "
		 "serial=",
		 other->path, id.serial);
}

int lun_serve(struct target_luns *t, struct lun_setup *setup, struct lun *l, bool configured)
{
	struct served_lun *s = calloc(1, sizeof(*s)), **p;
	int rc = s ? 0 : -ENOMEM;
	if (rc == 0 && !(s->target = target_server_get(t->server, setup->c.target)))
		rc = -ENOMEM;
	if (rc == 0)
		rc = target_add_lun(t->server, s->target, l);
	if (rc) {
		log_error("%s: LUN %u of %s: %s", setup->where, l->number, setup->c.target,
			  rc == -EEXIST ? "there is one already; choose another lun="
					: strerror(-rc));
		free(s);
		return rc;
	}
	s->setup = *setup;
	*setup = (struct lun_setup){0};
	s->lun = l;
	s->configured = configured;
	for (p = &t->list; *p; p = &(*p)->next)
		;
	*p = s;
	t->n++;
	if (t->aoe)
		aoe_target_add(t->aoe, l, s->setup.c.writeback);
	log_info("%s: LUN %u of %s, %llu blocks of %u bytes", disk_path(l->disk), l->number,
		 target_name(s->target), (unsigned long long)l->blocks, l->block_size);
	return 0;
}

void served_lun_free(struct target_luns *t, struct served_lun *s)
{
	struct served_lun **p = &t->list;
	while (*p != s)
		p = &(*p)->next;
	*p = s->next;
	t->n--;
	lun_setup_free(&s->setup);
	free(s);
}

int lun_setup_open(const struct target_luns *t, struct lun_setup *setup, struct lun **out)
{
	struct disk_opts *o = &setup->c.disk;
	char name[LUN_STATE_NAME];
	int rc;
	*out = NULL;
	if (!o->opened) {
		o->fd = target_open(t->opener, o->readonly ? TARGET_LUN_READONLY : TARGET_LUN,
				    setup->c.path);
		if (o->fd < 0)
			return o->fd;
		o->opened = true;
	}
	lun_state_name(name, &setup->c);
	setup->c.state_path = t->stateful ? name : NULL;
	rc = lun_open(out, &setup->c);
	setup->c.state_path = NULL;
	close(o->fd); /* the LUN has a copy */
	o->opened = false;
	return rc;
}

int target_luns_start(struct target_luns *t, struct lun_setup *setup)
{
	struct served_lun *twin = lun_find_twin(t, &setup->c);
	char text[LUN_TWIN_TEXT];
	struct lun *l;
	int rc;
	/* A number that is taken has its own message. */
	if (twin && !is(twin, setup->c.target, setup->c.number)) {
		lun_twin_text(text, &setup->c, &twin->setup.c);
		log_error("%s: %s", setup->where, text);
		return -EEXIST;
	}
	rc = lun_setup_open(t, setup, &l);
	if (rc)
		return rc;
	rc = lun_serve(t, setup, l, true);
	if (rc)
		lun_close(l);
	return rc;
}

int target_luns_close(struct target_luns *t)
{
	int first = 0;
	while (t->list) {
		int rc = lun_close(t->list->lun);
		first = first ? first : rc;
		served_lun_free(t, t->list);
	}
	return first;
}

/* ---- the queue ---- */

static void free_change(struct luns_change *c)
{
	lun_setup_free(&c->setup);
	for (unsigned i = 0; i < c->n; i++)
		lun_setup_free(&c->setups[i]);
	free(c->setups);
	free(c->opened);
	free(c);
}

static void run_next(void *arg)
{
	struct target_luns *t = arg;
	struct luns_change *c = t->first;
	if (t->running)
		return;
	if (!c) {
		if (t->stopped && t->idle) {
			void (*idle)(void *) = t->idle;
			t->idle = NULL;
			idle(t->idle_arg);
		}
		return;
	}
	t->first = c->next;
	if (!t->first)
		t->last = &t->first;
	t->running = c;
	if (t->stopped)
		lun_change_end(c, "the target is ending");
	else
		c->start(c);
}

void lun_change_end(struct luns_change *c, const char *error)
{
	struct target_luns *t = c->luns;
	if (c->done)
		c->done(c->arg, error);
	t->running = NULL;
	free_change(c);
	loop_defer(disk_engine_loop(t->engine), &t->next);
}

void lun_change_error(struct luns_change *c, const char *what, int rc)
{
	char text[256];
	snprintf(text, sizeof(text), "%s: %s", what, strerror(-rc));
	lun_change_end(c, text);
}

struct luns_change *lun_change_new(struct target_luns *t, void (*start)(struct luns_change *c))
{
	struct luns_change *c = calloc(1, sizeof(*c));
	if (c) {
		c->luns = t;
		c->start = start;
	}
	return c;
}

void lun_change_queue(struct luns_change *c, luns_done done, void *arg)
{
	struct target_luns *t = c->luns;
	c->done = done;
	c->arg = arg;
	*t->last = c;
	t->last = &c->next;
	loop_defer(disk_engine_loop(t->engine), &t->next);
}

void lun_changes_first(struct target_luns *t, struct luns_change *list)
{
	struct luns_change **p = &list;
	while (*p)
		p = &(*p)->next;
	*p = t->first;
	if (!t->first)
		t->last = p;
	t->first = list;
	if (!t->first)
		t->last = &t->first;
}

void lun_changes_free(struct luns_change *list)
{
	while (list) {
		struct luns_change *c = list;
		list = c->next;
		free_change(c);
	}
}

void target_luns_init(struct target_luns *t, struct target_server *s, struct disk_engine *e,
		      struct opener *o)
{
	*t = (struct target_luns){
		.server = s, .engine = e, .opener = o, .next = {.fn = run_next, .arg = t}};
	t->last = &t->first;
}

void target_luns_stop(struct target_luns *t, void (*idle)(void *arg), void *arg)
{
	t->stopped = true;
	t->idle = idle;
	t->idle_arg = arg;
	loop_defer(disk_engine_loop(t->engine), &t->next);
}
