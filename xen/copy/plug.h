/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A guest's disks and network cards, plugged while its memory is still on the way. When it comes to
 * be started, their back ends wait for it: made, with what their hotplug scripts do done. libxl by
 * itself begins with that when it has the last page, while the guest runs nowhere.
 */
#ifndef XEN_PLUG_H
#define XEN_PLUG_H

#include "xen/toolstack.h"

struct plug {
	struct loop *loop;
	struct toolstack *t;
	uint32_t domid;
	libxl_domain_config *config;
	int disks, nics, weight; /* as config really has them */
	struct toolstack_op *ops;
	unsigned n, next, left; /* all of them; begun; not done */
	struct loop_timer timer;
	char cause[256]; /* "": none has failed yet */
	bool holds;	 /* the disks wait to be let go (xen/held_disks.h) */
	void (*done)(void *arg);
	void *arg;
};

/*
 * Right after libxl_domain_create_restore(): plugs the devices of config into the domain that it
 * has begun to make. Then done(arg), never before this has returned: all are plugged, or p->cause
 * says why not. config must not be used until plug_fini(). False: they are left to libxl, which
 * plugs them after the stream: there are none, or QEMU has a part in them. With hold, the disks of
 * a guest that has network cards are held.
 */
bool plug_start(struct plug *p, struct loop *l, struct toolstack *t, libxl_domain_config *config,
		bool hold, void (*done)(void *arg), void *arg);
/* Between plug_start() and done(). */
bool plug_busy(const struct plug *p);
/* Asks for an early end; done() follows. */
void plug_abort(struct plug *p);
/* After done() and the end of the restore. Harmless when all zero. */
void plug_fini(struct plug *p);

#endif
