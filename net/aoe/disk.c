/* SPDX-License-Identifier: BSD-2-Clause */
#include "net/aoe/disk_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/bytes.h"
#include "core/log.h"
#include "net/aoe/ata.h"

#define FIRMWARE     1
#define TARGET_PORT  2 /* its relative identifier; 1: iSCSI's */
#define LISTS	     ".aoe"
#define LISTS_LENGTH 16384 /* bytes of the file, at most */

/* ---- answers ---- */

/* The frame's header tells whom it is for, and who we are. */
void aoe_answer(struct aoe_disk *d, struct aoe_frame *f, uint32_t len)
{
	uint8_t *p = f->data;
	d->held--;
	memcpy(p + AOE_DST, p + AOE_SRC, AOE_MAC);
	memcpy(p + AOE_SRC, f->port->link.now.mac, AOE_MAC);
	if (!(p[AOE_FLAGS] & AOE_IS_ERROR))
		p[AOE_ERROR] = 0;
	p[AOE_FLAGS] = (uint8_t)(AOE_VERSION_1 | AOE_RESPONSE | (p[AOE_FLAGS] & AOE_IS_ERROR));
	if (len < AOE_FRAME_MIN) {
		memset(p + len, 0, AOE_FRAME_MIN - len);
		len = AOE_FRAME_MIN;
	}
	f->len = len;
	aoe_port_send(f);
}

void aoe_drop(struct aoe_disk *d, struct aoe_frame *f)
{
	d->held--;
	aoe_port_drop(f);
}

void aoe_refuse(struct aoe_disk *d, struct aoe_frame *f, enum aoe_error error)
{
	f->data[AOE_FLAGS] = AOE_IS_ERROR;
	f->data[AOE_ERROR] = (uint8_t)error;
	aoe_answer(d, f, AOE_ATA_DATA);
}

void aoe_answer_ata(struct aoe_disk *d, struct aoe_frame *f, uint8_t status, uint8_t error,
		    uint32_t data)
{
	f->data[AOE_FLAGS] = 0;
	f->data[AOE_ATA_COMMAND] = status;
	f->data[AOE_ATA_FEATURE] = error;
	aoe_answer(d, f, AOE_ATA_DATA + data);
}

void aoe_answer_lists(struct aoe_disk *d, struct aoe_frame *f)
{
	uint8_t *p = f->data;
	p[AOE_FLAGS] = 0;
	if (p[AOE_COMMAND] == AOE_CONFIG) {
		put_be16(p + AOE_CFG_BUFFERS, AOE_BUFFERS);
		put_be16(p + AOE_CFG_FIRMWARE, FIRMWARE);
		p[AOE_CFG_SECTORS] = (uint8_t)aoe_port_sectors(f->port);
		p[AOE_CFG_COMMAND] = (uint8_t)(AOE_VERSION << 4 | (p[AOE_CFG_COMMAND] & 0x0f));
	}
	aoe_answer(d, f, aoe_lists_answer(&d->lists, p));
}

void aoe_disk_tell(struct aoe_disk *d, struct aoe_frame *f)
{
	uint8_t to[AOE_MAC];
	memcpy(to, f->data + AOE_DST, AOE_MAC);
	memcpy(f->data + AOE_SRC, to, AOE_MAC);
	d->held++;
	aoe_answer_lists(d, f);
}

/* ---- frames ---- */

/* May it hold this one, too? A port's frames are for all of its disks: one that does its work may
 * have most of them for the moment; of those that hang, which may never give them back, each gets
 * half of what the others have left. What is dropped its initiator sends again. */
static bool has_share(const struct aoe_disk *d, const struct aoe_frame *f)
{
	if (disk_hangs(d->lun->disk, loop_now(d->loop)))
		return d->held <= f->port->idle_n;
	return d->held <= AOE_FRAMES / 4 * 3;
}

static void take_ata(struct aoe_disk *d, struct aoe_frame *f)
{
	struct ata_request r;
	if (f->len < AOE_ATA_DATA || !has_share(d, f)) {
		aoe_drop(d, f);
		return;
	}
	if (!ata_parse(f->data, f->len, aoe_port_sectors(f->port), &r)) {
		aoe_refuse(d, f, AOE_BAD_ARGUMENT);
		return;
	}
	switch (r.kind) {
	case ATA_IS_READ:
	case ATA_IS_WRITE:
		aoe_put_lba(f->data, r.lba);
		aoe_io_gather(d, f, r.kind == ATA_IS_READ ? AOE_IO_READ : AOE_IO_WRITE, r.lba,
			      r.count);
		break;
	case ATA_IS_FLUSH:
		aoe_disk_turn(d);
		aoe_io_flush(d, f);
		break;
	case ATA_IS_IDENTIFY:
		ata_identify(d->lun, f->data + AOE_ATA_DATA);
		f->data[AOE_ATA_COUNT] = 0;
		aoe_answer_ata(d, f, ATA_DRDY, 0, AOE_SECTOR);
		break;
	case ATA_IS_POWER:
		f->data[AOE_ATA_COUNT] = 0xff; /* active or idle */
		aoe_answer_ata(d, f, ATA_DRDY, 0, 0);
		break;
	case ATA_IS_OTHER: aoe_answer_ata(d, f, ATA_DRDY | ATA_ERR, ATA_ABRT, 0); break;
	}
}

static void take_lists(struct aoe_disk *d, struct aoe_frame *f)
{
	switch (aoe_lists_ask(&d->lists, f->data, f->len)) {
	case AOE_LISTS_SILENT: aoe_drop(d, f); break;
	case AOE_LISTS_READ: aoe_answer_lists(d, f); break;
	case AOE_LISTS_BAD: aoe_refuse(d, f, AOE_BAD_ARGUMENT); break;
	case AOE_LISTS_CHANGE:
		if (!has_share(d, f)) {
			aoe_drop(d, f);
			break;
		}
		/* One of a kind that nothing continues. */
		aoe_io_gather(d, f, AOE_IO_CHANGE, 0, 0);
		aoe_disk_turn(d);
		break;
	}
}

void aoe_disk_take(struct aoe_disk *d, struct aoe_frame *f)
{
	uint8_t *p = f->data;
	d->held++;
	if (!aoe_macs_admit(&d->lists.masks, p + AOE_SRC)) {
		aoe_drop(d, f);
		return;
	}
	if (p[AOE_FLAGS] >> 4 != AOE_VERSION) {
		aoe_refuse(d, f, AOE_BAD_VERSION);
		return;
	}
	switch (p[AOE_COMMAND]) {
	case AOE_ATA: take_ata(d, f); break;
	case AOE_CONFIG:
	case AOE_MASK:
	case AOE_RESERVE: take_lists(d, f); break;
	default: aoe_refuse(d, f, AOE_BAD_COMMAND);
	}
}

/* ---- beginning and end ---- */

static int load_lists(struct aoe_disk *d)
{
	char *text = calloc(1, LISTS_LENGTH);
	int fd = open(d->path, O_RDONLY | O_CLOEXEC), rc = 0;
	ssize_t n = 0;
	if (!text)
		rc = -ENOMEM;
	else if (fd < 0)
		rc = errno == ENOENT ? 0 : -errno;
	else if ((n = read(fd, text, LISTS_LENGTH - 1)) < 0)
		rc = -errno;
	if (rc == 0 && fd >= 0)
		rc = aoe_lists_load(&d->lists, text);
	if (fd >= 0)
		close(fd);
	free(text);
	if (rc)
		log_error(
			"%s: %s: %s; who may use the disk is not known, so AoE does not serve it: "
			"remove the file to begin anew",
			disk_path(d->lun->disk), d->path,
			rc == -EINVAL ? "not as it was written" : strerror(-rc));
	return rc;
}

static int check(const struct lun *l)
{
	if (l->block_size != AOE_SECTOR) {
		log_error("%s: AoE does not serve it: its blocks have %u bytes, AoE's 512; leave "
			  "block-size= away",
			  disk_path(l->disk), l->block_size);
		return -EINVAL;
	}
	if (l->blocks > ATA_LBA_48 + 1) {
		log_error(
			"%s: AoE does not serve it: %llu sectors are more than the 48 bits of ATA "
			"address; use iSCSI",
			disk_path(l->disk), (unsigned long long)l->blocks);
		return -EFBIG;
	}
	return 0;
}

/* Once a turn of the loop: a flush, and the end if it is time for that. */
static void settle(void *arg)
{
	struct aoe_disk *d = arg;
	aoe_io_sync(d);
	if (!d->held && d->idle)
		d->idle(d->arg, d);
}

int aoe_disk_new(struct aoe_disk **out, struct lun *l, struct disk_engine *e, bool writeback)
{
	struct aoe_disk *d;
	int rc = check(l);
	*out = NULL;
	if (rc)
		return rc;
	d = calloc(1, sizeof(*d));
	if (!d || (l->state_path && asprintf(&d->path, "%s" LISTS, l->state_path) < 0)) {
		log_error("%s: AoE does not serve it: %s", disk_path(l->disk), strerror(ENOMEM));
		free(d);
		return -ENOMEM;
	}
	d->lun = l;
	d->engine = e;
	d->loop = disk_engine_loop(e);
	d->writeback = writeback;
	d->tail = &d->first;
	d->unsynced_tail = &d->unsynced;
	d->settle = (struct loop_task){.fn = settle, .arg = d};
	rc = d->path ? load_lists(d) : 0;
	if (rc) {
		free(d->path);
		free(d);
		return rc;
	}
	lun_nexus_add(l, &d->nexus, "aoe", TARGET_PORT);
	*out = d;
	return 0;
}

void aoe_disk_retire(struct aoe_disk *d, void (*idle)(void *arg, struct aoe_disk *d), void *arg)
{
	d->idle = idle;
	d->arg = arg;
	aoe_disk_turn(d);
	loop_defer(d->loop, &d->settle);
}

void aoe_disk_free(struct aoe_disk *d)
{
	loop_defer_cancel(d->loop, &d->settle);
	lun_nexus_remove(&d->nexus);
	aoe_io_free(d);
	free(d->path);
	free(d);
}
