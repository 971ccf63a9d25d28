/* SPDX-License-Identifier: BSD-2-Clause */
/* The target server: portals, targets, sessions. */
#include "net/iscsi/target.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/log.h"
#include "net/iscsi/phase.h"
#include "storage/lun_open.h"

#define DRAIN_TIMEOUT (10 * SEC_NS)
#define HALF_OPEN_MAX 64u /* connections that have not logged in, or not yet */

static struct log_limit refused = {.burst = 5, .period_ns = 10 * SEC_NS};

struct target_server *target_server_new(const struct target_server_config *config)
{
	struct target_server *s = calloc(1, sizeof(*s));
	if (!s)
		return NULL;
	s->config = *config;
	s->main = (struct server_loop){.loop = config->loop, .engine = config->engine};
	server_loop_open(&s->main);
	s->next_id = 1;
	s->pool = chunk_pool_new();
	if (!s->pool) {
		server_loop_close(&s->main);
		free(s);
		return NULL;
	}
	return s;
}

/* ---- numbers that are given again ---- */

/*
 * A session may still have a device, with data that is to be written, for the disk that had a LUN's
 * number before: a unit attention would not keep that away from another, as initiators send a
 * command again then. So to such a session there is no LUN of this number until it has asked.
 */
struct former_lun {
	struct former_lun *next;
	unsigned number;
	struct lun_identity id;
	uint64_t inode;
	char path[];
};

static struct former_lun **find_former(struct target *t, unsigned number)
{
	struct former_lun **p = &t->former;
	while (*p && (*p)->number != number)
		p = &(*p)->next;
	return p;
}

static void forget(struct former_lun **p)
{
	struct former_lun *f = *p;
	*p = f->next;
	free(f);
}

static int remember(struct target *t, const struct lun *l)
{
	const char *path = disk_path(l->disk);
	struct former_lun *f = calloc(1, sizeof(*f) + strlen(path) + 1), **old;
	if (!f)
		return -ENOMEM;
	old = find_former(t, l->number);
	if (*old)
		forget(old);
	f->number = l->number;
	f->id = l->id;
	f->inode = disk_inode(l->disk);
	strcpy(f->path, path);
	f->next = t->former;
	t->former = f;
	return 0;
}

/* Has its number been its own, or nobody's? */
static bool was_before(struct target *t, const struct lun *l)
{
	const struct former_lun *f = *find_former(t, l->number);
	return !f || (lun_identity_same(&f->id, &l->id) && f->inode == disk_inode(l->disk) &&
		      strcmp(f->path, disk_path(l->disk)) == 0);
}

/* ---- */

static void portal_free(struct portal *p)
{
	sock_listen_close(&p->listener);
	free(p->address);
	free(p);
}

static void close_portals(struct target_server *s)
{
	while (s->portals) {
		struct portal *p = s->portals;
		s->portals = p->next;
		portal_free(p);
	}
}

void target_server_free(struct target_server *s)
{
	if (!s)
		return;
	close_portals(s);
	loop_timer_del(s->config.loop, &s->drain_timer);
	while (s->free_tasks) {
		struct task *t = s->free_tasks;
		s->free_tasks = t->next;
		free(t);
	}
	while (s->targets) {
		struct target *t = s->targets;
		s->targets = t->next;
		while (t->former)
			forget(&t->former);
		free(t->luns);
		free(t->name);
		free(t);
	}
	while (s->main.next) {
		struct server_loop *l = s->main.next;
		s->main.next = l->next;
		server_loop_close(l);
		free(l);
	}
	server_loop_close(&s->main);
	chunk_pool_free(s->pool);
	free(s);
}

int target_server_add_loop(struct target_server *s, struct disk_engine *e)
{
	struct server_loop *l = malloc(sizeof(*l));
	if (!l)
		return -ENOMEM;
	*l = (struct server_loop){.loop = disk_engine_loop(e), .engine = e, .next = s->main.next};
	server_loop_open(l);
	s->main.next = l;
	return 0;
}

void target_server_set_access(struct target_server *s, const struct access *a,
			      const struct chap_credentials *c)
{
	s->config.access = a;
	s->config.credentials = *c;
	/* Half of an exchange was by the old secrets: those will come again. */
	for (struct conn *o = s->conns, *next; o; o = next) {
		next = o->next;
		if (login_under_way(o) || (o->state == CONN_LOGIN && !access_address(a, &o->peer)))
			conn_close(o);
	}
}

/* ---- connections ---- */

static bool take_pdu(struct conn *c, const uint8_t *bhs, uint8_t *data, uint32_t len,
		     struct chunk *chunk)
{
	if (c->state == CONN_FULL)
		return full_pdu(c, bhs, data, len, chunk);
	/* Who does not read the answers may not make us hold more and more of them. */
	if (c->tx_n) {
		c->stalled = true; /* until they are sent */
		return false;
	}
	login_pdu(c, bhs, data, len);
	if (c->state == CONN_FULL)
		full_begin(c);
	return true;
}

static void look_ahead(struct conn *c, const uint8_t *bhs)
{
	data_in_confirmed(c, get_be32(bhs + PDU_EXPSTATSN));
}

static void take_turn(struct conn *c)
{
	if (c->recalled)
		data_in_return(c);
	if (c->cleared && c->state == CONN_FULL)
		tasks_tell_cleared(c);
	if (c->tmf_due)
		tmf_answer(c);
	if (c->r2t_wait)
		data_out_ask(c);
}

static void conn_closing(struct conn *c)
{
	tmf_abandon(c);
	tasks_abort(c, -1, NULL, false);
}

static void drain_step(struct target_server *s);

static void conn_idle(struct conn *c)
{
	if (c->state != CONN_CLOSED && c->server->draining)
		drain_step(c->server);
}

static void conn_gone(struct conn *c)
{
	struct target_server *s = c->server;
	login_end(c);
	buf_free(&c->text_in);
	buf_free(&c->text_out);
	conn_fini(c);
	*c->prev = c->next;
	if (c->next)
		c->next->prev = c->prev;
	c->home->conns--;
	s->conns_n--;
	free(c);
	if (s->draining)
		drain_step(s);
}

static const struct conn_ops ops = {.pdu = take_pdu,
				    .ahead = look_ahead,
				    .turn = take_turn,
				    .closing = conn_closing,
				    .closed = data_in_settle,
				    .idle = conn_idle,
				    .over = session_end,
				    .gone = conn_gone};

void target_server_take(struct target_server *s, struct server_loop *home, int fd,
			const struct sock_addr *peer)
{
	struct conn *c = calloc(1, sizeof(*c));
	if (!c)
		goto fail;
	*c = (struct conn){.ops = &ops,
			   .server = s,
			   .home = home,
			   .fd = fd,
			   .peer = *peer,
			   .id = s->next_id++};
	c->r2t_tail = &c->r2t_wait;
	c->loans_tail = &c->loans;
	if (login_begin(c) || conn_open(c))
		goto fail;
	c->next = s->conns;
	c->prev = &s->conns;
	if (c->next)
		c->next->prev = &c->next;
	s->conns = c;
	s->conns_n++;
	home->conns++;
	return;
fail:
	if (c)
		login_end(c);
	free(c);
	close(fd);
}

static void log_refused(struct target_server *s, const struct sock_addr *peer, const char *why)
{
	char text[SOCK_TEXT_MAX];
	unsigned more;
	s->refused++;
	if (log_allowed(&refused, &more)) {
		if (more)
			log_warn("%u more connections were refused", more);
		log_warn("connection from %s refused: %s", sock_text(peer, text), why);
	}
}

/* Who does not log in shall keep out nobody who will: of too many the oldest gives way, if there is
 * one from the newcomer's own address; so that a flood from one host is at its own expense. */
static void make_place(struct target_server *s, const struct sock_addr *newcomer)
{
	struct conn *oldest = NULL, *own = NULL;
	unsigned n = 0;
	for (struct conn *c = s->conns; c; c = c->next) { /* the newest is the first */
		if (c->tsih || c->state == CONN_CLOSED)
			continue;
		n++;
		oldest = c;
		if (access_same_host(&c->peer, newcomer))
			own = c;
	}
	if (n < HALF_OPEN_MAX)
		return;
	oldest = own ? own : oldest;
	log_refused(s, &oldest->peer, "too many at a time that do not log in");
	conn_close(oldest);
}

static struct server_loop *least_busy(struct target_server *s)
{
	struct server_loop *best = &s->main;
	for (struct server_loop *l = s->main.next; l; l = l->next)
		if (l->conns < best->conns)
			best = l;
	return best;
}

static void on_connection(void *arg, int fd, const struct sock_addr *peer)
{
	struct portal *p = arg;
	struct target_server *s = p->server;
	const char *why = NULL;

	if (!access_address(s->config.access, peer))
		why = "not a directly connected network, and no --allow for it";
	else if (s->conns_n >= 2 * (s->config.max_sessions + HALF_OPEN_MAX))
		why = "too many connections are about to end"; /* whose commands still run */
	if (!why) {
		make_place(s, peer);
		target_server_take(s, least_busy(s), fd, peer);
		return;
	}
	close(fd);
	log_refused(s, peer, why);
}

int target_server_listen(struct target_server *s, const char *address, const int *fds, int n)
{
	struct portal *p = calloc(1, sizeof(*p));
	int rc = p ? MIN(n, 0) : -ENOMEM;
	if (rc == 0 && !(p->address = strdup(address)))
		rc = -ENOMEM;
	if (rc == 0)
		rc = sock_listen_take(s->config.loop, &p->listener, fds, (unsigned)n, on_connection,
				      p);
	else
		while (n > 0)
			close(fds[--n]);
	if (rc) {
		log_error("cannot listen on %s: %s; choose another --listen ADDR:PORT", address,
			  sock_strerror(rc));
		if (p)
			free(p->address);
		free(p);
		return rc;
	}
	p->server = s;
	sock_local_text(p->listener.s[0].watch.fd, p->text);
	p->next = s->portals;
	s->portals = p;
	log_info("listening on %s", p->text);
	return 0;
}

void target_server_unlisten(struct target_server *s, const char *address)
{
	for (struct portal **p = &s->portals; *p; p = &(*p)->next) {
		struct portal *gone = *p;
		if (strcmp(gone->address, address))
			continue;
		log_info("no longer listening on %s", gone->text);
		*p = gone->next;
		portal_free(gone);
		return;
	}
}

/* ---- a target's LUNs ---- */

int target_add_lun(struct target_server *s, struct target *t, struct lun *l)
{
	struct lun **luns;
	bool stranger;
	if (target_find_lun(t, l->number))
		return -EEXIST;
	luns = realloc(t->luns, (t->luns_n + 1) * sizeof(*luns));
	if (!luns)
		return -ENOMEM;
	t->luns = luns;
	t->luns[t->luns_n++] = l;
	stranger = !was_before(t, l);
	for (struct conn *c = s->conns, *next; c; c = next) {
		next = c->next;
		if (c->target != t || c->state != CONN_FULL)
			continue;
		if (session_lun_add(c, l, stranger)) {
			log_error("%s: out of memory; dropped", conn_name(c));
			conn_close(c);
		} else {
			session_luns_changed(c, stranger ? NULL : l);
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
	free(r);
	if (s->draining)
		drain_step(s);
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
	if (!r || remember(t, l)) {
		free(r);
		return -ENOMEM;
	}
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
		tasks_orphan(c, number);
		session_lun_remove(c, l);
		session_luns_changed(c, NULL);
	}
	return 0;
}

/* ---- what is told of sessions ---- */

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

/* ---- the end ---- */

static void drain_step(struct target_server *s)
{
	struct conn *c, *next;
	for (c = s->conns; c; c = next) {
		next = c->next;
		if (!c->running && c->state <= CONN_FULL)
			conn_finish(c);
	}
	if (!s->conns && !s->retiring && s->drained) {
		void (*done)(void *) = s->drained;
		s->drained = NULL;
		loop_timer_del(s->config.loop, &s->drain_timer);
		done(s->drained_arg);
	}
}

static void drain_overdue(void *arg)
{
	struct target_server *s = arg;
	struct conn *c, *next;
	log_warn("connections that do not take their answers are dropped");
	for (c = s->conns; c; c = next) {
		next = c->next;
		conn_close(c);
	}
}

void target_server_drain(struct target_server *s, void (*done)(void *arg), void *arg)
{
	s->draining = true;
	s->drained = done;
	s->drained_arg = arg;
	close_portals(s);
	loop_timer_set(s->config.loop, &s->drain_timer, DRAIN_TIMEOUT, drain_overdue, s);
	drain_step(s);
}
