/* SPDX-License-Identifier: BSD-2-Clause */
/* The file that persistent reservations survive in. */
#ifndef STORAGE_SCSI_PERSIST_H
#define STORAGE_SCSI_PERSIST_H

#include <stdbool.h>

#include "storage/scsi/pr_state.h"

/* Replaces the file, or removes it when there is nothing to keep; all of it is on the medium
 * afterwards. Blocks. 0 or negative errno; the error is logged. */
int pr_save(const char *path, const struct pr_state *s);
/* Reads the file, if there is one: *found tells. A damaged file is refused (-EBADMSG): to go on
 * without would open a fenced disk. 0 or negative errno; the error is logged. */
int pr_load(const char *path, struct pr_state *s, bool *found);

#endif
