/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A LUN as an AoE target: takes the frames for it, has the device server do what they ask for, and
 * answers them.
 *
 * - Frames that follow one another on the disk, as an initiator cuts a request into them, become
 *   one command: one transfer for all.
 * - Requests of which one writes where another reads or writes are done in the order that they
 *   came. So a write that an initiator repeats, since its answer takes long, is never done after
 *   one that it has sent later, which would bring old data back.
 * - A write is answered when it is on the medium: initiators have no way to ask for that, Linux's
 *   never sends a flush. Those that end in one turn of the loop, and all that end while a flush is
 *   under way, share the next one. Not with a write-back cache, which is for the user to ask for.
 * - A change of the lists (net/aoe/lists.h) is done between what came before and what comes after:
 *   once it is answered nothing that was let in by the old list touches the disk any more.
 */
#ifndef NET_AOE_DISK_H
#define NET_AOE_DISK_H

#include <stdbool.h>
#include <stdint.h>

#include "net/aoe/lists.h"
#include "net/aoe/port.h"
#include "storage/disk.h"
#include "storage/lun.h"
#include "storage/scsi/scsi.h"

#define AOE_GROUP 16u /* frames that become one command */

struct aoe_io;

struct aoe_disk {
	struct lun *lun;
	struct disk_engine *engine;
	struct loop *loop; /* the engine's, which outlives it */
	struct lun_nexus nexus;
	bool writeback; /* writes are answered before they are on the medium */
	struct aoe_lists lists;
	char *path; /* where they are kept; NULL: nowhere */

	struct aoe_io *first, **tail; /* requests under way, or waiting, as they came */
	struct aoe_io *open;	      /* the one that may still grow */
	struct aoe_io *spare;	      /* for use */
	bool starting, again;
	struct aoe_frame *unsynced, **unsynced_tail; /* done, but for a flush */
	struct aoe_frame *syncing;
	struct scsi_cmd sync;
	struct loop_task settle;

	unsigned held; /* frames that are not answered yet */
	void (*idle)(void *arg, struct aoe_disk *d);
	void *arg;
	struct aoe_disk *next; /* the owner's */
};

/*
 * Serves the LUN, on the engine's loop. What its initiators have left is taken up from the file
 * beside the LUN's other state, if it has any. `writeback`: see above. 0 or negative errno, logged:
 * -EINVAL: its blocks are not of 512 bytes; -EFBIG: 48 bits do not address it all.
 */
int aoe_disk_new(struct aoe_disk **out, struct lun *l, struct disk_engine *e, bool writeback);
/* Calls idle() from the loop as soon as no frame is held any more; none may be given to it then. */
void aoe_disk_retire(struct aoe_disk *d, void (*idle)(void *arg, struct aoe_disk *d), void *arg);
/* No frame is held, or the engine is gone. */
void aoe_disk_free(struct aoe_disk *d);

/* Takes over a request of at least AOE_ARG bytes for this disk, under the address that it has
 * where it came. It is answered, or given back without an answer. */
void aoe_disk_take(struct aoe_disk *d, struct aoe_frame *f);
/* Sends this frame, whose header is complete, as an answer to a config query. */
void aoe_disk_tell(struct aoe_disk *d, struct aoe_frame *f);
/* There are no more for now. */
void aoe_disk_turn(struct aoe_disk *d);

#endif
