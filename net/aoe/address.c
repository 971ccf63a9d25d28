/* SPDX-License-Identifier: BSD-2-Clause */
#include "net/aoe/address.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "net/aoe/frame.h"

int aoe_address_parse(const char *text, struct aoe_address *at)
{
	unsigned shelf, slot;
	int end = 0;
	text += *text == 'e';
	if (*text < '0' || *text > '9' || strlen(text) > 9 ||
	    sscanf(text, "%u.%u%n", &shelf, &slot, &end) != 2 || text[end] ||
	    strpbrk(text, "+- ") || shelf >= AOE_SHELF_ALL || slot >= AOE_SLOT_ALL)
		return -EINVAL;
	*at = (struct aoe_address){.shelf = (uint16_t)shelf, .slot = (uint8_t)slot};
	return 0;
}
