/* SPDX-License-Identifier: BSD-2-Clause */
/* The file that persistent reservations survive in. */
#ifndef STORAGE_SCSI_PERSIST_H
#define STORAGE_SCSI_PERSIST_H

#include <stdbool.h>
#include <stddef.h>

#include "storage/scsi/pr_state.h"

/* `disk`: the path of whose they are, for who finds the file. Replaces the file, or removes it when
 * there is nothing to keep; all of it is on the medium afterwards. Blocks. 0 or negative errno; the
 * error is logged. */
int pr_save(const char *path, const char *disk, const struct pr_state *s);
/* Reads the file, if there is one: *found tells. A damaged file is refused (-EBADMSG): to go on
 * without would open a fenced disk. 0 or negative errno; the error is logged. */
int pr_load(const char *path, struct pr_state *s, bool *found);
/* The path of the disk that the reservations in this file are of. 0 or negative errno. */
int pr_whose(const char *path, char *disk, size_t size);

#endif
