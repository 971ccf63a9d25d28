/* SPDX-License-Identifier: BSD-2-Clause */
#include <sys/stat.h>

#include "tests/unit/storage/scsi/harness.h"

static const struct lun_config thin = {.thin = true};

enum { OVERWRITE = 0x01, BLOCK_ERASE = 0x02, CRYPTO_ERASE = 0x03, EXIT_FAILURE_MODE = 0x1f };
enum { IMMED = 0x80 };

static uint8_t list[4 + 512];

/* OVERWRITE with a pattern of n bytes; others without a list. */
static void start(struct call *c, uint8_t action, uint16_t n)
{
	uint8_t cdb[10] = {0x48, action};
	uint32_t len = n ? 4u + n : 0;
	put_be16(list + 2, n);
	put_be16(cdb + 7, (uint16_t)len);
	call_start(c, 0, 0, cdb, sizeof(cdb), list, len);
}

static uint8_t sanitize(uint8_t action, uint16_t n)
{
	struct call c;
	start(&c, action, n);
	call_wait(&c);
	last.key = c.key;
	last.asc = c.asc;
	return c.cmd.status;
}

/* TEST UNIT READY: the code that it is refused with. */
static uint16_t ready(unsigned host)
{
	return attention(host);
}

static void stop_loop(void *arg)
{
	loop_stop(arg, 0);
}

/* Nobody is told when it ends without a command: look again every millisecond. */
static void wait_until_ready(void)
{
	struct loop_timer timer = {0};
	while (rig.lun[0]->sanitize) {
		loop_timer_set(rig.loop, &timer, MS_NS, stop_loop, rig.loop);
		loop_run(rig.loop);
	}
}

static void test_overwrite(void)
{
	uint8_t b[512];
	rig_up(NULL, false);
	fill(0, 0, 64, 'A');
	fill(0, BLOCKS - 64, 64, 'A');
	list[0] = 1;
	memset(list + 4, 0xaa, 512);
	CHECK_EQ(sanitize(OVERWRITE, 512), SCSI_GOOD);
	CHECK(filled_with(0, 0, 64, 0xaa) && filled_with(0, BLOCKS - 64, 64, 0xaa));
	/* A short pattern starts anew with each block; the second pass is its complement. */
	list[0] = 0x82;
	memcpy(list + 4, "\x01\x02\x03", 3);
	CHECK_EQ(sanitize(OVERWRITE, 3), SCSI_GOOD);
	CHECK_EQ(read_blocks(0, 0, 77, 1, b), SCSI_GOOD);
	for (unsigned i = 0; i < sizeof(b); i++)
		if (!CHECK_EQ(b[i], (uint8_t) ~(i % 3 + 1)))
			break;
	rig_down();
}

static void test_erase(void)
{
	bool mapped;
	uint64_t len;
	rig_up(&thin, false);
	for (uint8_t action = BLOCK_ERASE; action <= CRYPTO_ERASE; action++) {
		fill(0, 0, 64, 'A');
		CHECK_EQ(sanitize(action, 0), SCSI_GOOD);
		CHECK(filled_with(0, 0, 64, 0));
		CHECK_EQ(disk_map(rig.lun[0]->disk, 0, &mapped, &len), 0);
		CHECK(!mapped);
		CHECK_EQ(sanitize(action, 8), SCSI_CHECK_CONDITION);
		CHECK_EQ(last.asc, ASC_INVALID_FIELD_IN_CDB);
	}
	rig_down();
	rig_up(NULL, false); /* would lose its space */
	CHECK_EQ(sanitize(BLOCK_ERASE, 0), SCSI_CHECK_CONDITION);
	rig_down();
}

static void test_bad_lists(void)
{
	uint8_t cdb[10] = {0x48, OVERWRITE, 0, 0, 0, 0, 0, 0, 8};
	rig_up(NULL, false);
	list[0] = 0; /* no passes */
	CHECK_EQ(sanitize(OVERWRITE, 4), SCSI_CHECK_CONDITION);
	list[0] = 1;
	put_be16(list + 2, 5); /* a pattern longer than the list */
	CHECK_EQ(run(0, 0, cdb, sizeof(cdb), list, 8), SCSI_CHECK_CONDITION);
	CHECK_EQ(last.asc, ASC_INVALID_FIELD_IN_PARAMETER);
	cdb[8] = 4;
	CHECK_EQ(run(0, 0, cdb, sizeof(cdb), list, 4), SCSI_CHECK_CONDITION);
	cdb[4] = 1; /* reserved */
	CHECK_EQ(run(0, 0, cdb, sizeof(cdb), list, 4), SCSI_CHECK_CONDITION);
	CHECK_EQ(last.asc, ASC_INVALID_FIELD_IN_CDB);
	CHECK_EQ(sanitize(0x04, 0), SCSI_CHECK_CONDITION);
	CHECK_EQ(last.asc, ASC_INVALID_FIELD_IN_CDB);
	CHECK(!rig.lun[0]->sanitize);
	rig_down();
}

/* Under way the LUN tells so, with how far it is, and refuses what touches the medium. */
static void test_in_progress(void)
{
	uint8_t sense[6] = {0x03, 0, 0, 0, 32}, luns[12] = {0xa0, 0, 0, 0, 0, 0, 0, 0, 0, 64};
	struct call c, s;
	rig_up(NULL, false);
	list[0] = 4;
	memset(list + 4, 0, 512);
	start(&c, OVERWRITE, 512);
	CHECK(!c.done && rig.lun[0]->sanitize);
	CHECK_EQ(ready(1), ASC_SANITIZE_IN_PROGRESS);
	CHECK_EQ(last.key, SENSE_NOT_READY);
	CHECK_EQ(read_blocks(0, 1, 0, 1, NULL), SCSI_CHECK_CONDITION);
	CHECK_EQ(sanitize(OVERWRITE, 512), SCSI_CHECK_CONDITION);
	CHECK_EQ(last.asc, ASC_SANITIZE_IN_PROGRESS);
	CHECK_EQ(run(0, 1, luns, sizeof(luns), NULL, 0), SCSI_GOOD);
	CHECK_EQ(read_blocks(1, 1, 0, 1, NULL), SCSI_GOOD); /* the other LUN */
	call_start(&s, 0, 1, sense, sizeof(sense), NULL, 0);
	CHECK_EQ(call_wait(&s), SCSI_GOOD);
	CHECK_EQ(s.in[2], SENSE_NOT_READY);
	CHECK_EQ(get_be16(s.in + 12), ASC_SANITIZE_IN_PROGRESS);
	CHECK_EQ(s.in[15], 0x80); /* progress is given */
	call_fini(&s);
	CHECK_EQ(call_wait(&c), SCSI_GOOD);
	CHECK_EQ(ready(1), 0);
	rig_down();
}

static void test_immediate(void)
{
	rig_up(NULL, false);
	fill(0, 0, 8, 'A');
	list[0] = 2;
	memset(list + 4, 0x55, 512);
	CHECK_EQ(sanitize(OVERWRITE | IMMED, 512), SCSI_GOOD);
	CHECK_EQ(ready(0), ASC_SANITIZE_IN_PROGRESS);
	wait_until_ready();
	CHECK_EQ(ready(0), 0);
	CHECK(filled_with(0, 0, 8, 0x55));
	rig_down();
}

/* The command ends at once when it is aborted; the work goes on. */
static void test_abort(void)
{
	struct call c;
	rig_up(NULL, false);
	list[0] = 2;
	memset(list + 4, 0x66, 512);
	start(&c, OVERWRITE, 512);
	scsi_abort(&c.cmd);
	CHECK(!c.done); /* from the loop */
	CHECK_EQ(call_wait(&c), SCSI_TASK_ABORTED);
	CHECK(rig.lun[0]->sanitize);
	lun_reset(rig.lun[0]);
	clear_attentions();
	CHECK_EQ(ready(0), ASC_SANITIZE_IN_PROGRESS);
	wait_until_ready();
	CHECK(filled_with(0, 0, 8, 0x66));
	rig_down();
}

static bool nobody_runs(void)
{
	const struct lun *l = rig.lun[0];
	return !l->running && !l->alone && !l->waiting;
}

/* While it is being noted: it begins then, or (the mark cannot be made) never. */
static void test_abort_before_it_begins(void)
{
	struct call c;
	rig_up(NULL, true);
	fill(0, 0, 8, 'A');
	list[0] = 1;
	memset(list + 4, 0x66, 512);
	for (int immed = 0; immed < 2; immed++) {
		CHECK_EQ(mkdir(rig_path("state0.sanitize"), 0700), 0);
		start(&c, OVERWRITE | (immed ? IMMED : 0), 512);
		scsi_abort(&c.cmd);
		CHECK_EQ(call_wait(&c), SCSI_TASK_ABORTED);
		wait_until_ready();
		CHECK(nobody_runs());
		CHECK_EQ(ready(0), 0);
		CHECK(filled_with(0, 0, 8, 'A'));
		CHECK_EQ(rmdir(rig_path("state0.sanitize")), 0);
	}
	start(&c, OVERWRITE | IMMED, 512);
	scsi_abort(&c.cmd);
	CHECK_EQ(call_wait(&c), SCSI_TASK_ABORTED);
	CHECK(rig.lun[0]->sanitize && nobody_runs());
	wait_until_ready();
	CHECK_EQ(access(rig_path("state0.sanitize"), F_OK), -1);
	CHECK(filled_with(0, 0, 8, 0x66));
	CHECK(nobody_runs());
	rig_down();
}

/* While it waits for its turn: it never begins, and lets go what waits behind it. */
static void test_abort_in_line(void)
{
	uint8_t same[10] = {0x41, 0, 0, 0, 0, 0, 0, 0x40, 0}, block[512] = {0};
	uint8_t read[10] = {0x28, 0, 0, 0, 0, 0, 0, 0, 1};
	struct call first, s, queued;
	rig_up(NULL, false);
	list[0] = 1;
	call_start(&first, 0, 0, same, sizeof(same), block, sizeof(block));
	start(&s, OVERWRITE, 512);
	call_start(&queued, 0, 1, read, sizeof(read), NULL, 0);
	CHECK(!first.done && !s.done && !queued.done);
	scsi_abort(&s.cmd);
	CHECK_EQ(call_wait(&first), SCSI_GOOD);
	CHECK_EQ(call_wait(&s), SCSI_TASK_ABORTED);
	CHECK_EQ(call_wait(&queued), SCSI_GOOD);
	call_fini(&queued);
	CHECK(!rig.lun[0]->sanitize && nobody_runs());
	rig_down();
}

/* When it has ended already, in whatever way. */
static void test_abort_at_its_end(void)
{
	struct call c;
	rig_up(NULL, false);
	rig.lost_answers = true;
	list[0] = 2;
	CHECK_EQ(sanitize(OVERWRITE | IMMED, 512), SCSI_GOOD);
	wait_until_ready();
	CHECK_EQ(sanitize(OVERWRITE, 512), SCSI_GOOD);
	start(&c, OVERWRITE, 512);
	scsi_abort(&c.cmd);
	CHECK_EQ(call_wait(&c), SCSI_TASK_ABORTED);
	wait_until_ready();
	CHECK_EQ(ready(0), 0);
	rig_down();
}

static void retired(void *arg, int rc)
{
	bool *gone = arg;
	CHECK_EQ(rc, 0);
	*gone = true;
	loop_stop(rig.loop, 0);
}

/* The LUN is taken away as well, before the loop has had a turn. */
static void test_abort_and_removal(void)
{
	struct call c;
	bool gone = false;
	rig_up(NULL, true);
	list[0] = 31;
	start(&c, OVERWRITE, 512);
	scsi_abort(&c.cmd);
	for (unsigned h = 0; h < HOSTS; h++)
		lun_nexus_remove(&rig.nexus[0][h]);
	lun_retire(rig.lun[0], rig.engine, retired, &gone);
	CHECK_EQ(call_wait(&c), SCSI_TASK_ABORTED);
	while (!gone)
		loop_run(rig.loop);
	rig.lun[0] = NULL;
	CHECK_EQ(access(rig_path("state0.sanitize"), F_OK), 0);
	rig_down();
}

/* What waits for its turn when it begins, is refused when it has begun. */
static void test_queued_before(void)
{
	uint8_t same[10] = {0x41, 0, 0, 0, 0, 0, 0, 0x40, 0}, block[512] = {0};
	uint8_t read[10] = {0x28, 0, 0, 0, 0, 0, 0, 0, 1};
	struct call first, s, queued, aborted;
	rig_up(NULL, false);
	list[0] = 1;
	call_start(&first, 0, 0, same, sizeof(same), block, sizeof(block));
	start(&s, OVERWRITE, 512);
	call_start(&queued, 0, 1, read, sizeof(read), NULL, 0);
	call_start(&aborted, 0, 1, read, sizeof(read), NULL, 0);
	CHECK(!first.done && !s.done && !queued.done);
	scsi_abort(&aborted.cmd);
	CHECK_EQ(call_wait(&first), SCSI_GOOD);
	CHECK_EQ(call_wait(&queued), SCSI_CHECK_CONDITION);
	CHECK_EQ(queued.asc, ASC_SANITIZE_IN_PROGRESS);
	CHECK_EQ(call_wait(&aborted), SCSI_TASK_ABORTED);
	CHECK_EQ(call_wait(&s), SCSI_GOOD);
	rig_down();
}

/* It does not begin when that cannot be noted: the LUN is as before, its data, too. */
static void test_no_mark(void)
{
	rig_up(NULL, true);
	fill(0, 0, 8, 'A');
	CHECK_EQ(mkdir(rig_path("state0.sanitize"), 0700), 0);
	list[0] = 1;
	CHECK_EQ(sanitize(OVERWRITE, 512), SCSI_CHECK_CONDITION);
	CHECK_EQ(last.key, SENSE_HARDWARE_ERROR);
	CHECK_EQ(last.asc, ASC_INTERNAL_FAILURE);
	CHECK_EQ(sanitize(OVERWRITE | IMMED, 512), SCSI_CHECK_CONDITION);
	CHECK_EQ(ready(0), 0);
	CHECK(filled_with(0, 0, 8, 'A'));
	CHECK_EQ(rmdir(rig_path("state0.sanitize")), 0);
	CHECK_EQ(sanitize(OVERWRITE, 512), SCSI_GOOD);
	/* A failure that there was stays. */
	rig.lun[0]->sanitize_failed = true;
	CHECK_EQ(mkdir(rig_path("state0.sanitize"), 0700), 0);
	CHECK_EQ(sanitize(OVERWRITE, 512), SCSI_CHECK_CONDITION);
	CHECK_EQ(ready(0), ASC_SANITIZE_FAILED);
	CHECK_EQ(rmdir(rig_path("state0.sanitize")), 0);
	rig_down();
}

/* After a failure the LUN is closed, until it is sanitized or told to leave that mode. */
static void test_failed(void)
{
	rig_up(NULL, false);
	rig.lun[0]->sanitize_failed = true;
	CHECK_EQ(ready(0), ASC_SANITIZE_FAILED);
	list[0] = 1;
	CHECK_EQ(sanitize(OVERWRITE, 512), SCSI_GOOD);
	CHECK_EQ(ready(0), 0);
	rig.lun[0]->sanitize_failed = true;
	CHECK_EQ(sanitize(EXIT_FAILURE_MODE, 0), SCSI_GOOD);
	CHECK_EQ(ready(0), 0);
	rig_down();
}

static void restart(void)
{
	rig_close_lun(0);
	CHECK_EQ(rig_open_lun(0), 0);
	for (unsigned h = 0; h < HOSTS; h++)
		rig_login(0, h);
}

/* The LUN is taken away, or the target ends, in the middle of it. */
static void cut_off(struct call *c)
{
	list[0] = 31;
	memset(list + 4, 0x55, 512);
	start(c, OVERWRITE, 512);
	CHECK(!c->done);
	lun_stop(rig.lun[0]);
	call_wait(c);
}

/* It does not wait for a whole disk to be written, and what is not done is not called done. */
static void test_stop(void)
{
	struct call c;
	rig_up(NULL, false);
	fill(0, BLOCKS - 8, 8, 'A');
	cut_off(&c);
	CHECK_EQ(c.cmd.status, SCSI_CHECK_CONDITION);
	CHECK_EQ(c.asc, ASC_SANITIZE_FAILED);
	CHECK_EQ(ready(1), ASC_SANITIZE_FAILED);
	CHECK_EQ(read_blocks(0, 1, 0, 1, NULL), SCSI_CHECK_CONDITION);
	rig_down();
}

/* Nor after a restart, when somebody polls who had asked for it with IMMED. */
static void test_stop_is_remembered(void)
{
	struct call c;
	rig_up(NULL, true);
	cut_off(&c);
	CHECK_EQ(c.cmd.status, SCSI_CHECK_CONDITION);
	restart();
	CHECK_EQ(ready(0), ASC_SANITIZE_FAILED);
	restart();
	CHECK_EQ(ready(0), ASC_SANITIZE_FAILED);
	list[0] = 1;
	CHECK_EQ(sanitize(OVERWRITE, 512), SCSI_GOOD);
	restart();
	CHECK_EQ(ready(0), 0);
	cut_off(&c);
	restart();
	CHECK_EQ(sanitize(EXIT_FAILURE_MODE, 0), SCSI_GOOD);
	CHECK_EQ(ready(0), 0);
	restart();
	CHECK_EQ(ready(0), 0);
	rig_down();
}

/* As is one that kill -9 cuts off: it is noted before it begins. */
static void test_noted_at_once(void)
{
	struct loop_timer timer = {0};
	struct call c;
	rig_up(NULL, true);
	list[0] = 31;
	memset(list + 4, 0x55, 512);
	start(&c, OVERWRITE, 512);
	while (sanitize_progress(rig.lun[0]) < 100) { /* some MiB are written */
		loop_timer_set(rig.loop, &timer, MS_NS, stop_loop, rig.loop);
		loop_run(rig.loop);
	}
	CHECK_EQ(access(rig_path("state0.sanitize"), F_OK), 0);
	lun_stop(rig.lun[0]);
	call_wait(&c);
	rig_down();
}

static long size_of(const char *name)
{
	struct stat st;
	return stat(rig_path(name), &st) < 0 ? -errno : (long)st.st_size;
}

/* What was written last by WRITE ATOMIC lies in the journal, too. */
static void test_journal(void)
{
	uint8_t cdb[16] = {0x9c, [13] = 8}, data[8 * 512];
	char journal[64];
	rig_up(NULL, true);
	memset(data, 'A', sizeof(data));
	CHECK_EQ(run(0, 0, cdb, sizeof(cdb), data, sizeof(data)), SCSI_GOOD);
	CHECK(size_of("state0.atomic") > (long)sizeof(data));
	rig_close_lun(0);
	snprintf(journal, sizeof(journal), "%s", rig_path("state0.atomic"));
	CHECK_EQ(rename(journal, rig_path("state0.atomic.stale")), 0); /* put aside */
	CHECK_EQ(rig_open_lun(0), 0);
	rig_login(0, 0);
	CHECK_EQ(run(0, 0, cdb, sizeof(cdb), data, sizeof(data)), SCSI_GOOD);
	list[0] = 1;
	CHECK_EQ(sanitize(OVERWRITE, 512), SCSI_GOOD);
	CHECK_EQ(size_of("state0.atomic"), 0);
	CHECK_EQ(size_of("state0.atomic.stale"), -ENOENT);
	CHECK_EQ(run(0, 0, cdb, sizeof(cdb), data, sizeof(data)), SCSI_GOOD);
	rig_down();
}

int main(void)
{
	log_init("sanitize_test");
	log_set_level("error");
	CHECK_RUN(test_overwrite);
	CHECK_RUN(test_erase);
	CHECK_RUN(test_bad_lists);
	CHECK_RUN(test_in_progress);
	CHECK_RUN(test_immediate);
	CHECK_RUN(test_abort);
	CHECK_RUN(test_abort_before_it_begins);
	CHECK_RUN(test_abort_in_line);
	CHECK_RUN(test_abort_at_its_end);
	CHECK_RUN(test_abort_and_removal);
	CHECK_RUN(test_no_mark);
	CHECK_RUN(test_queued_before);
	CHECK_RUN(test_failed);
	CHECK_RUN(test_stop);
	CHECK_RUN(test_stop_is_remembered);
	CHECK_RUN(test_noted_at_once);
	CHECK_RUN(test_journal);
	return CHECK_DONE();
}
