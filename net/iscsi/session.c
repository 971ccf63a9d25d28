/* SPDX-License-Identifier: BSD-2-Clause */
/* Sessions and the LUNs that they see, which come and go while commands run. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/log.h"
#include "net/iscsi/conn.h"

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

static int session_lun_add(struct conn *c, struct lun *l)
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
	lun_nexus_add(l, &s->nexus, c->port_name, 1);
	s->nexus.recall = data_in_recall;
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

static void session_lun_remove(struct conn *c, const struct lun *l)
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
			data_in_recall(&s->nexus);
		else
			session_lun_free(s);
		return;
	}
}

/* SPC-4, 6.33: every LUN of the session tells that there are others now. */
static void luns_changed(struct conn *c, const struct lun *except)
{
	for (unsigned i = 0; i < c->luns_n; i++)
		if (c->luns[i]->lun != except)
			lun_attention(&c->luns[i]->nexus, ASC_REPORTED_LUNS_CHANGED);
}

/* ---- a target's LUNs ---- */

struct lun *target_find_lun(const struct target *t, unsigned number)
{
	for (unsigned i = 0; i < t->luns_n; i++)
		if (t->luns[i]->number == number)
			return t->luns[i];
	return NULL;
}

int target_add_lun(struct target_server *s, struct target *t, struct lun *l)
{
	struct lun **luns;
	if (target_find_lun(t, l->number))
		return -EEXIST;
	luns = realloc(t->luns, (t->luns_n + 1) * sizeof(*luns));
	if (!luns)
		return -ENOMEM;
	t->luns = luns;
	t->luns[t->luns_n++] = l;
	for (struct conn *c = s->conns, *next; c; c = next) {
		next = c->next;
		if (c->target != t || c->state != CONN_FULL)
			continue;
		if (session_lun_add(c, l)) {
			log_error("%s: out of memory; dropped", conn_name(c));
			conn_close(c);
		} else {
			luns_changed(c, l);
		}
	}
	return 0;
}

struct removal {
	struct target_server *server;
	void (*done)(void *arg, int rc);
	void *arg;
};

static void removed(void *arg, int rc)
{
	struct removal *r = arg;
	struct target_server *s = r->server;
	r->done(r->arg, rc);
	s->retiring--;
	server_conn_idle(s);
	free(r);
}

int target_remove_lun(struct target_server *s, struct target *t, unsigned number,
		      void (*done)(void *arg, int rc), void *arg)
{
	struct lun *l = target_find_lun(t, number);
	struct removal *r;
	unsigned i = 0;
	if (!l)
		return -ENOENT;
	r = malloc(sizeof(*r));
	if (!r)
		return -ENOMEM;
	*r = (struct removal){.server = s, .done = done, .arg = arg};
	while (t->luns[i] != l)
		i++;
	t->luns_n--;
	memmove(t->luns + i, t->luns + i + 1, (t->luns_n - i) * sizeof(*t->luns));
	s->retiring++;
	lun_retire(l, s->config.engine, removed, r);
	for (struct conn *c = s->conns; c; c = c->next) {
		if (c->target != t)
			continue;
		session_lun_remove(c, l);
		luns_changed(c, NULL);
	}
	return 0;
}

/* ---- beginning and end ---- */

static bool same_port(const struct conn *a, const struct conn *b)
{
	return a != b && a->target && a->target == b->target &&
	       strcmp(a->port_name, b->port_name) == 0;
}

/*
 * Session reinstatement (RFC 7143, 6.3.5): the same initiator port logs in to the same target. What
 * an earlier session of it had in the device server cannot be taken back, but has to be over before
 * the new one's commands begin: a write must not come to the disk after one that was sent later.
 */
static void reinstate(struct conn *c)
{
	for (struct conn *o = c->server->conns, *next; o; o = next) {
		next = o->next;
		if (!same_port(o, c))
			continue;
		if (o->state == CONN_FULL) {
			log_info("%s: logs in anew; its old session is dropped", conn_name(o));
			conn_close(o);
		}
		if (o->running)
			o->awaited = c->waits = true;
	}
}

static bool predecessor_runs(const struct conn *c)
{
	const struct conn *o = c->server->conns;
	while (o && !(same_port(o, c) && o->running))
		o = o->next;
	return o;
}

void session_over(struct conn *c)
{
	c->awaited = false;
	for (struct conn *w = c->server->conns; w; w = w->next) {
		if (!w->waits || !same_port(w, c) || predecessor_runs(w))
			continue;
		w->waits = false;
		if (w->stalled && w->state != CONN_CLOSED)
			loop_defer(w->loop, &w->flush);
	}
}

/* Those that were told to end, but have not taken their last answers, count as well. */
static bool too_many(const struct target_server *s)
{
	unsigned n = 0;
	for (const struct conn *c = s->conns; c; c = c->next)
		n += c->tsih && c->state != CONN_CLOSED;
	return n >= s->config.max_sessions;
}

int session_begin(struct conn *c)
{
	struct target *t = c->target;
	reinstate(c);
	if (too_many(c->server))
		return -EUSERS;
	c->since = clock_ns();
	c->server->logins++;
	c->tsih = ++c->server->next_tsih;
	if (!c->tsih)
		c->tsih = ++c->server->next_tsih;
	if (!t)
		return 0;
	for (unsigned i = 0; i < t->luns_n; i++)
		if (session_lun_add(c, t->luns[i]))
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
}

static bool logged_in(const struct conn *c)
{
	return c->state == CONN_FULL || c->state == CONN_LAST;
}

unsigned target_server_sessions(struct target_server *s,
				void (*fn)(void *arg, const struct session_info *i), void *arg)
{
	struct conn *c = s->conns;
	uint64_t now = clock_ns();
	unsigned n = 0;
	while (c && c->next) /* the newest is the first */
		c = c->next;
	for (; c; c = c->prev == &s->conns ? NULL : container_of(c->prev, struct conn, next)) {
		struct session_info i = {.id = c->id,
					 .initiator = c->initiator,
					 .target = c->target ? c->target->name : NULL,
					 .luns = c->luns_n,
					 .commands = c->tasks,
					 .header_digest = c->header_digest,
					 .data_digest = c->data_digest,
					 .age_ns = now - c->since};
		if (!logged_in(c) || !c->tsih)
			continue;
		sock_text(&c->peer, i.peer);
		fn(arg, &i);
		n++;
	}
	return n;
}

unsigned target_server_drop(struct target_server *s, unsigned id, const char *initiator)
{
	unsigned n = 0;
	for (struct conn *c = s->conns, *next; c; c = next) {
		next = c->next;
		if (!logged_in(c) || !c->tsih ||
		    (id ? c->id != id : strcasecmp(c->initiator, initiator) != 0))
			continue;
		log_info("%s: dropped by the administrator", conn_name(c));
		conn_close(c);
		n++;
	}
	return n;
}
