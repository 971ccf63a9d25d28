/* SPDX-License-Identifier: BSD-2-Clause */
#include "xen/disk_id.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>

#include <xenstore.h>

#include "core/bytes.h"
#include "net/aoe/initiator.h"
#include "xen/message.h"

const char *disk_id_sysfs = "/sys";

/* The first line of a file, without blanks at its ends. */
static int read_line(const char *path, char *line, size_t size)
{
	FILE *f = fopen(path, "re");
	size_t n;

	if (!f)
		return -ENOENT;
	if (!fgets(line, (int)size, f))
		line[0] = 0;
	fclose(f);
	n = strcspn(line, "\n");
	while (n && line[n - 1] == ' ')
		n--;
	line[n] = 0;
	return n ? 0 : -ENOENT;
}

/* Linux's AoE driver shows what the target has told by a call only. */
static int aoe_id(dev_t device, char id[DISK_ID_MAX])
{
	char serial[AOE_SERIAL];
	struct aoe_device d;

	if (aoe_device_numbered(device, &d) || aoe_device_serial(&d, serial))
		return -ENOENT;
	snprintf(id, DISK_ID_MAX, "aoe %s", serial);
	return 0;
}

int disk_id(dev_t device, char id[DISK_ID_MAX])
{
	static const char *const files[] = {"device/wwid", "wwid", "dm/uuid"};
	char dir[256], path[512], part[16] = "";
	size_t n;

	snprintf(dir, sizeof(dir), "%s/dev/block/%u:%u", disk_id_sysfs, major(device),
		 minor(device));
	snprintf(path, sizeof(path), "%s/partition", dir);
	if (read_line(path, part, sizeof(part)) == 0)
		snprintf(dir, sizeof(dir), "%s/dev/block/%u:%u/..", disk_id_sysfs, major(device),
			 minor(device));
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, files[i]);
		if (read_line(path, id, DISK_ID_MAX - sizeof(part)))
			continue;
		n = strlen(id);
		if (part[0])
			snprintf(id + n, DISK_ID_MAX - n, " p%s", part);
		return 0;
	}
	return part[0] ? -ENOENT : aoe_id(device, id);
}

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
