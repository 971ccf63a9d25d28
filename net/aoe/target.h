/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The AoE target: LUNs on interfaces, each under a shelf and a slot. An interface need not be there
 * all the time. Each time that it comes, it is asked first whether another answers for an address:
 * initiators would take the two for two ways to one disk. Then the address is told to all
 * (AoEr11, 3.2), and answered for.
 */
#ifndef NET_AOE_TARGET_H
#define NET_AOE_TARGET_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "core/loop.h"
#include "net/aoe/lists.h"
#include "storage/disk.h"
#include "storage/lun.h"

struct aoe_target;
struct json;

/* ns that pass between the questions whether an address is in use, and after the last. */
extern uint64_t aoe_question_gap;

/* `allow`: whom to answer, the caller's; empty: all. NULL with errno. */
struct aoe_target *aoe_target_new(const struct aoe_macs *allow);
/*
 * One more interface, where LUN number n has the address shelf.slot+n. Opens what takes rights.
 * What is wrong with it is logged: other interfaces, and what else is served, are not concerned. 0,
 * or a negative errno if it never will be served.
 */
int aoe_target_open(struct aoe_target *t, const char *ifname, uint16_t shelf, uint8_t slot);
/* From now on it is served. 0 or -errno. */
int aoe_target_start(struct aoe_target *t, struct disk_engine *e);
/* Serves one more LUN; see aoe_disk_new(). What cannot be is logged, and left out. */
void aoe_target_add(struct aoe_target *t, struct lun *l, bool writeback);
/* The LUN is about to go, and goes when all that AoE has of it under way has ended. */
void aoe_target_remove(struct aoe_target *t, const struct lun *l);
/* Tells of each interface and address, `t` as void *: see target_server_config.tell. */
void aoe_target_report(void *t, struct json *j, FILE *f);
/* Takes no more frames, finishes what is under way, then calls done() from the loop. */
void aoe_target_drain(struct aoe_target *t, void (*done)(void *arg), void *arg);
/* After the engine, before the LUNs. NULL is fine. */
void aoe_target_free(struct aoe_target *t);

#endif
