/* SPDX-License-Identifier: BSD-2-Clause */
#include "xen/migration/pause.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "core/bytes.h"
#include "core/loop.h"
#include "xen/guest_claim.h"

#define LONGEST_NS (60 * SEC_NS) /* beyond that it was something else */

/* A host's name may hold a scope, but nothing that leads out of the directory. */
static int path(const char *host, char *out, size_t size)
{
	if (strchr(host, '/'))
		return -1;
	return snprintf(out, size, "%s/pause-%s", guest_claim_dir, host) < (int)size ? 0 : -1;
}

/* False: nothing is known. */
static bool last(const char *file, struct pause *p)
{
	FILE *f = fopen(file, "re");
	struct pause read;
	bool known;

	if (!f)
		return false;
	known = fscanf(f, "%" SCNu64 " %" SCNu64, &read.fixed_ns, &read.pages) == 2 &&
		read.fixed_ns <= LONGEST_NS;
	fclose(f);
	if (known)
		*p = read;
	return known;
}

void pause_known(const char *host, uint64_t prepared_ns, struct pause *p)
{
	uint64_t prior = MIN(MAX(prepared_ns / 2, PAUSE_PRIOR_NS), PAUSE_PRIOR_MOST_NS);
	char file[256];

	if (path(host, file, sizeof(file)) || !last(file, p))
		*p = (struct pause){prior, PAUSE_PRIOR_PAGES};
}

void pause_learn(const char *host, const struct pause *p)
{
	char file[256], new[sizeof(file) + 4];
	struct pause before = *p;
	FILE *f;

	if (path(host, file, sizeof(file)) || p->fixed_ns > LONGEST_NS)
		return;
	last(file, &before);
	snprintf(new, sizeof(new), "%s.new", file);
	f = fopen(new, "we");
	if (!f)
		return;
	fprintf(f, "%" PRIu64 " %" PRIu64 "\n", (before.fixed_ns + p->fixed_ns) / 2,
		(before.pages + p->pages) / 2);
	if (fclose(f) || rename(new, file))
		remove(new);
}
