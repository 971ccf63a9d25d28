/* SPDX-License-Identifier: BSD-2-Clause */
/* The receiver and the referee (xen/fence/referee.h): registers with the guest's disks during the
 * checks, and takes them when all of the guest is there. */
#include "xen/migration/reception_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/log.h"
#include "xen/keepsake.h"

/* ---- the checks ---- */

/* The sender's address, of "ADDRESS:PORT", or of what sshd tells (sshd(8), SSH_CONNECTION). */
static void sender_address(const struct reception *r, char *out, size_t size)
{
	const char *ssh = getenv("SSH_CONNECTION");
	char host[SOCK_HOST_MAX] = "";
	uint16_t port = 0;

	if (r->key && r->c && sock_parse(channel_peer(r->c), host, &port) == 0)
		snprintf(out, size, "%s", host);
	else if (!r->key && ssh && sscanf(ssh, "%255s", host) == 1)
		snprintf(out, size, "%s", host);
	else
		out[0] = 0;
}

/* Should the guest's host die, this one can take it over. */
static void keep(struct reception *r)
{
	struct keepsake k = {.json = r->json};
	uint64_t id;

	if (message_get_u64(r->said.data, r->said.len, "fence_host", &id) == 0)
		k.peer_id = (uint32_t)id;
	snprintf(k.name, sizeof(k.name), "%s", r->name);
	snprintf(k.uuid, sizeof(k.uuid), "%s", r->uuid);
	sender_address(r, k.peer, sizeof(k.peer));
	keepsake_put(&k);
}

static void on_joined(void *arg, enum referee_says says)
{
	struct reception *r = arg;

	(void)says; /* the verdicts tell */
	r->referee = r->fencing.r;
	verdicts_merge(&r->verdicts, r->fencing.v.fields.data, r->fencing.v.fields.len);
	fencing_fini(&r->fencing);
	reception_raise(r, RE_VERDICTS);
}

/* The sender's disks as they are here. */
static void find_devices(struct reception *r)
{
	for (unsigned i = 0; i < r->referee.n; i++) {
		struct referee_disk *d = &r->referee.disk[i];
		dev_t number = disks_number(&r->disks, d->vdev);
		const char *why = number ? fencing_device(number, d->path) : "it is not there";

		if (why)
			verdict(&r->verdicts, VERDICT_NO,
				"fence: disk %s: cannot be fenced there: %s", d->vdev, why);
	}
}

void reception_fence_join(struct reception *r)
{
	struct referee *f = &r->referee;
	int rc = r->same_host ? -ENOENT : referee_get(r->said.data, r->said.len, f);

	if (!r->same_host && !r->verdicts.refused)
		keep(r);
	if (rc) {
		f->n = 0;
		if (rc != -ENOENT)
			verdict(&r->verdicts, VERDICT_NO,
				"fence: what is said of it makes no sense");
		reception_raise(r, RE_VERDICTS);
		return;
	}
	f->theirs = f->mine;
	f->mine = 0;
	find_devices(r);
	if (r->verdicts.refused) {
		f->n = 0;
		reception_raise(r, RE_VERDICTS);
		return;
	}
	/* Without a key the sender only wants to know. Else: should we be killed with ours at the
	 * disks, it is known whose it was. */
	if (f->theirs) {
		f->mine = referee_destination_key(f);
		rc = reception_record(r);
	}
	if (rc) {
		verdict(&r->verdicts, VERDICT_NO, "cannot keep a record there in %s: %s",
			ledger_dir, strerror(-rc));
		f->n = 0;
		reception_raise(r, RE_VERDICTS);
		return;
	}
	fencing_start(&r->fencing, r->loop, f->theirs ? FENCING_JOIN : FENCING_CHECK, false, f, 0,
		      on_joined, r);
}

/* ---- whose is it? ---- */

static void on_claimed(void *arg, enum referee_says says)
{
	struct reception *r = arg;

	r->referee = r->fencing.r;
	r->won = says == REFEREE_WON;
	if (!r->won)
		because(r->cause, "the guest is the other host's: %s", r->referee.why);
	reception_raise(r, r->won ? RE_WON : RE_TAKEN);
}

void reception_whose(struct reception *r, enum receiver_action a)
{
	r->go_at = clock_ns();
	r->raced = a == RA_RACE;
	if (guest_life(r->t, r->restoring.domid) != GUEST_PAUSED) {
		because(r->cause, "what had come of it has been destroyed");
		reception_raise(r, RE_TAKEN);
	} else if (!r->referee.n) {
		reception_raise(r, a == RA_TAKE ? RE_WON : RE_TAKEN);
	} else {
		if (a == RA_RACE)
			log_warn("domain %s: all of it is here, and the sender is lost (%s): its "
				 "disk decides",
				 r->name, r->cause);
		/* For ever: only the disk knows whether a command was done whose answer is lost. */
		fencing_start(&r->fencing, r->loop, a == RA_TAKE ? FENCING_CLAIM : FENCING_RACE,
			      false, &r->referee, 0, on_claimed, r);
	}
}

/* ---- the end ---- */

static void left(struct reception *r, bool all)
{
	disks_release(&r->disks);
	if (all)
		handover_left(&r->handover);
	handover_end(&r->handover);
}

static void on_left(void *arg, enum referee_says says)
{
	struct reception *r = arg;

	left(r, says == REFEREE_WON);
	reception_look(r);
}

void reception_fence_leave(struct reception *r)
{
	if (r->referee.n && r->referee.mine)
		fencing_start(&r->fencing, r->loop, FENCING_LEAVE, false, &r->referee, 0, on_left,
			      r);
	else
		left(r, true);
}
