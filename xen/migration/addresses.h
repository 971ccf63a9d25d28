/* SPDX-License-Identifier: BSD-2-Clause */
/* The guest's own network addresses, if it tells them. */
#ifndef XEN_ADDRESSES_H
#define XEN_ADDRESSES_H

#include <stdint.h>

#include <libxl.h>

#include "core/buf.h"
#include "net/announce.h"

/*
 * Adds a field `address=DEVID IP` for each that an agent in the guest has written into xenstore
 * (attr/vif/DEVID/ipv4/N and ipv6/N, as Xen's and XCP-ng's do; some write attr/ethN/ip).
 */
void addresses_put(uint32_t domid, struct buf *b);

/* A network card of a domain here as it is announced (net/announce.h): its port on the bridge, its
 * MAC address, and the addresses that the configuration gives it. */
void addresses_nic(const libxl_device_nic *from, uint32_t domid, struct announce_nic *nic);

#endif
