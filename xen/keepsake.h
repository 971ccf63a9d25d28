/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What this host keeps of guests that run, or have last been seen, on another: a guest's
 * configuration, and where that was. For `vstor takeover`, when that host is dead. A file for each
 * guest, which outlives a reboot.
 */
#ifndef XEN_KEEPSAKE_H
#define XEN_KEEPSAKE_H

#include <stdint.h>

#include "net/sock.h"
#include "xen/guest.h"

struct keepsake {
	char name[GUEST_NAME_MAX], uuid[GUEST_UUID_MAX];
	char peer[SOCK_HOST_MAX]; /* the other host's address or name; "" when it is not known */
	uint32_t peer_id;	  /* referee_host_of() its keys; 0: not known */
	char *json;		  /* libxl's configuration */
};

/* Where the files are; made when missing. "/var/lib/vstor/guests" unless a test changes it. */
extern const char *keepsake_dir;

/* Keeps it in the place of what was kept of the guest. 0 or -errno, logged. */
int keepsake_put(const struct keepsake *k);
/* The guest of that name of which was heard last. 0, -ENOENT, or another -errno. */
int keepsake_find(const char *name, struct keepsake *k);
/* Harmless when all zero. */
void keepsake_fini(struct keepsake *k);

#endif
