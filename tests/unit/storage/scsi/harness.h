/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A device server without a network: two LUNs on files in a temporary directory, three initiators
 * with a nexus to each, and a transport that hands a command in and its result back.
 */
#ifndef TESTS_UNIT_STORAGE_SCSI_HARNESS_H
#define TESTS_UNIT_STORAGE_SCSI_HARNESS_H

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/bytes.h"
#include "core/log.h"
#include "core/loop.h"
#include "storage/lun_open.h"
#include "storage/scsi/limits.h"
#include "storage/scsi/scsi.h"
#include "tests/unit/check.h"

#define LUNS 2
#ifndef HOSTS
#define HOSTS 3
#endif
#define BLOCKS 131072 /* of 512 bytes: 64 MiB */

/* The second three are the same initiators by another path. */
static const char *const host_names[] = {
	"iqn.2026-11.test:a,i,0x400000000001", "iqn.2026-11.test:b,i,0x400000000002",
	"iqn.2026-11.test:c,i,0x400000000003", "iqn.2026-11.test:a,i,0x400000000011",
	"iqn.2026-11.test:b,i,0x400000000012", "iqn.2026-11.test:c,i,0x400000000013",
};

static struct rig {
	struct loop *loop;
	struct disk_engine *engine;
	char dir[32];
	struct lun *lun[LUNS];
	struct lun_nexus nexus[LUNS][HOSTS];
	unsigned aborted; /* calls to abort_tasks() */
	struct lun_nexus *aborted_nexus;
	bool keep_state;   /* LUN 0 has a state file */
	bool lost_answers; /* as where a connection ends over an answer: its commands are aborted */
	struct lun_config config;
} rig;

/* A command on its way, and its result. */
struct call {
	struct scsi_cmd cmd;
	struct iovec in_iov, out_iov[2];
	uint8_t *in;
	bool done;
	uint8_t key; /* of the sense data */
	uint16_t asc;
};

/* ---- the transport ---- */

static int rig_reserve_in(struct scsi_cmd *cmd, uint32_t len)
{
	struct call *c = container_of(cmd, struct call, cmd);
	c->in = calloc(1, len ? len : 1);
	c->in_iov = (struct iovec){c->in, len};
	cmd->in = &c->in_iov;
	cmd->in_n = 1;
	return c->in ? 0 : -ENOMEM;
}

static void rig_done(struct scsi_cmd *cmd)
{
	struct call *c = container_of(cmd, struct call, cmd);
	const uint8_t *s = cmd->sense;
	if (!CHECK(!c->done))
		return;
	if (rig.lost_answers)
		scsi_abort(cmd);
	c->done = true;
	if (cmd->status == SCSI_CHECK_CONDITION) {
		bool descriptor = s[0] == 0x72;
		c->key = s[descriptor ? 1 : 2] & 0x0f;
		c->asc = get_be16(s + (descriptor ? 2 : 12));
	}
	scsi_cmd_fini(cmd);
	loop_stop(rig.loop, 0);
}

static unsigned rig_list_luns(struct scsi_cmd *cmd, unsigned *numbers, unsigned max)
{
	(void)cmd;
	for (unsigned i = 0; i < LUNS && i < max; i++)
		numbers[i] = i;
	return LUNS;
}

static struct lun_nexus *rig_find_nexus(struct scsi_cmd *cmd, unsigned number)
{
	unsigned host = (unsigned)(cmd->nexus - rig.nexus[cmd->lun->number]);
	return number < LUNS ? &rig.nexus[number][host] : NULL;
}

static void rig_abort_tasks(struct lun_nexus *n)
{
	rig.aborted++;
	rig.aborted_nexus = n;
}

static const struct scsi_transport rig_transport = {
	.reserve_in = rig_reserve_in,
	.done = rig_done,
	.list_luns = rig_list_luns,
	.find_nexus = rig_find_nexus,
	.abort_tasks = rig_abort_tasks,
};

/* ---- commands ---- */

/* Of those that are started from now on. */
static uint32_t rig_in_max = 1u << 24, rig_lend_min;

/* Starts a command of `host` on LUN `lun`; the data-out is handed over in two pieces when it can
 * be cut. */
static inline void call_start(struct call *c, unsigned lun, unsigned host, const uint8_t *cdb,
			      unsigned cdb_len, const void *out, uint32_t out_len)
{
	uint32_t first = out_len > 40 ? 24 : out_len;
	memset(c, 0, sizeof(*c));
	c->cmd.transport = &rig_transport;
	c->cmd.engine = rig.engine;
	c->cmd.lun = rig.lun[lun];
	c->cmd.nexus = &rig.nexus[lun][host];
	memcpy(c->cmd.cdb, cdb, cdb_len);
	c->out_iov[0] = (struct iovec){(void *)out, first};
	c->out_iov[1] = (struct iovec){(char *)out + first, out_len - first};
	c->cmd.out = c->out_iov;
	c->cmd.out_n = out_len == 0 ? 0 : out_len > first ? 2 : 1;
	c->cmd.out_len = out_len;
	c->cmd.in_max = rig_in_max;
	c->cmd.lend_min = rig_lend_min;
	scsi_execute(&c->cmd);
}

static inline uint8_t call_wait(struct call *c)
{
	while (!c->done)
		loop_run(rig.loop);
	return c->cmd.status;
}

/* Ends the use of a call: its data-in is gone. */
static inline void call_fini(struct call *c)
{
	free(c->in);
	c->in = NULL;
}

/* A command from start to end, without interest in its data-in. Returns the status; what[] gets
 * the sense key and code. */
static struct {
	uint8_t key;
	uint16_t asc;
} last;

static inline uint8_t run(unsigned lun, unsigned host, const uint8_t *cdb, unsigned cdb_len,
			  const void *out, uint32_t out_len)
{
	struct call c;
	call_start(&c, lun, host, cdb, cdb_len, out, out_len);
	call_wait(&c);
	last.key = c.key;
	last.asc = c.asc;
	call_fini(&c);
	return c.cmd.status;
}

/* The next unit attention of a host, 0 when there is none. */
static inline uint16_t attention(unsigned host)
{
	uint8_t tur[6] = {0};
	return run(0, host, tur, sizeof(tur), NULL, 0) == SCSI_GOOD ? 0 : last.asc;
}

static inline void clear_attentions(void)
{
	for (unsigned l = 0; l < LUNS; l++)
		for (unsigned h = 0; h < HOSTS; h++)
			rig.nexus[l][h].ua_n = 0;
}

static inline uint8_t read_blocks(unsigned lun, unsigned host, uint32_t lba, uint16_t n, void *to)
{
	uint8_t cdb[10] = {0x28};
	struct call c;
	put_be32(cdb + 2, lba);
	put_be16(cdb + 7, n);
	call_start(&c, lun, host, cdb, sizeof(cdb), NULL, 0);
	call_wait(&c);
	if (c.cmd.status == SCSI_GOOD && to)
		memcpy(to, c.in, c.cmd.in_len);
	call_fini(&c);
	return c.cmd.status;
}

static inline uint8_t write_blocks(unsigned lun, unsigned host, uint32_t lba, uint16_t n,
				   const void *data)
{
	uint8_t cdb[10] = {0x2a};
	put_be32(cdb + 2, lba);
	put_be16(cdb + 7, n);
	return run(lun, host, cdb, sizeof(cdb), data, n * rig.lun[lun]->block_size);
}

/* Blocks full of one byte. */
static inline void fill(unsigned lun, uint32_t lba, uint32_t n, uint8_t byte)
{
	uint32_t size = rig.lun[lun]->block_size;
	uint8_t *p = malloc((size_t)n * size);
	memset(p, byte, (size_t)n * size);
	CHECK_EQ(write_blocks(lun, 0, lba, (uint16_t)n, p), SCSI_GOOD);
	free(p);
}

static inline bool filled_with(unsigned lun, uint32_t lba, uint32_t n, uint8_t byte)
{
	uint32_t size = rig.lun[lun]->block_size * n;
	uint8_t *p = malloc(size);
	bool same = read_blocks(lun, 0, lba, (uint16_t)n, p) == SCSI_GOOD;
	for (uint32_t i = 0; i < size && same; i++)
		same = p[i] == byte;
	free(p);
	return same;
}

/* ---- set-up ---- */

static inline const char *rig_path(const char *name)
{
	static char path[64];
	snprintf(path, sizeof(path), "%s/%s", rig.dir, name);
	return path;
}

static inline void rig_login(unsigned lun, unsigned host)
{
	lun_nexus_add(rig.lun[lun], &rig.nexus[lun][host], host_names[host], 1);
	rig.nexus[lun][host].ua_n = 0;
}

static inline int rig_open_lun(unsigned i)
{
	char path[64], state[64];
	struct lun_config c = rig.config;
	snprintf(path, sizeof(path), "%s/disk%u", rig.dir, i);
	snprintf(state, sizeof(state), "%s/state%u", rig.dir, i);
	c.path = path;
	c.number = i;
	c.target = "iqn.2026-11.test:target";
	c.disk.create_size = BLOCKS * 512ull;
	if (rig.keep_state)
		c.state_path = state;
	return lun_open(&rig.lun[i], &c);
}

static inline void rig_close_lun(unsigned i)
{
	for (unsigned h = 0; h < HOSTS; h++)
		lun_nexus_remove(&rig.nexus[i][h]);
	CHECK_EQ(lun_close(rig.lun[i]), 0);
	rig.lun[i] = NULL;
}

/* Where the directory is made. */
static const char *rig_place = "/tmp";

/* `config`: block size, thin and the like of both LUNs; may be NULL. */
static inline void rig_up(const struct lun_config *config, bool keep_state)
{
	memset(&rig, 0, sizeof(rig));
	if (config)
		rig.config = *config;
	if (!rig.config.block_size)
		rig.config.block_size = 512;
	rig.keep_state = keep_state;
	snprintf(rig.dir, sizeof(rig.dir), "%s/vstor-scsi.XXXXXX", rig_place);
	rig.loop = mkdtemp(rig.dir) ? loop_new() : NULL;
	rig.engine = rig.loop ? disk_engine_new(rig.loop, 2) : NULL;
	for (unsigned i = 0; i < LUNS; i++) {
		if (!rig.engine || rig_open_lun(i)) {
			printf("# cannot set up: %s\n", strerror(errno));
			exit(1);
		}
		for (unsigned h = 0; h < HOSTS; h++)
			rig_login(i, h);
	}
}

static inline void rig_down(void)
{
	static const char *const names[] = {"disk0",
					    "disk1",
					    "state0",
					    "state1",
					    "state0.new",
					    "state0.atomic",
					    "state1.atomic",
					    "state0.sanitize",
					    "state0.atomic.stale",
					    "state0.sanitize.new"};
	disk_engine_free(rig.engine);
	for (unsigned i = 0; i < LUNS; i++)
		if (rig.lun[i])
			rig_close_lun(i);
	loop_free(rig.loop);
	for (unsigned i = 0; i < ARRAY_SIZE(names); i++)
		unlink(rig_path(names[i]));
	CHECK_EQ(rmdir(rig.dir), 0);
}

#endif
