/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A guest that goes on at another host connects its devices anew, by more than a hundred questions
 * to xenstore, each of which waits for dom0. One that computes meanwhile has what dom0 needs for
 * the answers, where they share a processor: by its scheduler's weight (credit, credit2; Xen:
 * xl(1), sched-credit2) it has less of that until it is connected. What the weight was lies in
 * xenstore, where libxl keeps what it knows of a domain, so that whoever comes after a killed
 * receiver can put it back.
 */
#ifndef XEN_WEIGHT_H
#define XEN_WEIGHT_H

#include "xen/toolstack.h"

/* Of a domain whose restore has begun: a sixteenth of what it is to have. With the stream's end
 * libxl gives it what is in `later`, its configuration (libxl_dom.c, libxl__build_post()): that is
 * lowered, too; the caller keeps it until then. Where it cannot be done or noted, all stays as it
 * is. */
void weight_lower(struct toolstack *t, uint32_t domid, libxl_domain_sched_params *later);
/* What it is to have again; 0: it was not lowered. */
int weight_noted(uint32_t domid);
/* As it was; logs what fails. Harmless when it was not lowered; may be repeated. */
void weight_restore(struct toolstack *t, uint32_t domid);

#endif
