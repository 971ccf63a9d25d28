/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * In the place of an interface and its packet socket (net/aoe/port_open.c, net/link.c): a pair of
 * local sockets. For programs that test the AoE target without a network, and without rights; a
 * program's own functions take the place of those in an archive.
 */
#ifndef TESTS_AOE_NO_WIRE_H
#define TESTS_AOE_NO_WIRE_H

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/aoe/port.h"

static int no_wire[2]; /* ours, the target's */
static struct link_state no_wire_link = {
	.index = 1, .ethernet = true, .running = true, .mtu = 9000, .mac = {2}};

static inline void no_wire_begin(void)
{
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, no_wire))
		abort();
}

static inline void no_wire_end(void)
{
	close(no_wire[0]);
	close(no_wire[1]);
}

int aoe_port_open(struct aoe_port *p, const char *ifname, uint16_t shelf)
{
	(void)ifname;
	p->link = (struct link){.name = "none", .fd = -1, .now = no_wire_link};
	p->shelf = shelf;
	p->ring = NULL;
	p->fd = fcntl(no_wire[1], F_DUPFD_CLOEXEC, 0);
	return p->fd < 0 ? -errno : 0;
}

int aoe_port_bind(struct aoe_port *p)
{
	(void)p;
	return 0;
}

int link_watch(struct link *l, struct loop *loop, void (*changed)(void *arg), void *arg)
{
	(void)loop;
	l->changed = changed;
	l->arg = arg;
	return 0;
}

void link_close(struct link *l)
{
	(void)l;
}

#endif
