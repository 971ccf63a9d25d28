/* SPDX-License-Identifier: BSD-2-Clause */
/* The line in which vstor migrate shows how far it is. */
#ifndef CMD_MIGRATE_PROGRESS_H
#define CMD_MIGRATE_PROGRESS_H

#include "xen/migration/migration.h"

struct migrate_progress {
	struct migration_progress last;	 /* as shown before */
	struct migration_progress round; /* as it was when this round was first seen */
};

/* What is shown of p, without a newline, in line; mp, zero at first, is kept from one to the next:
 * rates are since the last, the time left goes by what this round has done so far. */
void migrate_progress_line(struct migrate_progress *mp, const char *domain,
			   const struct migration_progress *p, char *line, size_t size);

#endif
