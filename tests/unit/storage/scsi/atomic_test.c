/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/unit/storage/scsi/harness.h"

#define SIZE 512

/* COMPARE AND WRITE of n blocks: `old` in all bytes, then `fresh`. */
static void caw_cdb(uint8_t *cdb, uint64_t lba, uint8_t n)
{
	memset(cdb, 0, 16);
	cdb[0] = 0x89;
	put_be64(cdb + 2, lba);
	cdb[13] = n;
}

static uint8_t caw(uint64_t lba, uint8_t n, const uint8_t *data, uint32_t len)
{
	uint8_t cdb[16];
	caw_cdb(cdb, lba, n);
	return run(0, 0, cdb, sizeof(cdb), data, len);
}

static void test_compare_and_write(void)
{
	static uint8_t data[2 * 255 * SIZE];
	rig_up(NULL, false);
	for (unsigned n = 1; n <= LIMIT_CAW_BLOCKS; n += 127) {
		fill(0, 10, n, 'A');
		memset(data, 'A', n * SIZE);
		memset(data + n * SIZE, 'B', n * SIZE);
		CHECK_EQ(caw(10, (uint8_t)n, data, 2 * n * SIZE), SCSI_GOOD);
		CHECK(filled_with(0, 9, 1, 0) && filled_with(0, 10 + n, 1, 0));
		CHECK(filled_with(0, 10, n, 'B'));
		fill(0, 10, n, 0);
	}
	CHECK_EQ(caw(10, 0, NULL, 0), SCSI_GOOD);
	rig_down();
}

/* The sense data tells where the first difference lies, and nothing is written. */
static void test_miscompare(void)
{
	uint8_t data[4 * SIZE], cdb[16];
	rig_up(NULL, false);
	fill(0, 0, 2, 'A');
	caw_cdb(cdb, 0, 2);
	for (unsigned at = 0; at < 2 * SIZE; at += 93) {
		struct call c;
		memset(data, 'A', 2 * SIZE);
		memset(data + 2 * SIZE, 'B', 2 * SIZE);
		data[at] = 'x';
		data[2 * SIZE - 1] = 'x';
		call_start(&c, 0, 0, cdb, sizeof(cdb), data, sizeof(data));
		CHECK_EQ(call_wait(&c), SCSI_CHECK_CONDITION);
		CHECK_EQ(c.key, SENSE_MISCOMPARE);
		CHECK_EQ(c.asc, ASC_MISCOMPARE_VERIFY);
		CHECK_EQ(c.cmd.sense[0], 0xf0); /* the information is valid */
		CHECK_EQ(get_be32(c.cmd.sense + 3), at);
		call_fini(&c);
	}
	CHECK(filled_with(0, 0, 2, 'A'));
	rig_down();
}

static void test_wrong_sizes(void)
{
	uint8_t data[6 * SIZE] = {0};
	rig_up(NULL, false);
	CHECK_EQ(caw(0, 1, data, SIZE), SCSI_CHECK_CONDITION);
	CHECK_EQ(last.key, SENSE_ILLEGAL_REQUEST);
	CHECK_EQ(caw(0, 1, data, 4 * SIZE), SCSI_CHECK_CONDITION);
	CHECK_EQ(last.key, SENSE_ILLEGAL_REQUEST);
	CHECK_EQ(caw(0, 3, data, 4 * SIZE), SCSI_CHECK_CONDITION);
	CHECK_EQ(caw(BLOCKS, 1, data, 2 * SIZE), SCSI_CHECK_CONDITION);
	CHECK_EQ(last.asc, ASC_LBA_OUT_OF_RANGE);
	CHECK_EQ(caw(UINT64_MAX, 1, data, 2 * SIZE), SCSI_CHECK_CONDITION);
	CHECK_EQ(last.asc, ASC_LBA_OUT_OF_RANGE);
	rig_down();
}

/* A lock on the disk, as cluster file systems use it: of many that want it at once one gets it. */
static void test_one_winner(void)
{
	enum { RACERS = 64 };
	static struct call c[RACERS];
	static uint8_t data[RACERS][2 * SIZE];
	uint8_t cdb[16], owner[SIZE];
	unsigned winners = 0, winner = 0;

	rig_up(NULL, false);
	caw_cdb(cdb, 7, 1);
	for (unsigned round = 0; round < 20; round++) {
		fill(0, 7, 1, 0);
		for (unsigned i = 0; i < RACERS; i++) {
			memset(data[i], 0, SIZE);
			memset(data[i] + SIZE, (int)i + 1, SIZE);
			call_start(&c[i], 0, i % HOSTS, cdb, sizeof(cdb), data[i], sizeof(data[i]));
		}
		winners = 0;
		for (unsigned i = 0; i < RACERS; i++) {
			if (call_wait(&c[i]) == SCSI_GOOD) {
				winners++;
				winner = i;
			} else {
				CHECK_EQ(c[i].key, SENSE_MISCOMPARE);
			}
		}
		CHECK_EQ(winners, 1);
		CHECK_EQ(read_blocks(0, 0, 7, 1, owner), SCSI_GOOD);
		CHECK_EQ(owner[0], winner + 1);
		CHECK_EQ(owner[SIZE - 1], winner + 1);
	}
	rig_down();
}

/* Ordinary commands beside atomic ones: every one ends, and a read sees all of a write or none. */
static void test_mixed(void)
{
	enum { CALLS = 120, N = 64 };
	static struct call c[CALLS];
	static uint8_t fresh[2][N * SIZE];
	uint8_t read[10] = {0x28, 0, 0, 0, 0, 0, 0, 0, N}, atomic[16] = {0x9c};
	uint8_t orwrite[16] = {0x8b};

	rig_up(NULL, false);
	atomic[13] = N;
	put_be32(orwrite + 10, 0);
	memset(fresh[0], 'a', sizeof(fresh[0]));
	memset(fresh[1], 'b', sizeof(fresh[1]));
	fill(0, 0, N, 'a');
	for (unsigned i = 0; i < CALLS; i++) {
		if (i % 3 == 0)
			call_start(&c[i], 0, 0, atomic, 16, fresh[i % 2], sizeof(fresh[0]));
		else if (i % 3 == 1)
			call_start(&c[i], 0, 1, read, 10, NULL, 0);
		else
			call_start(&c[i], 0, 2, orwrite, 16, NULL, 0);
	}
	for (unsigned i = 0; i < CALLS; i++) {
		CHECK_EQ(call_wait(&c[i]), SCSI_GOOD);
		if (i % 3 == 1)
			for (unsigned j = 1; j < N * SIZE; j++)
				if (c[i].in[j] != c[i].in[0] && !CHECK(false))
					break;
		call_fini(&c[i]);
	}
	rig_down();
}

static void test_orwrite(void)
{
	static uint8_t data[1024 * SIZE];
	uint8_t cdb[16] = {0x8b};
	rig_up(NULL, false);
	fill(0, 3, 1024, 0xa5);
	memset(data, 0x5a, sizeof(data));
	put_be64(cdb + 2, 3);
	put_be32(cdb + 10, 1024);
	CHECK_EQ(run(0, 0, cdb, sizeof(cdb), data, sizeof(data)), SCSI_GOOD);
	CHECK(filled_with(0, 3, 1024, 0xff));
	CHECK(filled_with(0, 2, 1, 0) && filled_with(0, 1027, 1, 0));
	put_be32(cdb + 10, (LIMIT_TRANSFER_BYTES / SIZE) + 1);
	CHECK_EQ(run(0, 0, cdb, sizeof(cdb), data, SIZE), SCSI_CHECK_CONDITION);
	CHECK_EQ(last.asc, ASC_INVALID_FIELD_IN_CDB);
	cdb[1] = 0x20; /* ORPROTECT */
	put_be32(cdb + 10, 1);
	CHECK_EQ(run(0, 0, cdb, sizeof(cdb), data, SIZE), SCSI_CHECK_CONDITION);
	rig_down();
}

static void test_write_atomic(void)
{
	static uint8_t data[(LIMIT_ATOMIC_BLOCKS + 1) * SIZE];
	uint8_t cdb[16] = {0x9c};
	rig_up(NULL, false);
	memset(data, 0x77, sizeof(data));
	put_be64(cdb + 2, 1);
	put_be16(cdb + 12, LIMIT_ATOMIC_BLOCKS);
	CHECK_EQ(run(0, 0, cdb, sizeof(cdb), data, LIMIT_ATOMIC_BLOCKS * SIZE), SCSI_GOOD);
	CHECK(filled_with(0, 1, LIMIT_ATOMIC_BLOCKS, 0x77));
	CHECK(filled_with(0, 0, 1, 0) && filled_with(0, LIMIT_ATOMIC_BLOCKS + 1, 1, 0));
	put_be16(cdb + 12, LIMIT_ATOMIC_BLOCKS + 1);
	CHECK_EQ(run(0, 0, cdb, sizeof(cdb), data, sizeof(data)), SCSI_CHECK_CONDITION);
	CHECK_EQ(last.asc, ASC_INVALID_FIELD_IN_CDB);
	/* A part of the data: nothing is written. */
	memset(data, 0x11, sizeof(data));
	put_be16(cdb + 12, 4);
	CHECK_EQ(run(0, 0, cdb, sizeof(cdb), data, 3 * SIZE), SCSI_CHECK_CONDITION);
	CHECK(filled_with(0, 1, 4, 0x77));
	put_be16(cdb + 10, 8); /* an atomic boundary */
	CHECK_EQ(run(0, 0, cdb, sizeof(cdb), data, 4 * SIZE), SCSI_CHECK_CONDITION);
	CHECK_EQ(last.asc, ASC_INVALID_FIELD_IN_CDB);
	rig_down();
}

int main(void)
{
	log_init("atomic_test");
	CHECK_RUN(test_compare_and_write);
	CHECK_RUN(test_miscompare);
	CHECK_RUN(test_wrong_sizes);
	CHECK_RUN(test_one_winner);
	CHECK_RUN(test_mixed);
	CHECK_RUN(test_orwrite);
	CHECK_RUN(test_write_atomic);
	return CHECK_DONE();
}
