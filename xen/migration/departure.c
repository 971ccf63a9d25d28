/* SPDX-License-Identifier: BSD-2-Clause */
#include "xen/migration/departure.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/log.h"
#include "xen/host.h"
#include "xen/message.h"

static void put(struct buf *b, const struct recovery_note *n, const struct migration_way *way)
{
	message_put(b, "id", "%s", n->id);
	message_put(b, "uuid", "%s", n->uuid);
	message_put(b, "name", "%s", n->guest.name);
	message_put(b, "boot", "%s", host_boot_id());
	message_put(b, "domid", "%u", n->guest.domid);
	message_put(b, "asked", "%d", n->guest.asked);
	message_put(b, "promised", "%d", n->promised);
	message_put(b, "host", "%s", way->host);
	message_put(b, "port", "%u", way->port);
	if (way->ssh)
		message_put(b, "ssh", "%s", way->ssh);
	if (way->key_file)
		message_put(b, "key_file", "%s", way->key_file);
	referee_put(b, &n->referee);
	for (unsigned i = 0; i < n->referee.n; i++)
		if (n->referee.disk[i].took)
			message_put(b, "took", "%s", n->referee.disk[i].vdev);
}

int departure_left(const char *uuid)
{
	struct departed old;
	int rc = departure_read(uuid, &old);

	if (!rc && old.this_boot)
		return -EEXIST;
	return rc == -ENOENT ? 0 : rc;
}

int departure_begin(struct departure *d, const struct recovery_note *note,
		    const struct migration_way *way)
{
	struct buf b = {0};
	int rc = departure_left(note->uuid);

	d->ledger.fd = -1;
	if (rc)
		return rc;
	rc = ledger_remove(note->uuid);
	if (rc && rc != -ENOENT)
		return rc;
	snprintf(d->uuid, sizeof(d->uuid), "%s", note->uuid);
	put(&b, note, way);
	rc = ledger_create(&d->ledger, note->uuid, &b);
	buf_free(&b);
	return rc;
}

int departure_note(struct departure *d, const struct recovery_note *note,
		   const struct migration_way *way)
{
	struct buf b = {0};
	int rc;

	put(&b, note, way);
	rc = ledger_put(&d->ledger, &b, true);
	buf_free(&b);
	return rc;
}

void departure_end(struct departure *d, bool certain)
{
	int rc = 0;

	if (d->ledger.fd >= 0 && certain)
		rc = ledger_remove(d->uuid);
	if (rc)
		log_warn("its journal %s/%s cannot be removed: %s: vstor recover does it",
			 ledger_dir, d->uuid, strerror(-rc));
	ledger_close(&d->ledger);
}

int departure_amend(const struct recovery_note *note, const struct migration_way *way)
{
	struct departure d;
	struct buf before = {0};
	int rc = ledger_open(&d.ledger, note->uuid, &before);

	/* Who only reads it locks it, too. */
	if (!rc || rc == -EBUSY)
		rc = departure_note(&d, note, way);
	ledger_close(&d.ledger);
	buf_free(&before);
	return rc;
}

/* A number that is there; -EINVAL. */
static int number(const struct buf *b, const char *key, uint64_t *out)
{
	return message_get_u64(b->data, b->len, key, out) ? -EINVAL : 0;
}

/* Which disks this host has taken only for the migration. */
static void get_took(const struct buf *b, struct referee *r)
{
	struct message_field f;
	size_t at = 0;

	while (message_next(b->data, b->len, &at, &f))
		for (unsigned i = 0; message_field_is(&f, "took") && i < r->n; i++)
			r->disk[i].took |= strlen(r->disk[i].vdev) == f.value_len &&
					   memcmp(r->disk[i].vdev, f.value, f.value_len) == 0;
}

static int get(const struct buf *b, struct departed *d)
{
	struct recovery_note *n = &d->note;
	uint64_t domid, asked, promised;
	char boot[64];
	int rc;

	*d = (struct departed){0};
	if (message_check(b->data, b->len) ||
	    message_get(b->data, b->len, "id", n->id, sizeof(n->id)) ||
	    message_get(b->data, b->len, "uuid", n->uuid, sizeof(n->uuid)) ||
	    message_get(b->data, b->len, "name", n->guest.name, sizeof(n->guest.name)) ||
	    message_get(b->data, b->len, "boot", boot, sizeof(boot)) ||
	    message_get(b->data, b->len, "host", d->host, sizeof(d->host)) ||
	    number(b, "domid", &domid) || number(b, "asked", &asked) || number(b, "port", &d->port))
		return -EINVAL;
	message_get(b->data, b->len, "ssh", d->ssh, sizeof(d->ssh));
	message_get(b->data, b->len, "key_file", d->key_file, sizeof(d->key_file));
	n->guest.domid = (uint32_t)domid;
	n->guest.asked = n->handed_over = asked;
	n->promised = !number(b, "promised", &promised) && promised; /* earlier: not noted */
	d->this_boot = strcmp(boot, host_boot_id()) == 0;
	rc = referee_get(b->data, b->len, &n->referee);
	if (rc == -EINVAL)
		return rc;
	get_took(b, &n->referee);
	/* Devices may have other names since. */
	if (rc || !d->this_boot)
		n->referee.n = 0;
	return 0;
}

int departure_read(const char *uuid, struct departed *d)
{
	struct ledger j;
	struct buf b = {0};
	int rc = ledger_open(&j, uuid, &b);

	if (!rc || rc == -EBUSY)
		rc = get(&b, d);
	ledger_close(&j);
	buf_free(&b);
	return rc;
}

unsigned departure_all(struct departed **all)
{
	DIR *dir = opendir(ledger_dir);
	struct dirent *e;
	struct departed *more;
	unsigned n = 0;

	*all = NULL;
	while (dir && (e = readdir(dir))) {
		if (strlen(e->d_name) != GUEST_UUID_MAX - 1)
			continue;
		more = realloc(*all, (n + 1) * sizeof(**all));
		if (!more)
			break;
		*all = more;
		n += departure_read(e->d_name, &more[n]) == 0;
	}
	if (dir)
		closedir(dir);
	return n;
}

int departure_find(const char *name, struct departed *d)
{
	struct departed *all;
	unsigned n = departure_all(&all);
	int rc = -ENOENT;

	for (unsigned i = 0; i < n && rc; i++) {
		if (strcmp(all[i].note.guest.name, name) != 0)
			continue;
		*d = all[i];
		rc = 0;
	}
	free(all);
	return rc;
}
