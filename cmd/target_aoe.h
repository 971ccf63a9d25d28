/* SPDX-License-Identifier: BSD-2-Clause */
/* --aoe and --aoe-allow of `vstor target`. */
#ifndef CMD_TARGET_AOE_H
#define CMD_TARGET_AOE_H

#include <net/if.h>

#include "core/opts.h"
#include "net/aoe/target.h"

/* IFACE[,shelf=S,slot=N] */
struct aoe_setup {
	char ifname[IF_NAMESIZE];
	uint16_t shelf;
	uint8_t slot;
};
#define TARGET_MAX_AOE 16

/* Parses the words of --aoe, at most TARGET_MAX_AOE. 0 or -EINVAL, logged. */
int aoe_setups_parse(struct aoe_setup *setups, const struct opt_list *words);
/* The words of --aoe-allow. 0 or -EINVAL, logged. */
int aoe_allow_parse(struct aoe_macs *allow, const struct opt_list *words);

#endif
