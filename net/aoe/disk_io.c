/* SPDX-License-Identifier: BSD-2-Clause */
/* The requests of an AoE disk: their order, and their way through the device server. */
#include <stdlib.h>
#include <string.h>

#include "core/bytes.h"
#include "core/log.h"
#include "net/aoe/ata.h"
#include "net/aoe/disk_priv.h"
#include "storage/scsi/state_file.h"

/* A request: frames one behind the other on the disk, or a change of the lists. */
struct aoe_io {
	struct aoe_disk *disk;
	struct aoe_io *next;
	enum aoe_io_kind kind;
	bool started;
	uint64_t lba, end; /* sectors */
	struct aoe_frame *frames[AOE_GROUP];
	unsigned n;
	unsigned at, run; /* what is done now: frames at, at + 1, ... of this number */
	struct iovec iov[AOE_GROUP];
	struct scsi_cmd cmd;
	/* a change */
	struct disk_io call;
	struct aoe_lists *fresh;
	enum aoe_error error;
	uint8_t mask_error, mask_at;
};

/* Whoever is let in can cause one after the other. */
static struct log_limit unkept = {.burst = 5, .period_ns = 60 * SEC_NS};

static void start_all(struct aoe_disk *d);

/* ---- requests ---- */

static struct aoe_io *new_io(struct aoe_disk *d)
{
	struct aoe_io *io = d->spare;
	if (io)
		d->spare = io->next;
	else
		io = malloc(sizeof(*io));
	if (io) {
		io->disk = d;
		io->next = NULL;
		io->started = false;
		io->n = io->at = 0;
		io->fresh = NULL;
	}
	return io;
}

/* Must one wait for the other, that came before? */
static bool conflict(const struct aoe_io *a, const struct aoe_io *b)
{
	if (a->kind == AOE_IO_CHANGE || b->kind == AOE_IO_CHANGE)
		return true;
	if (a->kind == AOE_IO_READ && b->kind == AOE_IO_READ)
		return false;
	return a->lba < b->end && b->lba < a->end;
}

static bool must_wait(const struct aoe_io *io)
{
	for (const struct aoe_io *o = io->disk->first; o != io; o = o->next)
		if (conflict(o, io))
			return true;
	return false;
}

static void end(struct aoe_io *io)
{
	struct aoe_disk *d = io->disk;
	struct aoe_io **p = &d->first;
	while (*p != io)
		p = &(*p)->next;
	*p = io->next;
	if (d->tail == &io->next)
		d->tail = p;
	io->next = d->spare;
	d->spare = io;
	start_all(d);
}

/* ---- the device server ---- */

static void sync_done(struct scsi_cmd *cmd);
static void io_done(struct scsi_cmd *cmd);

static int reserve_in(struct scsi_cmd *cmd, uint32_t len)
{
	struct aoe_io *io = container_of(cmd, struct aoe_io, cmd);
	(void)len;
	cmd->in = io->iov;
	cmd->in_n = io->run;
	return 0;
}

static const struct scsi_transport for_io = {.reserve_in = reserve_in, .done = io_done};
static const struct scsi_transport for_sync = {.done = sync_done};

static void prepare(struct aoe_disk *d, struct scsi_cmd *cmd, const struct scsi_transport *t)
{
	*cmd = (struct scsi_cmd){.transport = t,
				 .engine = d->engine,
				 .lun = d->lun,
				 .nexus = &d->nexus,
				 /* there is no way to tell of any */
				 .attention_over = true};
}

static uint32_t frame_sectors(const struct aoe_frame *f)
{
	return f->data[AOE_ATA_COUNT];
}

/* READ (16) and WRITE (16): SBC-3, 5.11 and 5.34. */
static void execute(struct aoe_io *io)
{
	struct scsi_cmd *cmd = &io->cmd;
	uint32_t sectors = 0;
	for (unsigned i = 0; i < io->run; i++) {
		struct aoe_frame *f = io->frames[io->at + i];
		io->iov[i] = (struct iovec){f->data + AOE_ATA_DATA, frame_sectors(f) * AOE_SECTOR};
		sectors += frame_sectors(f);
	}
	prepare(io->disk, cmd, &for_io);
	cmd->cdb[0] = io->kind == AOE_IO_WRITE ? 0x8a : 0x88;
	put_be64(cmd->cdb + 2, aoe_lba(io->frames[io->at]->data));
	put_be32(cmd->cdb + 10, sectors);
	if (io->kind == AOE_IO_WRITE) {
		cmd->out = io->iov;
		cmd->out_n = io->run;
		cmd->out_len = sectors * AOE_SECTOR;
	} else {
		cmd->in_max = sectors * AOE_SECTOR;
	}
	scsi_execute(cmd);
}

void aoe_io_flush(struct aoe_disk *d, struct aoe_frame *f)
{
	f->next = NULL;
	*d->unsynced_tail = f;
	d->unsynced_tail = &f->next;
	if (!d->syncing)
		loop_defer(d->loop, &d->settle);
}

static void answer_io(struct aoe_io *io, struct aoe_frame *f)
{
	struct aoe_disk *d = io->disk;
	uint8_t status, error;
	bool write = io->kind == AOE_IO_WRITE;
	if (io->cmd.status == SCSI_RESERVATION_CONFLICT)
		aoe_refuse(d, f, AOE_RESERVED);
	else if (!ata_result(&io->cmd, write, &status, &error))
		aoe_drop(d, f); /* it will be asked for again */
	else if (status != ATA_DRDY)
		aoe_answer_ata(d, f, status, error, 0);
	else if (write && !d->writeback && !d->lun->writethrough)
		aoe_io_flush(d, f);
	else
		aoe_answer_ata(d, f, status, error, write ? 0 : frame_sectors(f) * AOE_SECTOR);
}

static void io_done(struct scsi_cmd *cmd)
{
	struct aoe_io *io = container_of(cmd, struct aoe_io, cmd);
	scsi_cmd_fini(cmd);
	/* Of several frames each has its own result: one may be where another is not. */
	if (cmd->status == SCSI_CHECK_CONDITION && io->run > 1) {
		io->run = 1;
		execute(io);
		return;
	}
	for (unsigned i = 0; i < io->run; i++)
		answer_io(io, io->frames[io->at + i]);
	io->at += io->run;
	if (io->at < io->n)
		execute(io);
	else
		end(io);
}

/* ---- flushes ---- */

/* SYNCHRONIZE CACHE (16): SBC-3, 5.23. */
void aoe_io_sync(struct aoe_disk *d)
{
	if (d->syncing || !d->unsynced)
		return;
	d->syncing = d->unsynced;
	d->unsynced = NULL;
	d->unsynced_tail = &d->unsynced;
	prepare(d, &d->sync, &for_sync);
	d->sync.cdb[0] = 0x91;
	scsi_execute(&d->sync);
	if (d->syncing)
		loop_skip_spin(d->loop); /* a medium takes longer than a spin */
}

static void sync_done(struct scsi_cmd *cmd)
{
	struct aoe_disk *d = container_of(cmd, struct aoe_disk, sync);
	uint8_t status, error;
	bool known = ata_result(cmd, true, &status, &error);
	bool reserved = cmd->status == SCSI_RESERVATION_CONFLICT;
	scsi_cmd_fini(cmd);
	while (d->syncing) {
		struct aoe_frame *f = d->syncing;
		d->syncing = f->next;
		if (known)
			aoe_answer_ata(d, f, status, error, 0);
		else if (reserved)
			aoe_refuse(d, f, AOE_RESERVED);
		else
			aoe_drop(d, f);
	}
	if (d->unsynced)
		loop_defer(d->loop, &d->settle);
	start_all(d);
}

/* ---- changes of the lists ---- */

static int save_lists(struct disk_io *call)
{
	struct aoe_io *io = container_of(call, struct aoe_io, call);
	char *text;
	int n = aoe_lists_save(io->fresh, &text), rc = n;
	if (n < 0)
		return n;
	rc = state_file_write(io->disk->path, text, (size_t)n);
	free(text);
	return rc;
}

static void changed(struct aoe_io *io)
{
	struct aoe_disk *d = io->disk;
	struct aoe_frame *f = io->frames[0];
	if (io->error == AOE_OK && !io->mask_error)
		d->lists = *io->fresh;
	free(io->fresh);
	io->fresh = NULL;
	if (io->error) {
		aoe_refuse(d, f, io->error);
	} else if (io->mask_error) {
		f->data[AOE_FLAGS] = 0;
		f->data[AOE_MASK_ERROR] = io->mask_error;
		f->data[AOE_MASK_COUNT] = io->mask_at;
		aoe_answer(d, f, AOE_MASK_DIRECTIVES);
	} else {
		aoe_answer_lists(d, f);
	}
	end(io);
}

static void saved(struct disk_io *call)
{
	struct aoe_io *io = container_of(call, struct aoe_io, call);
	unsigned more;
	if (call->rc) {
		if (log_allowed(&unkept, &more))
			log_error("%s: %s: what an initiator has set is not kept: %s",
				  disk_path(io->disk->lun->disk), io->disk->path,
				  strerror(-call->rc));
		io->error = AOE_UNAVAILABLE;
	}
	changed(io);
}

static void change(struct aoe_io *io)
{
	struct aoe_disk *d = io->disk;
	io->fresh = malloc(sizeof(*io->fresh));
	if (!io->fresh) {
		io->error = AOE_UNAVAILABLE;
		io->mask_error = 0;
	} else {
		*io->fresh = d->lists;
		io->error = aoe_lists_change(io->fresh, io->frames[0]->data, &io->mask_error,
					     &io->mask_at);
	}
	if (io->error || io->mask_error || !d->path) {
		changed(io);
		return;
	}
	io->call = (struct disk_io){
		.op = DISK_CALL, .disk = d->lun->disk, .call = save_lists, .done = saved};
	disk_submit(d->engine, &io->call); /* a call is never done at once */
}

/* ---- the order ---- */

/* What the lists say counts when its turn has come, not when it came. All of it is from one. */
static void start(struct aoe_io *io)
{
	struct aoe_disk *d = io->disk;
	const uint8_t *who = io->frames[0]->data + AOE_SRC;
	bool let_in = aoe_macs_admit(&d->lists.masks, who);
	io->started = true;
	if (let_in && io->kind == AOE_IO_CHANGE) {
		change(io);
	} else if (let_in && aoe_macs_admit(&d->lists.reserved, who)) {
		io->run = io->n;
		execute(io);
	} else {
		for (unsigned i = 0; i < io->n; i++)
			if (let_in)
				aoe_refuse(d, io->frames[i], AOE_RESERVED);
			else
				aoe_drop(d, io->frames[i]);
		end(io);
	}
}

/* What is started may end at once, and let others start: this is not entered by that once more. */
static void start_all(struct aoe_disk *d)
{
	d->again = true;
	if (d->starting)
		return;
	d->starting = true;
	while (d->again) {
		struct aoe_io *io = d->first;
		d->again = false;
		while (io && (io->started || must_wait(io)))
			io = io->next;
		if (io) {
			d->again = true;
			start(io);
		}
	}
	d->starting = false;
	if (!d->held && d->idle)
		loop_defer(d->loop, &d->settle);
}

static void submit(struct aoe_io *io)
{
	struct aoe_disk *d = io->disk;
	*d->tail = io;
	d->tail = &io->next;
	start_all(d);
}

void aoe_disk_turn(struct aoe_disk *d)
{
	struct aoe_io *io = d->open;
	d->open = NULL;
	if (io)
		submit(io);
}

/* ---- what frames ask for ---- */

static bool continues(const struct aoe_io *io, const struct aoe_frame *f, enum aoe_io_kind kind,
		      uint64_t lba)
{
	const struct aoe_frame *last = io->frames[io->n - 1];
	return io->kind == kind && io->end == lba && io->n < AOE_GROUP && last->port == f->port &&
	       memcmp(last->data + AOE_SRC, f->data + AOE_SRC, AOE_MAC) == 0;
}

void aoe_io_gather(struct aoe_disk *d, struct aoe_frame *f, enum aoe_io_kind kind, uint64_t lba,
		   uint32_t count)
{
	struct aoe_io *io = d->open;
	if (io && continues(io, f, kind, lba)) {
		io->frames[io->n++] = f;
		io->end += count;
		return;
	}
	aoe_disk_turn(d);
	io = new_io(d);
	if (!io) {
		aoe_drop(d, f);
		return;
	}
	io->kind = kind;
	io->lba = lba;
	io->end = lba + count;
	io->frames[io->n++] = f;
	d->open = io;
}

static void free_list(struct aoe_io *io)
{
	while (io) {
		struct aoe_io *next = io->next;
		free(io->fresh);
		free(io);
		io = next;
	}
}

void aoe_io_free(struct aoe_disk *d)
{
	free_list(d->first);
	free_list(d->open);
	free_list(d->spare);
}
