/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/unit/storage/scsi/harness.h"

static const struct lun_config thin = {.thin = true};
static const struct lun_config thin_4k = {.thin = true, .block_size = 4096};

/* UNMAP of one extent. */
static uint8_t unmap(uint64_t lba, uint32_t n)
{
	uint8_t cdb[10] = {0x42}, p[24] = {0};
	put_be16(cdb + 7, sizeof(p));
	put_be16(p, sizeof(p) - 2);
	put_be16(p + 2, 16);
	put_be64(p + 8, lba);
	put_be32(p + 16, n);
	return run(0, 0, cdb, sizeof(cdb), p, sizeof(p));
}

static uint8_t write_same(uint8_t flags, uint64_t lba, uint32_t n, const void *data, uint32_t len)
{
	uint8_t cdb[16] = {0x93, flags};
	put_be64(cdb + 2, lba);
	put_be32(cdb + 10, n);
	return run(0, 0, cdb, sizeof(cdb), data, len);
}

/* GET LBA STATUS: how many descriptors, and the first of them. */
static unsigned lba_status(uint64_t lba, uint8_t *state, uint32_t *count)
{
	uint8_t cdb[16] = {0x9e, 0x12};
	struct call c;
	unsigned n = 0;
	put_be64(cdb + 2, lba);
	put_be32(cdb + 10, 4096);
	call_start(&c, 0, 0, cdb, sizeof(cdb), NULL, 0);
	if (CHECK_EQ(call_wait(&c), SCSI_GOOD) && CHECK(c.cmd.in_len >= 24)) {
		CHECK_EQ(get_be64(c.in + 8), lba);
		*count = get_be32(c.in + 16);
		*state = c.in[20];
		n = (c.cmd.in_len - 8) / 16;
		CHECK_EQ(get_be32(c.in), c.cmd.in_len - 4);
	}
	call_fini(&c);
	return n;
}

/* ---- UNMAP ---- */

static void test_unmap(void)
{
	rig_up(&thin, false);
	fill(0, 0, 256, 0xff);
	CHECK_EQ(unmap(8, 16), SCSI_GOOD);
	CHECK(filled_with(0, 0, 8, 0xff));
	CHECK(filled_with(0, 8, 16, 0));
	CHECK(filled_with(0, 24, 232, 0xff));
	CHECK_EQ(unmap(99, 1), SCSI_GOOD); /* less than a page of the file */
	CHECK(filled_with(0, 99, 1, 0));
	CHECK(filled_with(0, 98, 1, 0xff) && filled_with(0, 100, 1, 0xff));
	rig_down();
}

static void test_unmap_ranges(void)
{
	rig_up(&thin, false);
	CHECK_EQ(unmap(BLOCKS, 0), SCSI_GOOD);
	CHECK_EQ(unmap(BLOCKS, 1), SCSI_CHECK_CONDITION);
	CHECK_EQ(last.asc, ASC_LBA_OUT_OF_RANGE);
	CHECK_EQ(unmap(BLOCKS - 1, 2), SCSI_CHECK_CONDITION);
	CHECK_EQ(unmap(UINT64_MAX, 1), SCSI_CHECK_CONDITION);
	CHECK_EQ(unmap(1ull << 63, 0), SCSI_CHECK_CONDITION);
	CHECK_EQ(last.asc, ASC_LBA_OUT_OF_RANGE);
	CHECK_EQ(unmap(0, BLOCKS), SCSI_GOOD);
	rig_down();
}

/* One bad extent: none is unmapped. */
static void test_unmap_all_or_none(void)
{
	uint8_t cdb[10] = {0x42}, p[8 + 16 * (LIMIT_UNMAP_DESCRIPTORS + 1)] = {0};
	rig_up(&thin, false);
	fill(0, 0, 16, 0xff);
	put_be16(cdb + 7, 40);
	put_be16(p + 2, 32);
	put_be32(p + 16, 8);
	put_be64(p + 24, BLOCKS);
	put_be32(p + 32, 1);
	CHECK_EQ(run(0, 0, cdb, sizeof(cdb), p, 40), SCSI_CHECK_CONDITION);
	CHECK(filled_with(0, 0, 16, 0xff));
	put_be64(p + 24, 8);
	put_be16(p + 2, 31); /* the second is not whole: ignored */
	CHECK_EQ(run(0, 0, cdb, sizeof(cdb), p, 40), SCSI_GOOD);
	CHECK(filled_with(0, 0, 8, 0) && filled_with(0, 8, 8, 0xff));
	/* too many */
	put_be16(cdb + 7, sizeof(p));
	put_be16(p + 2, sizeof(p) - 8);
	CHECK_EQ(run(0, 0, cdb, sizeof(cdb), p, sizeof(p)), SCSI_CHECK_CONDITION);
	CHECK_EQ(last.asc, ASC_INVALID_FIELD_IN_PARAMETER);
	put_be16(p + 2, 16 * LIMIT_UNMAP_DESCRIPTORS);
	CHECK_EQ(run(0, 0, cdb, sizeof(cdb), p, sizeof(p)), SCSI_GOOD);
	rig_down();
}

/* So many blocks in all, and no more; how often it names the same does not matter. */
static void test_unmap_limit(void)
{
	uint8_t cdb[10] = {0x42}, p[8 + 16 * (LIMIT_UNMAP_BLOCKS / BLOCKS + 1)] = {0};
	rig_up(&thin, false);
	put_be16(cdb + 7, sizeof(p));
	put_be16(p + 2, sizeof(p) - 8);
	for (unsigned i = 0; i < LIMIT_UNMAP_BLOCKS / BLOCKS; i++)
		put_be32(p + 8 + 16 * i + 8, BLOCKS);
	CHECK_EQ(run(0, 0, cdb, sizeof(cdb), p, sizeof(p)), SCSI_GOOD);
	fill(0, 0, 1, 0xff);
	put_be32(p + sizeof(p) - 8, 1);
	CHECK_EQ(run(0, 0, cdb, sizeof(cdb), p, sizeof(p)), SCSI_CHECK_CONDITION);
	CHECK_EQ(last.asc, ASC_INVALID_FIELD_IN_PARAMETER);
	CHECK(filled_with(0, 0, 1, 0xff));
	rig_down();
}

static void test_unmap_lists(void)
{
	uint8_t cdb[10] = {0x42}, p[24] = {0};
	rig_up(&thin, false);
	CHECK_EQ(run(0, 0, cdb, sizeof(cdb), NULL, 0), SCSI_GOOD);
	cdb[8] = 7;
	CHECK_EQ(run(0, 0, cdb, sizeof(cdb), p, 7), SCSI_CHECK_CONDITION);
	CHECK_EQ(last.asc, ASC_PARAMETER_LIST_LENGTH);
	cdb[8] = 8;
	CHECK_EQ(run(0, 0, cdb, sizeof(cdb), p, 8), SCSI_GOOD);
	cdb[8] = 24; /* less is sent */
	CHECK_EQ(run(0, 0, cdb, sizeof(cdb), p, 8), SCSI_CHECK_CONDITION);
	CHECK_EQ(last.asc, ASC_PARAMETER_LIST_LENGTH);
	put_be16(p + 2, 0xffff); /* more descriptors than there are */
	CHECK_EQ(run(0, 0, cdb, sizeof(cdb), p, 24), SCSI_GOOD);
	cdb[1] = 0x01; /* ANCHOR */
	CHECK_EQ(run(0, 0, cdb, sizeof(cdb), p, 24), SCSI_CHECK_CONDITION);
	CHECK_EQ(last.asc, ASC_INVALID_FIELD_IN_CDB);
	rig_down();
}

static void test_fully_provisioned(void)
{
	uint8_t block[512] = {0};
	rig_up(NULL, false);
	CHECK_EQ(unmap(0, 1), SCSI_CHECK_CONDITION);
	CHECK_EQ(last.asc, ASC_INVALID_OPCODE);
	CHECK_EQ(write_same(0x08, 0, 1, block, sizeof(block)), SCSI_CHECK_CONDITION);
	CHECK_EQ(last.asc, ASC_INVALID_FIELD_IN_CDB);
	rig_down();
}

/* ---- WRITE SAME ---- */

static void test_write_same(void)
{
	uint8_t block[512];
	uint8_t ten[10] = {0x41, 0, 0, 0, 0, 100, 0, 0, 3};
	uint32_t all = 40000; /* more than is filled at a time */
	rig_up(NULL, false);
	memset(block, 0x3c, sizeof(block));
	CHECK_EQ(run(0, 0, ten, sizeof(ten), block, sizeof(block)), SCSI_GOOD);
	CHECK(filled_with(0, 99, 1, 0));
	CHECK(filled_with(0, 100, 3, 0x3c));
	CHECK(filled_with(0, 103, 1, 0));
	CHECK_EQ(write_same(0, 5, LIMIT_WRITE_SAME_BLOCKS, block, sizeof(block)), SCSI_GOOD);
	CHECK(filled_with(0, 4, 1, 0));
	CHECK(filled_with(0, 5, 10000, 0x3c));
	CHECK(filled_with(0, LIMIT_WRITE_SAME_BLOCKS - 95, 100, 0x3c));
	CHECK(filled_with(0, LIMIT_WRITE_SAME_BLOCKS + 5, 1, 0));
	CHECK_EQ(write_same(0, 0, all, block, sizeof(block)), SCSI_CHECK_CONDITION);
	CHECK_EQ(last.asc, ASC_INVALID_FIELD_IN_CDB);
	CHECK_EQ(write_same(0, BLOCKS - 1, 2, block, sizeof(block)), SCSI_CHECK_CONDITION);
	CHECK_EQ(last.asc, ASC_LBA_OUT_OF_RANGE);
	/* 0 blocks: up to the end */
	CHECK_EQ(write_same(0, BLOCKS - 3, 0, block, sizeof(block)), SCSI_GOOD);
	CHECK(filled_with(0, BLOCKS - 3, 3, 0x3c));
	CHECK_EQ(write_same(0, 0, 0, block, sizeof(block)), SCSI_CHECK_CONDITION); /* too far */
	rig_down();
}

static void test_write_same_no_data(void)
{
	uint8_t block[1024] = {0};
	rig_up(&thin, false);
	fill(0, 0, 32, 0xff);
	CHECK_EQ(write_same(0x01, 0, 8, NULL, 0), SCSI_GOOD); /* NDOB: zeros */
	CHECK(filled_with(0, 0, 8, 0) && filled_with(0, 8, 24, 0xff));
	CHECK_EQ(write_same(0x09, 8, 8, NULL, 0), SCSI_GOOD);
	CHECK(filled_with(0, 8, 8, 0) && filled_with(0, 16, 16, 0xff));
	/* one block of data, no more and no less */
	CHECK_EQ(write_same(0, 16, 1, block, 256), SCSI_CHECK_CONDITION);
	CHECK_EQ(last.key, SENSE_ILLEGAL_REQUEST);
	CHECK_EQ(write_same(0, 16, 1, block, 1024), SCSI_CHECK_CONDITION);
	CHECK_EQ(write_same(0, 16, 1, NULL, 0), SCSI_CHECK_CONDITION);
	CHECK_EQ(write_same(0x01, 16, 1, block, 512), SCSI_CHECK_CONDITION);
	CHECK(filled_with(0, 16, 16, 0xff));
	rig_down();
}

/* UNMAP is permission to deallocate where that reads as the block does: no data is lost by it. */
static void test_write_same_unmap(void)
{
	uint8_t block[512] = {0}, ten[10] = {0x41, 0x08, 0, 0, 0, 64, 0, 0, 8}, state;
	uint32_t count;
	rig_up(&thin, false);
	fill(0, 0, 128, 0xff);
	CHECK_EQ(write_same(0x08, 0, 8, block, sizeof(block)), SCSI_GOOD);
	CHECK(filled_with(0, 0, 8, 0) && filled_with(0, 8, 120, 0xff));
	lba_status(0, &state, &count);
	CHECK_EQ(state, 1);
	block[511] = 1; /* the last byte, too */
	CHECK_EQ(write_same(0x08, 8, 8, block, sizeof(block)), SCSI_GOOD);
	CHECK_EQ(read_blocks(0, 0, 15, 1, block), SCSI_GOOD);
	CHECK_EQ(block[0], 0);
	CHECK_EQ(block[511], 1);
	memset(block, 'k', sizeof(block));
	CHECK_EQ(write_same(0x08, 8, 8, block, sizeof(block)), SCSI_GOOD);
	CHECK(filled_with(0, 8, 8, 'k'));
	CHECK_EQ(run(0, 0, ten, sizeof(ten), block, sizeof(block)), SCSI_GOOD);
	CHECK(filled_with(0, 64, 8, 'k') && filled_with(0, 72, 56, 0xff));
	rig_down();
}

static void test_write_same_flags(void)
{
	static const uint8_t bad[] = {0x20, 0x80, 0x10, 0x18, 0x04, 0x02};
	uint8_t block[512] = {0}, ten[10] = {0x41, 0x01, 0, 0, 0, 0, 0, 0, 1};
	rig_up(&thin, false);
	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
		CHECK_EQ(write_same(bad[i], 0, 1, block, sizeof(block)), SCSI_CHECK_CONDITION);
		CHECK_EQ(last.asc, ASC_INVALID_FIELD_IN_CDB);
	}
	CHECK_EQ(run(0, 0, ten, sizeof(ten), NULL, 0), SCSI_CHECK_CONDITION); /* (16) only */
	rig_down();
}

/* ---- GET LBA STATUS ---- */

static void test_lba_status(void)
{
	uint8_t state, past[16] = {0x9e, 0x12};
	uint32_t count;
	rig_up(&thin_4k, false);
	uint32_t blocks = (uint32_t)rig.lun[0]->blocks;
	CHECK_EQ(lba_status(0, &state, &count), 1); /* nothing written yet */
	CHECK_EQ(state, 1);
	CHECK_EQ(count, blocks);
	fill(0, 64, 32, 0xff);
	CHECK_EQ(lba_status(0, &state, &count), 3);
	CHECK_EQ(state, 1);
	CHECK_EQ(count, 64);
	lba_status(70, &state, &count);
	CHECK_EQ(state, 0);
	CHECK_EQ(count, 26);
	CHECK_EQ(lba_status(96, &state, &count), 1);
	CHECK_EQ(state, 1);
	CHECK_EQ(count, blocks - 96);
	CHECK_EQ(unmap(80, 4), SCSI_GOOD);
	CHECK_EQ(lba_status(64, &state, &count), 4);
	CHECK_EQ(count, 16);
	put_be64(past + 2, blocks);
	put_be32(past + 10, 24);
	CHECK_EQ(run(0, 0, past, sizeof(past), NULL, 0), SCSI_CHECK_CONDITION);
	CHECK_EQ(last.asc, ASC_LBA_OUT_OF_RANGE);
	rig_down();
}

/* More extents than one answer holds: the initiator goes on where it ended. */
static void test_many_extents(void)
{
	uint8_t state;
	uint32_t count;
	rig_up(&thin_4k, false);
	for (uint32_t i = 0; i < 100; i++)
		fill(0, 2 * i, 1, 0xff);
	CHECK_EQ(lba_status(0, &state, &count), 64);
	CHECK_EQ(lba_status(64, &state, &count), 64);
	CHECK_EQ(state, 0);
	CHECK_EQ(lba_status(198, &state, &count), 2);
	rig_down();
}

static void test_short_answer(void)
{
	uint8_t cdb[16] = {0x9e, 0x12};
	struct call c;
	rig_up(&thin, false);
	for (uint32_t alloc = 0; alloc < 30; alloc++) {
		put_be32(cdb + 10, alloc);
		call_start(&c, 0, 0, cdb, sizeof(cdb), NULL, 0);
		CHECK_EQ(call_wait(&c), SCSI_GOOD);
		CHECK_EQ(c.cmd.in_len, MIN(alloc, 24u));
		call_fini(&c);
	}
	rig_down();
}

int main(void)
{
	log_init("provision_test");
	CHECK_RUN(test_unmap);
	CHECK_RUN(test_unmap_ranges);
	CHECK_RUN(test_unmap_all_or_none);
	CHECK_RUN(test_unmap_limit);
	CHECK_RUN(test_unmap_lists);
	CHECK_RUN(test_fully_provisioned);
	CHECK_RUN(test_write_same);
	CHECK_RUN(test_write_same_no_data);
	CHECK_RUN(test_write_same_unmap);
	CHECK_RUN(test_write_same_flags);
	CHECK_RUN(test_lba_status);
	CHECK_RUN(test_many_extents);
	CHECK_RUN(test_short_answer);
	return CHECK_DONE();
}
