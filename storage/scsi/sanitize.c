/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * SANITIZE (SBC-3, 4.11 and 5.24): makes all that was on the medium unreadable. Once begun it goes
 * on, whatever becomes of the command, its session or the LUN's resets; meanwhile the LUN answers
 * little else than that.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/bytes.h"
#include "core/log.h"
#include "storage/scsi/journal.h"
#include "storage/scsi/scsi.h"
#include "storage/scsi/state_file.h"

#define ERASE_STEP (1u << 30)
#define WRITE_STEP (1u << 20)

#define HEADER 4 /* of OVERWRITE's parameter list, before the pattern */

enum {
	OVERWRITE = 0x01,
	BLOCK_ERASE = 0x02,
	CRYPTO_ERASE = 0x03,
	EXIT_FAILURE_MODE = 0x1f,
};

enum { IMMED = 0x80, RESERVED = 0x40, AUSE = 0x20 }; /* byte 1 of the CDB */

struct sanitize {
	struct disk_io io;
	struct lun *lun;
	struct disk_engine *engine;
	struct scsi_cmd *cmd; /* ends when the work does; NULL: nobody waits */
	bool immed;	      /* or when it begins */
	struct loop_task give_up;
	bool erase;  /* unmap instead of writing */
	bool invert; /* the pattern, after each pass */
	unsigned passes;
	uint32_t pattern_len;
	uint8_t pattern[]; /* starts anew with each block */
};

/* ---- in the worker ---- */

static void progress(struct lun *l, uint64_t done, uint64_t total)
{
	__atomic_store_n(&l->sanitize_progress, (uint16_t)(done * 65535 / total), __ATOMIC_RELAXED);
}

static bool stopping(struct lun *l)
{
	return __atomic_load_n(&l->stopping, __ATOMIC_RELAXED);
}

static int erase(struct lun *l)
{
	uint64_t size = l->blocks << l->block_shift;
	int rc = 0;

	for (uint64_t off = 0; off < size && rc == 0; off += ERASE_STEP) {
		if (stopping(l))
			return -ECANCELED;
		rc = disk_discard(l->disk, off, MIN(size - off, (uint64_t)ERASE_STEP));
		progress(l, off >> 20, (size >> 20) + 1);
	}
	return rc;
}

static int overwrite(const struct sanitize *s)
{
	struct lun *l = s->lun;
	uint64_t size = l->blocks << l->block_shift;
	uint8_t *p = malloc(WRITE_STEP);
	int rc = p ? 0 : -ENOMEM;

	for (unsigned pass = 0; pass < s->passes && rc == 0; pass++) {
		uint8_t flip = s->invert && pass % 2 ? 0xff : 0;
		for (uint32_t i = 0; i < WRITE_STEP; i++)
			p[i] = s->pattern[(i & (l->block_size - 1)) % s->pattern_len] ^ flip;
		for (uint64_t off = 0; off < size && rc == 0; off += WRITE_STEP) {
			rc = stopping(l)
				     ? -ECANCELED
				     : disk_write(l->disk, p, MIN(size - off, (uint64_t)WRITE_STEP),
						  off, false, NULL);
			progress(l, (pass * size + off) >> 20, (s->passes * size >> 20) + 1);
		}
	}
	free(p);
	return rc;
}

/* What is not done is remembered beyond the end of the target: the file is there meanwhile. */
static int set_mark(const struct lun *l, bool on)
{
	const char *path = disk_path(l->disk);
	char *mark;
	int rc;
	if (!l->state_path)
		return 0;
	if (asprintf(&mark, "%s" LUN_STATE_SANITIZE, l->state_path) < 0)
		return -ENOMEM;
	rc = on ? state_file_write(mark, path, strlen(path)) : state_file_remove(mark);
	if (rc)
		log_error("%s: cannot note how far SANITIZE of %s is: %s", mark, path,
			  strerror(-rc));
	free(mark);
	return rc;
}

static int note(struct disk_io *io)
{
	return set_mark(container_of(io, struct sanitize, io)->lun, true);
}

static int work(struct disk_io *io)
{
	const struct sanitize *s = container_of(io, struct sanitize, io);
	struct lun *l = s->lun;
	int rc = s->erase ? erase(l) : overwrite(s);
	if (rc == 0)
		rc = disk_sync(l->disk);
	if (rc == 0 && l->journal) /* it holds what was written last */
		rc = journal_wipe(l->journal);
	return rc ? rc : set_mark(l, false);
}

/* ---- in the loop ---- */

static struct scsi_cmd *take_command(struct sanitize *s)
{
	struct scsi_cmd *cmd = s->cmd;
	s->cmd = NULL;
	if (cmd) {
		cmd->on_abort = NULL; /* it may still come, when the answer cannot be sent */
		loop_defer_cancel(disk_engine_loop(cmd->engine), &s->give_up);
	}
	return cmd;
}

static void end(struct sanitize *s)
{
	struct lun *l = s->lun;
	free(s);
	lun_ended(l);
}

static void done(struct disk_io *io)
{
	struct sanitize *s = container_of(io, struct sanitize, io);
	struct scsi_cmd *cmd = take_command(s);
	struct lun *l = s->lun;

	l->sanitize = NULL;
	l->sanitize_failed = io->rc != 0;
	if (io->rc && io->rc != -ECANCELED) /* lun_stop() has told of that */
		log_error("%s: cannot sanitize: %s; the LUN is closed until it is sanitized",
			  disk_path(l->disk), strerror(-io->rc));
	if (cmd && io->rc)
		scsi_check(cmd, SENSE_MEDIUM_ERROR, ASC_SANITIZE_FAILED);
	else if (cmd)
		scsi_good(cmd);
	end(s);
}

static void submit(struct sanitize *s, int (*call)(struct disk_io *io),
		   void (*then)(struct disk_io *io))
{
	s->io = (struct disk_io){.op = DISK_CALL, .disk = s->lun->disk, .call = call, .done = then};
	disk_submit(s->engine, &s->io); /* a call is never done at once */
}

/* Only now: who is told that it has begun must hear of it when it does not end. Without a mark it
 * does not begin, and the LUN is what it was. */
static void noted(struct disk_io *io)
{
	struct sanitize *s = container_of(io, struct sanitize, io);
	struct scsi_cmd *cmd = io->rc || s->immed ? take_command(s) : NULL;
	if (io->rc) {
		s->lun->sanitize = NULL;
		if (cmd)
			scsi_check(cmd, SENSE_HARDWARE_ERROR, ASC_INTERNAL_FAILURE);
		end(s);
		return;
	}
	s->lun->sanitize_failed = false;
	if (cmd)
		scsi_good(cmd);
	submit(s, work, done);
}

/* The command is aborted: the work is not. */
static void give_up(void *arg)
{
	scsi_status(take_command(arg), SCSI_TASK_ABORTED);
}

static void aborted(struct scsi_cmd *cmd)
{
	loop_defer(disk_engine_loop(cmd->engine), &cmd->lun->sanitize->give_up);
}

/* Nothing else runs on the LUN now, and from here on it is refused. */
static void start(struct scsi_cmd *cmd)
{
	struct sanitize *s = cmd->state;
	struct lun *l = cmd->lun;

	cmd->state = NULL;
	l->sanitize = s;
	progress(l, 0, 1);
	s->engine = cmd->engine;
	s->immed = cmd->cdb[1] & IMMED;
	s->cmd = cmd;
	cmd->on_abort = aborted;
	scsi_leave(cmd);
	submit(s, note, noted);
}

static struct sanitize *prepare(struct scsi_cmd *cmd, uint32_t pattern_len)
{
	struct sanitize *s = calloc(1, sizeof(*s) + pattern_len);
	cmd->state = s;
	if (!s) {
		scsi_status(cmd, SCSI_BUSY);
		return NULL;
	}
	s->lun = cmd->lun;
	s->give_up = (struct loop_task){.fn = give_up, .arg = s};
	s->passes = 1;
	s->pattern_len = pattern_len;
	return s;
}

static void prepare_overwrite(struct scsi_cmd *cmd, uint32_t len)
{
	struct sanitize *s;
	const uint8_t *p;
	uint32_t pattern_len;

	if (len <= HEADER || len > HEADER + cmd->lun->block_size) {
		scsi_invalid_cdb(cmd, 7, -1);
		return;
	}
	p = scsi_param(cmd, len);
	if (!p)
		return;
	pattern_len = get_be16(p + 2);
	if ((p[0] & 0x1f) == 0) { /* OVERWRITE COUNT */
		scsi_invalid_param(cmd, 0, 4);
		return;
	}
	if (pattern_len == 0 || pattern_len != len - HEADER) {
		scsi_invalid_param(cmd, 2, -1);
		return;
	}
	s = prepare(cmd, pattern_len);
	if (!s)
		return;
	s->passes = p[0] & 0x1f;
	s->invert = p[0] & 0x80;
	memcpy(s->pattern, p + HEADER, pattern_len);
	scsi_run_alone(cmd, start);
}

/* Nothing is encrypted here, and yet what a cryptographic erase promises is kept: no old data can
 * be read. Thin LUNs only: a fully provisioned one would lose its space. */
static void prepare_erase(struct scsi_cmd *cmd, uint32_t len)
{
	struct sanitize *s;
	if (len) {
		scsi_invalid_cdb(cmd, 7, -1);
		return;
	}
	s = prepare(cmd, 1);
	if (!s)
		return;
	s->erase = true;
	scsi_run_alone(cmd, start);
}

static int exit_work(struct disk_io *io)
{
	return set_mark(container_of(io, struct scsi_cmd, io)->lun, false);
}

static void exit_done(struct disk_io *io)
{
	struct scsi_cmd *cmd = container_of(io, struct scsi_cmd, io);
	if (io->rc == 0)
		cmd->lun->sanitize_failed = false;
	scsi_io_result(cmd, io->rc, true);
}

static void exit_failure_mode(struct scsi_cmd *cmd, uint32_t len)
{
	if (len) {
		scsi_invalid_cdb(cmd, 7, -1);
		return;
	}
	cmd->io = (struct disk_io){
		.op = DISK_CALL, .disk = cmd->lun->disk, .call = exit_work, .done = exit_done};
	disk_submit(cmd->engine, &cmd->io); /* a call is never done at once */
}

int sanitize_recall(struct lun *l)
{
	char *mark;
	int fd;
	if (!l->state_path)
		return 0;
	if (asprintf(&mark, "%s" LUN_STATE_SANITIZE, l->state_path) < 0)
		return -ENOMEM;
	fd = open(mark, O_RDONLY | O_CLOEXEC);
	l->sanitize_failed = fd >= 0 || errno != ENOENT;
	if (l->sanitize_failed)
		log_warn("%s: was not sanitized to the end; the LUN is closed until it is",
			 disk_path(l->disk));
	if (fd >= 0)
		close(fd);
	free(mark);
	return 0;
}

void scsi_sanitize(struct scsi_cmd *cmd)
{
	uint32_t len = get_be16(cmd->cdb + 7);
	unsigned action = cmd->cdb[1] & 0x1f;

	cmd->transfer_len = len;
	if (cmd->cdb[1] & RESERVED) {
		scsi_invalid_cdb(cmd, 1, 6);
		return;
	}
	for (unsigned i = 2; i < 7; i++) {
		if (cmd->cdb[i]) {
			scsi_invalid_cdb(cmd, i, -1);
			return;
		}
	}
	switch (action) {
	case OVERWRITE: prepare_overwrite(cmd, len); return;
	case BLOCK_ERASE:
	case CRYPTO_ERASE: prepare_erase(cmd, len); return;
	case EXIT_FAILURE_MODE: exit_failure_mode(cmd, len); return;
	default: scsi_invalid_cdb(cmd, 1, 4);
	}
}
