/* SPDX-License-Identifier: BSD-2-Clause */
/* The AoE target without a network: what comes in which order, and what is on the medium when. */
#include "net/aoe/target.h"

#include <stdlib.h>
#include <sys/mman.h>

#include "core/bytes.h"
#include "core/log.h"
#include "storage/disk_priv.h"
#include "storage/lun_open.h"
#include "storage/scsi/scsi.h"
#include "tests/aoe/no_wire.h"
#include "tests/unit/check.h"

#define SHELF	  1
#define SLOT	  2
#define SIZE	  (1u << 20)
#define PER_FRAME 4u
#define LIMIT	  (20 * SEC_NS)

static const struct aoe_macs anybody;
static struct loop *loop;
static struct disk_engine *engine;
static struct aoe_target *target;
static struct lun *lun;
static char path[64];
static int disk_fd;
static struct loop_fd watch;
static struct loop_timer guard;
static struct answer {
	uint32_t tag;
	uint8_t flags, error, status, command;
	size_t len;
	uint8_t first; /* byte of the data */
} answers[64];
static unsigned answers_n, wanted;
static uint32_t last_tag;
static uint8_t slot = SLOT; /* of the disk that is asked */
static bool ours;	    /* it has told of itself */

static void too_late(void *arg)
{
	(void)arg;
	check_fail(__FILE__, __LINE__, "the answers have not come");
	loop_stop(loop, -1);
}

static void on_answer(void *arg, unsigned events)
{
	static uint8_t f[AOE_BYTES_MAX];
	ssize_t n;
	(void)arg;
	(void)events;
	while ((n = recv(no_wire[0], f, sizeof(f), MSG_DONTWAIT)) > 0) {
		if (f[AOE_FLAGS] & AOE_RESPONSE && !get_be32(f + AOE_TAG)) {
			ours = true;
			loop_stop(loop, 0);
		}
		if (!(f[AOE_FLAGS] & AOE_RESPONSE) || !get_be32(f + AOE_TAG) ||
		    answers_n == ARRAY_SIZE(answers))
			continue;
		answers[answers_n++] = (struct answer){.tag = get_be32(f + AOE_TAG),
						       .flags = f[AOE_FLAGS],
						       .error = f[AOE_ERROR],
						       .status = f[AOE_ATA_COMMAND],
						       .command = f[AOE_COMMAND],
						       .len = (size_t)n,
						       .first = f[AOE_ATA_DATA]};
	}
	if (answers_n >= wanted)
		loop_stop(loop, 0);
}

/* Until so many have come. */
static void await(unsigned n)
{
	wanted = n;
	loop_timer_set(loop, &guard, LIMIT, too_late, NULL);
	if (answers_n < n)
		loop_run(loop);
	loop_timer_del(loop, &guard);
}

static const struct answer *answer_to(uint32_t tag)
{
	static const struct answer none;
	for (unsigned i = 0; i < answers_n; i++)
		if (answers[i].tag == tag)
			return &answers[i];
	check_fail(__FILE__, __LINE__, "there is no answer");
	return &none;
}

/* Sends a request; its tag. */
static uint32_t ask(uint8_t from, uint8_t command, const uint8_t *arg, size_t len)
{
	static uint8_t f[AOE_BYTES_MAX];
	memset(f, 0, sizeof(f));
	f[AOE_SRC] = 2;
	f[AOE_SRC + 5] = from;
	put_be16(f + AOE_TYPE, AOE_ETHERTYPE);
	f[AOE_FLAGS] = AOE_VERSION_1;
	put_be16(f + AOE_SHELF, SHELF);
	f[AOE_SLOT] = slot;
	f[AOE_COMMAND] = command;
	put_be32(f + AOE_TAG, ++last_tag);
	memcpy(f + AOE_ARG, arg, len);
	CHECK(send(no_wire[0], f, MAX(AOE_ARG + len, (size_t)AOE_FRAME_MIN), 0) > 0);
	return last_tag;
}

static uint32_t ata(uint8_t from, uint8_t command, uint64_t lba, uint8_t sectors, uint8_t fill)
{
	static uint8_t arg[AOE_BYTES_MAX];
	bool write = command == ATA_WRITE_EXT;
	memset(arg, fill, sizeof(arg));
	memset(arg, 0, AOE_ATA_DATA - AOE_ARG);
	arg[AOE_ATA_FLAGS - AOE_ARG] = write ? AOE_ATA_WRITE | AOE_ATA_EXT : AOE_ATA_EXT;
	arg[AOE_ATA_COUNT - AOE_ARG] = sectors;
	arg[AOE_ATA_COMMAND - AOE_ARG] = command;
	for (unsigned i = 0; i < 6; i++)
		arg[AOE_ATA_LBA - AOE_ARG + i] = (uint8_t)(lba >> 8 * i);
	return ask(from, AOE_ATA, arg, AOE_ATA_DATA - AOE_ARG + (write ? sectors * AOE_SECTOR : 0));
}

/* Until one tells of itself: nothing is answered before. */
static void await_ours(void)
{
	ours = false;
	wanted = UINT32_MAX;
	loop_timer_set(loop, &guard, LIMIT, too_late, NULL);
	loop_run(loop);
	loop_timer_del(loop, &guard);
}

static void begin(bool writeback)
{
	struct lun_config config = {
		.path = path, .block_size = 512, .target = "iqn.2026-11.unit:t"};
	disk_fd = memfd_create("disk", MFD_CLOEXEC);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", disk_fd);
	aoe_question_gap = 0;
	no_wire_begin();
	answers_n = 0;
	loop = loop_new();
	engine = disk_engine_new(loop, 4);
	target = aoe_target_new(&anybody);
	if (ftruncate(disk_fd, SIZE) || lun_open(&lun, &config) ||
	    aoe_target_open(target, "none", SHELF, SLOT) || aoe_target_start(target, engine))
		abort();
	/* As one on a medium, so that much is under way at a time. */
	lun->disk->in_memory = false;
	disk_set(&lun->disk->no_nowait);
	aoe_target_add(target, lun, writeback);
	loop_fd_add(loop, &watch, no_wire[0], LOOP_READ, on_answer, NULL);
	await_ours();
}

static void drained(void *arg)
{
	(void)arg;
	loop_stop(loop, 0);
}

static void end(void)
{
	aoe_target_drain(target, drained, NULL);
	loop_run(loop);
	loop_fd_del(loop, &watch);
	disk_engine_free(engine);
	aoe_target_free(target);
	CHECK_EQ(lun_close(lun), 0);
	loop_free(loop);
	no_wire_end();
	close(disk_fd);
}

static uint8_t on_disk(uint64_t lba)
{
	uint8_t b = 0xff;
	CHECK_EQ(pread(disk_fd, &b, 1, (off_t)(lba * AOE_SECTOR)), 1);
	return b;
}

/* A write that was repeated, and one after it: whatever the workers do first, the last one stays.
 */
static void test_order(void)
{
	for (unsigned round = 0; round < 8; round++) {
		uint32_t read;
		begin(round & 1);
		for (uint8_t i = 1; i <= 30; i++)
			ata(1, ATA_WRITE_EXT, i % 3, PER_FRAME - i % 3, i);
		read = ata(1, ATA_READ_EXT, 2, 1, 0);
		ata(1, ATA_WRITE_EXT, 0, PER_FRAME, 31);
		await(32);
		CHECK_EQ(answer_to(read)->first, 30);
		CHECK_EQ(answer_to(read)->len, AOE_ATA_DATA + AOE_SECTOR);
		CHECK_EQ(on_disk(2), 31);
		end();
	}
}

static uint64_t flushes(void)
{
	return lun->stats.of[STATS_FLUSH].ops;
}

/* What comes together shares a flush, and there is one; with a write-back cache when it is asked.
 */
static void test_flushes(void)
{
	begin(false);
	for (uint8_t i = 0; i < 16; i++)
		ata(1, ATA_WRITE_EXT, 32 * i, 1, i);
	await(16);
	CHECK(flushes() > 0 && flushes() < 16);
	end();
	begin(true);
	for (uint8_t i = 0; i < 16; i++)
		ata(1, ATA_WRITE_EXT, 32 * i, 1, i);
	await(16);
	CHECK_EQ(flushes(), 0);
	ata(1, ATA_FLUSH_EXT, 0, 0, 0);
	await(17);
	CHECK_EQ(flushes(), 1);
	end();
}

/* No write is answered for as if it were on the medium when the flush has failed. */
static void test_flush_fails(void)
{
	begin(false);
	disk_flush_failed(lun->disk, EIO);
	ata(1, ATA_WRITE_EXT, 0, 1, 1);
	ata(1, ATA_FLUSH, 0, 0, 0);
	await(2);
	for (unsigned i = 0; i < answers_n; i++)
		CHECK_EQ(answers[i].status & (ATA_ERR | ATA_DF), ATA_ERR | ATA_DF);
	disk_flush_acknowledge(lun->disk);
	end();
}

/* Frames become one command; where the disk ends, each has its own result. */
static void test_group(void)
{
	uint32_t tags[4], last = SIZE / AOE_SECTOR - 2 * PER_FRAME;
	begin(true);
	for (unsigned i = 0; i < 4; i++)
		tags[i] = ata(1, ATA_WRITE_EXT, i * PER_FRAME, PER_FRAME, (uint8_t)(i + 1));
	await(4);
	CHECK_EQ(lun->stats.of[STATS_WRITE].ops, 1);
	for (unsigned i = 0; i < 4; i++)
		CHECK_EQ(on_disk(i * PER_FRAME), i + 1);
	answers_n = 0;
	for (unsigned i = 0; i < 4; i++)
		tags[i] = ata(1, ATA_READ_EXT, last + i * PER_FRAME, PER_FRAME, 0);
	await(4);
	for (unsigned i = 0; i < 4; i++)
		CHECK_EQ(answer_to(tags[i])->status, i < 2 ? ATA_DRDY : ATA_DRDY | ATA_ERR);
	CHECK_EQ(answer_to(tags[2])->len, AOE_FRAME_MIN);
	end();
}

/* Who is let in is decided in the order of the requests, and what was let in before ends before. */
static void test_barrier(void)
{
	uint8_t set[8] = {AOE_RES_SET, 1, 2, 0, 0, 0, 0, 1};
	uint32_t before, change, after, other;
	begin(false);
	before = ata(2, ATA_WRITE_EXT, 0, 1, 1);
	change = ask(1, AOE_RESERVE, set, sizeof(set));
	after = ata(2, ATA_WRITE_EXT, 0, 1, 2);
	other = ata(1, ATA_READ_EXT, 0, 1, 0);
	await(4);
	CHECK_EQ(answer_to(before)->status, ATA_DRDY);
	CHECK_EQ(answer_to(change)->error, AOE_OK);
	CHECK_EQ(answer_to(after)->error, AOE_RESERVED);
	CHECK_EQ(answer_to(other)->first, 1);
	CHECK_EQ(on_disk(0), 1);
	end();
}

/* A disk that hangs does not take all the frames that others need. */
static void test_hangs(void)
{
	struct lun_config config = {
		.block_size = 512, .target = "iqn.2026-11.unit:t", .number = 1, .serial = "other"};
	uint8_t force[AOE_CFG_STRING - AOE_ARG] = {[AOE_CFG_COMMAND - AOE_ARG] = AOE_CFG_FORCE};
	char other_path[64];
	struct lun *other;
	int fd = memfd_create("other", MFD_CLOEXEC);
	bool answered = true;

	begin(false);
	snprintf(other_path, sizeof(other_path), "/proc/self/fd/%d", fd);
	config.path = other_path;
	if (ftruncate(fd, SIZE) || lun_open(&other, &config))
		abort();
	aoe_target_add(target, other, false);
	await_ours();
	/* Its commands wait for one that runs alone, and that has been at it for long. */
	lun->running++;
	lun->alone = true;
	lun->disk->jobs++;
	for (unsigned i = 0; i < 4 * AOE_FRAMES && answered; i += 8) {
		answers_n = 0;
		for (unsigned j = 0; j < 8; j++) {
			if (i < 2 * AOE_FRAMES)
				ata(1, ATA_READ_EXT, 2 * (i + j), 1, 0);
			else /* a change of who may use it, which waits for the others */
				ask(1, AOE_CONFIG, force, sizeof(force));
		}
		slot = SLOT + 1;
		ata(1, ATA_READ_EXT, 0, 1, 0);
		slot = SLOT;
		await(1);
		answered = answers_n == 1;
	}
	CHECK(answered);
	lun->disk->jobs--;
	lun->alone = false;
	scsi_part(lun);
	end();
	CHECK_EQ(lun_close(other), 0);
	close(fd);
}

/* The address is another's, or his who came first. */
static void question(uint8_t from, uint8_t flags)
{
	uint8_t f[AOE_FRAME_MIN] = {[AOE_SRC] = from, [AOE_COMMAND] = AOE_CONFIG};
	put_be16(f + AOE_TYPE, AOE_ETHERTYPE);
	f[AOE_FLAGS] = AOE_VERSION_1 | flags;
	put_be16(f + AOE_SHELF, SHELF);
	f[AOE_SLOT] = SLOT;
	put_be32(f + AOE_TAG, 0x76737472);
	CHECK(send(no_wire[0], f, sizeof(f), 0) > 0);
}

static void stop(void *arg)
{
	(void)arg;
	loop_stop(loop, 0);
}

static bool gets_it(uint8_t rival, uint8_t flags)
{
	struct loop_timer t = {.pos = 0};
	bool got;
	begin(false);
	/* Once more: the interface comes and goes, and there is somebody. */
	aoe_question_gap = 20 * MS_NS;
	aoe_target_remove(target, lun);
	ours = false;
	aoe_target_add(target, lun, false);
	question(rival, flags);
	loop_timer_set(loop, &t, 200 * MS_NS, stop, NULL);
	loop_run(loop);
	loop_timer_del(loop, &t);
	got = ours;
	end();
	return got;
}

static void test_rivals(void)
{
	CHECK(gets_it(4, 0)); /* both have just come: the smaller address */
	CHECK(!gets_it(0, 0));
	CHECK(!gets_it(4, AOE_RESPONSE)); /* it is there already */
}

/* Whoever cannot go on frees it all as it is, requests under way as well. */
static void test_given_up(void)
{
	begin(false);
	for (uint8_t i = 0; i < 16; i++)
		ata(1, ATA_WRITE_EXT, 4 * i, 4, i);
	wanted = 1;
	loop_timer_set(loop, &guard, LIMIT, too_late, NULL);
	loop_run(loop);
	loop_timer_del(loop, &guard);
	loop_fd_del(loop, &watch);
	disk_engine_free(engine);
	aoe_target_free(target);
	CHECK_EQ(lun_close(lun), 0);
	loop_free(loop);
	no_wire_end();
	close(disk_fd);
}

int main(void)
{
	log_set_destination("syslog");
	CHECK_RUN(test_order);
	CHECK_RUN(test_flushes);
	CHECK_RUN(test_flush_fails);
	CHECK_RUN(test_group);
	CHECK_RUN(test_barrier);
	CHECK_RUN(test_hangs);
	CHECK_RUN(test_rivals);
	CHECK_RUN(test_given_up);
	return CHECK_DONE();
}
