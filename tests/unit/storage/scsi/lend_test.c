/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/unit/storage/scsi/harness.h"

#define LARGE 256 /* blocks of 512 bytes */

static unsigned recalls;
static struct lun_nexus *recalled;

static void on_recall(struct lun_nexus *n)
{
	recalls++;
	recalled = n;
}

static void start_read(struct call *c, unsigned host, uint32_t lba, uint16_t n, uint32_t lend_min,
		       uint32_t in_max)
{
	uint8_t cdb[10] = {0x28};
	put_be32(cdb + 2, lba);
	put_be16(cdb + 7, n);
	rig_lend_min = lend_min;
	rig_in_max = in_max;
	call_start(c, 0, host, cdb, sizeof(cdb), NULL, 0);
	rig_lend_min = 0;
	rig_in_max = 1u << 24;
	call_wait(c);
	CHECK_EQ(c->cmd.status, SCSI_GOOD);
}

static bool lends(uint32_t lba, uint16_t n, uint32_t lend_min, uint32_t in_max)
{
	struct call c;
	start_read(&c, 0, lba, n, lend_min, in_max);
	call_fini(&c);
	if (c.cmd.lent) {
		CHECK_EQ(c.cmd.lend_off, lba * 512ull);
		CHECK_EQ(c.cmd.in_len, n * 512u);
		scsi_give_back(rig.lun[0]);
	}
	return c.cmd.lent;
}

static void test_what_is_lent(void)
{
	rig_up(NULL, false);
	fill(0, 100, LARGE, 'A');
	CHECK(lends(100, LARGE, LARGE * 512, UINT32_MAX));
	CHECK(!lends(100, LARGE - 1, LARGE * 512, UINT32_MAX)); /* too small */
	CHECK(!lends(100, LARGE, 0, UINT32_MAX));		/* not wanted */
	CHECK(!lends(100, LARGE, 65536, LARGE * 512 - 2));	/* not whole */
	CHECK_EQ(rig.lun[0]->lent, 0);
	/* A file that has become shorter is read as ever, for the error. */
	CHECK_EQ(truncate(rig_path("disk0"), 100 * 512 + 1000), 0);
	{
		struct call c;
		uint8_t cdb[10] = {0x28, 0, 0, 0, 0, 100, 0, 1};
		rig_lend_min = 65536;
		call_start(&c, 0, 0, cdb, sizeof(cdb), NULL, 0);
		rig_lend_min = 0;
		CHECK_EQ(call_wait(&c), SCSI_CHECK_CONDITION);
		CHECK_EQ(c.key, SENSE_MEDIUM_ERROR);
		CHECK(!c.cmd.lent);
		call_fini(&c);
	}
	CHECK_EQ(truncate(rig_path("disk0"), BLOCKS * 512ull), 0);
	rig_down();
}

/* What must be atomic to readers waits for what they have been lent; and ends the lending. */
static void test_atomic_write_waits(void)
{
	uint8_t cdb[16] = {0x89}, data[1024];
	struct call r[2], w, read;
	rig_up(NULL, false);
	fill(0, 0, LARGE, 'A');
	rig.nexus[0][1].recall = on_recall;
	recalls = 0;
	start_read(&r[0], 1, 0, LARGE, 65536, UINT32_MAX);
	start_read(&r[1], 1, 0, LARGE, 65536, UINT32_MAX);
	CHECK_EQ(rig.lun[0]->lent, 2);

	memset(data, 'A', 512);
	memset(data + 512, 'B', 512);
	cdb[13] = 1;
	call_start(&w, 0, 0, cdb, sizeof(cdb), data, sizeof(data));
	CHECK(!w.done);
	CHECK_EQ(recalls, 1);
	CHECK(recalled == &rig.nexus[0][1]);
	/* those that come later wait behind it */
	{
		uint8_t cdb10[10] = {0x28, 0, 0, 0, 0, 0, 0, 0, 1};
		call_start(&read, 0, 2, cdb10, sizeof(cdb10), NULL, 0);
	}
	scsi_give_back(rig.lun[0]);
	CHECK(!w.done && !read.done);
	scsi_give_back(rig.lun[0]);
	CHECK_EQ(call_wait(&w), SCSI_GOOD);
	CHECK_EQ(call_wait(&read), SCSI_GOOD);
	CHECK_EQ(read.in[0], 'B');
	call_fini(&r[0]);
	call_fini(&r[1]);
	call_fini(&w);
	call_fini(&read);
	CHECK(!lends(0, LARGE, 65536, UINT32_MAX));
	rig_down();
}

/* A reservation changes no data: it need not wait, and lending goes on. */
static void test_reservation_does_not_wait(void)
{
	uint8_t cdb[10] = {0x5f, 0, 0, 0, 0, 0, 0, 0, 24}, param[24] = {0};
	struct call r;
	rig_up(NULL, false);
	fill(0, 0, LARGE, 'A');
	start_read(&r, 1, 0, LARGE, 65536, UINT32_MAX);
	put_be64(param + 8, 0x1234);
	CHECK_EQ(run(0, 0, cdb, sizeof(cdb), param, sizeof(param)), SCSI_GOOD);
	CHECK_EQ(rig.lun[0]->lent, 1);
	scsi_give_back(rig.lun[0]);
	call_fini(&r);
	CHECK(lends(0, LARGE, 65536, UINT32_MAX));
	rig_down();
}

int main(void)
{
	log_init("lend_test");
	CHECK_RUN(test_what_is_lent);
	CHECK_RUN(test_atomic_write_waits);
	CHECK_RUN(test_reservation_does_not_wait);
	return CHECK_DONE();
}
