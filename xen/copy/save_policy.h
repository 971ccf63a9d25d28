/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The pre-copy policy (xen/copy/precopy.h) at work in the save helper: libxenguest asks it after
 * each round, the stream's writer tells it of each batch, the hypervisor how many pages are dirty;
 * the parent is told all of it (xen/copy/precopy_report.h).
 */
#ifndef XEN_SAVE_POLICY_H
#define XEN_SAVE_POLICY_H

#include <stdint.h>

struct save_callbacks;
struct save_pages_batch;

/* Steps in between libxenguest and the callbacks that are set already. */
void save_policy_install(struct save_callbacks *cbs, uint32_t domid);
/* A batch has been written to fd (save_pages_start()). */
void save_policy_sent(int fd, const struct save_pages_batch *b);

#endif
