/* SPDX-License-Identifier: BSD-2-Clause */
/* The changes that the LUNs of a running target can undergo. */
#include "cmd/lun_change.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/bytes.h"
#include "core/log.h"

static void submit(struct luns_change *c, int (*call)(struct disk_io *io),
		   void (*done)(struct disk_io *io))
{
	c->io = (struct disk_io){.op = DISK_CALL, .call = call, .done = done};
	disk_submit(c->luns->engine, &c->io); /* a call is never done at once */
}

static struct luns_change *change_of(struct disk_io *io)
{
	return container_of(io, struct luns_change, io);
}

/* A new one for `number` of `target`; NULL: out of memory, and done() has not been called. */
static struct luns_change *numbered(struct target_luns *t, void (*start)(struct luns_change *c),
				    const char *target, unsigned number)
{
	struct luns_change *c = lun_change_new(t, start);
	if (!c)
		return NULL;
	c->setup.text = strdup(target);
	if (!c->setup.text) {
		free(c);
		return NULL;
	}
	c->setup.c.target = c->setup.text;
	c->setup.c.number = number;
	return c;
}

static void queue(struct luns_change *c, luns_done done, void *arg)
{
	if (c)
		lun_change_queue(c, done, arg);
	else
		done(arg, "out of memory");
}

/* ---- add ---- */

static int close_work(struct disk_io *io)
{
	struct luns_change *c = change_of(io);
	return lun_close(c->lun);
}

static void abandoned(struct disk_io *io)
{
	struct luns_change *c = change_of(io);
	lun_change_end(c, c->error);
}

void lun_change_serve(struct luns_change *c)
{
	int rc = lun_serve(c->luns, &c->setup, c->lun, c->configured);
	if (rc == 0) {
		lun_change_end(c, NULL);
		return;
	}
	c->error = rc == -EEXIST ? "there is a LUN of this number already" : "out of memory";
	submit(c, close_work, abandoned);
}

static int open_work(struct disk_io *io)
{
	struct luns_change *c = change_of(io);
	return lun_setup_open(c->luns, &c->setup, &c->lun);
}

static void opened(struct disk_io *io)
{
	struct luns_change *c = change_of(io);
	if (io->rc)
		lun_change_error(c, c->setup.c.path, io->rc);
	else
		lun_change_serve(c);
}

static void refuse_twin(struct luns_change *c, const struct lun_config *mine,
			const struct lun_config *other)
{
	char text[LUN_TWIN_TEXT];
	lun_twin_text(text, mine, other);
	lun_change_end(c, text);
}

static void refuse_number(struct luns_change *c, const struct served_lun *other)
{
	char text[LUN_TWIN_TEXT];
	snprintf(text, sizeof(text),
		 "%s: LUN %u is %s already; choose another lun=", c->setup.c.path,
		 c->setup.c.number, disk_path(other->lun->disk));
	lun_change_end(c, text);
}

void lun_change_add(struct luns_change *c)
{
	struct target_luns *t = c->luns;
	struct served_lun *twin, *other;
	target_luns_number(t, &c->setup, 1);
	twin = lun_find_twin(t, &c->setup.c);
	other = target_luns_find(t, c->setup.c.target, c->setup.c.number, NULL);
	if (t->n >= TARGET_MAX_LUNS)
		lun_change_end(c, "there are as many LUNs as there can be");
	else if (other)
		refuse_number(c, other);
	else if (twin)
		refuse_twin(c, &c->setup.c, &twin->setup.c);
	else
		submit(c, open_work, opened);
}

void target_luns_add(struct target_luns *t, struct lun_setup *setup, bool configured,
		     luns_done done, void *arg)
{
	struct luns_change *c = lun_change_new(t, lun_change_add);
	if (c) {
		c->setup = *setup;
		c->configured = configured;
	} else {
		lun_setup_free(setup);
	}
	*setup = (struct lun_setup){0};
	queue(c, done, arg);
}

/* ---- remove and resize ---- */

static void removed(void *arg, int rc)
{
	struct luns_change *c = arg;
	if (rc)
		lun_change_error(c, "removed, but what was written last may be lost", rc);
	else
		lun_change_end(c, NULL);
}

void lun_change_remove(struct luns_change *c)
{
	const struct lun_config *which = &c->setup.c;
	struct served_lun *s = target_luns_find(c->luns, which->target, which->number, NULL);
	struct lun *l = s ? s->lun : NULL;
	int rc = -ENOENT;
	if (s) {
		log_info("%s: LUN %u of %s is taken away", disk_path(s->lun->disk), which->number,
			 which->target);
		rc = target_remove_lun(c->luns->server, s->target, which->number, removed, c);
	}
	if (rc) {
		lun_change_end(c, rc == -ENOENT ? "there is no such LUN" : "out of memory");
		return;
	}
	if (c->luns->aoe)
		aoe_target_remove(c->luns->aoe, l); /* which it waits for */
	served_lun_free(c->luns, s);
}

void target_luns_remove(struct target_luns *t, const char *target, unsigned number, luns_done done,
			void *arg)
{
	queue(numbered(t, lun_change_remove, target, number), done, arg);
}

/* Why a size stays: only the target's log has it otherwise, which who asks does not see. */
static const char *resize_cause(const struct luns_change *c, int rc)
{
	switch (rc) {
	case -EINVAL:
		return c->grow ? "it is longer than that already, and nothing is cut off"
			       : "it is shorter than one block; make it longer first";
	case -EOPNOTSUPP: return "it is a device: grow it by its own tools, then leave SIZE out";
	case -EROFS: return "it is exported read only";
	case -EBUSY: return "it is being sanitized; wait for the end of that";
	default: return strerror(-rc);
	}
}

static void resized(void *arg, int rc)
{
	struct luns_change *c = arg;
	const struct lun_config *which = &c->setup.c;
	const struct served_lun *s = target_luns_find(c->luns, which->target, which->number, NULL);
	char text[LUN_TWIN_TEXT];
	snprintf(text, sizeof(text), "LUN %u, %s, has the size it had: %s", which->number,
		 s ? disk_path(s->lun->disk) : which->target, resize_cause(c, rc));
	lun_change_end(c, rc ? text : NULL);
}

void lun_change_resize(struct luns_change *c)
{
	const struct lun_config *which = &c->setup.c;
	struct served_lun *s = target_luns_find(c->luns, which->target, which->number, NULL);
	if (s)
		lun_resize(s->lun, c->luns->engine, c->grow, resized, c);
	else
		lun_change_end(c, "there is no such LUN");
}

void target_luns_resize(struct target_luns *t, const char *target, unsigned number, uint64_t grow,
			luns_done done, void *arg)
{
	struct luns_change *c = numbered(t, lun_change_resize, target, number);
	if (c)
		c->grow = grow;
	queue(c, done, arg);
}

/* ---- replace ---- */

static bool same_text(const char *a, const char *b)
{
	return a == b || (a && b && strcmp(a, b) == 0);
}

static bool same_place(const struct lun_config *a, const struct lun_config *b)
{
	return a->number == b->number && strcasecmp(a->target, b->target) == 0;
}

static bool same(const struct lun_config *a, const struct lun_config *b)
{
	return same_place(a, b) && same_text(a->path, b->path) && same_text(a->serial, b->serial) &&
	       a->block_size == b->block_size && a->thin == b->thin &&
	       a->removable == b->removable && a->disk.readonly == b->disk.readonly &&
	       a->disk.writethrough == b->disk.writethrough && a->writeback == b->writeback;
}

/* A disk that is served keeps its number where the configuration leaves it open. */
static void keep_numbers(struct luns_change *c)
{
	for (unsigned i = 0; i < c->n; i++) {
		struct lun_config *mine = &c->setups[i].c;
		for (struct served_lun *s = c->luns->list; s; s = s->next)
			if (mine->number == LUN_NUMBER_ANY &&
			    same_text(mine->path, s->setup.c.path) &&
			    strcasecmp(mine->target, s->setup.c.target) == 0)
				mine->number = s->setup.c.number;
	}
	target_luns_number(c->luns, c->setups, c->n);
}

static struct served_lun *find_same(struct luns_change *c, const struct lun_config *mine)
{
	for (struct served_lun *s = c->luns->list; s; s = s->next)
		if (!s->kept && same(mine, &s->setup.c))
			return s;
	return NULL;
}

/* A number given twice, in the configuration or by `vstor lun add` as well: the second of them. */
static const struct lun_setup *find_conflict(const struct luns_change *c)
{
	for (unsigned i = 0; i < c->n; i++) {
		const struct lun_setup *mine = &c->setups[i];
		for (unsigned j = 0; j < i; j++)
			if (same_place(&mine->c, &c->setups[j].c))
				return mine;
		for (struct served_lun *s = c->luns->list; s; s = s->next)
			if (!s->kept && !s->configured && same_place(&mine->c, &s->setup.c) &&
			    !same_text(mine->c.path, s->setup.c.path))
				return mine;
	}
	return NULL;
}

static bool twins(const struct lun_config *a, const struct lun_config *b)
{
	struct lun_identity of_a, of_b;
	lun_identify(&of_a, a);
	lun_identify(&of_b, b);
	return lun_identity_same(&of_a, &of_b);
}

/* Does the configuration say anything of this disk? */
static bool named(const struct luns_change *c, const char *path)
{
	for (unsigned i = 0; i < c->n; i++)
		if (same_text(c->setups[i].c.path, path))
			return true;
	return false;
}

/* Two that initiators would take for one: a new one, and *other of the configuration or by `vstor
 * lun add`. */
static const struct lun_setup *find_twins(const struct luns_change *c,
					  const struct lun_config **other)
{
	for (unsigned i = 0; i < c->n; i++) {
		const struct lun_config *mine = &c->setups[i].c;
		for (unsigned j = 0; j < i; j++) {
			*other = &c->setups[j].c;
			if (twins(mine, *other))
				return &c->setups[i];
		}
		for (struct served_lun *s = c->luns->list; s; s = s->next) {
			*other = &s->setup.c;
			if (!s->kept && !s->configured && !named(c, (*other)->path) &&
			    twins(mine, *other))
				return &c->setups[i];
		}
	}
	return NULL;
}

static void append(struct luns_change *c, struct luns_change *step)
{
	struct luns_change **p = &c->steps;
	while (*p)
		p = &(*p)->next;
	*p = step;
}

static bool append_numbered(struct luns_change *c, void (*start)(struct luns_change *c),
			    const struct lun_config *which)
{
	struct luns_change *step = numbered(c->luns, start, which->target, which->number);
	if (step)
		append(c, step);
	return step != NULL;
}

static bool same_state(const struct lun_config *a, const struct lun_config *b)
{
	char of_a[LUN_STATE_NAME], of_b[LUN_STATE_NAME];
	lun_state_name(of_a, a);
	lun_state_name(of_b, b);
	return strcmp(of_a, of_b) == 0;
}

/* Is the disk served, under another number or otherwise, or its state in use? Then it can be opened
 * only afterwards. */
static bool in_use(const struct luns_change *c, const struct lun_config *mine)
{
	for (struct served_lun *s = c->luns->list; s; s = s->next)
		if (!s->kept &&
		    (same_text(s->setup.c.path, mine->path) || same_state(&s->setup.c, mine)))
			return true;
	return false;
}

static bool wanted(const struct luns_change *c, const char *path)
{
	for (unsigned i = 0; i < c->n; i++)
		if (c->setups[i].deferred && same_text(c->setups[i].c.path, path))
			return true;
	return false;
}

/* What is to be done, once all that is new has been opened. False: out of memory. */
static bool plan(struct luns_change *c)
{
	bool ok = true;
	for (struct served_lun *s = c->luns->list; s; s = s->next)
		if (!s->kept && (s->configured || wanted(c, s->setup.c.path)))
			ok &= append_numbered(c, lun_change_remove, &s->setup.c);
	for (unsigned i = 0; i < c->n; i++) {
		struct lun_setup *mine = &c->setups[i];
		struct luns_change *step;
		if (!mine->text) /* kept: its setup has been taken */
			continue;
		step = lun_change_new(c->luns, c->opened[i] ? lun_change_serve : lun_change_add);
		if (!step)
			return false;
		step->setup = *mine;
		step->lun = c->opened[i];
		step->configured = true;
		*mine = (struct lun_setup){0};
		append(c, step);
	}
	for (struct served_lun *s = c->luns->list; s; s = s->next)
		if (s->kept)
			ok &= append_numbered(c, lun_change_resize, &s->setup.c);
	return ok;
}

static int close_new(struct disk_io *io)
{
	struct luns_change *c = change_of(io);
	for (unsigned i = 0; i < c->n; i++)
		lun_close(c->opened[i]);
	return 0;
}

static void open_ended(struct disk_io *io)
{
	struct luns_change *c = change_of(io);
	if (io->rc)
		c->error = strerror(-io->rc);
	else if (!plan(c))
		c->error = "out of memory";
	else if (c->commit)
		c->error = c->commit(c->arg);
	if (c->error) {
		lun_changes_free(c->steps);
		c->steps = NULL;
		submit(c, close_new, abandoned);
		return;
	}
	for (struct served_lun *s = c->luns->list; s; s = s->next)
		s->configured |= s->kept;
	lun_changes_first(c->luns, c->steps);
	c->steps = NULL;
	lun_change_end(c, NULL);
}

static int open_new(struct disk_io *io)
{
	struct luns_change *c = change_of(io);
	for (unsigned i = 0; i < c->n; i++) {
		struct lun_setup *mine = &c->setups[i];
		int rc;
		if (!mine->text || mine->deferred)
			continue;
		rc = lun_setup_open(c->luns, mine, &c->opened[i]);
		if (rc) {
			log_error("%s: %s", mine->where, strerror(-rc));
			return rc;
		}
	}
	return 0;
}

static void start_replace(struct luns_change *c)
{
	const struct lun_setup *conflict;
	const struct lun_config *other;
	keep_numbers(c);
	for (struct served_lun *s = c->luns->list; s; s = s->next)
		s->kept = false;
	for (unsigned i = 0; i < c->n; i++) {
		struct lun_setup *mine = &c->setups[i];
		struct served_lun *s = find_same(c, &mine->c);
		if (s)
			s->kept = true;
		mine->kept = s != NULL;
	}
	conflict = find_conflict(c);
	if (conflict) {
		log_error("%s: LUN %u of %s is another one already", conflict->where,
			  conflict->c.number, conflict->c.target);
		lun_change_end(c, "a number is given twice");
		return;
	}
	conflict = find_twins(c, &other);
	if (conflict) {
		log_error("%s: not together with %s", conflict->where, other->path);
		refuse_twin(c, &conflict->c, other);
		return;
	}
	for (unsigned i = 0; i < c->n; i++) {
		struct lun_setup *mine = &c->setups[i];
		if (mine->kept)
			lun_setup_free(mine);
		else
			mine->deferred = in_use(c, &mine->c);
	}
	submit(c, open_new, open_ended);
}

void target_luns_replace(struct target_luns *t, struct lun_setup *setups, unsigned n,
			 const char *(*commit)(void *arg), luns_done done, void *arg)
{
	struct luns_change *c = lun_change_new(t, start_replace);
	if (c) {
		c->setups = calloc(n, sizeof(*setups));
		c->opened = calloc(n, sizeof(struct lun *));
	}
	if (!c || !c->setups || !c->opened) {
		done(arg, "out of memory");
		lun_changes_free(c);
		return;
	}
	for (unsigned i = 0; i < n; i++) {
		c->setups[i] = setups[i];
		setups[i] = (struct lun_setup){0};
	}
	c->n = n;
	c->commit = commit;
	queue(c, done, arg);
}
