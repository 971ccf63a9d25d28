/* SPDX-License-Identifier: BSD-2-Clause */
/* A sysfs of a test's own, below a directory that it makes. */
#ifndef TESTS_UNIT_XEN_SYSFS_H
#define TESTS_UNIT_XEN_SYSFS_H

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "tests/unit/check.h"

/* A file in it, and the directories on the way there. */
static inline void sysfs_put(const char *dir, const char *path, const char *text)
{
	char full[256], part[256];
	FILE *f;

	snprintf(full, sizeof(full), "%s/%s", dir, path);
	for (char *slash = strchr(full + strlen(dir) + 1, '/'); slash;
	     slash = strchr(slash + 1, '/')) {
		snprintf(part, sizeof(part), "%.*s", (int)(slash - full), full);
		mkdir(part, 0700);
	}
	f = fopen(full, "w");
	if (!CHECK(f != NULL))
		return;
	fputs(text, f);
	fclose(f);
}

#endif
