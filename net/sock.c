/* SPDX-License-Identifier: BSD-2-Clause */
#include "net/sock.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/bytes.h"
#include "core/opts.h"

#define BACKLOG 1024 /* less if the kernel says so; a full one costs a second (SYN again) */

/* ---- names and addresses ---- */

/* As sock_parse(), but the host may be empty and the port 0. */
static int split(const char *text, char host[SOCK_HOST_MAX], uint16_t *port)
{
	const char *h = text, *end, *p = NULL;
	size_t n;
	uint64_t v;
	if (*text == '[') {
		h = text + 1;
		end = strchr(h, ']');
		if (!end || end == h || (end[1] && end[1] != ':'))
			return -EINVAL;
		if (end[1])
			p = end + 2;
	} else {
		end = strchr(text, ':');
		if (end && !strchr(end + 1, ':'))
			p = end + 1;
		else
			end = text + strlen(text); /* no colon, or a bare IPv6 address */
	}
	n = (size_t)(end - h);
	if (n >= SOCK_HOST_MAX)
		return -EINVAL;
	if (p) {
		if (parse_u64(p, &v) || v > UINT16_MAX)
			return -EINVAL;
		*port = (uint16_t)v;
	}
	memcpy(host, h, n);
	host[n] = 0;
	return 0;
}

int sock_parse(const char *text, char host[SOCK_HOST_MAX], uint16_t *port)
{
	uint16_t v = 1;
	int rc = split(text, host, &v);
	if (rc || !host[0] || v == 0)
		return -EINVAL;
	/* Once more for the port: the default may be 0, a written one may not. */
	return split(text, host, port);
}

static int resolve(const char *host, uint16_t port, int flags, struct sock_addrs *out)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = flags | AI_NUMERICSERV};
	struct addrinfo *list;
	char service[8];
	int rc;
	snprintf(service, sizeof(service), "%u", port);
	errno = 0;
	rc = getaddrinfo(host, service, &hints, &list);
	switch (rc) {
	case 0: break;
	case EAI_AGAIN: return -EAGAIN;
	case EAI_MEMORY: return -ENOMEM;
	case EAI_SYSTEM: return errno ? -errno : -EIO;
	default: return -ENXIO;
	}
	out->n = 0;
	for (struct addrinfo *a = list; a && out->n < SOCK_ADDRS_MAX; a = a->ai_next) {
		struct sock_addr *to = &out->v[out->n];
		if (a->ai_addrlen > sizeof(to->ss))
			continue;
		*to = (struct sock_addr){.len = a->ai_addrlen};
		memcpy(&to->ss, a->ai_addr, a->ai_addrlen);
		out->n++;
	}
	freeaddrinfo(list);
	return out->n ? 0 : -ENXIO;
}

static int parse_and_resolve(const char *text, uint16_t port, int flags, struct sock_addrs *out)
{
	char host[SOCK_HOST_MAX];
	int rc = sock_parse(text, host, &port);
	return rc ? rc : resolve(host, port, flags, out);
}

int sock_resolve(const char *text, uint16_t default_port, struct sock_addrs *out)
{
	return parse_and_resolve(text, default_port, 0, out);
}

int sock_resolve_numeric(const char *text, uint16_t default_port, struct sock_addrs *out)
{
	return parse_and_resolve(text, default_port, AI_NUMERICHOST, out);
}

int sock_resolve_local(const char *text, uint16_t default_port, struct sock_addrs *out)
{
	char host[SOCK_HOST_MAX];
	uint16_t port = default_port;
	int rc = split(text, host, &port);
	if (rc)
		return rc;
	return resolve(!host[0] || strcmp(host, "*") == 0 ? NULL : host, port, AI_PASSIVE, out);
}

const char *sock_strerror(int err)
{
	switch (abs(err)) {
	case EINVAL: return "not of the form HOST, HOST:PORT or [IPV6]:PORT";
	case ENXIO: return "no such host";
	case EAGAIN: return "no answer from the name server";
	default: return strerror(abs(err));
	}
}

const char *sock_text(const struct sock_addr *a, char buf[SOCK_TEXT_MAX])
{
	char host[INET6_ADDRSTRLEN], scope[IF_NAMESIZE];
	if (a->ss.ss_family == AF_INET) {
		const struct sockaddr_in *in = (const void *)&a->ss;
		inet_ntop(AF_INET, &in->sin_addr, host, sizeof(host));
		snprintf(buf, SOCK_TEXT_MAX, "%s:%u", host, ntohs(in->sin_port));
	} else if (a->ss.ss_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const void *)&a->ss;
		bool v4 = IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr);
		if (v4)
			inet_ntop(AF_INET, &in6->sin6_addr.s6_addr[12], host, sizeof(host));
		else
			inet_ntop(AF_INET6, &in6->sin6_addr, host, sizeof(host));
		if (!in6->sin6_scope_id)
			scope[0] = 0;
		else if (!if_indextoname(in6->sin6_scope_id, scope)) /* RFC 4007, 11.2 */
			snprintf(scope, sizeof(scope), "%u", in6->sin6_scope_id);
		snprintf(buf, SOCK_TEXT_MAX, "%s%s%s%s%s:%u", v4 ? "" : "[", host,
			 scope[0] ? "%" : "", scope, v4 ? "" : "]", ntohs(in6->sin6_port));
	} else {
		snprintf(buf, SOCK_TEXT_MAX, "?");
	}
	return buf;
}

const char *sock_peer_text(int fd, char buf[SOCK_TEXT_MAX])
{
	struct sock_addr a = {.len = sizeof(a.ss)};
	if (getpeername(fd, (struct sockaddr *)&a.ss, &a.len) < 0)
		a.ss.ss_family = AF_UNSPEC;
	return sock_text(&a, buf);
}

int sock_local(int fd, struct sock_addr *a)
{
	*a = (struct sock_addr){.len = sizeof(a->ss)};
	return getsockname(fd, (struct sockaddr *)&a->ss, &a->len) < 0 ? -errno : 0;
}

const char *sock_local_text(int fd, char buf[SOCK_TEXT_MAX])
{
	struct sock_addr a;
	if (sock_local(fd, &a))
		a.ss.ss_family = AF_UNSPEC;
	return sock_text(&a, buf);
}

/* Where an address is good: everywhere, on one link, on this host; 0 for none. */
enum reach { NOWHERE, HOST, LINK, GLOBAL };

static enum reach reach4(uint32_t a)
{
	if (a == INADDR_ANY)
		return NOWHERE;
	if (a >> 24 == IN_LOOPBACKNET)
		return HOST;
	return a >> 16 == 0xa9fe ? LINK : GLOBAL; /* RFC 3927 */
}

static enum reach reach6(const struct in6_addr *a)
{
	if (IN6_IS_ADDR_UNSPECIFIED(a))
		return NOWHERE;
	if (IN6_IS_ADDR_LOOPBACK(a))
		return HOST;
	return IN6_IS_ADDR_LINKLOCAL(a) ? LINK : GLOBAL;
}

bool sock_alike(const struct sock_addr *a, const struct sock_addr *b)
{
	const struct sockaddr_in6 *a6 = (const void *)&a->ss, *b6 = (const void *)&b->ss;
	const struct sockaddr_in *a4 = (const void *)&a->ss, *b4 = (const void *)&b->ss;
	enum reach from, to;

	if (a->ss.ss_family != b->ss.ss_family)
		return false;
	if (a->ss.ss_family == AF_INET) {
		from = reach4(ntohl(a4->sin_addr.s_addr));
		to = reach4(ntohl(b4->sin_addr.s_addr));
	} else if (a->ss.ss_family == AF_INET6) {
		from = reach6(&a6->sin6_addr);
		to = reach6(&b6->sin6_addr);
	} else {
		return false;
	}
	if (from == HOST) /* who is on this host reaches everything */
		return to != NOWHERE;
	if (to == LINK && a->ss.ss_family == AF_INET6 && a6->sin6_scope_id != b6->sin6_scope_id)
		return false;
	return to == GLOBAL || (to == LINK && from == LINK);
}

/* ---- options ---- */

static void set(int fd, int level, int name, int value)
{
	/* Fails only on what is not TCP, where the option has no meaning. */
	(void)setsockopt(fd, level, name, &value, sizeof(value));
}

void sock_nodelay(int fd)
{
	set(fd, IPPROTO_TCP, TCP_NODELAY, 1);
}

void sock_bound_sending(int fd, int bytes)
{
	set(fd, SOL_SOCKET, SO_SNDBUF, bytes);
}

void sock_wake_at(int fd, int bytes)
{
	set(fd, SOL_SOCKET, SO_RCVLOWAT, bytes);
}

void sock_keepalive(int fd, uint64_t dead_ns)
{
	uint64_t s = MAX(dead_ns / SEC_NS, 2u);
	set(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
	set(fd, IPPROTO_TCP, TCP_KEEPIDLE, (int)(s / 2));
	set(fd, IPPROTO_TCP, TCP_KEEPINTVL, (int)MAX(s / 6, 1u));
	set(fd, IPPROTO_TCP, TCP_KEEPCNT, 3);
	set(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, (int)(s * 1000));
}

int sock_nonblock(int fd, bool on)
{
	int flags = fcntl(fd, F_GETFL);
	if (flags < 0)
		return -errno;
	return fcntl(fd, F_SETFL, on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK) < 0 ? -errno : 0;
}

/* ---- connecting ---- */

static void try_next(void *arg);

void sock_connect_cancel(struct sock_connect *c)
{
	if (!c->loop)
		return;
	loop_timer_del(c->loop, &c->timer);
	loop_fd_del(c->loop, &c->watch);
	if (c->fd >= 0)
		close(c->fd);
	c->loop = NULL;
}

static void connect_done(struct sock_connect *c)
{
	int fd = c->fd;
	c->fd = -1;
	sock_connect_cancel(c);
	c->done(c->arg, fd >= 0 ? fd : c->err, fd >= 0 ? NULL : c->error);
}

/* The address being tried is no good. */
static void attempt_failed(struct sock_connect *c, int err)
{
	char text[SOCK_TEXT_MAX];
	loop_timer_del(c->loop, &c->timer);
	loop_fd_del(c->loop, &c->watch);
	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
	c->err = -err;
	snprintf(c->error, sizeof(c->error), "%s: %s", sock_text(&c->addrs.v[c->next - 1], text),
		 err == ETIMEDOUT ? "no answer" : strerror(err));
	try_next(c);
}

static void on_connected(void *arg, unsigned events)
{
	struct sock_connect *c = arg;
	int err = 0;
	socklen_t len = sizeof(err);
	(void)events;
	if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &err, &len) < 0)
		err = errno;
	if (err)
		attempt_failed(c, err);
	else
		connect_done(c);
}

static void on_no_answer(void *arg)
{
	attempt_failed(arg, ETIMEDOUT);
}

static void try_next(void *arg)
{
	struct sock_connect *c = arg;
	const struct sock_addr *a = &c->addrs.v[c->next];
	uint64_t now = clock_ns();
	int rc;
	if (c->next == c->addrs.n) {
		connect_done(c);
		return;
	}
	c->next++;
	c->fd = socket(a->ss.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (c->fd < 0) {
		attempt_failed(c, errno);
		return;
	}
	if (connect(c->fd, (const struct sockaddr *)&a->ss, a->len) == 0) {
		connect_done(c);
		return;
	}
	if (errno != EINPROGRESS) {
		attempt_failed(c, errno);
		return;
	}
	rc = loop_fd_add(c->loop, &c->watch, c->fd, LOOP_WRITE, on_connected, c);
	if (rc) {
		attempt_failed(c, -rc);
		return;
	}
	loop_timer_set(c->loop, &c->timer,
		       c->deadline > now ? (c->deadline - now) / (c->addrs.n - c->next + 1) : 0,
		       on_no_answer, c);
}

void sock_connect(struct loop *l, struct sock_connect *c, const struct sock_addrs *to,
		  uint64_t timeout_ns, void (*done)(void *arg, int fd, const char *error),
		  void *arg)
{
	*c = (struct sock_connect){
		.loop = l,
		.addrs = *to,
		.deadline = clock_ns() + timeout_ns,
		.fd = -1,
		.err = -ENXIO,
		.done = done,
		.arg = arg,
		.error = "no address",
	};
	/* From the loop, since a local connect() may be done at once. */
	loop_timer_set(l, &c->timer, 0, try_next, c);
}

/* ---- listening ---- */

static void on_rested(void *arg)
{
	struct sock_listener *s = arg;
	for (unsigned i = 0; i < s->n; i++)
		loop_fd_mod(s->loop, &s->s[i].watch, LOOP_READ);
}

static void on_incoming(void *arg, unsigned events)
{
	struct sock_listening *one = arg;
	struct sock_listener *s = one->owner;
	(void)events;
	/* A bounded batch, so that a flood does not starve who is connected. */
	for (unsigned i = 0; i < 16 && one->watch.on; i++) {
		struct sock_addr peer = {.len = sizeof(peer.ss)};
		int fd = accept4(one->watch.fd, (struct sockaddr *)&peer.ss, &peer.len,
				 SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd >= 0) {
			s->fn(s->arg, fd, &peer);
			continue;
		}
		if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
			/* The connection stays in the backlog: polling it now would spin. */
			for (unsigned j = 0; j < s->n; j++)
				loop_fd_mod(s->loop, &s->s[j].watch, 0);
			loop_timer_set(s->loop, &s->rest, 100 * MS_NS, on_rested, s);
			return;
		}
		if (errno == EAGAIN)
			return;
		/* Others (accept(2)) are of a connection that has ended already. */
	}
}

static uint16_t local_port(int fd)
{
	struct sockaddr_in6 a = {0};
	socklen_t len = sizeof(a);
	/* The port is at the same place in sockaddr_in. */
	return getsockname(fd, (struct sockaddr *)&a, &len) < 0 ? 0 : ntohs(a.sin6_port);
}

/* The socket, or -errno. */
static int open_one(const struct sock_addr *a)
{
	int rc, fd = socket(a->ss.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	set(fd, SOL_SOCKET, SO_REUSEADDR, 1);
	/* IPv4 has a socket of its own. */
	if (a->ss.ss_family == AF_INET6)
		set(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
	if (bind(fd, (const struct sockaddr *)&a->ss, a->len) < 0 || listen(fd, BACKLOG) < 0) {
		rc = -errno;
		close(fd);
		return rc;
	}
	return fd;
}

int sock_listen_open(const char *text, uint16_t default_port, int fds[SOCK_ADDRS_MAX])
{
	struct sock_addrs addrs;
	int missing = 0, n = 0, rc = sock_resolve_local(text, default_port, &addrs);
	if (rc)
		return rc;
	for (unsigned i = 0; i < addrs.n; i++) {
		struct sockaddr_in *in = (void *)&addrs.v[i].ss;
		/* All share the one chosen first. */
		if (n && in->sin_port == 0)
			in->sin_port = htons(local_port(fds[0]));
		rc = open_one(&addrs.v[i]);
		if (rc >= 0) {
			fds[n++] = rc;
		} else if (rc == -EAFNOSUPPORT || rc == -EADDRNOTAVAIL) {
			missing = rc;
		} else {
			while (n)
				close(fds[--n]);
			return rc;
		}
	}
	return n ? n : missing;
}

int sock_listen_take(struct loop *l, struct sock_listener *s, const int *fds, unsigned n,
		     void (*fn)(void *arg, int fd, const struct sock_addr *peer), void *arg)
{
	int rc = 0;
	*s = (struct sock_listener){.loop = l, .fn = fn, .arg = arg};
	for (unsigned i = 0; i < n; i++) {
		struct sock_listening *one = &s->s[s->n];
		if (rc == 0)
			rc = loop_fd_add(l, &one->watch, fds[i], LOOP_READ, on_incoming, one);
		if (rc) {
			close(fds[i]);
			continue;
		}
		one->owner = s;
		s->n++;
	}
	if (rc)
		sock_listen_close(s);
	return rc;
}

int sock_listen(struct loop *l, struct sock_listener *s, const char *text, uint16_t default_port,
		void (*fn)(void *arg, int fd, const struct sock_addr *peer), void *arg)
{
	int fds[SOCK_ADDRS_MAX], n = sock_listen_open(text, default_port, fds);
	*s = (struct sock_listener){.loop = l, .fn = fn, .arg = arg};
	return n < 0 ? n : sock_listen_take(l, s, fds, (unsigned)n, fn, arg);
}

void sock_listen_close(struct sock_listener *s)
{
	for (unsigned i = 0; i < s->n; i++) {
		loop_fd_del(s->loop, &s->s[i].watch);
		close(s->s[i].watch.fd);
	}
	if (s->loop)
		loop_timer_del(s->loop, &s->rest);
	s->n = 0;
}

uint16_t sock_listen_port(const struct sock_listener *s)
{
	return s->n ? local_port(s->s[0].watch.fd) : 0;
}
