/* SPDX-License-Identifier: BSD-2-Clause */
/* The devices of a guest's configuration: each moves with it, or is refused by name. */
#ifndef XEN_DEVICES_H
#define XEN_DEVICES_H

#include "xen/guest.h"
#include "xen/verdicts.h"

/* What the sender can see: kinds of devices that cannot move, back ends elsewhere, disks whose last
 * writes could not be waited for. */
void devices_source(struct guest *g, struct verdicts *v);
/* What the receiver can see, disks apart (xen/migration/disks.h): bridges, scripts, QEMU. */
void devices_destination(const libxl_domain_config *c, struct verdicts *v);

/* Which of its devices libxl runs QEMU for, in words; NULL: none. */
const char *devices_need_qemu(const libxl_domain_config *c);

/* All devices of a configuration as text, to tell whether two have the same; the caller's to free.
 * NULL: out of memory. */
char *devices_text(libxl_ctx *ctx, const libxl_domain_config *c);

/* Whether the host has a hotplug script (NULL: `otherwise`) as libxl would look for it; path gets
 * where. */
bool devices_script(const char *script, const char *otherwise, char *path, size_t size);

#endif
