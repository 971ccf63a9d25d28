/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/unit/storage/scsi/harness.h"

#define SIZE 512

static const struct lun_config thin = {.thin = true};

/* A parameter list in the making. */
static struct list {
	uint8_t p[4096];
	uint32_t len, targets, segments;
} list;

static void list_new(uint8_t list_id, uint8_t usage)
{
	memset(&list, 0, sizeof(list));
	list.p[0] = list_id;
	list.p[1] = (uint8_t)(usage << 3);
	list.len = 16;
}

static void add_target(const uint8_t *naa)
{
	uint8_t *d = list.p + list.len;
	d[0] = 0xe4;
	d[4] = 1;
	d[5] = 3;
	d[7] = 16;
	memcpy(d + 8, naa, 16);
	put_be24(d + 29, SIZE);
	list.len += 32;
	list.targets += 32;
}

static void add_segment(uint16_t from, uint16_t to, uint16_t blocks, uint64_t src, uint64_t dst)
{
	uint8_t *d = list.p + list.len;
	d[0] = 0x02;
	put_be16(d + 2, 0x18);
	put_be16(d + 4, from);
	put_be16(d + 6, to);
	put_be16(d + 10, blocks);
	put_be64(d + 12, src);
	put_be64(d + 20, dst);
	list.len += 28;
	list.segments += 28;
}

static void add_segment_offset(uint32_t bytes, uint64_t src, uint16_t src_off, uint64_t dst,
			       uint16_t dst_off)
{
	uint8_t *d = list.p + list.len;
	d[0] = 0x0a;
	put_be16(d + 2, 0x1c);
	put_be32(d + 8, bytes);
	put_be64(d + 12, src);
	put_be64(d + 20, dst);
	put_be16(d + 28, src_off);
	put_be16(d + 30, dst_off);
	list.len += 32;
	list.segments += 32;
}

static void copy_cdb(uint8_t *cdb)
{
	memset(cdb, 0, 16);
	cdb[0] = 0x83;
	put_be16(list.p + 2, (uint16_t)list.targets);
	put_be32(list.p + 8, list.segments);
	put_be32(cdb + 10, list.len);
}

static uint8_t copy(unsigned host)
{
	uint8_t cdb[16];
	copy_cdb(cdb);
	return run(0, host, cdb, sizeof(cdb), list.p, list.len);
}

/* The simple case: one segment on LUN 0, or from LUN 0 to LUN 1. */
static uint8_t copy_one(unsigned to, uint16_t blocks, uint64_t src, uint64_t dst)
{
	list_new(0, 3);
	add_target(rig.lun[0]->id.naa);
	add_target(rig.lun[1]->id.naa);
	add_segment(0, (uint16_t)to, blocks, src, dst);
	return copy(0);
}

/* RECEIVE COPY STATUS: the manager's status, or -1. */
static int copy_status(unsigned host, uint8_t list_id, uint16_t *segments, uint32_t *bytes)
{
	uint8_t cdb[16] = {0x84, 0, list_id};
	struct call c;
	int status = -1;
	put_be32(cdb + 10, 64);
	call_start(&c, 0, host, cdb, sizeof(cdb), NULL, 0);
	if (call_wait(&c) == SCSI_GOOD && CHECK_EQ(c.cmd.in_len, 12)) {
		CHECK_EQ(get_be32(c.in), 8);
		status = c.in[4];
		*segments = get_be16(c.in + 5);
		*bytes = get_be32(c.in + 8);
	}
	call_fini(&c);
	return status;
}

/* ---- copying ---- */

static void test_same_lun(void)
{
	rig_up(NULL, false);
	fill(0, 0, 4096, 'A');
	CHECK_EQ(copy_one(0, 4096, 0, BLOCKS - 4096), SCSI_GOOD);
	CHECK(filled_with(0, BLOCKS - 4096, 4096, 'A'));
	CHECK(filled_with(0, BLOCKS - 4097, 1, 0));
	CHECK_EQ(copy_one(0, 0, 0, 0), SCSI_GOOD);
	rig_down();
}

/* An aborted one stops, and keeps nobody waiting for the rest. */
static void test_abort(void)
{
	uint8_t cdb[16];
	struct call c;
	rig_up(NULL, false);
	fill(0, 0, 16384, 'A');
	list_new(0, 3);
	add_target(rig.lun[0]->id.naa);
	for (unsigned i = 0; i < LIMIT_COPY_SEGMENTS; i++)
		add_segment(0, 0, 32768, 0, i + 1 < LIMIT_COPY_SEGMENTS ? 32768 : 98304);
	copy_cdb(cdb);
	call_start(&c, 0, 0, cdb, sizeof(cdb), list.p, list.len);
	CHECK(!c.done);
	scsi_abort(&c.cmd);
	CHECK_EQ(call_wait(&c), SCSI_TASK_ABORTED);
	CHECK(filled_with(0, 98304, 16384, 0)); /* the last segment, after 1 GiB */
	rig_down();
}

static void test_other_lun(void)
{
	rig_up(NULL, false);
	fill(0, 0, 100, 'A');
	fill(1, 0, 100, 'B');
	CHECK_EQ(copy_one(1, 10, 5, 20), SCSI_GOOD);
	CHECK(filled_with(1, 19, 1, 'B') && filled_with(1, 20, 10, 'A') &&
	      filled_with(1, 30, 70, 'B'));
	CHECK(filled_with(0, 0, 100, 'A'));
	rig_down();
}

/* Where source and destination overlap, what is read is what was there before. */
static void test_overlap(void)
{
	enum { N = 6000 };
	static uint8_t before[N * SIZE], after[N * SIZE];
	static const int shifts[] = {1, 100, 2047, 2049, -1, -100, -2049};
	rig_up(NULL, false);
	for (unsigned i = 0; i < N * SIZE; i++)
		before[i] = (uint8_t)(i / SIZE * 7 + i % 13);
	for (unsigned i = 0; i < ARRAY_SIZE(shifts); i++) {
		int from = 8000, to = from + shifts[i];
		CHECK_EQ(write_blocks(0, 0, (uint32_t)from, N, before), SCSI_GOOD);
		CHECK_EQ(copy_one(0, N, (uint64_t)from, (uint64_t)to), SCSI_GOOD);
		CHECK_EQ(read_blocks(0, 0, (uint32_t)to, N, after), SCSI_GOOD);
		CHECK_MEM(before, after, sizeof(before));
	}
	rig_down();
}

static void test_byte_offsets(void)
{
	uint8_t b[2 * SIZE];
	rig_up(NULL, false);
	fill(0, 0, 8, 'A');
	list_new(0, 3);
	add_target(rig.lun[0]->id.naa);
	add_segment_offset(100, 1, 30, 20, 500);
	CHECK_EQ(copy(0), SCSI_GOOD);
	CHECK_EQ(read_blocks(0, 0, 20, 2, b), SCSI_GOOD);
	for (unsigned i = 0; i < sizeof(b); i++)
		if (b[i] != (i >= 500 && i < 600 ? 'A' : 0) && !CHECK(false))
			break;
	list_new(0, 3);
	add_target(rig.lun[0]->id.naa);
	add_segment_offset(100, 1, SIZE, 20, 0);
	CHECK_EQ(copy(0), SCSI_CHECK_CONDITION);
	CHECK_EQ(last.asc, ASC_INVALID_FIELD_IN_PARAMETER);
	rig_down();
}

/* Holes are not filled with zeros. */
static void test_stays_thin(void)
{
	bool mapped;
	uint64_t run_length;
	rig_up(&thin, false);
	fill(1, 0, 8192, 'B');
	fill(0, 0, 2048, 'A');
	CHECK_EQ(copy_one(1, 8192, 0, 0), SCSI_GOOD);
	CHECK(filled_with(1, 0, 2048, 'A') && filled_with(1, 2048, 6144, 0));
	CHECK_EQ(disk_map(rig.lun[1]->disk, 2048 * SIZE, &mapped, &run_length), 0);
	CHECK(!mapped);
	rig_down();
}

/* ---- what is refused ---- */

static void test_out_of_range(void)
{
	rig_up(NULL, false);
	CHECK_EQ(copy_one(0, 2, BLOCKS - 1, 0), SCSI_CHECK_CONDITION);
	CHECK_EQ(last.key, SENSE_COPY_ABORTED);
	CHECK_EQ(copy_one(0, 2, 0, BLOCKS - 1), SCSI_CHECK_CONDITION);
	CHECK_EQ(last.key, SENSE_COPY_ABORTED);
	CHECK_EQ(copy_one(0, 2, UINT64_MAX, 0), SCSI_CHECK_CONDITION);
	CHECK_EQ(copy_one(0, 2, 0, 1ull << 55), SCSI_CHECK_CONDITION); /* times 512 it is 0 */
	CHECK_EQ(last.key, SENSE_COPY_ABORTED);
	CHECK_EQ(copy_one(0, 0xffff, 0, 0), SCSI_CHECK_CONDITION); /* too long a segment */
	CHECK_EQ(last.asc, ASC_INVALID_FIELD_IN_PARAMETER);
	rig_down();
}

static void test_unknown_target(void)
{
	uint8_t naa[16] = {0x60};
	rig_up(NULL, false);
	list_new(0, 3);
	add_target(naa);
	add_segment(0, 0, 1, 0, 1);
	CHECK_EQ(copy(0), SCSI_CHECK_CONDITION);
	CHECK_EQ(last.key, SENSE_COPY_ABORTED);
	CHECK_EQ(last.asc, ASC_COPY_TARGET_NOT_REACHABLE);
	CHECK_EQ(copy_one(2, 1, 0, 0), SCSI_CHECK_CONDITION); /* no such index */
	CHECK_EQ(last.key, SENSE_COPY_ABORTED);
	CHECK_EQ(last.asc, ASC_UNREACHABLE_COPY_TARGET);
	rig_down();
}

/* The initiator may copy only what it may read and write itself. */
static void test_reservations(void)
{
	uint8_t reserve[6] = {0x16}, release[6] = {0x17};
	rig_up(NULL, false);
	fill(0, 0, 1, 'A');
	CHECK_EQ(run(1, 1, reserve, 6, NULL, 0), SCSI_GOOD);
	CHECK_EQ(copy_one(1, 1, 0, 0), SCSI_CHECK_CONDITION);
	CHECK_EQ(last.key, SENSE_COPY_ABORTED);
	CHECK_EQ(run(1, 1, release, 6, NULL, 0), SCSI_GOOD);
	CHECK_EQ(copy_one(1, 1, 0, 0), SCSI_GOOD);
	rig.lun[1]->swp = true;
	CHECK_EQ(copy_one(1, 1, 0, 0), SCSI_CHECK_CONDITION);
	CHECK_EQ(last.asc, ASC_WRITE_PROTECTED);
	rig_down();
}

static void test_types(void)
{
	rig_up(NULL, false);
	list_new(0, 3);
	add_target(rig.lun[0]->id.naa);
	add_segment(0, 0, 1, 0, 1);
	list.p[16] = 0xe0;
	CHECK_EQ(copy(0), SCSI_CHECK_CONDITION);
	CHECK_EQ(last.asc, ASC_UNSUPPORTED_TARGET_DESCRIPTOR);
	list.p[16] = 0xe4;
	list.p[48] = 0x03;
	CHECK_EQ(copy(0), SCSI_CHECK_CONDITION);
	CHECK_EQ(last.asc, ASC_UNSUPPORTED_SEGMENT_DESCRIPTOR);
	list.p[48] = 0x02;
	put_be24(list.p + 16 + 29, 4096); /* not its block length */
	CHECK_EQ(copy(0), SCSI_CHECK_CONDITION);
	CHECK_EQ(last.asc, ASC_INVALID_FIELD_IN_PARAMETER);
	rig_down();
}

static void test_lengths(void)
{
	uint8_t cdb[16] = {0x83};
	rig_up(NULL, false);
	CHECK_EQ(run(0, 0, cdb, sizeof(cdb), NULL, 0), SCSI_GOOD);
	list_new(0, 3);
	add_target(rig.lun[0]->id.naa);
	add_segment(0, 0, 1, 0, 1);
	copy_cdb(cdb);
	for (uint32_t len = 1; len < list.len; len++) {
		put_be32(cdb + 10, len);
		CHECK_EQ(run(0, 0, cdb, sizeof(cdb), list.p, len), SCSI_CHECK_CONDITION);
		CHECK_EQ(last.asc, ASC_PARAMETER_LIST_LENGTH);
	}
	put_be16(list.p + 48 + 2, 0xffff); /* the segment reaches beyond the list */
	CHECK_EQ(copy(0), SCSI_CHECK_CONDITION);
	CHECK_EQ(last.asc, ASC_PARAMETER_LIST_LENGTH);
	list.segments = 2; /* less than a descriptor's header */
	CHECK_EQ(copy(0), SCSI_CHECK_CONDITION);
	list_new(0, 3);
	for (unsigned i = 0; i <= LIMIT_COPY_TARGETS; i++)
		add_target(rig.lun[0]->id.naa);
	CHECK_EQ(copy(0), SCSI_CHECK_CONDITION);
	CHECK_EQ(last.asc, ASC_TOO_MANY_TARGET_DESCRIPTORS);
	list_new(0, 3);
	add_target(rig.lun[0]->id.naa);
	for (unsigned i = 0; i <= LIMIT_COPY_SEGMENTS; i++)
		add_segment(0, 0, 1, 0, 1);
	CHECK_EQ(copy(0), SCSI_CHECK_CONDITION);
	CHECK_EQ(last.asc, ASC_TOO_MANY_SEGMENT_DESCRIPTORS);
	rig_down();
}

/* ---- how it ended ---- */

static uint8_t copy_listed(unsigned host, uint8_t list_id, uint8_t usage)
{
	list_new(list_id, usage);
	add_target(rig.lun[0]->id.naa);
	add_segment(0, 0, 4, 0, 100);
	add_segment(0, 0, 4, 4, 200);
	return copy(host);
}

static void test_status(void)
{
	uint16_t segments;
	uint32_t bytes;
	rig_up(NULL, false);
	CHECK_EQ(copy_status(0, 1, &segments, &bytes), -1);
	CHECK_EQ(copy_listed(0, 1, 0), SCSI_GOOD);
	CHECK_EQ(copy_status(1, 1, &segments, &bytes), -1); /* another's */
	CHECK_EQ(copy_status(0, 1, &segments, &bytes), 1);
	CHECK_EQ(segments, 2);
	CHECK_EQ(bytes, 8 * SIZE);
	CHECK_EQ(copy_status(0, 1, &segments, &bytes), -1); /* told once */
	CHECK_EQ(copy_listed(0, 2, 2), SCSI_GOOD);	    /* not to be kept */
	CHECK_EQ(copy_status(0, 2, &segments, &bytes), -1);
	CHECK_EQ(copy_listed(0, 3, 3), SCSI_CHECK_CONDITION); /* no list identifier, and yet one */
	CHECK_EQ(copy_listed(0, 3, 1), SCSI_CHECK_CONDITION);
	for (uint8_t id = 10; id < 10 + LIMIT_COPY_STATUSES + 1; id++)
		CHECK_EQ(copy_listed(0, id, 0), SCSI_GOOD);
	CHECK_EQ(copy_status(0, 10, &segments, &bytes), -1); /* the oldest made room */
	for (uint8_t id = 11; id < 10 + LIMIT_COPY_STATUSES + 1; id++)
		CHECK_EQ(copy_status(0, id, &segments, &bytes), 1);
	rig_down();
}

/* Under way: it can be asked for, and the list identifier is taken. */
static void test_in_progress(void)
{
	uint8_t cdb[16], other[4096];
	uint16_t segments;
	uint32_t bytes;
	struct call first, second;
	rig_up(NULL, false);
	list_new(9, 0);
	add_target(rig.lun[0]->id.naa);
	add_segment(0, 0, 8192, 0, 10000);
	copy_cdb(cdb);
	call_start(&first, 0, 0, cdb, sizeof(cdb), list.p, list.len);
	memcpy(other, list.p, list.len);
	call_start(&second, 0, 0, cdb, sizeof(cdb), other, list.len);
	CHECK(!first.done && second.done);
	CHECK_EQ(second.asc, ASC_OPERATION_IN_PROGRESS);
	CHECK_EQ(copy_status(0, 9, &segments, &bytes), 0);
	CHECK_EQ(call_wait(&first), SCSI_GOOD);
	CHECK_EQ(copy_status(0, 9, &segments, &bytes), 1);
	rig_down();
}

/* A LUN that runs a command alone is not written to by another LUN's copy meanwhile. */
static void test_other_lun_alone(void)
{
	uint8_t caw[16] = {0x89}, data[2 * SIZE] = {0};
	struct call c;
	rig_up(NULL, false);
	caw[13] = 1;
	call_start(&c, 1, 1, caw, sizeof(caw), data, sizeof(data));
	CHECK(!c.done);
	CHECK_EQ(copy_one(1, 1, 0, 0), SCSI_BUSY);
	CHECK_EQ(call_wait(&c), SCSI_GOOD);
	CHECK_EQ(copy_one(1, 1, 0, 0), SCSI_GOOD);
	rig_down();
}

static bool nobody_runs(void)
{
	bool nobody = true;
	for (unsigned i = 0; i < LUNS; i++)
		nobody = nobody && !rig.lun[i]->running && !rig.lun[i]->alone &&
			 !rig.lun[i]->waiting;
	return nobody;
}

/* Aborted, it lets go what waits for it to be alone, on either LUN. */
static void test_abort_lets_go(void)
{
	uint8_t cdb[16], caw[16] = {0x89, [13] = 1}, data[2 * SIZE] = {0};
	struct call c, alone[LUNS];
	uint16_t segments;
	uint32_t bytes;
	rig_up(NULL, false);
	list_new(7, 0);
	add_target(rig.lun[0]->id.naa);
	add_target(rig.lun[1]->id.naa);
	for (unsigned i = 0; i < LIMIT_COPY_SEGMENTS; i++)
		add_segment(0, 1, 32768, 0, 32768);
	copy_cdb(cdb);
	call_start(&c, 0, 0, cdb, sizeof(cdb), list.p, list.len);
	for (unsigned i = 0; i < LUNS; i++)
		call_start(&alone[i], i, 1, caw, sizeof(caw), data, sizeof(data));
	CHECK(!c.done && !alone[0].done && !alone[1].done);
	scsi_abort(&c.cmd);
	CHECK_EQ(call_wait(&c), SCSI_TASK_ABORTED);
	for (unsigned i = 0; i < LUNS; i++)
		CHECK_EQ(call_wait(&alone[i]), SCSI_GOOD);
	CHECK(nobody_runs());
	CHECK_EQ(copy_status(0, 7, &segments, &bytes), 2);
	/* In line, behind such a one. */
	call_start(&alone[0], 0, 1, caw, sizeof(caw), data, sizeof(data));
	call_start(&c, 0, 0, cdb, sizeof(cdb), list.p, list.len);
	CHECK(!alone[0].done && !c.done);
	scsi_abort(&c.cmd);
	CHECK_EQ(call_wait(&alone[0]), SCSI_GOOD);
	CHECK_EQ(call_wait(&c), SCSI_TASK_ABORTED);
	CHECK(nobody_runs());
	CHECK_EQ(copy_status(0, 7, &segments, &bytes), -1);
	rig_down();
}

static void retired(void *arg, int rc)
{
	bool *gone = arg;
	CHECK_EQ(rc, 0);
	*gone = true;
	loop_stop(rig.loop, 0);
}

/* A LUN that is removed while another LUN's copy writes to it is there until that has ended. */
static void test_other_lun_removed(void)
{
	uint8_t cdb[16];
	struct call c;
	bool gone = false;
	rig_up(NULL, false);
	list_new(0, 3);
	add_target(rig.lun[0]->id.naa);
	add_target(rig.lun[1]->id.naa);
	add_segment(0, 1, 8192, 0, 0);
	copy_cdb(cdb);
	call_start(&c, 0, 0, cdb, sizeof(cdb), list.p, list.len);
	CHECK(!c.done);
	for (unsigned h = 0; h < HOSTS; h++)
		lun_nexus_remove(&rig.nexus[1][h]);
	lun_retire(rig.lun[1], rig.engine, retired, &gone);
	CHECK_EQ(call_wait(&c), SCSI_GOOD);
	CHECK(!gone);
	while (!gone)
		loop_run(rig.loop);
	rig.lun[1] = NULL;
	rig_down();
}

static void test_operating_parameters(void)
{
	uint8_t cdb[16] = {0x84, 3};
	struct call c;
	rig_up(NULL, false);
	put_be32(cdb + 10, 1024);
	call_start(&c, 0, 0, cdb, sizeof(cdb), NULL, 0);
	CHECK_EQ(call_wait(&c), SCSI_GOOD);
	CHECK_EQ(c.cmd.in_len, 4 + get_be32(c.in));
	CHECK_EQ(get_be16(c.in + 8), LIMIT_COPY_TARGETS);
	CHECK_EQ(get_be16(c.in + 10), LIMIT_COPY_SEGMENTS);
	CHECK_EQ(c.in[43], 3);
	call_fini(&c);
	rig_down();
}

int main(void)
{
	log_init("copy_test");
	CHECK_RUN(test_same_lun);
	CHECK_RUN(test_abort);
	CHECK_RUN(test_other_lun);
	CHECK_RUN(test_overlap);
	CHECK_RUN(test_byte_offsets);
	CHECK_RUN(test_stays_thin);
	CHECK_RUN(test_out_of_range);
	CHECK_RUN(test_unknown_target);
	CHECK_RUN(test_reservations);
	CHECK_RUN(test_types);
	CHECK_RUN(test_lengths);
	CHECK_RUN(test_status);
	CHECK_RUN(test_in_progress);
	CHECK_RUN(test_other_lun_alone);
	CHECK_RUN(test_abort_lets_go);
	CHECK_RUN(test_other_lun_removed);
	CHECK_RUN(test_operating_parameters);
	return CHECK_DONE();
}
