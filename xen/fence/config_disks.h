/* SPDX-License-Identifier: BSD-2-Clause */
/* The disks that a configuration has its guest write to, as devices of this host. */
#ifndef XEN_CONFIG_DISKS_H
#define XEN_CONFIG_DISKS_H

#include <libxl.h>

#include "net/attach.h"
#include "xen/fence/referee.h"

struct config_disk {
	char vdev[16], path[32];
	bool attached;	   /* by us: to be detached again, unless a guest needs it */
	const char *words; /* its target=, the configuration's */
	struct attachment a;
};

struct config_disks {
	unsigned n;
	struct config_disk disk[REFEREE_DISKS]; /* in the order of their identities */
};

/*
 * Attaches those of block-vstor that are not attached. Fills d, of which c must outlive the use;
 * disks that cannot be reserved, and empty ones, are left out, and *left_out names the first of
 * them with the reason ("" if none). 0, or -errno with one line in error; nothing stays attached
 * then.
 */
int config_disks_open(const libxl_domain_config *c, struct config_disks *d,
		      char left_out[ATTACH_ERROR], char error[ATTACH_ERROR]);
/* Detaches what was attached for us and is no guest's. */
void config_disks_close(struct config_disks *d);

/* The guest has come to its end on this host: gives up what is reserved of disks that block-vstor
 * knows nothing of, as migrations reserve them, too. */
void config_disks_release(const libxl_domain_config *c);

#endif
