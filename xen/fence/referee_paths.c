/* SPDX-License-Identifier: BSD-2-Clause */
#include "xen/fence/referee_paths.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/log.h"
#include "xen/fence/own_keys.h"
#include "xen/fence/paths.h"
#include "xen/fence/referee_seen.h"

/* The taking of one disk. */
struct course {
	const char *map;
	struct paths_taking t;
	struct paths p;	    /* that answer; the next command goes by the first */
	bool in[PATHS_MAX]; /* have `mine` registered */
	unsigned refused;   /* of them have no part in what is to be taken */
	char mute[32];	    /* one that does not answer */
	struct reservation seen;
	char *why;
};

static int out(const char *path, enum reservation_action a, uint64_t key, uint64_t other)
{
	return reservation_out_type(path, a, RESERVATION_REGISTRANTS_ONLY, key, other);
}

uint64_t referee_paths_next(uint64_t mine)
{
	return mine ^ 1;
}

/* ---- the paths ---- */

/* It does not answer: done without. */
static void drop(struct course *c, unsigned i)
{
	snprintf(c->mute, sizeof(c->mute), "%s", c->p.path[i]);
	c->p.n--;
	memmove(c->p.path[i], c->p.path[i + 1], (c->p.n - i) * sizeof(c->p.path[0]));
	memmove(&c->in[i], &c->in[i + 1], (c->p.n - i) * sizeof(c->in[0]));
}

/* The first becomes the last. */
static void rotate(struct course *c)
{
	char first[32];
	bool in = c->in[0];

	memcpy(first, c->p.path[0], sizeof(first));
	drop(c, 0);
	c->mute[0] = 0;
	memcpy(c->p.path[c->p.n], first, sizeof(first));
	c->in[c->p.n++] = in;
}

static int look(struct course *c)
{
	int rc = -ENXIO;

	while (c->p.n && (rc = reservation_read(c->p.path[0], &c->seen)))
		drop(c, 0);
	return rc;
}

static enum referee_says why_mute(char *why, const char *map, const char *path)
{
	snprintf(why, REFEREE_TEXT,
		 "%s: its path %s does not answer, and a migration begins with all of them: mend "
		 "it, or take it out (multipathd del path)",
		 map, path + strlen("/dev/"));
	return REFEREE_SILENT;
}

/* All of them: WON, or those that are down. */
static enum referee_says list_all(const char *map, struct paths *p, char *why)
{
	struct paths running;
	unsigned i = 0;
	int rc = paths_list(map, true, p);

	if (rc)
		return why_silent(why, map, rc);
	paths_list(map, false, &running);
	while (i < running.n && strcmp(p->path[i], running.path[i]) == 0)
		i++;
	return i == p->n ? REFEREE_WON : why_mute(why, map, p->path[i]);
}

/* ---- registering ---- */

/*
 * Registers `mine` by a path: 1; 0: it was; -EBADE: not by this path; -EEXIST: another program's
 * key is there; else it does not answer. Unless `anew`, only where it replaces another: when it is
 * not decided yet who holds, a command that is late must not do anything.
 */
static int enter(struct course *c, unsigned i, bool anew)
{
	const struct paths_taking *t = &c->t;
	const char *path = c->p.path[i];
	int rc = -EBADE;

	if (c->in[i])
		return 0;
	if (t->was)
		rc = out(path, RESERVATION_REGISTER, t->was, t->mine);
	if (rc == -EBADE && anew)
		rc = out(path, RESERVATION_REGISTER, 0, t->mine);
	if (rc == -EBADE) {
		rc = out(path, RESERVATION_REGISTER, t->mine, t->mine);
		if (rc == 0) {
			c->in[i] = true;
			return 0;
		}
	}
	for (unsigned k = 0; rc == -EBADE && (anew || !t->was) && k < c->seen.n; k++)
		if (referee_ours(c->seen.keys[k].key))
			rc = out(path, RESERVATION_REGISTER, c->seen.keys[k].key, t->mine);
	if (rc)
		return rc == -EBADE && anew ? -EEXIST : rc;
	c->in[i] = true;
	return 1;
}

/* By all paths: how many are new, or -EEXIST. */
static int enter_all(struct course *c, bool anew)
{
	int changed = 0;

	for (unsigned i = 0; i < c->p.n;) {
		int rc = enter(c, i, anew);

		if (rc == -EEXIST)
			return rc;
		if (rc < 0 && rc != -EBADE) {
			drop(c, i);
			continue;
		}
		changed += rc == 1;
		i++;
	}
	return changed;
}

/* ---- taking ---- */

/* Another program's key, with which it may write. */
static const struct reservation_key *stranger(const struct reservation *seen)
{
	for (unsigned i = 0; i < seen->n; i++)
		if (!referee_is_key(seen->keys[i].key))
			return &seen->keys[i];
	return NULL;
}

static enum referee_says why_stranger(char *why, const char *map, const struct reservation_key *k)
{
	char name[RESERVATION_NAME_MAX];

	seen_name(k, name, sizeof(name));
	snprintf(why, REFEREE_TEXT,
		 "another program has registered key 0x%" PRIx64 " with %s for %.100s, which could "
		 "write to it, as it has several paths: remove that first (sg_persist)",
		 k->key, map, name);
	return REFEREE_LOST;
}

/* This host holds it: removes what others could write with. WON, or true to look again. */
static bool finish(struct course *c, enum referee_says *says)
{
	const struct paths_taking *t = &c->t;
	bool removed = false;

	if (enter_all(c, true) == -EEXIST) {
		*says = why_foreign(c->why, c->map);
		return false;
	}
	if (t->all && c->mute[0]) {
		*says = why_mute(c->why, c->map, c->mute);
		return false;
	}
	for (unsigned i = 0; c->p.n && i < c->seen.n; i++) {
		uint64_t key = c->seen.keys[i].key;

		/* By a path that is down this host's old key is better than none. */
		if (key == t->mine || !referee_is_key(key) || (referee_ours(key) && !t->all))
			continue;
		out(c->p.path[0], t->by, t->mine, key);
		removed = true;
	}
	if (removed || !c->p.n)
		return true;
	if (c->mute[0])
		log_warn("%s: its path %s does not answer and may not be registered: what is "
			 "written by it would be refused",
			 c->map, c->mute + strlen("/dev/"));
	*says = REFEREE_WON;
	return false;
}

/* What this host has held before, by a nexus that it may not have any more; false: it is to be let
 * be. */
static bool left_by_us(struct course *c, uint64_t key, enum referee_says *says)
{
	if (c->seen.type != RESERVATION_REGISTRANTS_ONLY)
		snprintf(c->why, REFEREE_TEXT,
			 "%s is held by this host (key 0x%" PRIx64 ") by one path: when no guest "
			 "needs that: vstor recover --release",
			 c->map, key);
	else if (!own_keys_has(key))
		why_namesake(c->why, c->map);
	else
		return true;
	*says = REFEREE_LOST;
	return false;
}

/* Whether it may be taken from its holder. */
static bool may_take(struct course *c, const struct reservation_key *holder,
		     enum referee_says *says)
{
	const struct paths_taking *t = &c->t;
	uint64_t key = holder->key;

	if ((t->victim && key == t->victim) || (t->was && key == t->was) ||
	    (t->any && referee_is_key(key) && !referee_ours(key)))
		return true;
	if (t->afresh && referee_ours(key))
		return true;
	*says = why_held(c->why, c->map, holder);
	return false;
}

/* The next step towards holding it; false: says is what there is to say. */
static bool step(struct course *c, enum referee_says *says)
{
	struct paths_taking *t = &c->t;
	const struct reservation_key *holder = seen_holder(&c->seen);
	bool own = holder && referee_ours(holder->key);
	int rc;

	/* The source may have been promised the guest, and have been killed then. */
	if (own && t->was && holder->key != t->was && holder->key != t->mine) {
		t->mine = holder->key;
		memset(c->in, 0, sizeof(c->in));
	}
	if (holder && holder->key == t->mine)
		return finish(c, says);
	if (!holder && !t->afresh) {
		*says = why_taken_off(c->why, c->map, &c->seen);
		return false;
	}
	if (holder && !may_take(c, holder, says))
		return false;
	if (t->all && stranger(&c->seen)) {
		*says = why_stranger(c->why, c->map, stranger(&c->seen));
		return false;
	}
	if (own && holder->key != t->was) {
		if (c->seen.type == RESERVATION_REGISTRANTS_ONLY && enter_all(c, false) > 0)
			return true;
		if (!left_by_us(c, holder->key, says))
			return false;
	}
	rc = c->p.n ? enter(c, 0, !t->was || c->refused >= c->p.n) : -ENXIO;
	if (rc == -EEXIST) {
		*says = why_foreign(c->why, c->map);
		return false;
	}
	if (rc == -EBADE) {
		rotate(c);
		c->refused++;
		return true;
	}
	/* By the path that holds, that was all. */
	if (rc == 1 && own)
		return true;
	if (rc >= 0)
		rc = holder ? out(c->p.path[0], t->by, t->mine, holder->key)
			    : out(c->p.path[0], RESERVATION_RESERVE, t->mine, 0);
	if (rc < 0 && rc != -EBADE && c->p.n)
		drop(c, 0);
	return true;
}

enum referee_says referee_paths_take(const char *map, const struct paths_taking *t, bool *there,
				     char why[REFEREE_TEXT])
{
	struct course *c = calloc(1, sizeof(*c));
	enum referee_says says = REFEREE_WON;
	bool again = true;
	unsigned left;
	int rc;

	if (!c)
		return why_silent(why, map, -ENOMEM);
	c->map = map;
	c->t = *t;
	c->why = why;
	if (t->all)
		says = list_all(map, &c->p, why);
	rc = t->all ? 0 : paths_list(map, false, &c->p);
	left = REFEREE_ATTEMPTS + 4 * c->p.n;
	for (bool first = true; says == REFEREE_WON && !rc && again && left;
	     left--, first = false) {
		rc = look(c);
		if (!rc && first && there)
			*there = seen_own(&c->seen);
		again = rc || step(c, &says);
		if (!again)
			break;
	}
	if (again && says == REFEREE_WON)
		says = why_silent(why, map, rc ? rc : -EBUSY);
	free(c);
	return says;
}

/* ---- the destination, before ---- */

enum referee_says referee_paths_look(const char *map, uint64_t theirs, char why[REFEREE_TEXT])
{
	struct reservation *seen = malloc(sizeof(*seen));
	enum referee_says says;
	struct paths p;

	if (!seen)
		return why_silent(why, map, -ENOMEM);
	says = list_all(map, &p, why);
	for (unsigned i = 0; says == REFEREE_WON && i < p.n; i++) {
		const struct reservation_key *holder;

		if (reservation_read(p.path[i], seen)) {
			says = why_mute(why, map, p.path[i]);
			break;
		}
		holder = seen_holder(seen);
		if (!holder || holder->key != theirs) {
			says = why_taken_off(why, map, seen);
		} else if (seen->type != RESERVATION_REGISTRANTS_ONLY) {
			snprintf(why, REFEREE_TEXT,
				 "%s has several paths, and one only where the guest is: give both "
				 "hosts the one or the other",
				 map);
			says = REFEREE_LOST;
		}
	}
	free(seen);
	return says;
}

/* ---- giving up ---- */

int referee_paths_read(const char *map, struct reservation *seen)
{
	struct paths p;
	int rc = paths_list(map, false, &p), last = rc;

	for (unsigned i = 0; !rc && i < p.n; i++) {
		last = reservation_read(p.path[i], seen);
		if (!last)
			break;
	}
	return last;
}

int referee_paths_check(const char *map)
{
	struct paths p;
	int rc = paths_list(map, false, &p);

	for (unsigned i = 0; !rc && i < p.n; i++)
		rc = reservation_check_type(p.path[i], RESERVATION_REGISTRANTS_ONLY);
	return rc;
}

static bool to_go(const struct reservation_key *k, uint64_t only)
{
	return only ? k->key == only : referee_ours(k->key);
}

/* What paths have registered that do not answer, or nexuses of before: only another's PREEMPT
 * removes that. */
static int remove_left(const char *path, const struct reservation *seen, uint64_t only,
		       void (*told)(void *arg, enum reservation_action a, uint64_t key, bool holds),
		       void *arg)
{
	uint64_t temporary = 0;
	int rc = 0;

	for (unsigned i = 0; !rc && i < seen->n; i++) {
		const struct reservation_key *k = &seen->keys[i];

		/* By one path: it is another device's; or a namesake's. */
		if (!to_go(k, only) || !own_keys_has(k->key) ||
		    (seen->type && seen->type != RESERVATION_REGISTRANTS_ONLY))
			continue;
		rc = temporary ? 0 : referee_new_key(&temporary);
		if (!rc)
			rc = out(path, RESERVATION_REGISTER, 0, temporary);
		if (rc == -EBADE)
			rc = out(path, RESERVATION_REGISTER, temporary, temporary);
		if (!rc && told)
			told(arg, RESERVATION_PREEMPT, k->key, k->holds);
		if (!rc)
			rc = out(path, RESERVATION_PREEMPT, temporary, k->key);
		rc = rc == -EBADE ? 0 : rc; /* it is gone */
	}
	if (temporary)
		out(path, RESERVATION_REGISTER, temporary, 0);
	return rc;
}

int referee_paths_release(const char *map, uint64_t only,
			  void (*told)(void *arg, enum reservation_action a, uint64_t key,
				       bool holds),
			  void *arg)
{
	struct reservation *seen = malloc(sizeof(*seen));
	struct paths p = {0};
	int rc = seen ? paths_list(map, false, &p) : -ENOMEM;

	for (unsigned i = 0; i < p.n; i++) {
		rc = reservation_read(p.path[i], seen);
		for (unsigned k = 0; !rc && k < seen->n; k++) {
			if (!to_go(&seen->keys[k], only))
				continue;
			rc = out(p.path[i], RESERVATION_REGISTER, seen->keys[k].key, 0);
			if (!rc && told)
				told(arg, RESERVATION_REGISTER, seen->keys[k].key,
				     seen->keys[k].holds);
			if (!rc)
				break;
			rc = rc == -EBADE ? 0 : rc;
		}
	}
	/* Whichever still answers. */
	for (unsigned i = 0; i < p.n; i++) {
		rc = reservation_read(p.path[i], seen);
		if (!rc)
			rc = remove_left(p.path[i], seen, only, told, arg);
		if (!rc)
			break;
	}
	free(seen);
	return rc;
}

/* ---- paths that come ---- */

int referee_paths_mend(const char *map)
{
	struct reservation *seen = malloc(sizeof(*seen));
	const struct reservation_key *holder = NULL;
	struct paths p = {0};
	int rc = seen ? paths_list(map, false, &p) : -ENOMEM, n = 0;

	if (!rc)
		rc = referee_paths_read(map, seen);
	if (!rc)
		holder = seen_holder(seen);
	if (holder && referee_ours(holder->key) && seen->type == RESERVATION_REGISTRANTS_ONLY)
		for (unsigned i = 0; i < p.n; i++) {
			if (out(p.path[i], RESERVATION_REGISTER, 0, holder->key))
				continue; /* it is registered, or down again */
			log_info("%s: its path %s has come, and is registered", map,
				 p.path[i] + strlen("/dev/"));
			n++;
		}
	free(seen);
	return rc ? rc : n;
}
