/* SPDX-License-Identifier: BSD-2-Clause */
#include "xen/fence/referee_seen.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "core/digest.h"
#include "xen/fence/own_keys.h"

bool referee_ours(uint64_t key)
{
	return referee_is_key(key) && referee_host_of(key) == referee_host();
}

const struct reservation_key *seen_key(const struct reservation *r, uint64_t key)
{
	for (unsigned i = 0; i < r->n; i++)
		if (r->keys[i].key == key)
			return &r->keys[i];
	return NULL;
}

uint64_t seen_own(const struct reservation *r)
{
	for (unsigned i = 0; i < r->n; i++)
		if (referee_ours(r->keys[i].key))
			return r->keys[i].key;
	return 0;
}

const struct reservation_key *seen_holder(const struct reservation *r)
{
	for (unsigned i = 0; i < r->n; i++)
		if (r->keys[i].holds)
			return &r->keys[i];
	return NULL;
}

void seen_name(const struct reservation_key *k, char *name, size_t size)
{
	size_t n = strcspn(k->initiator, ",");

	snprintf(name, size, "%.*s", (int)n, n ? k->initiator : "?");
	if (!n)
		snprintf(name, size, "a host without an iSCSI name");
}

enum referee_says why_silent(char *why, const char *device, int rc)
{
	snprintf(why, REFEREE_TEXT, "%s does not answer: %s", device, strerror(-rc));
	return REFEREE_SILENT;
}

enum referee_says why_namesake(char *why, const char *device)
{
	snprintf(why, REFEREE_TEXT,
		 "%s: another host has the name, and so the keys, of this one: give each an "
		 "InitiatorName of its own in /etc/iscsi/initiatorname.iscsi",
		 device);
	return REFEREE_LOST;
}

enum referee_says why_held(char *why, const char *device, const struct reservation_key *k)
{
	char name[RESERVATION_NAME_MAX];

	if (referee_ours(k->key))
		return why_namesake(why, device);
	seen_name(k, name, sizeof(name));
	snprintf(why, REFEREE_TEXT, "%s is held by %s (key 0x%" PRIx64 "%s)", device, name, k->key,
		 referee_is_key(k->key) ? "" : ", not vstor's");
	return REFEREE_LOST;
}

enum referee_says why_taken_off(char *why, const char *device, const struct reservation *seen)
{
	const struct reservation_key *holder = seen_holder(seen);

	if (holder)
		return why_held(why, device, holder);
	snprintf(why, REFEREE_TEXT, "this host's key has been taken off %s", device);
	return REFEREE_LOST;
}

enum referee_says why_foreign(char *why, const char *device)
{
	snprintf(why, REFEREE_TEXT,
		 "another program has registered a key for this host with %s: remove that first "
		 "(sg_persist --out --register)",
		 device);
	return REFEREE_LOST;
}

int referee_new_key(uint64_t *key)
{
	uint16_t generation;
	int rc = random_bytes(&generation, sizeof(generation));

	*key = referee_key(referee_host(), generation);
	if (!rc)
		own_keys_note(*key);
	return rc;
}
