/* SPDX-License-Identifier: BSD-2-Clause */
/* Inside an AoE disk: what disk.c and disk_io.c share. */
#ifndef NET_AOE_DISK_PRIV_H
#define NET_AOE_DISK_PRIV_H

#include "net/aoe/disk.h"

/* ---- disk.c: how a frame ends ---- */

/* With what is in it, len bytes; its flags tell whether that is an error. */
void aoe_answer(struct aoe_disk *d, struct aoe_frame *f, uint32_t len);
/* With the registers, and so many bytes of data, which are in it. */
void aoe_answer_ata(struct aoe_disk *d, struct aoe_frame *f, uint8_t status, uint8_t error,
		    uint32_t data);
void aoe_answer_lists(struct aoe_disk *d, struct aoe_frame *f);
void aoe_refuse(struct aoe_disk *d, struct aoe_frame *f, enum aoe_error error);
/* Without an answer. */
void aoe_drop(struct aoe_disk *d, struct aoe_frame *f);

/* ---- disk_io.c ---- */

enum aoe_io_kind { AOE_IO_READ, AOE_IO_WRITE, AOE_IO_CHANGE };

/* A frame becomes a request, or a part of the open one, which it ends otherwise. */
void aoe_io_gather(struct aoe_disk *d, struct aoe_frame *f, enum aoe_io_kind kind, uint64_t lba,
		   uint32_t count);
/* It is answered after the next flush. */
void aoe_io_flush(struct aoe_disk *d, struct aoe_frame *f);
/* Starts that flush, if it is time. */
void aoe_io_sync(struct aoe_disk *d);
void aoe_io_free(struct aoe_disk *d);

#endif
