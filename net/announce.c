/* SPDX-License-Identifier: BSD-2-Clause */
#include "net/announce.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/bytes.h"
#include "core/log.h"

#define MAC_LEN	     6
#define FRAME_MIN    60 /* Ethernet's, without the checksum */
#define ETHER_ARP    0x0806
#define ETHER_RARP   0x8035
#define ETHER_IPV6   0x86dd
#define ICMP6	     58
#define NA	     136
#define NA_OVERRIDE  0x20
#define NA_LINK_ADDR 2

/* From one to the next, once the links are up: any can be lost. */
static const uint64_t gaps[] = {50 * MS_NS, 100 * MS_NS, 250 * MS_NS, 600 * MS_NS, SEC_NS};

/* ---- frames ---- */

static size_t ethernet(const uint8_t *to, const uint8_t *from, uint16_t type, uint8_t *frame)
{
	memset(frame, 0, ANNOUNCE_FRAME_MAX);
	memcpy(frame, to, MAC_LEN);
	memcpy(frame + 6, from, MAC_LEN);
	put_be16(frame + 12, type);
	return 14;
}

/* RFC 826: Ethernet (1), IPv4 (0x0800), sender, target. */
static size_t arp(uint16_t type, uint16_t op, const uint8_t *mac, const uint8_t *ip,
		  const uint8_t *target, uint8_t *frame)
{
	static const uint8_t all[MAC_LEN] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
	uint8_t *p = frame + ethernet(all, mac, type, frame);

	put_be16(p, 1);
	put_be16(p + 2, 0x0800);
	p[4] = MAC_LEN;
	p[5] = 4;
	put_be16(p + 6, op);
	memcpy(p + 8, mac, MAC_LEN);
	memcpy(p + 14, ip, 4);
	if (target)
		memcpy(p + 18, target, MAC_LEN);
	memcpy(p + 24, ip, 4);
	return FRAME_MIN;
}

size_t announce_rarp(const uint8_t mac[6], uint8_t frame[ANNOUNCE_FRAME_MAX])
{
	static const uint8_t none[4];

	return arp(ETHER_RARP, 3, mac, none, mac, frame);
}

size_t announce_arp(const uint8_t mac[6], const uint8_t ip[4], uint8_t frame[ANNOUNCE_FRAME_MAX])
{
	return arp(ETHER_ARP, 1, mac, ip, NULL, frame);
}

/* RFC 1071, over an even number of bytes. */
static uint32_t sum16(const uint8_t *p, size_t n, uint32_t sum)
{
	for (size_t i = 0; i < n; i += 2)
		sum += get_be16(p + i);
	return sum;
}

size_t announce_na(const uint8_t mac[6], const uint8_t ip[16], uint8_t frame[ANNOUNCE_FRAME_MAX])
{
	static const uint8_t to_mac[MAC_LEN] = {0x33, 0x33, 0, 0, 0, 1};
	static const uint8_t to_ip[16] = {0xff, 2, [15] = 1};
	const size_t icmp = 32; /* the advertisement, and the option with the link address */
	uint8_t *ip6 = frame + ethernet(to_mac, mac, ETHER_IPV6, frame), *p = ip6 + 40;
	uint32_t sum;

	ip6[0] = 0x60;
	put_be16(ip6 + 4, (uint16_t)icmp);
	ip6[6] = ICMP6;
	ip6[7] = 255;
	memcpy(ip6 + 8, ip, 16);
	memcpy(ip6 + 24, to_ip, 16);
	p[0] = NA;
	p[4] = NA_OVERRIDE;
	memcpy(p + 8, ip, 16);
	p[24] = NA_LINK_ADDR;
	p[25] = 1;
	memcpy(p + 26, mac, MAC_LEN);
	/* RFC 8200, 8.1: both addresses, the length and the next header count, too. */
	sum = sum16(p, icmp, sum16(ip6 + 8, 32, icmp + ICMP6));
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	put_be16(p + 2, (uint16_t)~sum);
	return (size_t)(p + icmp - frame);
}

int announce_add_address(struct announce_nic *nic, const char *text)
{
	struct announce_address *a = &nic->addresses[nic->n_addresses];
	char plain[INET6_ADDRSTRLEN];

	if (nic->n_addresses == ANNOUNCE_ADDRESSES)
		return -ENOSPC;
	snprintf(plain, sizeof(plain), "%.*s", (int)strcspn(text, "/"), text);
	a->family = strchr(plain, ':') ? AF_INET6 : AF_INET;
	if (inet_pton(a->family, plain, a->ip) != 1)
		return -EINVAL;
	nic->n_addresses++;
	return 0;
}

/* ---- out of the bridge ---- */

/* The bridge that a port belongs to; 0: none, or one that is not Linux's. */
static unsigned bridge_of(const char *port, char name[IF_NAMESIZE])
{
	char path[128], target[256];
	const char *base;
	ssize_t n;

	snprintf(path, sizeof(path), "/sys/class/net/%.*s/master", IF_NAMESIZE, port);
	n = readlink(path, target, sizeof(target) - 1);
	if (n <= 0)
		return 0;
	target[n] = 0;
	base = strrchr(target, '/');
	snprintf(name, IF_NAMESIZE, "%.*s", IF_NAMESIZE - 1, base ? base + 1 : target);
	snprintf(path, sizeof(path), "/sys/class/net/%.*s/bridge", IF_NAMESIZE, name);
	return access(path, F_OK) ? 0 : if_nametoindex(name);
}

static void send_frame(struct announce *a, unsigned bridge, const uint8_t *frame, size_t n)
{
	struct sockaddr_ll to = {
		.sll_family = AF_PACKET, .sll_ifindex = (int)bridge, .sll_halen = MAC_LEN};

	memcpy(to.sll_addr, frame, MAC_LEN);
	if (sendto(a->packet, frame, n, MSG_DONTWAIT, (struct sockaddr *)&to, sizeof(to)) < 0)
		log_debug("announcing: %s", strerror(errno));
}

static void tell_others(struct announce *a, const struct announce_nic *nic, unsigned bridge)
{
	uint8_t frame[ANNOUNCE_FRAME_MAX];
	size_t n = announce_rarp(nic->mac, frame);

	send_frame(a, bridge, frame, n);
	for (unsigned i = 0; i < nic->n_addresses; i++) {
		const struct announce_address *ip = &nic->addresses[i];

		n = ip->family == AF_INET6 ? announce_na(nic->mac, ip->ip, frame)
					   : announce_arp(nic->mac, ip->ip, frame);
		send_frame(a, bridge, frame, n);
	}
}

/* The bridge itself does not learn from what this host sends. It takes the entry as if it had
 * learnt it (rtnetlink(7); `bridge fdb replace MAC dev PORT master dynamic`), but not before the
 * port's link is up. */
static void tell_bridge(struct announce *a, const struct announce_nic *nic)
{
	struct {
		struct nlmsghdr n;
		struct ndmsg nd;
		struct rtattr rta;
		uint8_t mac[8];
	} q = {
		.n = {.nlmsg_len = NLMSG_LENGTH(sizeof(q.nd)) + RTA_SPACE(MAC_LEN),
		      .nlmsg_type = RTM_NEWNEIGH,
		      .nlmsg_flags = NLM_F_REQUEST | NLM_F_CREATE | NLM_F_REPLACE},
		.nd = {.ndm_family = AF_BRIDGE,
		       .ndm_ifindex = (int)if_nametoindex(nic->port),
		       .ndm_state = NUD_REACHABLE,
		       .ndm_flags = NTF_MASTER},
		.rta = {.rta_len = RTA_LENGTH(MAC_LEN), .rta_type = NDA_LLADDR},
	};

	memcpy(q.mac, nic->mac, MAC_LEN);
	if (send(a->netlink, &q, q.n.nlmsg_len, MSG_DONTWAIT) < 0)
		log_debug("%s: bridge: %s", nic->port, strerror(errno));
}

static void announce(struct announce *a, const struct announce_nic *nic)
{
	char name[IF_NAMESIZE];
	unsigned bridge = bridge_of(nic->port, name);

	if (bridge) {
		tell_bridge(a, nic);
		tell_others(a, nic, bridge);
		log_debug("%s: announced on %s", nic->port, name);
	} else if (a->step == 0) {
		log_info("%s: not on a bridge of this host: not announced", nic->port);
	}
}

/* ---- when ---- */

/* A port that is not there is not waited for. */
static bool is_up(const struct announce *a, const struct announce_nic *nic)
{
	struct ifreq r = {0};

	snprintf(r.ifr_name, sizeof(r.ifr_name), "%.*s", IF_NAMESIZE - 1, nic->port);
	return ioctl(a->packet, SIOCGIFFLAGS, &r) || r.ifr_flags & IFF_RUNNING;
}

static void on_timer(void *arg);

static void links_are_up(struct announce *a)
{
	a->up = true;
	loop_timer_set(a->loop, &a->timer, gaps[a->step++], on_timer, a);
	if (a->when_up)
		a->when_up(a->arg);
}

static void look(struct announce *a)
{
	for (unsigned i = 0; i < a->n_nics; i++)
		if (!is_up(a, &a->nics[i]))
			return;
	if (!a->up)
		links_are_up(a);
}

/* Links that come up, and complaints about what tell_bridge() sent too early. */
static void on_link(void *arg, unsigned events)
{
	struct announce *a = arg;
	struct {
		_Alignas(struct nlmsghdr) uint8_t bytes[8192];
	} in;
	ssize_t got = recv(a->netlink, in.bytes, sizeof(in.bytes), MSG_DONTWAIT);
	const struct nlmsghdr *n = (const struct nlmsghdr *)in.bytes;
	/* In whole units, as NLMSG_NEXT() takes them off. */
	size_t left = got > 0 ? NLMSG_ALIGN((size_t)got) : 0;

	(void)events;
	for (; NLMSG_OK(n, left); n = NLMSG_NEXT(n, left)) {
		const struct ifinfomsg *link = NLMSG_DATA(n);

		if (n->nlmsg_type != RTM_NEWLINK || n->nlmsg_len < NLMSG_LENGTH(sizeof(*link)) ||
		    !(link->ifi_flags & IFF_RUNNING))
			continue;
		for (unsigned i = 0; i < a->n_nics; i++)
			if (if_nametoindex(a->nics[i].port) == (unsigned)link->ifi_index)
				announce(a, &a->nics[i]);
	}
	look(a);
}

static void on_timer(void *arg)
{
	struct announce *a = arg;

	for (unsigned i = 0; i < a->n_nics; i++)
		announce(a, &a->nics[i]);
	if (!a->up) {
		links_are_up(a); /* or never will be */
		return;
	}
	if (a->step < ARRAY_SIZE(gaps)) {
		loop_timer_set(a->loop, &a->timer, gaps[a->step++], on_timer, a);
		return;
	}
	announce_stop(a);
	a->done(a->arg);
}

/* Switches may learn it before the guest is there; it is not yet worth more of this host's time. */
static void on_begin(void *arg)
{
	struct announce *a = arg;

	for (unsigned i = 0; i < a->n_nics; i++)
		announce(a, &a->nics[i]);
	loop_timer_set(a->loop, &a->timer, ANNOUNCE_LINK_NS, on_timer, a);
	look(a);
}

int announce_start(struct announce *a, struct loop *l, const struct announce_nic *nics, unsigned n,
		   void (*done)(void *arg), void *arg)
{
	struct sockaddr_nl me = {.nl_family = AF_NETLINK, .nl_groups = RTMGRP_LINK};
	int rc = 0;

	*a = (struct announce){
		.loop = l, .packet = -1, .netlink = -1, .n_nics = n, .done = done, .arg = arg};
	a->nics = calloc(n + 1, sizeof(*nics));
	/* Protocol 0: it sends only. */
	a->packet = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	a->netlink = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
	if (!a->nics)
		rc = -ENOMEM;
	else if (a->packet < 0 || a->netlink < 0 ||
		 bind(a->netlink, (struct sockaddr *)&me, sizeof(me)) < 0)
		rc = -errno;
	if (!rc)
		rc = loop_fd_add(l, &a->watch, a->netlink, LOOP_READ, on_link, a);
	if (rc) {
		announce_stop(a);
		return rc;
	}
	memcpy(a->nics, nics, n * sizeof(*nics));
	loop_timer_set(l, &a->timer, 0, on_begin, a);
	return 0;
}

void announce_when_up(struct announce *a, void (*fn)(void *arg))
{
	a->when_up = fn;
}

void announce_stop(struct announce *a)
{
	if (!a->loop)
		return;
	loop_timer_del(a->loop, &a->timer);
	loop_fd_del(a->loop, &a->watch);
	if (a->packet >= 0)
		close(a->packet);
	if (a->netlink >= 0)
		close(a->netlink);
	free(a->nics);
	a->loop = NULL;
}
