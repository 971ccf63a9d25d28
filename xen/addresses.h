/* SPDX-License-Identifier: BSD-2-Clause */
/* The guest's own network addresses, if it tells them. */
#ifndef XEN_ADDRESSES_H
#define XEN_ADDRESSES_H

#include <stdint.h>

#include "core/buf.h"

/*
 * Adds a field `address=DEVID IP` for each that an agent in the guest has written into xenstore
 * (attr/vif/DEVID/ipv4/N and ipv6/N, as Xen's and XCP-ng's do; some write attr/ethN/ip).
 */
void addresses_put(uint32_t domid, struct buf *b);

#endif
