/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A connection's queue of what is to be sent: bytes in memory, and parts of disks whose pages go
 * from the page cache to the socket by way of a pipe. One pipe serves all connections of a loop: it
 * is empty between turns, and what the socket did not take is fetched once more.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/sock_diag.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "core/log.h"
#include "net/iscsi/conn.h"

#define IOV_BATCH  1024u
#define PIPE_BYTES (256u << 10) /* much less or more makes it slower, as measured on loopback */
#define PIPE_LEAST (32u << 10)	/* is worth a turn */
#define HEADER_MAX 4096u	/* bytes that a pipe takes whole or not at all (PIPE_BUF) */
#define STALE	   (100 * MS_NS)

static struct tx_part *part(const struct conn *c, unsigned i)
{
	return &c->tx[(c->tx_head + i) % c->tx_cap];
}

/* ---- queueing ---- */

uint8_t *conn_room(struct conn *c, uint32_t n, struct chunk **chunk)
{
	struct chunk *t = c->tx_chunk;
	uint8_t *p;
	if (!t || t->size - t->used < n) {
		uint32_t usual = n > CHUNK_SMALL / 4 ? CHUNK_LARGE : CHUNK_SMALL;
		struct chunk *fresh = chunk_get(c->server->pool, MAX(n, usual));
		if (!fresh)
			return NULL;
		chunk_unref(t);
		c->tx_chunk = t = fresh;
	} else if (t->refs == 1 && t->used) {
		t->used = 0; /* all of it has been sent: the same cache lines again */
	}
	p = t->data + t->used;
	t->used += n;
	*chunk = chunk_ref(t);
	return p;
}

/* A place at the queue's end, its length counted; NULL: closed, perhaps by this. */
static struct tx_part *append(struct conn *c, uint32_t n)
{
	struct tx_part *t;
	if (c->state == CONN_CLOSED)
		return NULL;
	if (c->tx_n == c->tx_cap) {
		unsigned cap = c->tx_cap ? c->tx_cap * 2 : 32;
		struct tx_part *tx = malloc(cap * sizeof(*tx));
		if (!tx) {
			log_error("%s: out of memory; dropped", conn_name(c));
			conn_close(c);
			return NULL;
		}
		for (unsigned i = 0; i < c->tx_n; i++)
			tx[i] = *part(c, i);
		free(c->tx);
		c->tx = tx;
		c->tx_cap = cap;
		c->tx_head = 0;
	}
	conn_in_bytes(c, n);
	loop_defer(c->loop, &c->flush);
	if (!c->tx_n)
		c->moved = loop_now(c->loop);
	c->tx_n++;
	t = part(c, c->tx_n - 1);
	*t = (struct tx_part){.len = n};
	return t;
}

void conn_queue(struct conn *c, uint8_t *p, uint32_t n, struct chunk *chunk)
{
	struct tx_part *last = c->tx_n ? part(c, c->tx_n - 1) : NULL;
	if (last && last->chunk == chunk && last->p + last->len == p && c->state != CONN_CLOSED) {
		last->len += n; /* one piece for the kernel */
		conn_in_bytes(c, n);
		loop_defer(c->loop, &c->flush);
		chunk_unref(chunk);
		return;
	}
	last = append(c, n);
	if (last) {
		last->p = p;
		last->chunk = chunk;
	} else {
		chunk_unref(chunk);
	}
}

void conn_queue_disk(struct conn *c, struct tx_owner *o, struct disk *d, uint64_t off, uint32_t n)
{
	struct tx_part *t = append(c, n);
	if (!t)
		return;
	t->owner = o;
	t->disk = d;
	t->off = off;
	t->asked = loop_now(c->loop);
	o->parts++;
}

/* ---- parts of disks that are not in the page cache any more, or called back ---- */

struct tx_load {
	struct disk_io io;
	struct iovec v;
	struct conn *conn;
	struct tx_owner *owner;
	struct chunk *chunk;
	bool dropped; /* its part is no longer queued */
};

/* What has begun cannot be finished. */
static void lost(struct conn *c, const struct tx_owner *o, uint64_t off, uint32_t n, int rc)
{
	o->lost(o, off, n, rc);
	log_error("%s: dropped in the middle of data", conn_name(c));
	conn_close(c);
}

static void loaded(struct disk_io *io)
{
	struct tx_load *l = container_of(io, struct tx_load, io);
	struct conn *c = l->conn;
	struct tx_owner *o = l->owner;
	struct tx_part *t = NULL;

	for (unsigned i = 0; i < c->tx_n && !l->dropped; i++)
		if (part(c, i)->load == l)
			t = part(c, i);
	if (t && io->rc) {
		t->load = NULL;
		lost(c, o, t->off, t->len, io->rc);
	} else {
		o->parts--;
	}
	if (t && !io->rc)
		*t = (struct tx_part){.p = l->chunk->data, .len = t->len, .chunk = l->chunk};
	else
		chunk_unref(l->chunk);
	free(l);
	c->running--;
	o->loaded(c);
	if (c->state != CONN_CLOSED)
		loop_defer(c->loop, &c->flush);
	conn_task_gone(c);
}

/* Has it read into memory. */
static void load(struct conn *c, struct tx_part *t)
{
	struct tx_load *l = malloc(sizeof(*l));
	struct chunk *chunk = chunk_get(c->server->pool, t->len);
	if (!l || !chunk) {
		log_error("%s: out of memory; dropped", conn_name(c));
		chunk_unref(chunk);
		free(l);
		conn_close(c);
		return;
	}
	*l = (struct tx_load){.conn = c,
			      .owner = t->owner,
			      .chunk = chunk,
			      .v = {chunk->data, t->len},
			      .io = {.op = DISK_READ,
				     .disk = t->disk,
				     .iov = &l->v,
				     .niov = 1,
				     .off = t->off,
				     .done = loaded}};
	t->load = l;
	c->running++;
	if (disk_submit(c->home->engine, &l->io))
		loaded(&l->io);
}

void conn_load(struct conn *c, bool (*which)(const struct tx_owner *o))
{
	for (unsigned i = 0; i < c->tx_n && c->state != CONN_CLOSED; i++) {
		struct tx_part *t = part(c, i);
		if (t->owner && !t->load && which(t->owner))
			load(c, t);
	}
}

bool conn_tx_ready(const struct conn *c)
{
	return c->tx_n && !part(c, 0)->load;
}

/* ---- sending ---- */

/* Drops n sent bytes from the queue. */
static void tx_sent(struct conn *c, size_t n)
{
	conn_in_bytes(c, -(int64_t)n);
	c->moved = loop_now(c->loop);
	while (n) {
		struct tx_part *t = part(c, 0);
		uint32_t step = (uint32_t)MIN(n, t->len);
		n -= step;
		if (t->owner)
			t->owner->by_ref = true;
		if (step < t->len) {
			if (t->owner)
				t->off += step;
			else
				t->p += step;
			t->len -= step;
			return;
		}
		if (t->owner)
			t->owner->parts--;
		chunk_unref(t->chunk);
		c->tx_head = (c->tx_head + 1) % c->tx_cap;
		c->tx_n--;
	}
}

/* What the socket has room for, as far as it tells. */
static size_t socket_room(int fd)
{
	uint32_t m[SK_MEMINFO_VARS];
	socklen_t len = sizeof(m);
	uint32_t used, size;
	if (getsockopt(fd, SOL_SOCKET, SO_MEMINFO, m, &len) < 0 || len < sizeof(m))
		return PIPE_BYTES;
	used = m[SK_MEMINFO_WMEM_QUEUED];
	size = m[SK_MEMINFO_SNDBUF];
	return MIN(MAX(size > used ? size - used : 0, PIPE_LEAST), PIPE_BYTES);
}

/* It may have left the page cache since it was asked for. */
static bool stale(const struct conn *c, const struct tx_part *t)
{
	return loop_now(c->loop) - t->asked >= STALE;
}

/* Fills the pipe from the head of the queue; *rc gets the error of the disk that ended it. */
static size_t fill_pipe(struct conn *c, size_t room, int *rc)
{
	int pipe = c->home->pipe[1];
	size_t got = 0;
	ssize_t r = 0;
	*rc = 0;
	for (unsigned i = 0; i < c->tx_n && got < room; i++) {
		const struct tx_part *t = part(c, i);
		if (t->owner && (t->load || stale(c, t))) {
			break;
		} else if (t->owner) {
			r = disk_send(t->disk, t->off, MIN(t->len, room - got), pipe);
			if (r < 0 && r != -EAGAIN)
				*rc = (int)r;
		} else if (t->len <= HEADER_MAX && i + 1 < c->tx_n && part(c, i + 1)->owner) {
			r = write(pipe, t->p, t->len);
			if (r < 0 && errno != EAGAIN)
				*rc = -errno;
		} else {
			break;
		}
		if (r < 0)
			break;
		got += (size_t)r;
		if ((size_t)r < t->len)
			break;
	}
	return got;
}

static void empty_pipe(struct server_loop *l, size_t n)
{
	while (n) {
		ssize_t r = splice(l->pipe[0], NULL, l->null, NULL, n, SPLICE_F_NONBLOCK);
		if (r < 0 && errno == EINTR)
			continue;
		if (r <= 0) { /* never to be sent to anybody */
			log_error("cannot empty a pipe: %s; large reads are copied from now on",
				  r ? strerror(errno) : "it is shorter than it was");
			server_loop_close(l);
			return;
		}
		n -= (size_t)r;
	}
}

/* Parts of disks with what lies between them. *want gets how much of it should go now; a negative
 * errno is the socket's, *disk_rc the disk's whose part is the next then. */
static ssize_t send_pages(struct conn *c, size_t *want, int *disk_rc)
{
	size_t room = socket_room(c->fd);
	ssize_t n = 0;
	int err;
	*want = fill_pipe(c, room, disk_rc);
	if (!*want) {
		*disk_rc = *disk_rc ? *disk_rc : -EIO;
		return 0;
	}
	n = splice(c->home->pipe[0], NULL, c->fd, NULL, *want, SPLICE_F_NONBLOCK);
	err = errno;
	if (n < (ssize_t)*want)
		empty_pipe(c->home, *want - (size_t)MAX(n, 0));
	if (room < PIPE_BYTES && *want == room)
		*want = SIZE_MAX; /* there is more, but no room for it */
	return n < 0 ? -err : n;
}

static ssize_t send_memory(struct conn *c, unsigned parts, bool more, size_t *want)
{
	struct iovec v[IOV_BATCH];
	struct msghdr m = {.msg_iov = v, .msg_iovlen = parts};
	ssize_t n;
	*want = 0;
	for (unsigned i = 0; i < parts; i++) {
		const struct tx_part *t = part(c, i);
		v[i] = (struct iovec){t->p, t->len};
		*want += t->len;
	}
	n = sendmsg(c->fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT | (more ? MSG_MORE : 0));
	return n < 0 ? -errno : n;
}

/* How many parts from the head on are to be sent from memory; *more: pages follow. */
static unsigned memory_parts(const struct conn *c, bool *more)
{
	unsigned n = 0;
	while (n < c->tx_n && n < IOV_BATCH && !part(c, n)->owner)
		n++;
	*more = n < c->tx_n && part(c, n)->owner;
	/* Its header goes with it. */
	return *more && n && part(c, n - 1)->len <= HEADER_MAX ? n - 1 : n;
}

/* The part of a disk at the head of the queue, or right behind it. */
static struct tx_part *next_pages(struct conn *c)
{
	return part(c, part(c, 0)->owner ? 0 : 1);
}

/* Is it still in the page cache, and a pipe there for it? If not, it is read into memory. */
static bool pages_there(struct conn *c, struct tx_part *t)
{
	bool pipe = c->home->pipe[0] >= 0 && !disk_hangs(t->disk, loop_now(c->loop));
	if (pipe && !stale(c, t))
		return true;
	t->asked = loop_now(c->loop);
	if (pipe && disk_resident(t->disk, t->off, t->len))
		return true;
	load(c, t);
	return false;
}

bool conn_transmit(struct conn *c)
{
	while (c->tx_n) {
		bool more;
		unsigned parts = memory_parts(c, &more);
		size_t want;
		ssize_t n;
		int disk_rc = 0;

		if (!parts && next_pages(c)->load) {
			if (!conn_tx_ready(c))
				return true; /* loaded() comes back to it */
			parts = 1;
		} else if (!parts && !pages_there(c, next_pages(c))) {
			if (c->state == CONN_CLOSED)
				return false;
			continue;
		}
		loop_unlock(c->loop);
		n = parts ? send_memory(c, parts, more, &want) : send_pages(c, &want, &disk_rc);
		loop_lock(c->loop);
		if (c->state == CONN_CLOSED)
			return false;
		if (n == -EINTR)
			continue;
		if (n == -EAGAIN)
			return true;
		if (n < 0) {
			log_info("%s: connection lost: %s", conn_name(c), strerror((int)-n));
			conn_close(c);
			return false;
		}
		tx_sent(c, (size_t)n);
		if (n >= CONN_MUCH)
			loop_skip_spin(c->loop);
		if ((size_t)n < want)
			return true; /* the socket is full: no need to be told so */
		if (disk_rc) {
			struct tx_part *t = next_pages(c);
			lost(c, t->owner, t->off, t->len, disk_rc);
			return false;
		}
	}
	return true;
}

void conn_drop_queue(struct conn *c)
{
	for (; c->tx_n; c->tx_n--) {
		struct tx_part *t = part(c, 0);
		conn_in_bytes(c, -(int64_t)t->len);
		chunk_unref(t->chunk);
		if (t->load)
			t->load->dropped = true;
		else if (t->owner)
			t->owner->parts--;
		c->tx_head = (c->tx_head + 1) % c->tx_cap;
	}
}

/* ---- a loop's pipe ---- */

void server_loop_open(struct server_loop *l)
{
	l->null = open("/dev/null", O_WRONLY | O_CLOEXEC);
	if (pipe2(l->pipe, O_CLOEXEC | O_NONBLOCK) < 0)
		l->pipe[0] = l->pipe[1] = -1;
	/* Refused to users who have too many pipes already (pipe(7)). */
	else if (l->null < 0 || fcntl(l->pipe[1], F_SETPIPE_SZ, (int)PIPE_BYTES) < 0)
		server_loop_close(l);
}

void server_loop_close(struct server_loop *l)
{
	int *fds[] = {&l->pipe[0], &l->pipe[1], &l->null};
	for (unsigned i = 0; i < ARRAY_SIZE(fds); i++) {
		if (*fds[i] >= 0)
			close(*fds[i]);
		*fds[i] = -1;
	}
}
