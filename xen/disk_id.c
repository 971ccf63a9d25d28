/* SPDX-License-Identifier: BSD-2-Clause */
#include "xen/disk_id.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "core/bytes.h"
#include "net/aoe/initiator.h"

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

static const char *basename_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

bool disk_id_twin(const char *device, char twin[32])
{
	char path[256], id[DISK_ID_MAX], other[DISK_ID_MAX], target[512];
	struct stat st;
	struct dirent *e;
	unsigned maj, min;
	bool found = false;
	ssize_t n;
	DIR *dir;

	if (stat(device, &st) || !S_ISBLK(st.st_mode) || disk_id(st.st_rdev, id))
		return false;
	snprintf(path, sizeof(path), "%s/dev/block", disk_id_sysfs);
	dir = opendir(path);
	while (dir && !found && (e = readdir(dir))) {
		if (sscanf(e->d_name, "%u:%u", &maj, &min) != 2 ||
		    makedev(maj, min) == st.st_rdev || disk_id(makedev(maj, min), other) ||
		    strcmp(id, other) != 0)
			continue;
		found = true;
		snprintf(path, sizeof(path), "%s/dev/block/%u:%u", disk_id_sysfs, maj, min);
		n = readlink(path, target, sizeof(target) - 1);
		target[n > 0 ? n : 0] = 0;
		snprintf(twin, 32, "%.31s", n > 0 ? basename_of(target) : e->d_name);
	}
	if (dir)
		closedir(dir);
	return found;
}
