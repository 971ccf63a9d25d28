/* SPDX-License-Identifier: BSD-2-Clause */
#include "net/ping.h"

#include <errno.h>
#include <linux/icmp.h>
#include <netdb.h>
#include <netinet/icmp6.h>
#include <netinet/ip.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "core/buf.h"
#include "core/bytes.h"
#include "core/digest.h"

#define COOKIE_LEN 8
#define ECHO_LEN   (8 + COOKIE_LEN + 8) /* ICMP header, cookie, sequence number in full */

enum outcome { WAITING, ANSWERED, LOST };

struct echo {
	uint64_t sent_ns; /* clock_ns() */
	enum outcome outcome;
};

struct ping {
	struct loop *loop;
	struct loop_fd fd;
	struct loop_timer send_timer, linger_timer;
	struct ping_events ev;
	int family;
	bool raw; /* not a ping socket: we write id and checksum, and see the IPv4 header */
	uint16_t id;
	uint8_t cookie[COOKIE_LEN]; /* tells our replies from those to other pings */
	uint64_t interval, count, next_due;
	bool finishing;
	uint64_t last_sent_ns, last_reply_ns; /* clock_ns(); 0: none yet */
	struct echo *ring;		      /* of echoes [oldest, stats.sent), at seq & mask */
	uint64_t mask, oldest;
	bool run_open; /* stats.run[stats.runs - 1] may still grow */
	uint64_t run_start;
	struct ping_stats stats;
};

int ping_resolve(const char *host, struct sockaddr_storage *addr, socklen_t *len, const char **why)
{
	struct addrinfo hints = {.ai_socktype = SOCK_DGRAM}, *ai;
	int r = getaddrinfo(host, NULL, &hints, &ai);

	if (r) {
		if (why)
			*why = gai_strerror(r);
		return -ENOENT;
	}
	memcpy(addr, ai->ai_addr, ai->ai_addrlen);
	*len = ai->ai_addrlen;
	freeaddrinfo(ai);
	return 0;
}

/* Writes the end of the open run: every echo sent from its start until `until` was lost. */
static void run_extend(struct ping *p, uint64_t until)
{
	struct ping_stats *s = &p->stats;

	if (s->runs <= PING_MAX_RUNS)
		s->run[s->runs - 1].length_ns = until - p->run_start;
}

/* Counts the outcome of the oldest echo; it is answered or given up. */
static void settle_oldest(struct ping *p)
{
	struct ping_stats *s = &p->stats;
	struct echo *e = &p->ring[p->oldest & p->mask];

	if (e->outcome == ANSWERED) {
		if (p->run_open)
			run_extend(p, e->sent_ns);
		p->run_open = false;
	} else {
		e->outcome = LOST;
		s->lost++;
		if (!p->run_open) {
			p->run_open = true;
			p->run_start = e->sent_ns;
			s->runs++;
			if (s->runs <= PING_MAX_RUNS)
				s->run[s->runs - 1].start_ns = e->sent_ns - s->start_ns;
		}
		if (s->runs <= PING_MAX_RUNS)
			s->run[s->runs - 1].lost++;
		run_extend(p, e->sent_ns + p->interval);
	}
	p->oldest++;
}

static void settle(struct ping *p, uint64_t now)
{
	while (p->oldest < p->stats.sent) {
		const struct echo *e = &p->ring[p->oldest & p->mask];

		if (e->outcome == WAITING && now - e->sent_ns < PING_TIMEOUT)
			break;
		settle_oldest(p);
	}
}

/* A stretch without replies ends at `until`. */
static void note_gap(struct ping *p, uint64_t until)
{
	struct ping_stats *s = &p->stats;
	uint64_t from = p->last_reply_ns ? p->last_reply_ns : s->start_ns;

	if (until > from && until - from > s->gap_ns) {
		s->gap_ns = until - from;
		s->gap_start_ns = from - s->start_ns;
	}
}

static void finished(void *arg)
{
	struct ping *p = arg;

	loop_timer_del(p->loop, &p->linger_timer);
	loop_fd_del(p->loop, &p->fd);
	while (p->oldest < p->stats.sent)
		settle_oldest(p);
	note_gap(p, p->last_sent_ns);
	p->ev.finished(p->ev.arg);
}

/* Has every echo of the last PING_LINGER been answered? For older ones nobody waits at the end. */
static bool nothing_awaited(const struct ping *p, uint64_t now)
{
	for (uint64_t seq = p->stats.sent; seq-- > p->oldest;) {
		const struct echo *e = &p->ring[seq & p->mask];

		if (now - e->sent_ns >= PING_LINGER)
			break;
		if (e->outcome == WAITING)
			return false;
	}
	return true;
}

void ping_finish(struct ping *p)
{
	uint64_t now = clock_ns();

	if (p->finishing)
		return;
	p->finishing = true;
	loop_timer_del(p->loop, &p->send_timer);
	loop_timer_set(p->loop, &p->linger_timer, nothing_awaited(p, now) ? 0 : PING_LINGER,
		       finished, p);
}

/* RFC 1071. IPv6 has its checksum filled in by the kernel, for it covers the addresses. */
static uint16_t checksum(const uint8_t *b, size_t n)
{
	uint32_t sum = 0;

	for (size_t i = 0; i + 1 < n; i += 2)
		sum += get_be16(b + i);
	sum = (sum >> 16) + (sum & 0xffff);
	sum += sum >> 16;
	return (uint16_t)~sum;
}

static void send_echo(void *arg)
{
	struct ping *p = arg;
	struct ping_stats *s = &p->stats;
	uint64_t now = clock_ns();
	uint8_t m[ECHO_LEN] = {0};

	settle(p, now);
	/* A late timer could let more echoes wait than the ring was made for. */
	if (s->sent - p->oldest > p->mask)
		settle_oldest(p);
	m[0] = p->family == AF_INET ? ICMP_ECHO : ICMP6_ECHO_REQUEST;
	put_be16(m + 4, p->id);
	put_be16(m + 6, (uint16_t)s->sent);
	memcpy(m + 8, p->cookie, COOKIE_LEN);
	put_be64(m + 8 + COOKIE_LEN, s->sent);
	if (p->family == AF_INET)
		put_be16(m + 2, checksum(m, sizeof(m)));

	p->ring[s->sent & p->mask] = (struct echo){.sent_ns = now, .outcome = WAITING};
	s->sent++;
	p->last_sent_ns = now;
	if (send(p->fd.fd, m, sizeof(m), MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
		s->send_errors++;
		s->last_error = errno;
	}
	if (p->count && s->sent == p->count) {
		ping_finish(p);
		return;
	}
	p->next_due += p->interval;
	if (p->next_due <= now)
		p->next_due = now + p->interval;
	loop_timer_set(p->loop, &p->send_timer, p->next_due - now, send_echo, p);
}

/* When the kernel took the packet in, on the monotonic clock; `now` if it does not say. */
static uint64_t arrival(struct msghdr *mh, uint64_t now)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(mh); c; c = CMSG_NXTHDR(mh, c)) {
		struct timespec rx, wall;
		int64_t age;

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_TIMESTAMPNS)
			continue;
		memcpy(&rx, CMSG_DATA(c), sizeof(rx));
		clock_gettime(CLOCK_REALTIME, &wall);
		age = (int64_t)(wall.tv_sec - rx.tv_sec) * (int64_t)SEC_NS + wall.tv_nsec -
		      rx.tv_nsec;
		/* A wall clock set meanwhile must not make a reply of tomorrow, nor an old one. */
		if (age > 0 && age < (int64_t)(100 * MS_NS))
			return now - (uint64_t)age;
	}
	return now;
}

static void take_reply(struct ping *p, uint64_t seq, uint64_t at)
{
	struct ping_stats *s = &p->stats;
	struct echo *e;
	uint64_t rtt;

	if (seq >= s->sent)
		return;
	if (s->sent - seq > p->mask + 1) {
		s->late++;
		return;
	}
	e = &p->ring[seq & p->mask];
	if (e->outcome == ANSWERED) {
		s->duplicates++;
		return;
	}
	if (at < e->sent_ns)
		at = e->sent_ns;
	/* The host is back, even when the echo has been given up. */
	note_gap(p, at);
	if (at > p->last_reply_ns)
		p->last_reply_ns = at;
	if (e->outcome == LOST) {
		s->late++;
		return;
	}
	e->outcome = ANSWERED;
	rtt = at - e->sent_ns;
	s->received++;
	hist_add(&s->rtt, rtt);
	if (p->ev.reply)
		p->ev.reply(p->ev.arg, seq, rtt);
}

/* Reads one message; false when there is none. */
static bool receive(struct ping *p)
{
	uint8_t b[256];
	union {
		struct cmsghdr align;
		char b[CMSG_SPACE(sizeof(struct timespec)) + 64];
	} control;
	struct iovec iov = {.iov_base = b, .iov_len = sizeof(b)};
	struct msghdr mh = {.msg_iov = &iov,
			    .msg_iovlen = 1,
			    .msg_control = &control,
			    .msg_controllen = sizeof(control)};
	ssize_t n = recvmsg(p->fd.fd, &mh, MSG_DONTWAIT);
	const uint8_t *cookie;
	struct reader r;
	uint64_t seq;
	uint8_t type;

	/* An ICMP error about an echo also arrives as one failed read: that echo stays unanswered.
	 */
	if (n < 0)
		return errno != EAGAIN && errno != EWOULDBLOCK;
	r = reader_of(b, (size_t)n);
	if (p->raw && p->family == AF_INET) {
		uint8_t ihl = read_u8(&r) & 0xf;

		if (ihl < 5)
			return true;
		read_bytes(&r, ihl * 4u - 1);
	}
	type = read_u8(&r);
	read_bytes(&r, 7);
	cookie = read_bytes(&r, COOKIE_LEN);
	seq = read_be64(&r);
	if (r.failed || type != (p->family == AF_INET ? ICMP_ECHOREPLY : ICMP6_ECHO_REPLY) ||
	    memcmp(cookie, p->cookie, COOKIE_LEN) != 0)
		return true;
	take_reply(p, seq, arrival(&mh, clock_ns()));
	return true;
}

static void readable(void *arg, unsigned events)
{
	struct ping *p = arg;
	uint64_t now;

	(void)events;
	/* Bounded, so that a flood cannot starve the timer. */
	for (int i = 0; i < 64 && receive(p); i++)
		;
	now = clock_ns();
	settle(p, now);
	if (p->finishing && nothing_awaited(p, now))
		finished(p);
}

/* Lets only echo replies reach a raw socket: it would see all ICMP of the host otherwise. */
static void filter_replies(int fd, int family)
{
	/* ICMP_FILTER of linux/icmp.h: a set bit keeps that type out. A failure costs only time:
	 * receive() looks at the type too. */
	uint32_t v4 = ~(1u << ICMP_ECHOREPLY);
	struct icmp6_filter v6;

	if (family == AF_INET) {
		setsockopt(fd, SOL_RAW, ICMP_FILTER, &v4, sizeof(v4));
		return;
	}
	ICMP6_FILTER_SETBLOCKALL(&v6);
	ICMP6_FILTER_SETPASS(ICMP6_ECHO_REPLY, &v6);
	setsockopt(fd, IPPROTO_ICMPV6, ICMP6_FILTER, &v6, sizeof(v6));
}

static int open_socket(struct ping *p, const struct sockaddr *addr, socklen_t len)
{
	int proto = p->family == AF_INET ? IPPROTO_ICMP : IPPROTO_ICMPV6, one = 1;
	int fd = socket(p->family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, proto);

	if (fd < 0) {
		p->raw = true;
		fd = socket(p->family, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, proto);
		if (fd < 0)
			return -errno;
		filter_replies(fd, p->family);
	}
	setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &one, sizeof(one));
	if (connect(fd, addr, len) < 0) {
		int err = -errno;

		close(fd);
		return err;
	}
	return fd;
}

int ping_new(struct loop *l, const struct sockaddr *addr, socklen_t len, uint64_t interval_ns,
	     uint64_t count, const struct ping_events *ev, struct ping **out)
{
	struct ping *p;
	uint64_t size = 1;
	int fd, err;

	if (interval_ns < PING_MIN_INTERVAL)
		return -EINVAL;
	p = calloc(1, sizeof(*p));
	if (!p)
		return -ENOMEM;
	*p = (struct ping){.loop = l,
			   .fd = {.fd = -1},
			   .ev = *ev,
			   .family = addr->sa_family,
			   .id = (uint16_t)getpid(),
			   .interval = interval_ns,
			   .count = count};
	while (size < PING_TIMEOUT / interval_ns + 2)
		size *= 2;
	p->mask = size - 1;
	p->ring = calloc(size, sizeof(*p->ring));
	err = p->ring ? random_bytes(p->cookie, sizeof(p->cookie)) : -ENOMEM;
	if (err)
		goto out;
	fd = open_socket(p, addr, len);
	if (fd < 0) {
		err = fd;
		goto out;
	}
	err = loop_fd_add(l, &p->fd, fd, LOOP_READ, readable, p);
	p->fd.fd = fd;
	if (err)
		goto out;
	p->stats.start_ns = p->next_due = clock_ns();
	hist_reset(&p->stats.rtt);
	loop_timer_set(l, &p->send_timer, 0, send_echo, p);
	*out = p;
	return 0;
out:
	ping_free(p);
	return err;
}

void ping_free(struct ping *p)
{
	if (!p)
		return;
	loop_timer_del(p->loop, &p->send_timer);
	loop_timer_del(p->loop, &p->linger_timer);
	loop_fd_del(p->loop, &p->fd);
	if (p->fd.fd >= 0)
		close(p->fd.fd);
	free(p->ring);
	free(p);
}

const struct ping_stats *ping_stats(const struct ping *p)
{
	return &p->stats;
}

uint64_t ping_silence(const struct ping *p)
{
	return clock_ns() - (p->last_reply_ns ? p->last_reply_ns : p->stats.start_ns);
}
