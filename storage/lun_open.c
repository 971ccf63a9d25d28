/* SPDX-License-Identifier: BSD-2-Clause */
#include "storage/lun_open.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/bytes.h"
#include "core/digest.h"
#include "core/log.h"
#include "storage/scsi/journal.h"
#include "storage/scsi/scsi.h"

/* Where a LUN is served. */
static void add_place(struct sha256 *s, const struct lun_config *c)
{
	char number[16];
	snprintf(number, sizeof(number), ",%u", c->number);
	sha256_update(s, c->target, strlen(c->target));
	sha256_update(s, number, strlen(number));
}

/* Locally assigned NAA 3 would be 8 bytes and collide; NAA 6 with a hash in place of vendor bits
 * stays the same for one name, number and serial on whatever machine (SPC-4, 7.8.6.6.5). */
void lun_identify(struct lun_identity *id, const struct lun_config *c)
{
	uint8_t hash[SHA256_LEN];
	struct sha256 s;
	sha256_init(&s);
	if (c->serial)
		sha256_update(&s, c->serial, strlen(c->serial));
	else
		add_place(&s, c);
	sha256_final(&s, hash);
	memcpy(id->naa, hash, sizeof(id->naa));
	id->naa[0] = (uint8_t)(0x60 | (hash[0] & 0x0f));
	if (c->serial)
		snprintf(id->serial, sizeof(id->serial), "%s", c->serial);
	else
		for (unsigned i = 0; i < 8; i++)
			snprintf(id->serial + 2 * i, 3, "%02x", hash[i]);
}

void lun_state_name(char name[LUN_STATE_NAME], const struct lun_config *c)
{
	static const char *const by[] = {"path ", "serial "};
	const char *what = c->serial ? c->serial : c->path;
	uint8_t hash[SHA256_LEN];
	struct sha256 s;
	sha256_init(&s);
	sha256_update(&s, by[c->serial != NULL], strlen(by[c->serial != NULL]));
	sha256_update(&s, what, strlen(what));
	if (!c->serial && c->disk.readonly)
		add_place(&s, c);
	sha256_final(&s, hash);
	strcpy(name, LUN_STATE_PREFIX);
	for (unsigned i = 0; i < 8; i++)
		snprintf(name + strlen(LUN_STATE_PREFIX) + 2 * i, 3, "%02x", hash[i]);
}

bool lun_identity_same(const struct lun_identity *a, const struct lun_identity *b)
{
	return strcmp(a->serial, b->serial) == 0 || memcmp(a->naa, b->naa, sizeof(a->naa)) == 0;
}

static int open_journal(struct lun *l)
{
	char *path;
	int rc = 0;
	if (!l->state_path)
		return 0;
	if (asprintf(&path, "%s" LUN_STATE_JOURNAL, l->state_path) < 0)
		return -ENOMEM;
	rc = journal_open(&l->journal, path, l->disk);
	free(path);
	return rc;
}

int lun_open(struct lun **out, const struct lun_config *c)
{
	struct lun *l = calloc(1, sizeof(*l));
	int rc = -ENOMEM;
	*out = NULL;
	if (!l)
		return rc;
	l->number = c->number;
	l->block_size = c->block_size;
	l->block_shift = (unsigned)__builtin_ctz(c->block_size);
	l->thin = c->thin;
	l->removable = c->removable;
	l->writethrough = c->disk.writethrough;
	l->waiting_tail = &l->waiting;
	l->state_path = c->state_path ? strdup(c->state_path) : NULL;
	if (c->state_path && !l->state_path)
		goto fail;
	rc = reservations_new(&l->reservations, c->state_path, c->path);
	if (rc)
		goto fail;
	rc = disk_open(&l->disk, c->path, &c->disk);
	if (rc)
		goto fail;
	if (c->disk.create_size > disk_size(l->disk))
		log_warn("%s: it is there and has %llu bytes, less than size=; it stays so: vstor "
			 "lun resize %u %llu makes a file longer",
			 c->path, (unsigned long long)disk_size(l->disk), c->number,
			 (unsigned long long)c->disk.create_size);
	l->blocks = disk_size(l->disk) >> l->block_shift;
	if (!l->blocks) {
		log_error("%s: smaller than one block of %u bytes", c->path, c->block_size);
		rc = -EINVAL;
		goto fail;
	}
	if (disk_size(l->disk) & (l->block_size - 1))
		log_warn("%s: its size is no multiple of %u: the last %llu bytes are not exported",
			 c->path, l->block_size,
			 (unsigned long long)(disk_size(l->disk) & (l->block_size - 1)));
	lun_identify(&l->id, c);
	rc = open_journal(l);
	if (rc)
		goto fail;
	rc = sanitize_recall(l);
	if (rc)
		goto fail;
	*out = l;
	return 0;
fail:
	lun_close(l);
	return rc;
}

void lun_stop(struct lun *l)
{
	if (l->sanitize)
		log_warn("%s: stopped in the middle of SANITIZE: sanitize it again",
			 disk_path(l->disk));
	__atomic_store_n(&l->stopping, true, __ATOMIC_RELAXED);
}

int lun_close(struct lun *l)
{
	int rc;
	if (!l)
		return 0;
	journal_close(l->journal);
	rc = disk_close(l->disk);
	stats_fini(&l->stats);
	reservations_free(l->reservations);
	free(l->sanitize);
	free(l->state_path);
	free(l);
	return rc;
}

/* ---- changes while it is in use ---- */

static void start_change(struct lun *l, struct disk *d, int (*call)(struct disk_io *io),
			 void (*done)(struct disk_io *io))
{
	l->change.io = (struct disk_io){.op = DISK_CALL, .disk = d, .call = call, .done = done};
	disk_submit(l->change.engine, &l->change.io); /* a call is never done at once */
}

static int resize_work(struct disk_io *io)
{
	struct lun *l = container_of(io, struct lun, change.io);
	return disk_resize(l->disk, l->change.size, &l->change.size);
}

static void resized(struct disk_io *io)
{
	struct lun *l = container_of(io, struct lun, change.io);
	uint64_t blocks = l->change.size >> l->block_shift;
	int rc = io->rc;

	if (rc == 0 && blocks == 0) {
		log_error("%s: smaller than one block of %u bytes; the old size stays",
			  disk_path(l->disk), l->block_size);
		rc = -EINVAL;
	}
	if (rc == 0 && blocks != l->blocks) {
		log_info("%s: LUN %u has %llu blocks of %u bytes now", disk_path(l->disk),
			 l->number, (unsigned long long)blocks, l->block_size);
		l->blocks = blocks;
		lun_attention_all(l, NULL, ASC_CAPACITY_CHANGED);
	}
	l->change.done(l->change.arg, rc);
}

void lun_resize(struct lun *l, struct disk_engine *e, uint64_t grow,
		void (*done)(void *arg, int rc), void *arg)
{
	if (l->sanitize) {
		log_error("%s: cannot be resized while it is sanitized; wait for the end of that",
			  disk_path(l->disk));
		done(arg, -EBUSY);
		return;
	}
	l->change = (struct lun_change){.engine = e, .done = done, .arg = arg, .size = grow};
	start_change(l, l->disk, resize_work, resized);
}

static int close_work(struct disk_io *io)
{
	struct lun *l = container_of(io, struct lun, change.io);
	int rc = disk_close(l->disk);
	l->disk = NULL;
	return rc;
}

static void closed(struct disk_io *io)
{
	struct lun *l = container_of(io, struct lun, change.io);
	struct lun_change change = l->change;

	lun_close(l);
	change.done(change.arg, change.io.rc);
}

static void check_retired(void *arg)
{
	struct lun *l = arg;
	/* Another LUN's EXTENDED COPY may be at work here without a nexus. */
	if (!l->nexuses && !l->sanitize && !l->running) {
		l->retiring = false; /* nothing may start this twice */
		start_change(l, NULL, close_work, closed);
	}
}

void lun_retire(struct lun *l, struct disk_engine *e, void (*done)(void *arg, int rc), void *arg)
{
	l->change = (struct lun_change){
		.engine = e, .done = done, .arg = arg, .check = {.fn = check_retired, .arg = l}};
	l->retiring = true;
	lun_stop(l);
	lun_ended(l);
}
