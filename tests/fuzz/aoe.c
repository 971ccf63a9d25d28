/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fuzzes the AoE target, without a network and with a disk in memory: the input is frames. Its
 * first byte: 1, the disk is a slow one; 2, several initiators. Then records: two bytes with the
 * length, and what follows the Ethernet header. With the length's highest bit version, shelf and
 * slot are made right, so that the frame gets to what lies behind them.
 */
#include "tests/fuzz/fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/buf.h"
#include "core/bytes.h"
#include "core/log.h"
#include "net/aoe/target.h"
#include "storage/disk_priv.h"
#include "storage/lun_open.h"
#include "tests/aoe/no_wire.h"

#define DISK_SIZE  (1u << 20)
#define FRAMES_MAX 24u
#define SLOW	   1u
#define SEVERAL	   2u
#define MADE_RIGHT 0x8000u
#define QUIET	   (2 * MS_NS)
#define SHELF	   7
#define SLOT	   3

static struct loop *loop;
static struct disk_engine *engine;
static char path[64];

static void setup(void)
{
	int fd = memfd_create("disk", MFD_CLOEXEC);
	if (fd < 0 || ftruncate(fd, DISK_SIZE) < 0)
		abort();
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	log_set_destination("syslog");
	log_threshold = LOG_LEVEL_ERROR;
	aoe_question_gap = 0;
	loop = loop_new();
	engine = disk_engine_new(loop, 1);
	if (!loop || !engine)
		abort();
}

struct run {
	struct aoe_target *target;
	struct reader in;
	struct loop_timer timer;
	bool several, sent;
};

static void drain_wire(void)
{
	uint8_t sink[16384];
	while (recv(no_wire[0], sink, sizeof(sink), MSG_DONTWAIT) > 0)
		;
}

static void send_frames(struct run *r)
{
	uint8_t frame[AOE_ETHER + 0x1000] = {2, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 1, 0x88, 0xa2};
	for (unsigned i = 0; i < FRAMES_MAX && r->in.left > 2; i++) {
		uint16_t word = read_be16(&r->in);
		size_t len = MIN((size_t)(word & 0xfff), r->in.left);
		memcpy(frame + AOE_ETHER, read_bytes(&r->in, len), len);
		if (r->several)
			frame[AOE_SRC + 5] = (uint8_t)(1 + i % 2);
		if (word & MADE_RIGHT) {
			frame[AOE_FLAGS] = AOE_VERSION_1;
			put_be16(frame + AOE_SHELF, SHELF);
			frame[AOE_SLOT] = SLOT;
		}
		if (send(no_wire[0], frame, AOE_ETHER + len, MSG_DONTWAIT) < 0)
			return;
	}
}

static void drained(void *arg)
{
	(void)arg;
	loop_stop(loop, 0);
}

/* First, when the address is the target's; then, when the frames have been seen. */
static void step(void *arg)
{
	struct run *r = arg;
	drain_wire();
	if (r->sent) {
		aoe_target_drain(r->target, drained, r);
		return;
	}
	send_frames(r);
	r->sent = true;
	loop_timer_set(loop, &r->timer, QUIET, step, r);
}

static void retired(void *arg, int rc)
{
	(void)arg;
	(void)rc;
	loop_stop(loop, 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct aoe_macs anybody;
	struct lun_config config = {
		.path = path, .block_size = 512, .target = "iqn.2026-11.fuzz:t"};
	struct run r = {.in = reader_of(data + 1, size - 1)};
	struct lun *lun;
	if (!loop)
		setup();
	if (size < 1)
		return 0;
	r.several = data[0] & SEVERAL;
	r.target = aoe_target_new(&anybody);
	no_wire_begin();
	if (!r.target || lun_open(&lun, &config) ||
	    aoe_target_open(r.target, "fuzz", SHELF, SLOT) || aoe_target_start(r.target, engine))
		abort();
	if (data[0] & SLOW) {
		lun->disk->in_memory = false;
		disk_set(&lun->disk->no_nowait);
	}
	aoe_target_add(r.target, lun, data[0] & SLOW);
	loop_timer_set(loop, &r.timer, QUIET, step, &r);
	loop_run(loop);
	aoe_target_free(r.target);
	lun_retire(lun, engine, retired, NULL);
	loop_run(loop);
	no_wire_end();
	return 0;
}
