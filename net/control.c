/* SPDX-License-Identifier: BSD-2-Clause */
#include "net/control.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/fds.h"
#include "net/oneshot.h"

#define REQUEST_MAX 16384

struct control {
	struct loop *loop;
	struct loop_fd watch;
	struct loop_timer rest;
	struct oneshot_server server;
	void (*serve)(void *arg, struct control_request *r, char *const *words, unsigned n);
	void *arg;
	struct stat made; /* the socket: another one of that name is not removed */
	char path[];
};

struct control_request {
	struct oneshot *x;
	FILE *f;
	char *text;
	size_t len;
};

/* ---- the server ---- */

FILE *control_text(struct control_request *r)
{
	if (!r->f)
		r->f = open_memstream(&r->text, &r->len);
	return r->f;
}

void control_reply(struct control_request *r, int status)
{
	struct buf b = {0};
	if (r->f && fclose(r->f)) {
		r->len = 0;
		status = 1;
	}
	buf_printf(&b, "%d\n", status);
	buf_put(&b, r->text, r->len);
	oneshot_reply(r->x, b.data, b.failed ? 0 : b.len);
	buf_free(&b);
	free(r->text);
	free(r);
}

int control_fd(struct control_request *r)
{
	return oneshot_fd(r->x);
}

static bool whole(const struct buf *b, bool eof)
{
	return eof || (b->len >= 2 && memcmp(b->data + b->len - 2, "\n\n", 2) == 0);
}

static void serve(void *arg, struct oneshot *x, const struct buf *request)
{
	struct control *c = arg;
	struct control_request *r = calloc(1, sizeof(*r));
	char *words[CONTROL_WORDS], *p = (char *)request->data, *end = NULL;
	unsigned n = 0;

	if (!r) {
		oneshot_reply(x, "1\nout of memory", 15);
		return;
	}
	r->x = x;
	for (; *p && *p != '\n' && n < CONTROL_WORDS; p = end + 1) {
		words[n++] = p;
		end = strchr(p, '\n');
		if (!end)
			break;
		*end = '\0';
	}
	if (n == 0 || request->len >= REQUEST_MAX ||
	    (n == CONTROL_WORDS && end && end[1] != '\n')) {
		if (control_text(r))
			fputs("not a request", r->f);
		control_reply(r, 1);
		return;
	}
	c->serve(c->arg, r, words, n);
}

static void on_rested(void *arg)
{
	struct control *c = arg;
	loop_fd_mod(c->loop, &c->watch, LOOP_READ);
}

/* The mode of the socket says it already, where nobody has changed that. */
static bool welcome(int fd)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);
	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 &&
	       (peer.uid == 0 || peer.uid == geteuid());
}

static void on_readable(void *arg, unsigned events)
{
	struct control *c = arg;
	int fd = accept4(c->watch.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	(void)events;
	if (fd >= 0 && !welcome(fd)) {
		close(fd);
	} else if (fd >= 0) {
		oneshot_accept(&c->server, fd);
	} else if (errno != EAGAIN && errno != ECONNABORTED) { /* out of descriptors */
		loop_fd_mod(c->loop, &c->watch, 0);
		loop_timer_set(c->loop, &c->rest, 100 * MS_NS, on_rested, c);
	}
}

static int address(struct sockaddr_un *a, const char *path)
{
	*a = (struct sockaddr_un){.sun_family = AF_UNIX};
	if (strlen(path) >= sizeof(a->sun_path))
		return -ENAMETOOLONG;
	memcpy(a->sun_path, path, strlen(path));
	return 0;
}

/* Does somebody answer there? */
static bool answered(const struct sockaddr_un *a)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	bool yes = fd < 0 || connect(fd, (const struct sockaddr *)a, sizeof(*a)) == 0 ||
		   (errno != ECONNREFUSED && errno != ENOENT);
	if (fd >= 0)
		close(fd);
	return yes;
}

static int bind_there(int fd, const struct sockaddr_un *a)
{
	struct stat st;
	/* bind() gives the file the mode that the socket has: nobody can slip in between. */
	if (fchmod(fd, 0600) < 0)
		return -errno;
	if (bind(fd, (const struct sockaddr *)a, sizeof(*a)) == 0)
		return 0;
	if (errno != EADDRINUSE)
		return -errno;
	if (lstat(a->sun_path, &st) < 0 || !S_ISSOCK(st.st_mode) || answered(a))
		return -EADDRINUSE;
	if (unlink(a->sun_path) < 0 || bind(fd, (const struct sockaddr *)a, sizeof(*a)) < 0)
		return -errno;
	return 0;
}

/* Locks the directory that a socket is in, until what this returns is closed; or -errno. */
static int lock_parent(const char *path, bool make)
{
	char copy[sizeof(((struct sockaddr_un *)NULL)->sun_path)];
	const char *parent;
	int dir;

	snprintf(copy, sizeof(copy), "%s", path);
	parent = dirname(copy);
	if (make && mkdir(parent, 0755) < 0 && errno != EEXIST)
		return -errno;
	dir = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir >= 0 && flock(dir, LOCK_EX) == 0)
		return dir;
	if (dir < 0)
		return -errno;
	close(dir);
	return -ENOLCK;
}

/* Binds with the directory locked: of two that start at once, neither takes the other's socket for
 * a dead one; and one that ends does not take the other's for its own. */
static int make_socket(const char *path, int *fd)
{
	struct sockaddr_un a;
	int dir, rc = address(&a, path);

	if (rc)
		return rc;
	dir = lock_parent(path, true);
	if (dir < 0)
		return dir;
	*fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (*fd < 0)
		rc = -errno;
	if (rc == 0)
		rc = bind_there(*fd, &a);
	if (rc == 0 && listen(*fd, ONESHOT_CLIENTS) < 0)
		rc = -errno;
	close(dir);
	if (rc && *fd >= 0)
		close(*fd);
	return rc;
}

int control_open(struct control **out, struct loop *l, const char *path,
		 void (*serve_request)(void *arg, struct control_request *r, char *const *words,
				       unsigned n),
		 void *arg)
{
	struct control *c = calloc(1, sizeof(*c) + strlen(path) + 1);
	int fd = -1, rc;
	*out = NULL;
	if (!c)
		return -ENOMEM;
	strcpy(c->path, path);
	rc = make_socket(path, &fd);
	if (rc == 0) {
		rc = lstat(path, &c->made) < 0 ? -errno : 0;
		if (rc == 0)
			rc = loop_fd_add(l, &c->watch, fd, LOOP_READ, on_readable, c);
		if (rc)
			close(fd);
	}
	if (rc) {
		free(c);
		return rc;
	}
	c->loop = l;
	c->serve = serve_request;
	c->arg = arg;
	c->server = (struct oneshot_server){.loop = l,
					    .request_max = REQUEST_MAX,
					    .takes_fd = true,
					    .whole = whole,
					    .serve = serve,
					    .arg = c};
	*out = c;
	return 0;
}

void control_unlink(const struct control *c)
{
	int dir = lock_parent(c->path, false);
	struct stat st;
	/* The time as well: the number of a file that is gone is soon given to another. */
	if (lstat(c->path, &st) == 0 && st.st_ino == c->made.st_ino &&
	    st.st_dev == c->made.st_dev && st.st_mtim.tv_sec == c->made.st_mtim.tv_sec &&
	    st.st_mtim.tv_nsec == c->made.st_mtim.tv_nsec)
		unlink(c->path);
	if (dir >= 0)
		close(dir);
}

void control_close(struct control *c)
{
	if (!c)
		return;
	loop_fd_del(c->loop, &c->watch);
	loop_timer_del(c->loop, &c->rest);
	control_unlink(c);
	close(c->watch.fd);
	oneshot_close(&c->server);
	free(c);
}

/* ---- the client ---- */

static int send_all(int fd, const struct buf *b, int file)
{
	for (size_t at = 0; at < b->len;) {
		ssize_t n = fds_send(fd, b->data + at, b->len - at, &file, at == 0 && file >= 0);
		if (n < 0)
			return (int)n;
		at += (size_t)n;
	}
	return 0;
}

static int receive_all(int fd, struct buf *b)
{
	for (;;) {
		uint8_t *room = buf_reserve(b, 4096);
		ssize_t n = room ? recv(fd, room, 4096, 0) : 0;
		if (!room)
			return -ENOMEM;
		if (n == 0)
			return 0;
		if (n < 0 && errno != EINTR)
			return -errno;
		b->len += n > 0 ? (size_t)n : 0;
	}
}

int control_call(const char *path, const char *const *words, unsigned n, int file, struct buf *text)
{
	struct sockaddr_un a;
	struct buf request = {0}, reply = {0};
	int fd = -1, rc = address(&a, path);

	for (unsigned i = 0; i < n && rc == 0; i++) {
		if (!*words[i] || strchr(words[i], '\n'))
			rc = -EINVAL;
		buf_printf(&request, "%s\n", words[i]);
	}
	buf_put_u8(&request, '\n');
	if (rc == 0 && request.len >= REQUEST_MAX)
		rc = -EINVAL;
	if (rc == 0 && request.failed)
		rc = -ENOMEM;
	if (rc)
		goto out;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (const struct sockaddr *)&a, sizeof(a)) < 0) {
		rc = -errno;
		goto out;
	}
	rc = send_all(fd, &request, file);
	if (rc == 0 || rc == -EPIPE) /* refused with a word of why, perhaps */
		rc = receive_all(fd, &reply);
	if (rc)
		goto out;
	if (reply.len < 2 || reply.data[1] != '\n' || (reply.data[0] | 1) != '1') {
		rc = -EPROTO;
		goto out;
	}
	rc = reply.data[0] - '0';
	buf_put(text, reply.data + 2, reply.len - 2);
	if (text->failed)
		rc = -ENOMEM;
out:
	if (fd >= 0)
		close(fd);
	buf_free(&request);
	buf_free(&reply);
	return rc;
}
