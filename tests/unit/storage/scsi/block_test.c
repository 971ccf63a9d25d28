/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/unit/storage/scsi/harness.h"

static const struct lun_config four_k = {.block_size = 4096};

/* Two blocks, of which only `len` bytes are announced. */
static uint8_t write_part(uint8_t opcode, uint32_t len)
{
	static uint8_t data[3 * 4096];
	uint8_t cdb[16] = {opcode};
	unsigned n = opcode >= 0x80 ? 16 : 10;
	cdb[n == 16 ? 13 : 8] = 2;
	memset(data, 'b', sizeof(data));
	return run(0, 0, cdb, n, data, len);
}

/* Less than the command transfers: whole blocks of it are written, a part of one never is. */
static void test_no_block_is_torn(void)
{
	static const uint8_t writes[] = {0x2a, 0x8a, 0x2e, 0x8e, 0x8b};
	for (unsigned k = 0; k < 2; k++) {
		rig_up(k ? &four_k : NULL, false);
		uint32_t size = rig.lun[0]->block_size;
		for (unsigned i = 0; i < ARRAY_SIZE(writes); i++) {
			const uint32_t bad[] = {1, 200, size - 1, size + 1, 2 * size - 1};
			fill(0, 0, 3, 0);
			for (unsigned j = 0; j < ARRAY_SIZE(bad); j++) {
				CHECK_EQ(write_part(writes[i], bad[j]), SCSI_CHECK_CONDITION);
				CHECK_EQ(last.key, SENSE_ILLEGAL_REQUEST);
				CHECK_EQ(last.asc, ASC_INVALID_INFORMATION_UNIT);
			}
			CHECK(filled_with(0, 0, 3, 0));
			CHECK_EQ(write_part(writes[i], 0), SCSI_GOOD);
			CHECK_EQ(write_part(writes[i], size), SCSI_GOOD);
			CHECK(filled_with(0, 0, 1, 'b') && filled_with(0, 1, 2, 0));
			/* What is beyond the blocks is not looked at. */
			CHECK_EQ(write_part(writes[i], 2 * size + 1), SCSI_GOOD);
			CHECK(filled_with(0, 0, 2, 'b') && filled_with(0, 2, 1, 0));
		}
		rig_down();
	}
}

int main(void)
{
	log_init("block_test");
	CHECK_RUN(test_no_block_is_torn);
	return CHECK_DONE();
}
