/* SPDX-License-Identifier: BSD-2-Clause */
#include "xen/fence/paths.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "xen/disk_id.h"

#define MAP "/dev/dm-"

/* The first line of a file; "" when it cannot be read. */
static const char *first_line(const char *path, char *line, size_t size)
{
	FILE *f = fopen(path, "re");

	if (!f || !fgets(line, (int)size, f))
		line[0] = 0;
	if (f)
		fclose(f);
	line[strcspn(line, "\n")] = 0;
	return line;
}

static bool is_multipath(const char *dir)
{
	char path[700], uuid[16];

	snprintf(path, sizeof(path), "%s/dm/uuid", dir);
	return strncmp(first_line(path, uuid, sizeof(uuid)), "mpath-", 6) == 0;
}

bool paths_is_map(const char *device)
{
	return strncmp(device, MAP, strlen(MAP)) == 0;
}

/* "sdb" before "sdaa" */
static int by_name(const void *a, const void *b)
{
	size_t n = strlen(a), m = strlen(b);

	return n == m ? strcmp(a, b) : n < m ? -1 : 1;
}

/* Of a device whose session is down, and of one that the kernel has given up, it is another word:
 * a command would wait there. */
static bool runs(const char *name)
{
	char path[300], state[32];

	snprintf(path, sizeof(path), "%s/class/block/%s/device/state", disk_id_sysfs, name);
	first_line(path, state, sizeof(state));
	return !state[0] || strcmp(state, "running") == 0;
}

/* The devices that the map of that directory is made of. */
static int list(const char *dir, bool all, struct paths *p)
{
	char path[400];
	struct dirent *e;
	DIR *d;

	p->n = 0;
	snprintf(path, sizeof(path), "%s/slaves", dir);
	d = opendir(path);
	while (d && (e = readdir(d))) {
		if (e->d_name[0] == '.' || (!all && !runs(e->d_name)))
			continue;
		if (p->n == PATHS_MAX) {
			closedir(d);
			return -E2BIG;
		}
		snprintf(p->path[p->n++], sizeof(p->path[0]), "/dev/%.26s", e->d_name);
	}
	if (d)
		closedir(d);
	qsort(p->path, p->n, sizeof(p->path[0]), by_name);
	return p->n ? 0 : -ENXIO;
}

int paths_list(const char *map, bool all, struct paths *p)
{
	char dir[300];

	snprintf(dir, sizeof(dir), "%s/class/block/%s", disk_id_sysfs, map + strlen("/dev/"));
	return list(dir, all, p);
}

const char *paths_misfit(const char *dir)
{
	static _Thread_local char text[120];
	char path[400];
	struct paths p;
	int rc;

	if (!is_multipath(dir))
		return "it is a volume of the device mapper's";
	rc = list(dir, true, &p);
	if (rc)
		return rc == -E2BIG ? "it has too many paths" : "it has no path left";
	for (unsigned i = 0; i < p.n; i++) {
		const char *name = p.path[i] + strlen("/dev/");

		snprintf(path, sizeof(path), "%s/slaves/%s/device/scsi_disk", dir, name);
		if (access(path, F_OK) == 0)
			continue;
		snprintf(text, sizeof(text), "its path %s is no SCSI disk", name);
		return text;
	}
	return NULL;
}

bool paths_map_of(dev_t number, char map[32], dev_t *map_number)
{
	char dir[300], path[600], text[32];
	unsigned maj, min;
	struct dirent *e;
	bool found = false;
	DIR *d;

	snprintf(dir, sizeof(dir), "%s/dev/block/%u:%u/holders", disk_id_sysfs, major(number),
		 minor(number));
	d = opendir(dir);
	while (d && !found && (e = readdir(d))) {
		snprintf(path, sizeof(path), "%s/%s", dir, e->d_name);
		if (e->d_name[0] == '.' || !is_multipath(path))
			continue;
		snprintf(path, sizeof(path), "%s/%s/dev", dir, e->d_name);
		if (sscanf(first_line(path, text, sizeof(text)), "%u:%u", &maj, &min) != 2)
			continue;
		found = true;
		*map_number = makedev(maj, min);
		snprintf(map, 32, "/dev/%.26s", e->d_name);
	}
	if (d)
		closedir(d);
	return found;
}
