/* SPDX-License-Identifier: BSD-2-Clause */
#include "xen/host.h"

#include <stdio.h>
#include <string.h>

const char *host_boot_id(void)
{
	static char id[64];
	FILE *f;

	if (id[0])
		return id;
	f = fopen("/proc/sys/kernel/random/boot_id", "re");
	if (f) {
		if (fgets(id, sizeof(id), f))
			id[strcspn(id, "\n")] = 0;
		fclose(f);
	}
	return id;
}
