/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A network interface by its name (rtnetlink(7)): what it is now, and each time that it comes,
 * changes or goes. No rights are needed for it.
 */
#ifndef NET_LINK_H
#define NET_LINK_H

#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/loop.h"

struct link_state {
	int index;     /* 0: there is no such interface */
	bool ethernet; /* its addresses have six bytes */
	bool running;  /* it is up, and so is what it is connected to */
	unsigned mtu;
	uint8_t mac[6];
};

struct link {
	char name[IF_NAMESIZE];
	struct link_state now;
	int fd; /* -1: not open */
	struct loop *loop;
	struct loop_fd watch;
	void (*changed)(void *arg);
	void *arg;
};

/* Asks the kernel, which answers at once: l->now is set. The name is cut to what a name can be.
 * 0 or -errno. */
int link_open(struct link *l, const char *name);
/* From now on changed() is called after each change of l->now. 0 or -errno. */
int link_watch(struct link *l, struct loop *loop, void (*changed)(void *arg), void *arg);
/* Harmless when it is not open (fd -1). */
void link_close(struct link *l);

#endif
