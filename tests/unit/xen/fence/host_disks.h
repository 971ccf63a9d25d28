/* SPDX-License-Identifier: BSD-2-Clause */
/* The disks of domain 5 as its host has them: 8:0 and 8:1 in xenstore and in sysfs. */
#ifndef TESTS_UNIT_XEN_HOST_DISKS_H
#define TESTS_UNIT_XEN_HOST_DISKS_H

#include <sys/stat.h>

#include "core/bytes.h"
#include "tests/unit/fake/xen.h"
#include "tests/unit/xen/fence/disks.h"
#include "xen/disk_id.h"

static inline char *node(const char *path)
{
	unsigned n;
	char what[64], *text = NULL;

	if (sscanf(path, "/local/domain/5/device/vbd/%u/%63s", &n, what) == 2 &&
	    strcmp(what, "backend") == 0 && asprintf(&text, "/back/%u", n) > 0)
		return text;
	if (sscanf(path, "/back/%u/%63s", &n, what) != 2)
		return NULL;
	if (strcmp(what, "mode") == 0)
		return strdup(n == 7 ? "r" : "w");
	if (strcmp(what, "physical-device") == 0 && asprintf(&text, "8:%x", n) > 0)
		return text;
	if (strcmp(what, "dev") == 0 && asprintf(&text, "xvd%c", 'a' + n) > 0)
		return text;
	return NULL;
}

static inline void make(const char *path, const char *line)
{
	char all[300];
	FILE *f;

	snprintf(all, sizeof(all), "%s/%s", disk_id_sysfs, path);
	if (!line) {
		mkdir(all, 0700);
		return;
	}
	f = fopen(all, "w");
	fprintf(f, "%s\n", line);
	fclose(f);
}

/* The second disk has the lower identity. */
static inline void make_sysfs(const char *dir)
{
	static const char *const dirs[] = {"dev",
					   "dev/block",
					   "0",
					   "0/device",
					   "1",
					   "1/device",
					   "0/device/scsi_disk",
					   "1/device/scsi_disk"};
	char path[300];

	disk_id_sysfs = dir;
	for (unsigned i = 0; i < ARRAY_SIZE(dirs); i++)
		make(dirs[i], NULL);
	make("0/device/wwid", "naa.2");
	make("1/device/wwid", "naa.1");
	for (unsigned i = 0; i < 2; i++) {
		char target[16];

		snprintf(path, sizeof(path), "%s/dev/block/8:%u", dir, i);
		snprintf(target, sizeof(target), "../../%u", i);
		CHECK_EQ(symlink(target, path), 0);
	}
}

#endif
