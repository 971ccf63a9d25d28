/* SPDX-License-Identifier: BSD-2-Clause */
/* What an AoE disk is called: its shelf and its slot. */
#ifndef NET_AOE_ADDRESS_H
#define NET_AOE_ADDRESS_H

#include <stdint.h>

struct aoe_address {
	uint16_t shelf;
	uint8_t slot;
};

/* "1.0" or "e1.0". 0 or -EINVAL. */
int aoe_address_parse(const char *text, struct aoe_address *at);

#endif
