/* SPDX-License-Identifier: BSD-2-Clause */
#include "xen/migration/addresses.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <xenstore.h>

#include "xen/message.h"

static void put(struct xs_handle *xs, unsigned devid, const char *path, struct buf *b)
{
	uint8_t ip[16];
	char *text = xs_read(xs, XBT_NULL, path, NULL);

	/* The guest's word: an address, or it is left out. */
	if (text && (inet_pton(AF_INET, text, ip) == 1 || inet_pton(AF_INET6, text, ip) == 1))
		message_put(b, "address", "%u %s", devid, text);
	free(text);
}

static void put_all(struct xs_handle *xs, unsigned devid, const char *dir, struct buf *b)
{
	char path[256], **list;
	unsigned n = 0;

	list = xs_directory(xs, XBT_NULL, dir, &n);
	for (unsigned i = 0; list && i < n && i < 8; i++) {
		snprintf(path, sizeof(path), "%s/%.16s", dir, list[i]);
		put(xs, devid, path, b);
	}
	free(list);
}

void addresses_put(uint32_t domid, struct buf *b)
{
	struct xs_handle *xs = xs_open(0);
	char dir[128], **vifs;
	unsigned n = 0;

	if (!xs)
		return;
	snprintf(dir, sizeof(dir), "/local/domain/%u/device/vif", domid);
	vifs = xs_directory(xs, XBT_NULL, dir, &n);
	for (unsigned i = 0; vifs && i < n; i++) {
		unsigned devid = (unsigned)strtoul(vifs[i], NULL, 10);

		snprintf(dir, sizeof(dir), "/local/domain/%u/attr/vif/%u/ipv4", domid, devid);
		put_all(xs, devid, dir, b);
		snprintf(dir, sizeof(dir), "/local/domain/%u/attr/vif/%u/ipv6", domid, devid);
		put_all(xs, devid, dir, b);
		snprintf(dir, sizeof(dir), "/local/domain/%u/attr/eth%u/ip", domid, devid);
		put(xs, devid, dir, b);
	}
	free(vifs);
	xs_close(xs);
}

void addresses_nic(const libxl_device_nic *from, uint32_t domid, struct announce_nic *nic)
{
	char word[64];

	*nic = (struct announce_nic){0};
	if (from->ifname)
		snprintf(nic->port, sizeof(nic->port), "%s", from->ifname);
	else
		snprintf(nic->port, sizeof(nic->port), "vif%u.%d", domid, from->devid);
	memcpy(nic->mac, from->mac, sizeof(nic->mac));
	for (const char *p = from->ip ? from->ip : ""; sscanf(p, "%63[^ ,]", word) == 1;) {
		announce_add_address(nic, word);
		p += strlen(word);
		p += strspn(p, " ,");
	}
}
