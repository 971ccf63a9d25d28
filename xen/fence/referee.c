/* SPDX-License-Identifier: BSD-2-Clause */
#include "xen/fence/referee.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/crc32c.h"
#include "core/digest.h"
#include "net/iscsi/initiator_login.h"
#include "xen/disk_id.h"
#include "xen/message.h"
#include "xen/fence/own_keys.h"
#include "xen/fence/paths.h"
#include "xen/fence/referee_paths.h"
#include "xen/fence/referee_seen.h"

#define TAG 0x7673u /* "vs" */

/* ---- keys ---- */

_Thread_local const char *referee_host_name;

uint32_t referee_host(void)
{
	char name[ISCSI_NAME + 1];

	if (referee_host_name)
		snprintf(name, sizeof(name), "%s", referee_host_name);
	else
		initiator_default_name(name);
	return crc32c(0, name, strlen(name));
}

uint64_t referee_key(uint32_t host, uint16_t generation)
{
	return (uint64_t)TAG << 48 | (uint64_t)host << 16 | generation;
}

bool referee_is_key(uint64_t key)
{
	return key >> 48 == TAG;
}

uint32_t referee_host_of(uint64_t key)
{
	return (uint32_t)(key >> 16);
}

/* A key of this host that this nexus does not have, and by which the disk is held. True: what had
 * it is no more, so that it can be taken; else `says` and why tell. */
static bool left_by_us(const char *device, uint64_t key, enum referee_says *says, char *why)
{
	char twin[32];

	*says = REFEREE_LOST;
	if (!own_keys_has(key)) {
		why_namesake(why, device);
		return false;
	}
	if (!disk_id_twin(device, twin))
		return true;
	snprintf(why, REFEREE_TEXT,
		 "%s is held by this host (key 0x%" PRIx64 "), which has the same disk as /dev/%s, "
		 "too",
		 device, key, twin);
	return false;
}

/* ---- one disk ---- */

/* How a disk is to be taken. */
struct taking {
	uint64_t mine;
	uint64_t victim; /* from whom it may be taken; 0: from nobody */
	bool any;	 /* from any other host of vstor's, too */
	enum reservation_action by;
	bool eager;  /* without looking first: what was found at the beginning still holds */
	bool afresh; /* it may be registered with, and reserved if nobody holds it */
	bool renews; /* whatever key this host has there is replaced */
};

/* The next step towards holding the disk alone; false: says is what there is to say. */
static bool step(const char *device, const struct taking *t, const struct reservation *seen,
		 enum referee_says *says, char *why)
{
	const struct reservation_key *holder = seen_holder(seen);
	bool in = seen_key(seen, t->mine), mine = holder && holder->key == t->mine, theirs;
	uint64_t victim = t->victim;

	if (t->any && holder && !mine && referee_is_key(holder->key) && !referee_ours(holder->key))
		victim = holder->key;
	if (t->afresh && holder && !mine && referee_ours(holder->key) && holder->key != victim) {
		if (!left_by_us(device, holder->key, says, why))
			return false;
		victim = holder->key;
	}
	theirs = victim && seen_key(seen, victim);

	*says = REFEREE_WON;
	if (mine && !theirs)
		return false;
	/* Who is not registered any more has lost; and if nobody holds it, the guest has ended. */
	if (!t->afresh && (!in || !holder)) {
		*says = why_taken_off(why, device, seen);
		return false;
	}
	if (holder && !mine && holder->key != victim) {
		*says = why_held(why, device, holder);
		return false;
	}
	if (!in) {
		if (reservation_out(device, RESERVATION_REGISTER, 0, t->mine) != -EBADE)
			return true;
		*says = why_foreign(why, device);
		return false;
	}
	/* The victim may hold, or be about to: only without its key it can do neither. */
	if (theirs)
		reservation_out(device, t->by, t->mine, victim);
	else
		reservation_out(device, RESERVATION_RESERVE, t->mine, 0);
	return true;
}

/* One command at a time; whatever becomes of it, the disk is asked how it stands then. */
static enum referee_says take(const char *device, const struct taking *t, char *why)
{
	struct reservation *seen = malloc(sizeof(*seen));
	enum referee_says says = REFEREE_SILENT;
	bool again = true;
	int rc = seen ? 0 : -ENOMEM;

	/* Who has its key is the holder, or was at the last look: the loss of the one is the loss
	 * of the other. */
	if (t->eager && reservation_out(device, t->by, t->mine, t->victim) == 0) {
		free(seen);
		return REFEREE_WON;
	}
	for (int i = 0; rc == 0 && again && i < REFEREE_ATTEMPTS; i++) {
		rc = reservation_read(device, seen);
		again = rc || step(device, t, seen, &says, why);
	}
	if (again)
		says = why_silent(why, device, rc ? rc : -EBUSY);
	free(seen);
	return says;
}

/* Registers `key`, or nothing (0), in the place of whichever key of this host's the nexus has: 1, 0
 * if it has none of those seen, or -errno. */
static int replace(const char *device, const struct reservation *seen, uint64_t key)
{
	for (unsigned i = 0; i < seen->n; i++) {
		uint64_t old = seen->keys[i].key;
		int rc;

		if (!referee_ours(old) || old == key)
			continue;
		rc = reservation_out(device, RESERVATION_REGISTER, old, key);
		if (rc != -EBADE) /* else it is another nexus's, or just gone */
			return rc ? rc : 1;
	}
	return 0;
}

/* What this host has registered is from now on registered under another key (so that what is still
 * on its way from an earlier migration misses it). *there: it had registered one. */
static int renew(const char *device, uint64_t key, bool *there)
{
	struct reservation *seen = malloc(sizeof(*seen));
	int rc = seen ? -EAGAIN : -ENOMEM;

	*there = false;
	for (int i = 0; rc == -EAGAIN && i < REFEREE_ATTEMPTS; i++) {
		rc = reservation_read(device, seen);
		if (rc || seen_key(seen, key))
			break;
		rc = replace(device, seen, key);
		if (rc == 0)
			break;
		*there = true; /* once it was, or now it is not known */
		if (rc == 1 || rc == -EIO)
			rc = -EAGAIN;
	}
	free(seen);
	return rc;
}

/* Holds it under that key. */
static enum referee_says hold(const char *device, struct taking *t, bool *there, char *why)
{
	int rc = renew(device, t->mine, there);

	t->afresh = true;
	return rc ? why_silent(why, device, rc) : take(device, t, why);
}

enum referee_says referee_hold(const char *device, uint64_t victim, char why[REFEREE_TEXT])
{
	struct taking t = {.victim = victim, .by = RESERVATION_PREEMPT_AND_ABORT};
	struct paths_taking p = {.victim = victim, .by = t.by, .afresh = true};
	bool there;
	int rc = referee_new_key(&t.mine);

	if (rc)
		return why_silent(why, device, rc);
	p.mine = t.mine;
	return paths_is_map(device) ? referee_paths_take(device, &p, NULL, why)
				    : hold(device, &t, &there, why);
}

static int enter(const char *device, uint64_t key)
{
	bool there = false;
	int rc = renew(device, key, &there);

	return rc || there ? rc : reservation_out(device, RESERVATION_REGISTER, 0, key);
}

int referee_announce(const char *device, uint64_t victim)
{
	struct paths p = {0};
	uint64_t key;
	int rc;

	do
		rc = referee_new_key(&key);
	while (!rc && (uint16_t)key == (uint16_t)victim);
	if (rc)
		return rc;
	if (!paths_is_map(device))
		return enter(device, key);
	/* One path is enough to be seen. */
	rc = paths_list(device, false, &p);
	for (unsigned i = 0; i < p.n; i++) {
		rc = enter(p.path[i], key);
		if (!rc)
			break;
	}
	return rc;
}

/* What an earlier nexus of this host holds: only another's PREEMPT removes that. */
static int release_left(const char *device, uint64_t key)
{
	enum referee_says says;
	char why[REFEREE_TEXT];
	uint64_t temporary;
	int rc;

	if (!left_by_us(device, key, &says, why))
		return 0; /* it is not ours to give up */
	rc = referee_new_key(&temporary);
	if (!rc)
		rc = reservation_out(device, RESERVATION_REGISTER, 0, temporary);
	if (!rc)
		rc = reservation_out(device, RESERVATION_PREEMPT, temporary, key);
	reservation_out(device, RESERVATION_REGISTER, temporary, 0);
	return rc == -EBADE ? 0 : rc;
}

/* only: one key, or 0: all of this host's. */
static int release(const char *device, uint64_t only,
		   void (*told)(void *arg, enum reservation_action a, uint64_t key, bool holds),
		   void *arg)
{
	struct reservation *seen;
	int rc;

	if (paths_is_map(device))
		return referee_paths_release(device, only, told, arg);
	seen = malloc(sizeof(*seen));
	rc = seen ? reservation_read(device, seen) : -ENOMEM;
	for (unsigned i = 0; rc == 0 && i < seen->n; i++) {
		const struct reservation_key *k = &seen->keys[i];

		if (!referee_ours(k->key) || (only && k->key != only))
			continue;
		if (told)
			told(arg, RESERVATION_REGISTER, k->key, k->holds);
		rc = reservation_out(device, RESERVATION_REGISTER, k->key, 0);
		if (rc != -EBADE)
			continue;
		/* It is gone, an earlier nexus's, or another's that looks like ours. */
		rc = 0;
		if (!k->holds)
			continue;
		if (told)
			told(arg, RESERVATION_PREEMPT, k->key, true);
		rc = release_left(device, k->key);
	}
	free(seen);
	return rc;
}

int referee_release(const char *device,
		    void (*told)(void *arg, enum reservation_action a, uint64_t key, bool holds),
		    void *arg)
{
	return release(device, 0, told, arg);
}

int referee_read(const char *device, struct reservation *seen)
{
	return paths_is_map(device) ? referee_paths_read(device, seen)
				    : reservation_read(device, seen);
}

int referee_check(const char *device)
{
	return paths_is_map(device) ? referee_paths_check(device) : reservation_check(device);
}

int referee_mend(const char *device)
{
	return paths_is_map(device) ? referee_paths_mend(device) : 0;
}

int referee_registered(const char *device)
{
	struct reservation *seen = malloc(sizeof(*seen));
	int rc = seen ? referee_read(device, seen) : -ENOMEM;

	if (!rc)
		rc = seen_own(seen) != 0;
	free(seen);
	return rc;
}

int referee_holder(const char *device, uint64_t *key, char *name, size_t size)
{
	struct reservation *seen = malloc(sizeof(*seen));
	int rc = seen ? referee_read(device, seen) : -ENOMEM;
	const struct reservation_key *holder = rc ? NULL : seen_holder(seen);

	*key = holder && !referee_ours(holder->key) ? holder->key : 0;
	if (*key)
		seen_name(holder, name, size);
	free(seen);
	return rc;
}

/* ---- the source ---- */

/* Registrations that hosts have left which died as destinations: only the holder may write, but
 * they could take. */
static void clear_others(const char *device, uint64_t mine)
{
	struct reservation *seen = malloc(sizeof(*seen));

	if (seen && reservation_read(device, seen) == 0)
		for (unsigned i = 0; i < seen->n; i++)
			if (referee_is_key(seen->keys[i].key) && seen->keys[i].key != mine)
				reservation_out(device, RESERVATION_PREEMPT, mine,
						seen->keys[i].key);
	free(seen);
}

static enum referee_says begin(const char *device, uint64_t mine, bool *there, char *why)
{
	struct taking t = {.mine = mine, .by = RESERVATION_PREEMPT_AND_ABORT};
	struct paths_taking p = {.mine = mine, .by = t.by, .afresh = true, .all = true};
	enum referee_says says;

	if (paths_is_map(device))
		return referee_paths_take(device, &p, there, why);
	says = hold(device, &t, there, why);
	if (says == REFEREE_WON)
		clear_others(device, mine);
	return says;
}

enum referee_says referee_begin(struct referee *r)
{
	enum referee_says says = REFEREE_WON;
	bool there = false;

	r->theirs = 0;
	r->joined = false;
	if (referee_new_key(&r->mine))
		return why_silent(r->why, "the random number generator", -EIO);
	for (unsigned i = 0; says == REFEREE_WON && i < r->n; i++) {
		struct referee_disk *d = &r->disk[i];

		says = begin(d->path, r->mine, &there, r->why);
		d->took = says == REFEREE_WON && !there;
	}
	return says;
}

/* ---- the destination ---- */

static enum referee_says join_disk(struct referee *r, const char *device, struct reservation *seen)
{
	const struct reservation_key *holder;
	int rc = -EAGAIN;

	for (int i = 0; i < REFEREE_ATTEMPTS; i++) {
		rc = reservation_read(device, seen);
		if (rc)
			break;
		holder = seen_holder(seen);
		if (!holder || holder->key != r->theirs)
			return holder ? why_held(r->why, device, holder)
				      : why_taken_off(r->why, device, seen);
		if (seen->type == RESERVATION_REGISTRANTS_ONLY) {
			snprintf(r->why, REFEREE_TEXT,
				 "%s has one path, and several where the guest is: give both hosts "
				 "the one or the other",
				 device);
			return REFEREE_LOST;
		}
		if (seen_key(seen, r->mine))
			return REFEREE_WON;
		/* What an earlier attempt has left goes first. */
		rc = replace(device, seen, 0);
		if (rc)
			continue;
		rc = reservation_out(device, RESERVATION_REGISTER, 0, r->mine);
		if (rc == -EBADE)
			return why_foreign(r->why, device);
	}
	return why_silent(r->why, device, rc < 0 ? rc : -EBUSY);
}

enum referee_says referee_join(struct referee *r)
{
	struct reservation *seen = malloc(sizeof(*seen));
	enum referee_says says = REFEREE_WON;

	r->mine = referee_destination_key(r);
	if (!seen)
		says = why_silent(r->why, "memory", -ENOMEM);
	own_keys_note(r->mine);
	if (r->mine == r->theirs)
		says = why_namesake(r->why, r->n ? r->disk[0].path : "?");
	for (unsigned i = 0; says == REFEREE_WON && i < r->n; i++)
		says = paths_is_map(r->disk[i].path)
			       ? referee_paths_look(r->disk[i].path, r->theirs, r->why)
			       : join_disk(r, r->disk[i].path, seen);
	r->joined = true;
	free(seen);
	return says;
}

/* ---- both ---- */

/* `own`: as the source, which takes back what it has held. */
static enum referee_says take_paths(const char *map, const struct taking *t, bool own, char *why)
{
	const struct paths_taking p = {.mine = own ? referee_paths_next(t->mine) : t->mine,
				       .was = own ? t->mine : 0,
				       .victim = own && !t->afresh ? 0 : t->victim,
				       .any = t->any,
				       .afresh = t->afresh,
				       .by = t->by};

	if (own)
		own_keys_note(p.mine);
	return referee_paths_take(map, &p, NULL, why);
}

static enum referee_says take_all(struct referee *r, struct taking *t, bool own)
{
	enum referee_says says = REFEREE_WON;

	for (unsigned i = 0; says == REFEREE_WON && i < r->n; i++) {
		const char *path = r->disk[i].path;
		bool there;

		if (paths_is_map(path))
			says = take_paths(path, t, own, r->why);
		else
			says = t->renews ? hold(path, t, &there, r->why) : take(path, t, r->why);
		/* The first has decided: what stands in the way of the others can only be late. */
		if (i && says == REFEREE_LOST)
			says = REFEREE_SILENT;
		t->afresh = t->any = true;
	}
	return says;
}

enum referee_says referee_claim(struct referee *r, bool abort)
{
	struct taking t = {.mine = r->mine,
			   .victim = r->theirs,
			   .by = abort ? RESERVATION_PREEMPT_AND_ABORT : RESERVATION_PREEMPT,
			   .eager = true};

	return take_all(r, &t, !abort && !r->joined);
}

enum referee_says referee_reclaim(struct referee *r)
{
	/* The other may have taken the first disk alone: then this host's old key holds the rest.
	 */
	struct taking t = {
		.victim = r->theirs, .by = RESERVATION_PREEMPT, .afresh = true, .renews = true};
	struct reservation *seen = malloc(sizeof(*seen));
	int rc = seen ? referee_read(r->disk[0].path, seen) : -ENOMEM;

	/* A key that was taken off is never used again; by several paths a late PREEMPT may name
	 * the one that holds. */
	t.mine = rc || paths_is_map(r->disk[0].path) ? 0 : seen_own(seen);
	if (!rc && !t.mine)
		rc = referee_new_key(&t.mine);
	free(seen);
	if (rc)
		return why_silent(r->why, r->disk[0].path, rc);
	r->mine = t.mine;
	return take_all(r, &t, false);
}

int referee_leave(struct referee *r, bool source)
{
	int first = 0;

	for (unsigned i = 0; i < r->n; i++) {
		/* Long after the migration, the destination may hold the same disk for a guest of
		 * its own by then. */
		uint64_t only = source ? 0 : r->mine;
		int rc = (source ? r->disk[i].took : only != 0)
				 ? release(r->disk[i].path, only, NULL, NULL)
				 : 0;

		if (!first)
			first = rc;
	}
	return first;
}

uint64_t referee_destination_key(const struct referee *r)
{
	return referee_key(referee_host(), (uint16_t)r->theirs);
}

/* ---- fields ---- */

void referee_put(struct buf *b, const struct referee *r)
{
	if (!r->n)
		return;
	message_put(b, "fence_mine", "0x%" PRIx64, r->mine);
	message_put(b, "fence_theirs", "0x%" PRIx64, r->theirs);
	for (unsigned i = 0; i < r->n; i++)
		message_put(b, "fence_disk", "%s %s", r->disk[i].vdev, r->disk[i].path);
}

static int get_key(const uint8_t *p, size_t n, const char *name, uint64_t *key)
{
	char text[24];
	int end = 0;

	if (message_get(p, n, name, text, sizeof(text)))
		return -ENOENT;
	return sscanf(text, "0x%" SCNx64 "%n", key, &end) == 1 && !text[end] ? 0 : -EINVAL;
}

int referee_get(const uint8_t *p, size_t n, struct referee *r)
{
	struct message_field f;
	char text[64];
	size_t at = 0;
	int rc;

	memset(r, 0, sizeof(*r));
	rc = get_key(p, n, "fence_mine", &r->mine);
	if (!rc && get_key(p, n, "fence_theirs", &r->theirs))
		rc = -EINVAL;
	while (!rc && message_next(p, n, &at, &f)) {
		struct referee_disk *d = &r->disk[r->n];

		if (!message_field_is(&f, "fence_disk"))
			continue;
		snprintf(text, sizeof(text), "%.*s", (int)f.value_len, f.value);
		if (r->n == REFEREE_DISKS || sscanf(text, "%15s %31s", d->vdev, d->path) != 2)
			rc = -EINVAL;
		else
			r->n++;
	}
	return rc ? rc : r->n ? 0 : -EINVAL;
}
