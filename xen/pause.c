/* SPDX-License-Identifier: BSD-2-Clause */
#include "xen/pause.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "core/bytes.h"
#include "core/loop.h"
#include "xen/handover.h"

#define LONGEST_NS (60 * SEC_NS) /* beyond that it was something else */

/* A host's name may hold a scope, but nothing that leads out of the directory. */
static int path(const char *host, char *out, size_t size)
{
	if (strchr(host, '/'))
		return -1;
	return snprintf(out, size, "%s/pause-%s", handover_dir, host) < (int)size ? 0 : -1;
}

static uint64_t last(const char *file)
{
	FILE *f = fopen(file, "re");
	uint64_t ns = 0;

	if (!f)
		return 0;
	if (fscanf(f, "%" SCNu64, &ns) != 1 || ns > LONGEST_NS)
		ns = 0;
	fclose(f);
	return ns;
}

uint64_t pause_known(const char *host)
{
	char file[256];
	uint64_t ns = path(host, file, sizeof(file)) ? 0 : last(file);

	return ns ? ns : PAUSE_PRIOR_NS;
}

void pause_learn(const char *host, uint64_t ns)
{
	char file[256], new[sizeof(file) + 4];
	uint64_t before;
	FILE *f;

	if (path(host, file, sizeof(file)) || ns > LONGEST_NS)
		return;
	before = last(file);
	snprintf(new, sizeof(new), "%s.new", file);
	f = fopen(new, "we");
	if (!f)
		return;
	fprintf(f, "%" PRIu64 "\n", before ? (before + ns) / 2 : ns);
	if (fclose(f) || rename(new, file))
		remove(new);
}
