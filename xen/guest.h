/* SPDX-License-Identifier: BSD-2-Clause */
/* The guest that is to be moved: who it is, and its configuration. */
#ifndef XEN_GUEST_H
#define XEN_GUEST_H

#include "xen/toolstack.h"

#define GUEST_NAME_MAX 256
#define GUEST_UUID_MAX 37
/* What its name ends in on the two hosts until it has been handed over. */
#define GUEST_INCOMING "--incoming"
#define GUEST_AWAY     "--migratedaway"
/* In the environment of whoever has vstor receive a guest, which libxl hands on to its scripts. */
#define GUEST_RECEIVED_ENV "VSTOR_RECEIVED"

struct guest {
	struct toolstack *t;
	uint32_t domid;
	char name[GUEST_NAME_MAX];
	char uuid[GUEST_UUID_MAX];
	libxl_domain_config config; /* once read */
	struct toolstack_op op;
	void (*done)(void *arg, int err);
	void *arg;
};

/* Finds a domain by name or number. 0, or -ENOENT after one logged line. */
int guest_find(struct toolstack *t, const char *name, struct guest *g);
/* Reads its configuration; then done(arg, 0), or done(arg, -EIO) after one logged line. */
void guest_read(struct guest *g, void (*done)(void *arg, int err), void *arg);
/* Harmless when all zero. */
void guest_fini(struct guest *g);

/* What the hypervisor says of a domain now. */
enum guest_life {
	GUEST_ABSENT,
	GUEST_RUNS,
	GUEST_PAUSED,
	GUEST_SUSPENDED,
	GUEST_DOWN, /* it has shut itself down: powered off, or about to be rebooted */
	GUEST_CRASHED,
	GUEST_DYING, /* destroyed; the hypervisor still clears it away */
};
enum guest_life guest_life(struct toolstack *t, uint32_t domid);
/* The domid of a domain with this uuid and, unless NULL, this name ("": none yet); -ENOENT. */
int guest_by_uuid(struct toolstack *t, const char *uuid, const char *name, uint32_t *domid);
void guest_uuid_text(const libxl_uuid *u, char out[GUEST_UUID_MAX]);

#endif
