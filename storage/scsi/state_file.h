/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Files of the state directory. What these functions have done is on the medium when they return,
 * the name as well. They block. 0 or negative errno, not logged.
 */
#ifndef STORAGE_SCSI_STATE_FILE_H
#define STORAGE_SCSI_STATE_FILE_H

#include <stddef.h>

/* Makes the file, or replaces it: a crash leaves the old content or the new. */
int state_file_write(const char *path, const void *p, size_t n);
/* Removes it, if there is one. */
int state_file_remove(const char *path);
/* For what was made in another way: its name. */
int state_file_sync_name(const char *path);

/* Puts away what must not be used, with this added to its name; instead of what was put there
 * before. */
#define STATE_FILE_ASIDE ".stale"
int state_file_set_aside(const char *path);

#endif
