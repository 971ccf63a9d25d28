/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reads and writes by AoE over a wire that loses frames in both directions, and repeats what has
 * had no answer: with the same tag, or as Linux does with another one, which makes the answer to
 * the first nobody's. Each block is written with its number and a version. A read has to give the
 * version that was answered for last, and so has a look at all of them in the end.
 * usage: lossy INTERFACE SHELF SLOT PERCENT OPERATIONS [SEED]
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/bytes.h"
#include "core/loop.h"
#include "tests/aoe/wire.h"

#define BLOCKS	64u /* few: operations on one follow each other closely */
#define OPS	16u
#define TIMEOUT (5 * MS_NS)
#define STALL	(20 * SEC_NS)

static struct op {
	bool busy, write;
	unsigned block;
	uint32_t tag, version; /* version: that is written */
	uint64_t sent;
} ops[OPS];

static struct wire w;
static unsigned sectors, percent, wanted, begun, done, repeated, lost;
static uint32_t version[BLOCKS], last_tag;
static bool busy[BLOCKS];
static uint64_t seed = 1;
static uint8_t frame[WIRE_FRAME_MAX];

static void die(const char *what)
{
	printf("lossy: %s after %u operations\n", what, done);
	exit(1);
}

static unsigned chance(unsigned below)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (unsigned)(seed >> 20) % below;
}

static bool is_lost(void)
{
	bool it = chance(100) < percent;
	lost += it;
	return it;
}

/* Each sector says whose it is. */
static void fill(uint8_t *data, unsigned block, uint32_t v)
{
	for (unsigned i = 0; i < sectors * AOE_SECTOR; i += 8) {
		put_be32(data + i, block << 8 | i / AOE_SECTOR);
		put_be32(data + i + 4, v);
	}
}

static void send_op(struct op *o)
{
	o->sent = clock_ns();
	wire_ata(&w, frame, o->write ? ATA_WRITE_EXT : ATA_READ_EXT, o->block * sectors, sectors,
		 o->tag);
	if (o->write)
		fill(frame + AOE_ATA_DATA, o->block, o->version);
	if (!is_lost())
		wire_send(&w, frame,
			  o->write ? AOE_ATA_DATA + sectors * AOE_SECTOR : AOE_FRAME_MIN);
}

static void begin(struct op *o)
{
	unsigned block = chance(BLOCKS);
	while (busy[block])
		block = (block + 1) % BLOCKS;
	busy[block] = true;
	*o = (struct op){.busy = true,
			 .write = chance(2),
			 .block = block,
			 .tag = ++last_tag,
			 .version = version[block] + 1};
	begun++;
	send_op(o);
}

static void check(const uint8_t *data, unsigned block)
{
	for (unsigned i = 0; version[block] && i < sectors * AOE_SECTOR; i += 8)
		if (get_be32(data + i) != (block << 8 | i / AOE_SECTOR) ||
		    get_be32(data + i + 4) != version[block]) {
			printf("block %u: version %u, not %u\n", block, get_be32(data + i + 4),
			       version[block]);
			die("old or wrong data");
		}
}

static bool take(void *arg, const uint8_t *f, size_t len)
{
	(void)arg;
	if (!(f[AOE_FLAGS] & AOE_RESPONSE) || f[AOE_COMMAND] != AOE_ATA || is_lost())
		return true;
	for (struct op *o = ops; o < ops + OPS; o++) {
		if (!o->busy || o->tag != get_be32(f + AOE_TAG))
			continue;
		if (f[AOE_FLAGS] & AOE_IS_ERROR || f[AOE_ATA_COMMAND] & ATA_ERR)
			die("an error");
		if (o->write)
			version[o->block] = o->version;
		else if (len < AOE_ATA_DATA + sectors * AOE_SECTOR)
			die("too little data");
		else
			check(f + AOE_ATA_DATA, o->block);
		o->busy = busy[o->block] = false;
		done++;
	}
	return true;
}

static void look_after(struct op *o)
{
	if (!o->busy && begun < wanted) {
		begin(o);
	} else if (o->busy && clock_ns() - o->sent > TIMEOUT) {
		if (chance(2))
			o->tag = ++last_tag;
		repeated++;
		send_op(o);
	}
}

static void read_all(void)
{
	uint8_t answer[WIRE_FRAME_MAX];
	for (unsigned i = 0; i < BLOCKS; i++) {
		wire_ata(&w, frame, ATA_READ_EXT, i * sectors, sectors, ++last_tag);
		if (wire_ask(&w, frame, AOE_FRAME_MIN, answer, STALL) <
		    AOE_ATA_DATA + sectors * AOE_SECTOR)
			die("no answer in the end");
		check(answer + AOE_ATA_DATA, i);
	}
}

int main(int argc, char **argv)
{
	struct wire_target t;
	uint64_t moved;
	unsigned before = 0;
	if (argc < 6 || wire_open(&w, argv[1]))
		return 3;
	wire_address(&w, (uint16_t)atoi(argv[2]), (uint8_t)atoi(argv[3]));
	percent = (unsigned)atoi(argv[4]);
	wanted = (unsigned)atoi(argv[5]);
	seed = argc > 6 ? strtoull(argv[6], NULL, 10) | 1 : seed;
	if (wire_find(&w, &t, STALL))
		die("no target answers");
	sectors = MIN(t.per_frame, w.mtu_sectors);
	moved = clock_ns();
	while (done < wanted) {
		wire_poll(&w, take, NULL);
		for (struct op *o = ops; o < ops + OPS; o++)
			look_after(o);
		if (done != before)
			moved = clock_ns();
		else if (clock_ns() - moved > STALL)
			die("no answer any more");
		before = done;
	}
	read_all();
	printf("%u operations, %u frames lost, %u repeated\n", done, lost, repeated);
	return 0;
}
