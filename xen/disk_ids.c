/* SPDX-License-Identifier: BSD-2-Clause */
/* The identities of a domain's disks, as one host tells them to the other. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>

#include <xenstore.h>

#include "xen/disk_id.h"
#include "xen/message.h"

/* One disk, by its back end's nodes (Xen: public/io/blkif.h and docs/misc/xenstore-paths.pandoc).
 */
static void put_disk(struct xs_handle *xs, const char *front, struct buf *b)
{
	char path[300], id[DISK_ID_MAX], *back, *vdev, *number;
	unsigned maj, min;

	snprintf(path, sizeof(path), "%.200s/backend", front);
	back = xs_read(xs, XBT_NULL, path, NULL);
	if (!back)
		return;
	snprintf(path, sizeof(path), "%.200s/dev", back);
	vdev = xs_read(xs, XBT_NULL, path, NULL);
	snprintf(path, sizeof(path), "%.200s/physical-device", back);
	number = xs_read(xs, XBT_NULL, path, NULL);
	if (vdev && number && sscanf(number, "%x:%x", &maj, &min) == 2 &&
	    disk_id(makedev(maj, min), id) == 0)
		message_put(b, "disk", "%s %s", vdev, id);
	free(number);
	free(vdev);
	free(back);
}

void disk_ids_put(uint32_t domid, struct buf *b)
{
	struct xs_handle *xs = xs_open(0);
	char dir[64], path[128], **list;
	unsigned n = 0;

	if (!xs)
		return;
	snprintf(dir, sizeof(dir), "/local/domain/%u/device/vbd", domid);
	list = xs_directory(xs, XBT_NULL, dir, &n);
	for (unsigned i = 0; list && i < n; i++) {
		snprintf(path, sizeof(path), "%s/%.40s", dir, list[i]);
		put_disk(xs, path, b);
	}
	free(list);
	xs_close(xs);
}

int disk_ids_get(const uint8_t *p, size_t n, const char *vdev, char id[DISK_ID_MAX])
{
	struct message_field f;
	size_t at = 0, k = strlen(vdev);

	while (message_next(p, n, &at, &f)) {
		if (!message_field_is(&f, "disk") || f.value_len <= k + 1 ||
		    f.value_len - k - 1 >= DISK_ID_MAX || memcmp(f.value, vdev, k) != 0 ||
		    f.value[k] != ' ')
			continue;
		snprintf(id, DISK_ID_MAX, "%.*s", (int)(f.value_len - k - 1), f.value + k + 1);
		return 0;
	}
	return -ENOENT;
}
