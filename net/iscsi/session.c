/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/log.h"
#include "net/iscsi/session.h"
#include "storage/scsi/sense.h"

#define INQUIRY 0x12

/* ---- a session's LUNs ---- */

struct session_lun *session_lun_find(struct conn *c, unsigned number)
{
	struct session_lun *s = c->recent[number % LUN_RECENT];
	if (s && s->number == number)
		return s;
	for (unsigned i = 0; i < c->luns_n; i++) {
		s = c->luns[i];
		if (s->number == number) {
			c->recent[number % LUN_RECENT] = s;
			return s;
		}
	}
	return NULL;
}

/* See lun_nexus.recall: it is done in the connection's loop, by data_in_return(). */
static void recall(struct lun_nexus *n)
{
	struct session_lun *s = container_of(n, struct session_lun, nexus);
	s->conn->recalled = true;
	loop_defer(s->conn->loop, &s->conn->flush);
}

bool session_lun_meant(struct conn *c, int number, uint8_t opcode)
{
	struct session_lun *s = number < 0 ? NULL : session_lun_find(c, (unsigned)number);
	if (s && opcode == INQUIRY)
		s->stranger = false;
	return !s || !s->stranger;
}

int session_lun_add(struct conn *c, struct lun *l, bool stranger)
{
	struct session_lun *s,
		**luns = realloc(c->luns, (c->luns_n + 1) * sizeof(struct session_lun *));
	if (!luns)
		return -ENOMEM;
	c->luns = luns;
	s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	s->lun = l;
	s->conn = c;
	s->number = l->number;
	s->stranger = stranger;
	lun_nexus_add(l, &s->nexus, c->port_name, 1);
	s->nexus.recall = recall;
	c->luns[c->luns_n++] = s;
	return 0;
}

static void session_lun_free(struct session_lun *s)
{
	lun_nexus_remove(&s->nexus);
	free(s);
}

void session_lun_release(struct session_lun *s)
{
	if (--s->uses == 0 && s->removed)
		session_lun_free(s);
}

void session_lun_remove(struct conn *c, const struct lun *l)
{
	for (unsigned i = 0; i < c->luns_n; i++) {
		struct session_lun *s = c->luns[i];
		if (s->lun != l)
			continue;
		c->luns[i] = c->luns[--c->luns_n];
		if (c->recent[s->number % LUN_RECENT] == s)
			c->recent[s->number % LUN_RECENT] = NULL;
		s->removed = true;
		if (s->uses)
			recall(&s->nexus);
		else
			session_lun_free(s);
		return;
	}
}

void session_luns_changed(struct conn *c, const struct lun *except)
{
	for (unsigned i = 0; i < c->luns_n; i++)
		if (c->luns[i]->lun != except)
			lun_attention(&c->luns[i]->nexus, ASC_REPORTED_LUNS_CHANGED);
}

/* ---- beginning and end ---- */

static bool same_port(const struct conn *a, const struct conn *b)
{
	return a != b && a->target == b->target &&
	       strcasecmp(a->port_name, b->port_name) == 0; /* 4.2.7.1 */
}

struct conn *session_find(const struct conn *c, uint16_t tsih)
{
	struct conn *o = c->server->conns;
	while (o && !(o->tsih == tsih && o->state == CONN_FULL && same_port(o, c)))
		o = o->next;
	return o;
}

/* A TSIH that no session has. */
static uint16_t fresh_tsih(struct target_server *s)
{
	const struct conn *o;
	do {
		s->next_tsih += s->next_tsih == UINT16_MAX ? 2 : 1; /* 0 is none */
		for (o = s->conns; o && o->tsih != s->next_tsih; o = o->next)
			;
	} while (o);
	return s->next_tsih;
}

/* It has closed, but what it had in the device server, or its nexuses, are there still. */
static bool lives_on(const struct conn *o)
{
	return o->state == CONN_CLOSED && (o->running || o->luns_n);
}

/*
 * Session reinstatement (RFC 7143, 6.3.5): the same initiator port logs in to the same target. What
 * an earlier session of it had in the device server cannot be taken back, but has to be over before
 * the new one's commands begin: a write must not come to the disk after one that was sent later,
 * and what the old nexus has reserved ends with it (SAM-5, 6.3.4).
 */
static void reinstate(struct conn *c)
{
	for (struct conn *o = c->server->conns, *next; o; o = next) {
		next = o->next;
		if (!c->target || !same_port(o, c))
			continue; /* those of discovery have nothing to be kept apart */
		if (o->tsih && (o->state == CONN_FULL || o->state == CONN_LAST)) {
			log_info("%s: logs in anew; its old session is dropped", conn_name(o));
			conn_close(o);
		}
		if (lives_on(o))
			o->awaited = c->waits = true;
	}
}

static bool predecessor_lives(const struct conn *c)
{
	const struct conn *o = c->server->conns;
	while (o && !(same_port(o, c) && lives_on(o)))
		o = o->next;
	return o;
}

/* Whoever waits for it may begin. */
static void make_way(struct conn *c)
{
	c->awaited = false;
	for (struct conn *w = c->server->conns; w; w = w->next) {
		if (!w->waits || !same_port(w, c) || predecessor_lives(w))
			continue;
		w->waits = false;
		if (w->stalled && w->state != CONN_CLOSED)
			loop_defer(w->loop, &w->flush);
	}
}

/* In all, or from one host: a quarter of the places is for others. Those that were told to end, but
 * have not taken their last answers, count as well. */
static bool too_many(const struct conn *c)
{
	unsigned most = c->server->config.max_sessions, n = 0, own = 0;
	for (const struct conn *o = c->server->conns; o; o = o->next) {
		if (!o->tsih || o->state == CONN_CLOSED)
			continue;
		n++;
		own += access_same_host(&o->peer, &c->peer);
	}
	return n >= most || own >= most - most / 4;
}

int session_begin(struct conn *c, uint16_t tsih)
{
	struct target *t = c->target;
	struct conn *old = tsih ? session_find(c, tsih) : NULL;
	if (tsih && !old)
		return -ENOENT;
	if (old && !t)
		conn_close(old);
	reinstate(c);
	if (too_many(c))
		return -EUSERS;
	c->since = clock_ns();
	c->server->logins++;
	c->tsih = old ? tsih : fresh_tsih(c->server);
	if (!t)
		return 0;
	for (unsigned i = 0; i < t->luns_n; i++)
		if (session_lun_add(c, t->luns[i], false))
			return -ENOMEM;
	return 0;
}

void session_end(struct conn *c)
{
	for (unsigned i = 0; i < c->luns_n; i++)
		session_lun_free(c->luns[i]);
	free(c->luns);
	c->luns = NULL;
	c->luns_n = 0;
	memset(c->recent, 0, sizeof(c->recent));
	if (c->awaited)
		make_way(c);
}
