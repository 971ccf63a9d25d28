/* SPDX-License-Identifier: BSD-2-Clause */
#include "net/link.h"

#include <errno.h>
#include <linux/if_arp.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define ANSWER_MAX 32768 /* an interface with many functions has much to tell */

struct message {
	_Alignas(struct nlmsghdr) uint8_t bytes[ANSWER_MAX];
};

static int ask(struct link *l)
{
	struct {
		struct nlmsghdr n;
		struct ifinfomsg info;
		struct rtattr rta;
		char name[IF_NAMESIZE];
	} q = {.n = {.nlmsg_type = RTM_GETLINK, .nlmsg_flags = NLM_F_REQUEST}};
	size_t len = strlen(l->name) + 1;

	q.n.nlmsg_len = (uint32_t)(NLMSG_LENGTH(sizeof(q.info)) + RTA_SPACE(len));
	q.rta = (struct rtattr){.rta_type = IFLA_IFNAME, .rta_len = (uint16_t)RTA_LENGTH(len)};
	memcpy(q.name, l->name, len);
	return send(l->fd, &q, q.n.nlmsg_len, 0) < 0 ? -errno : 0;
}

/* What the attributes of an interface say; its name goes to `name`. */
static void read_attributes(const struct nlmsghdr *n, struct link_state *s, const char **name)
{
	const struct ifinfomsg *info = NLMSG_DATA(n);
	size_t left = IFLA_PAYLOAD(n);

	for (const struct rtattr *a = IFLA_RTA(info); RTA_OK(a, left); a = RTA_NEXT(a, left)) {
		const void *data = RTA_DATA(a);
		size_t len = RTA_PAYLOAD(a);
		if (a->rta_type == IFLA_IFNAME && len && memchr(data, 0, len))
			*name = data;
		else if (a->rta_type == IFLA_MTU && len >= sizeof(s->mtu))
			memcpy(&s->mtu, data, sizeof(s->mtu));
		else if (a->rta_type == IFLA_ADDRESS && len == sizeof(s->mac))
			memcpy(s->mac, data, len);
	}
}

static void read_message(struct link *l, const struct nlmsghdr *n)
{
	const struct ifinfomsg *info = NLMSG_DATA(n);
	struct link_state s = {.index = 0};
	const char *name = "";

	if ((n->nlmsg_type != RTM_NEWLINK && n->nlmsg_type != RTM_DELLINK) ||
	    n->nlmsg_len < NLMSG_LENGTH(sizeof(*info)) || info->ifi_family != AF_UNSPEC)
		return;
	read_attributes(n, &s, &name);
	if (n->nlmsg_type == RTM_NEWLINK && strcmp(name, l->name) == 0) {
		s.index = info->ifi_index;
		s.ethernet = info->ifi_type == ARPHRD_ETHER;
		s.running = info->ifi_flags & IFF_UP && info->ifi_flags & IFF_RUNNING;
		l->now = s;
	} else if (info->ifi_index == l->now.index) { /* gone, or under another name */
		l->now = (struct link_state){.index = 0};
	}
}

static bool same(const struct link_state *a, const struct link_state *b)
{
	return a->index == b->index && a->ethernet == b->ethernet && a->running == b->running &&
	       a->mtu == b->mtu && memcmp(a->mac, b->mac, sizeof(a->mac)) == 0;
}

/* Takes one datagram; 0, or -errno. */
static int take(struct link *l)
{
	struct message in;
	ssize_t got = recv(l->fd, in.bytes, sizeof(in.bytes), MSG_DONTWAIT);
	const struct nlmsghdr *n = (const struct nlmsghdr *)in.bytes;
	/* In whole units, as NLMSG_NEXT() takes them off. */
	size_t left = got > 0 ? NLMSG_ALIGN((size_t)got) : 0;

	if (got < 0)
		return -errno;
	for (; NLMSG_OK(n, left); n = NLMSG_NEXT(n, left))
		read_message(l, n);
	return 0;
}

int link_open(struct link *l, const char *name)
{
	struct sockaddr_nl me = {.nl_family = AF_NETLINK, .nl_groups = RTMGRP_LINK};
	int rc;

	*l = (struct link){.fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE)};
	snprintf(l->name, sizeof(l->name), "%s", name);
	if (l->fd < 0)
		return -errno;
	rc = bind(l->fd, (struct sockaddr *)&me, sizeof(me)) < 0 ? -errno : ask(l);
	/* The kernel has answered within send(); that there is none is an answer, too. */
	while (rc == 0 || rc == -EINTR)
		rc = take(l);
	rc = rc == -EAGAIN ? 0 : rc;
	if (rc)
		link_close(l);
	return rc;
}

static void on_message(void *arg, unsigned events)
{
	struct link *l = arg;
	struct link_state before = l->now;
	int rc;

	(void)events;
	while ((rc = take(l)) == 0 || rc == -EINTR)
		;
	if (rc == -ENOBUFS) /* some have been lost */
		ask(l);
	if (!same(&before, &l->now))
		l->changed(l->arg);
}

int link_watch(struct link *l, struct loop *loop, void (*changed)(void *arg), void *arg)
{
	l->loop = loop;
	l->changed = changed;
	l->arg = arg;
	return loop_fd_add(loop, &l->watch, l->fd, LOOP_READ, on_message, l);
}

void link_close(struct link *l)
{
	if (l->fd < 0)
		return;
	if (l->loop)
		loop_fd_del(l->loop, &l->watch);
	close(l->fd);
	l->fd = -1;
}
