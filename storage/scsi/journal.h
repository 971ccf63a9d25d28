/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What makes WRITE ATOMIC all or nothing even when the target or its machine ends in the middle
 * (SBC-4, 4.29): the data is on the medium in a file of its own before it goes to the disk. A
 * record that is found there at the start is written again.
 */
#ifndef STORAGE_SCSI_JOURNAL_H
#define STORAGE_SCSI_JOURNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "storage/disk.h"

struct journal;

/* Opens or creates the file, and finishes what its record began; one of another disk is put aside,
 * with a line in the log. Blocks. 0 or negative errno; the error is logged. */
int journal_open(struct journal **out, const char *path, struct disk *d);
void journal_close(struct journal *j);
/* The file of a disk that is not served: a record in it is put aside, with a line in the log. When
 * the disk is back its blocks may have been written by others. Blocks. 0 or negative errno. */
int journal_abandon(const char *path);

/* Writes n bytes (at most JOURNAL_MAX) at off, all or none; they are on the medium when it
 * returns. Blocks; one call at a time. 0 or negative errno. */
#define JOURNAL_MAX (1u << 20)
int journal_write(struct journal *j, const void *p, size_t n, uint64_t off);

/* A record could not be ended: nothing may be written to the disk until it is opened anew, which
 * would undo it. NULL: no. From any thread. */
bool journal_stuck(const struct journal *j);
/* Leaves no data in the file, nor in one that was put aside. Blocks. 0 or negative errno. */
int journal_wipe(struct journal *j);

#endif
