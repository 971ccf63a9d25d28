/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What makes WRITE ATOMIC all or nothing even when the target or its machine ends in the middle
 * (SBC-4, 4.29): the data is on the medium in a file of its own before it goes to the disk. A
 * record that is found there at the start is written again.
 */
#ifndef STORAGE_SCSI_JOURNAL_H
#define STORAGE_SCSI_JOURNAL_H

#include <stddef.h>
#include <stdint.h>

#include "storage/disk.h"

struct journal;

/* Opens or creates the file, and finishes what its record began. Blocks. 0 or negative errno; the
 * error is logged. */
int journal_open(struct journal **out, const char *path, struct disk *d);
void journal_close(struct journal *j);

/* Writes n bytes (at most JOURNAL_MAX) at off, all or none; they are on the medium when it
 * returns. Blocks; one call at a time. 0 or negative errno. */
#define JOURNAL_MAX (1u << 20)
int journal_write(struct journal *j, const void *p, size_t n, uint64_t off);

#endif
