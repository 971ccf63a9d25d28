/* SPDX-License-Identifier: BSD-2-Clause */
/* The sender and the referee (xen/fence/referee.h): holds the guest's disks from the beginning, and
 * asks them whose the guest is when the hand-over fails. */
#include "xen/migration/migration_priv.h"

#include <stdio.h>
#include <string.h>

#include "core/log.h"
#include "xen/keepsake.h"

bool migration_fenced(const struct migration *m)
{
	return m->referee.n && m->referee.theirs;
}

static void on_begun(void *arg, enum referee_says says)
{
	struct migration *m = arg;

	m->referee = m->fencing.r;
	if (says == REFEREE_WON && !m->o.check_only)
		path_watch_start(&m->paths, m->loop, &m->referee);
	if (says != REFEREE_WON)
		m->referee.mine = 0; /* the verdicts tell why; there is nothing to join */
	verdicts_merge(&m->verdicts, m->fencing.v.fields.data, m->fencing.v.fields.len);
	fencing_fini(&m->fencing);
	/* Should we be killed: what was taken only for this is to be given up. */
	migration_note(m, false);
	if (m->state == S_PREFLIGHT)
		migration_send_guest(m);
}

void migration_fence_begin(struct migration *m)
{
	/* Within a host there is one holder all the time. */
	if (!m->same_host)
		fencing_list(m->guest.domid, m->o.no_fence, &m->referee, &m->verdicts);
	if (m->referee.n)
		fencing_start(&m->fencing, m->loop, m->o.check_only ? FENCING_LOOK : FENCING_BEGIN,
			      m->o.no_fence, &m->referee, 0, on_begun, m);
	else
		migration_send_guest(m);
}

int migration_fence_hear(struct migration *m, const uint8_t *p, size_t n)
{
	struct referee there;
	int rc = referee_get(p, n, &there);

	if (!m->referee.n || m->o.check_only || m->verdicts.refused)
		return 0;
	if (rc || there.n != m->referee.n || there.theirs != m->referee.mine || !there.mine)
		return -EPROTO;
	m->referee.theirs = there.mine;
	return 0;
}

static void on_claimed(void *arg, enum referee_says says)
{
	static const enum sender_event events[] = {
		[REFEREE_WON] = SE_WON, [REFEREE_LOST] = SE_TAKEN, [REFEREE_SILENT] = SE_MUTE};
	struct migration *m = arg;

	m->referee = m->fencing.r;
	m->disk_says = says;
	if (says == REFEREE_WON)
		log_info("domain %s: its disk is still this host's", m->guest.name);
	else
		log_warn("domain %s: its disk: %s", m->guest.name, m->referee.why);
	/* It was given up, and the receiver is being asked. That goes on when it has the disk: it
	 * may promise to give it back. Else the disk once more. */
	if (m->state != S_ASK || says == REFEREE_SILENT)
		migration_raise(m, events[says]);
	else if (says == REFEREE_WON)
		migration_raise(m, SE_MUTE);
}

/* Before it is acted upon: the disk is then taken under a new key, and whoever comes after a killed
 * sender would take that for another's, if the receiver cannot be asked any more. When it cannot be
 * recorded, it can be asked. */
static void note_promise(struct migration *m)
{
	struct recovery_note n;
	int rc;

	m->promised = true;
	n = migration_note(m, true);
	rc = departure_note(&m->departure, &n, &m->o.way);
	if (rc)
		log_warn("domain %s: its journal cannot be written: %s", m->guest.name,
			 strerror(-rc));
}

void migration_whose(struct migration *m, enum sender_action a)
{
	/* Whatever the receiver still holds, it gives up, or takes for its own, when it hears no
	 * more of us. */
	migration_drop_channel(m);
	quiesce_stop(&m->quiesce);
	if (a == SA_RECLAIM && !m->promised)
		note_promise(m);
	/* The kernel may keep a command for as long as it waits for a lost target. */
	if (m->fencing.running)
		return;
	if (migration_fenced(m))
		fencing_start(&m->fencing, m->loop, m->promised ? FENCING_RECLAIM : FENCING_CLAIM,
			      false, &m->referee, fencing_patience, on_claimed, m);
	else
		migration_raise(m, a == SA_TAKE && !m->promised ? SE_TAKEN : SE_WON);
}

enum sender_event migration_nobody_knows(const struct migration *m)
{
	if (!migration_fenced(m))
		return SE_UNKNOWN;
	return m->disk_says == REFEREE_LOST ? SE_TAKEN : SE_MUTE;
}

bool migration_third_has_it(const struct migration *m)
{
	return m->disk_says == REFEREE_LOST && m->fencing.what == FENCING_RECLAIM;
}

/* Should that host die, this one can take the guest over. */
static void keep(struct migration *m)
{
	struct keepsake k = {.peer_id = referee_host_of(m->referee.theirs)};

	snprintf(k.name, sizeof(k.name), "%s", m->guest.name);
	snprintf(k.uuid, sizeof(k.uuid), "%s", m->guest.uuid);
	snprintf(k.peer, sizeof(k.peer), "%s", m->o.way.host);
	k.json = libxl_domain_config_to_json(toolstack_ctx(m->t), &m->guest.config);
	if (k.json)
		keepsake_put(&k);
	keepsake_fini(&k);
}

void migration_fence_end(struct migration *m)
{
	path_watch_stop(&m->paths);
	if (m->end == MIGRATION_MOVED && !m->third)
		keep(m);
	if (m->fencing.running) {
		fencing_stop(&m->fencing);
		m->referee = m->fencing.r;
	}
	fencing_fini(&m->fencing);
	if (m->end == MIGRATION_HERE || m->end == MIGRATION_CHECKED)
		referee_leave(&m->referee, true);
}
