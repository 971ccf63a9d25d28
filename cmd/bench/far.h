/* SPDX-License-Identifier: BSD-2-Clause */
/* A disk of another machine, by vstor's own initiators: iscsi://HOST/IQN/LUN or
 * aoe://INTERFACE/SHELF.SLOT. What is said of the two in net/iscsi/remote_lun.h and
 * net/aoe/remote.h holds. */
#ifndef CMD_BENCH_FAR_H
#define CMD_BENCH_FAR_H

#include <stdbool.h>

#include "core/bytes.h"
#include "net/aoe/remote.h"
#include "net/iscsi/remote_lun.h"

#define FAR_WORDS "PATH|iscsi://HOST/IQN/LUN|aoe://IFACE/SHELF.SLOT"
#define FAR_ERROR MAX(REMOTE_LUN_ERROR, AOE_REMOTE_ERROR)

struct far {
	bool aoe;
	struct remote_lun lun;
	struct aoe_remote disk;
	uint32_t block; /* bytes of a logical block */
	uint64_t size;	/* bytes */
};

/* Is it one by its name? */
bool far_named(const char *path);
/* Nothing is open: far_close() is harmless. */
void far_init(struct far *f);
int far_open(struct far *f, const char *path, char error[FAR_ERROR]);
ssize_t far_read(struct far *f, void *p, size_t n, uint64_t at);
ssize_t far_write(struct far *f, const void *p, size_t n, uint64_t at);
int far_flush(struct far *f);
void far_close(struct far *f);

#endif
