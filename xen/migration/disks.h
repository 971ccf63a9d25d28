/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The guest's disks at the destination, attached before the guest is stopped: Xen runs the block
 * scripts only when all memory has come, and a login then would be downtime.
 */
#ifndef XEN_DISKS_H
#define XEN_DISKS_H

#include <sys/types.h>

#include "core/buf.h"
#include "xen/guest.h"
#include "xen/verdicts.h"

struct disks {
	struct loop *loop;
	const libxl_domain_config *config;
	const struct buf *ids;
	struct verdicts *v;
	int next;
	struct loop_task task;

	/* the `vstor attach` that runs: it is done when both pipes and the process have ended */
	struct disks_pipe {
		struct disks *owner;
		struct loop_fd watch;
		int fd;
		struct buf text;
	} out, err;
	struct loop_child child;
	int status;
	unsigned waiting;

	dev_t *numbers;	 /* of each disk's device here; 0: not known */
	char **attached; /* devices that were not there before */
	int n_attached;
	void (*done)(void *arg);
	void *arg;
};

/*
 * Goes through the disks in turn: those of block-vstor are attached, others are looked for as far
 * as one can; a verdict for each is added to v. `ids` has the other host's disk_ids_put(): the
 * disks must be the same. Then done(arg), never before it has returned. config, ids and v stay the
 * caller's until then. It cannot be stopped: nothing half-attached stays.
 */
void disks_attach(struct disks *d, struct loop *l, const libxl_domain_config *config,
		  const struct buf *ids, struct verdicts *v, void (*done)(void *arg), void *arg);
/* The number of the device that the guest's disk is here, if it is known to be the same disk as
 * there; 0. */
dev_t disks_number(const struct disks *d, const char *vdev);
/* Starts to detach what disks_attach() attached (the guest has not come), and does not wait.
 * Devices that a guest uses by now stay. Harmless when all zero. */
void disks_release(struct disks *d);
void disks_fini(struct disks *d);

#define DISKS_TEXT 1024
/* What disks_release() would detach, for a record (xen/migration/handover.h): device after device,
 * a space between; what finds no place is left out. */
void disks_attached(const struct disks *d, char text[DISKS_TEXT]);
/* Detaches what such a text names, as disks_release(): for one who finds the record. */
void disks_release_named(const char *text);

#endif
