/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * TCP sockets for every role: addresses as the user writes them, connecting with a deadline,
 * listening, and the options that make a dead link visible.
 */
#ifndef NET_SOCK_H
#define NET_SOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "core/loop.h"

#define SOCK_HOST_MAX  256 /* a host name with its NUL (RFC 1035, 2.3.4) */
#define SOCK_TEXT_MAX  80  /* "[address%scope]:port" with its NUL */
#define SOCK_ADDRS_MAX 8

struct sock_addr {
	struct sockaddr_storage ss;
	socklen_t len;
};

/* What one name stands for, in the order to be tried. */
struct sock_addrs {
	struct sock_addr v[SOCK_ADDRS_MAX];
	unsigned n;
};

/*
 * Takes HOST, HOST:PORT, V4:PORT, [V6], [V6]:PORT or V6 apart; *port keeps its value (the default)
 * when the text names none. -EINVAL: not of that form, or a port outside 1..65535.
 */
int sock_parse(const char *text, char host[SOCK_HOST_MAX], uint16_t *port);

/*
 * The addresses of HOST[:PORT]. May wait for a name server (never for a numeric address): call it
 * before the loop runs, or in a worker. -EINVAL: see sock_parse(); -ENXIO: no such host; -EAGAIN:
 * no answer from the name server; all have their text in sock_strerror().
 */
int sock_resolve(const char *text, uint16_t default_port, struct sock_addrs *out);
/* The same, and never waits: a host that is no numeric address is -ENXIO. */
int sock_resolve_numeric(const char *text, uint16_t default_port, struct sock_addrs *out);
/* The same for listening: no host, or `*`, means every local address, IPv6 and IPv4; port 0 lets
 * the kernel choose one. */
int sock_resolve_local(const char *text, uint16_t default_port, struct sock_addrs *out);
/* strerror() of a positive or negative errno, with texts that fit for the errors of this module. */
const char *sock_strerror(int err);

/* "192.0.2.1:3260", "[2001:db8::1]:3260" (an IPv4-mapped address as IPv4); returns buf. */
const char *sock_text(const struct sock_addr *a, char buf[SOCK_TEXT_MAX]);
/* A socket's near end; 0 or -errno. */
int sock_local(int fd, struct sock_addr *a);
/*
 * Can who has reached us at `a` be told to come to `b`? Of the same family; a loopback address only
 * from loopback, a link-local one only from the same link (RFC 4007); one that means "any" never.
 */
bool sock_alike(const struct sock_addr *a, const struct sock_addr *b);
/* sock_text() of a connected socket's far or near end; "?" when it has none. */
const char *sock_peer_text(int fd, char buf[SOCK_TEXT_MAX]);
const char *sock_local_text(int fd, char buf[SOCK_TEXT_MAX]);

/*
 * Connecting: tries the addresses one after the other until one answers or the deadline has passed
 * (shared out: each gets an equal part of what is left). Then done(arg, fd, NULL), where the fd is
 * non-blocking, close-on-exec and the callee's, or done(arg, -errno, "address: cause").
 * The struct is the caller's and must stay until then, or until sock_connect_cancel().
 */
struct sock_connect {
	struct loop *loop;
	struct sock_addrs addrs;
	unsigned next;
	uint64_t deadline;
	int fd, err;
	struct loop_fd watch;
	struct loop_timer timer;
	void (*done)(void *arg, int fd, const char *error);
	void *arg;
	char error[160];
};
/* Never calls done() before it has returned. */
void sock_connect(struct loop *l, struct sock_connect *c, const struct sock_addrs *to,
		  uint64_t timeout_ns, void (*done)(void *arg, int fd, const char *error),
		  void *arg);
/* Harmless when nothing is under way (or c is all zero). */
void sock_connect_cancel(struct sock_connect *c);

/*
 * Listening on all that sock_resolve_local() gives. Each new connection goes to fn, which owns the
 * fd (non-blocking, close-on-exec) and may call sock_listen_close(). Out of descriptors, it rests
 * for a moment and tries again.
 */
struct sock_listener {
	struct loop *loop;
	struct sock_listening {
		struct loop_fd watch;
		struct sock_listener *owner;
	} s[SOCK_ADDRS_MAX];
	unsigned n;
	struct loop_timer rest;
	void (*fn)(void *arg, int fd, const struct sock_addr *peer);
	void *arg;
};
/* `text` as in sock_resolve_local(). 0 or -errno: nothing is open then. Of several
 * addresses, those of a family that this host does not have are left out. */
int sock_listen(struct loop *l, struct sock_listener *s, const char *text, uint16_t default_port,
		void (*fn)(void *arg, int fd, const struct sock_addr *peer), void *arg);
/* Its two halves, for one process that may open a port and another that serves it: opens, and gives
 * the number of sockets or -errno; takes these over, also when it fails. */
int sock_listen_open(const char *text, uint16_t default_port, int fds[SOCK_ADDRS_MAX]);
int sock_listen_take(struct loop *l, struct sock_listener *s, const int *fds, unsigned n,
		     void (*fn)(void *arg, int fd, const struct sock_addr *peer), void *arg);
/* Closes the listening sockets; harmless when all zero. */
void sock_listen_close(struct sock_listener *s);
/* The port, also when the kernel chose it. */
uint16_t sock_listen_port(const struct sock_listener *s);

/* Small writes go out at once (TCP_NODELAY). All the setters ignore what is not a TCP socket. */
void sock_nodelay(int fd);
/* Bounds what lies in the kernel on its way out of a connection, that on the wire included. */
void sock_bound_sending(int fd, int bytes);
/* It is readable when so many bytes are there (1: any), at its end, or when it can hold no more;
 * the buffer for what comes in grows to twice that. */
void sock_wake_at(int fd, int bytes);
/*
 * Keepalive probes while idle and TCP_USER_TIMEOUT while data is unacknowledged (RFC 5482), so that
 * a cut link ends in ETIMEDOUT after about dead_ns (at least 2 s) either way. Since Linux 5.11 a
 * peer that lives but takes nothing (a closed window) for that long ends the same way.
 */
void sock_keepalive(int fd, uint64_t dead_ns);
/* Sets or clears O_NONBLOCK; 0 or -errno. */
int sock_nonblock(int fd, bool on);

#endif
