/* SPDX-License-Identifier: BSD-2-Clause */
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>

#include "storage/scsi/journal.h"
#include "tests/unit/storage/scsi/harness.h"

/* What would be there after loss of power: a name is only when its directory has been synced. */
static bool name_synced, cannot_end;

int fsync(int fd)
{
	(void)fd; /* of a directory: the journal itself takes fdatasync() */
	name_synced = access(rig_path("state0.atomic"), F_OK) == 0;
	return 0;
}

int ftruncate(int fd, off_t n)
{
	char path[32];
	if (cannot_end) {
		errno = EIO;
		return -1;
	}
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return truncate(path, n);
}

ssize_t pwrite(int fd, const void *p, size_t n, off_t off)
{
	struct iovec v = {(void *)p, n};
	if (cannot_end && n == 8) {
		errno = EIO;
		return -1;
	}
	return pwritev(fd, &v, 1, off);
}

#define SIZE   512
#define COUNT  16
#define HEADER 4096

static uint8_t write_atomic(uint64_t lba, uint16_t n, uint8_t byte)
{
	static uint8_t data[LIMIT_ATOMIC_BLOCKS * SIZE];
	uint8_t cdb[16] = {0x9c};
	memset(data, byte, sizeof(data));
	put_be64(cdb + 2, lba);
	put_be16(cdb + 12, n);
	return run(0, 0, cdb, sizeof(cdb), data, n * SIZE);
}

static void restart(void)
{
	rig_close_lun(0);
	CHECK_EQ(rig_open_lun(0), 0);
	for (unsigned h = 0; h < HOSTS; h++)
		rig_login(0, h);
}

/* As if the end had come before the record was taken back. */
static void record_valid_again(void)
{
	int fd = open(rig_path("state0.atomic"), O_WRONLY);
	CHECK_EQ(pwrite(fd, "vstor-j2", 8, 0), 8);
	close(fd);
}

static void flip_record_byte(off_t at)
{
	int fd = open(rig_path("state0.atomic"), O_RDWR);
	uint8_t b;
	CHECK_EQ(pread(fd, &b, 1, at), 1);
	b ^= 1;
	CHECK_EQ(pwrite(fd, &b, 1, at), 1);
	close(fd);
}

static void test_finished(void)
{
	rig_up(NULL, true);
	fill(0, 0, 2 * COUNT, 'o');
	CHECK_EQ(write_atomic(4, COUNT, 'n'), SCSI_GOOD);
	fill(0, 6, 2, 'x'); /* the disk has only a part of it */
	record_valid_again();
	restart();
	CHECK(filled_with(0, 0, 4, 'o'));
	CHECK(filled_with(0, 4, COUNT, 'n'));
	CHECK(filled_with(0, 4 + COUNT, COUNT - 4, 'o'));
	/* Once: what is written later stays. */
	fill(0, 4, COUNT, 'l');
	restart();
	CHECK(filled_with(0, 4, COUNT, 'l'));
	rig_down();
}

static void test_ended(void)
{
	rig_up(NULL, true);
	CHECK_EQ(write_atomic(0, LIMIT_ATOMIC_BLOCKS, 'n'), SCSI_GOOD);
	CHECK(filled_with(0, 0, LIMIT_ATOMIC_BLOCKS, 'n'));
	fill(0, 0, COUNT, 'l');
	restart();
	CHECK(filled_with(0, 0, COUNT, 'l'));
	rig_down();
}

/* A record that is not whole: the write has not begun. */
static void test_torn_record(void)
{
	static const off_t places[] = {3, 8, 14, 20, 70, 3000, HEADER, HEADER + COUNT * SIZE - 1};
	rig_up(NULL, true);
	CHECK_EQ(write_atomic(0, COUNT, 'n'), SCSI_GOOD);
	fill(0, 0, COUNT, 'o');
	for (unsigned i = 0; i < ARRAY_SIZE(places); i++) {
		record_valid_again();
		flip_record_byte(places[i]);
		restart();
		CHECK(filled_with(0, 0, COUNT, 'o'));
		flip_record_byte(places[i]);
	}
	record_valid_again();
	CHECK_EQ(truncate(rig_path("state0.atomic"), HEADER + COUNT * SIZE - 1), 0);
	restart();
	CHECK(filled_with(0, 0, COUNT, 'o'));
	rig_down();
}

/* A disk that fails in the middle: what the initiator writes then must not be undone later. */
static void test_failed(void)
{
	struct rlimit old, low;
	rig_up(NULL, true);
	fill(0, 0, 4 * COUNT, 'o');
	CHECK_EQ(getrlimit(RLIMIT_FSIZE, &old), 0);
	low = old;
	low.rlim_cur = (2 * COUNT + 3) * SIZE;
	CHECK(low.rlim_cur > HEADER + COUNT * SIZE); /* the record itself has room */
	signal(SIGXFSZ, SIG_IGN);
	CHECK_EQ(setrlimit(RLIMIT_FSIZE, &low), 0);
	CHECK_EQ(write_atomic(2 * COUNT, COUNT, 'n'), SCSI_CHECK_CONDITION);
	CHECK_EQ(setrlimit(RLIMIT_FSIZE, &old), 0);
	fill(0, 2 * COUNT, COUNT, 'l');
	restart();
	CHECK(filled_with(0, 2 * COUNT, COUNT, 'l'));
	rig_down();
}

/* Another disk under the same name and number is left alone. */
static void test_other_disk(void)
{
	char other[64];
	rig_up(NULL, true);
	CHECK_EQ(write_atomic(0, COUNT, 'n'), SCSI_GOOD);
	fill(1, 0, COUNT, 'o');
	record_valid_again();
	rig_close_lun(0);
	rig_close_lun(1);
	snprintf(other, sizeof(other), "%s", rig_path("disk1"));
	rig.config.path = other;
	struct lun_config c = rig.config;
	char state[64];
	snprintf(state, sizeof(state), "%s", rig_path("state0"));
	c.state_path = state;
	c.target = "iqn.2026-11.test:target";
	CHECK_EQ(lun_open(&rig.lun[0], &c), 0);
	rig_login(0, 0);
	CHECK(filled_with(0, 0, COUNT, 'o'));
	CHECK_EQ(access(rig_path("state0.atomic.stale"), F_OK), 0); /* not thrown away either */
	rig_down();
}

/* Nor is a file that was made anew under the name of the old one, as one is that is put back from a
 * copy. */
static void test_other_file(void)
{
	char old[64];
	rig_up(NULL, true);
	CHECK_EQ(write_atomic(0, COUNT, 'n'), SCSI_GOOD);
	record_valid_again();
	rig_close_lun(0);
	snprintf(old, sizeof(old), "%s", rig_path("disk0"));
	CHECK_EQ(rename(old, rig_path("state1")), 0); /* so that its number is not used again */
	CHECK_EQ(rig_open_lun(0), 0);
	rig_login(0, 0);
	CHECK(filled_with(0, 0, COUNT, 0));
	CHECK_EQ(access(rig_path("state0.atomic.stale"), F_OK), 0);
	CHECK_EQ(write_atomic(0, COUNT, 'l'), SCSI_GOOD);
	rig_down();
}

/* A disk that is not served when the target starts may be written elsewhere. */
static void test_abandoned(void)
{
	rig_up(NULL, true);
	fill(0, 0, COUNT, 'o');
	CHECK_EQ(write_atomic(0, COUNT, 'n'), SCSI_GOOD);
	fill(0, 0, COUNT, 'o');
	rig_close_lun(0);
	CHECK_EQ(journal_abandon(rig_path("state0.atomic")), 0); /* nothing is under way */
	CHECK_EQ(access(rig_path("state0.atomic"), F_OK), 0);
	record_valid_again();
	CHECK_EQ(journal_abandon(rig_path("state0.atomic")), 0);
	CHECK_EQ(access(rig_path("state0.atomic.stale"), F_OK), 0);
	CHECK_EQ(rig_open_lun(0), 0);
	rig_login(0, 0);
	CHECK(filled_with(0, 0, COUNT, 'o'));
	rig_down();
}

static void test_its_name_is_on_the_medium(void)
{
	name_synced = false;
	rig_up(NULL, true);
	CHECK(name_synced);
	rig_down();
}

/* EXTENDED COPY of COUNT blocks at 1000 of the LUN, by which it is sent as well, to where an atomic
 * write has been. */
static uint8_t copy_to_0(unsigned from)
{
	uint8_t p[16 + 2 * 32 + 28] = {0, 3 << 3}, cdb[16] = {0x83}, *segment = p + 16 + 2 * 32;
	put_be16(p + 2, 2 * 32);
	put_be32(p + 8, 28);
	for (unsigned i = 0; i < 2; i++) {
		uint8_t *d = p + 16 + 32 * i;
		d[0] = 0xe4;
		d[4] = 1;
		d[5] = 3;
		d[7] = 16;
		memcpy(d + 8, rig.lun[i]->id.naa, 16);
	}
	segment[0] = 0x02;
	put_be16(segment + 2, 0x18);
	put_be16(segment + 4, (uint16_t)from);
	put_be16(segment + 10, COUNT);
	put_be64(segment + 12, 1000);
	put_be32(cdb + 10, sizeof(p));
	return run(from, 0, cdb, sizeof(cdb), p, sizeof(p));
}

/* A record that stays would undo what is written later: nothing is, until it has been done again.
 */
static void test_cannot_be_ended(void)
{
	rig_up(NULL, true);
	fill(0, 0, COUNT, 'o');
	cannot_end = true;
	CHECK_EQ(write_atomic(0, COUNT, 'n'), SCSI_CHECK_CONDITION);
	cannot_end = false;
	CHECK_EQ(write_atomic(0, COUNT, 'l'), SCSI_CHECK_CONDITION);
	CHECK_EQ(last.key, SENSE_DATA_PROTECT);
	CHECK_EQ(last.asc, ASC_WRITE_PROTECTED);
	CHECK_EQ(write_blocks(0, 1, 100, 1, (uint8_t[SIZE]){0}), SCSI_CHECK_CONDITION);
	for (unsigned from = 0; from < LUNS; from++) {
		CHECK_EQ(copy_to_0(from), SCSI_CHECK_CONDITION);
		CHECK_EQ(last.key, SENSE_COPY_ABORTED);
		CHECK_EQ(last.asc, ASC_WRITE_PROTECTED);
	}
	CHECK(filled_with(0, 0, COUNT, 'n'));
	restart();
	CHECK(filled_with(0, 0, COUNT, 'n'));
	fill(0, 0, COUNT, 'l');
	restart();
	CHECK(filled_with(0, 0, COUNT, 'l'));
	rig_down();
}

static void test_no_place(void)
{
	int fd = open("/dev/null", O_WRONLY), loud = dup(STDERR_FILENO);
	rig_up(NULL, true);
	rig_close_lun(0);
	unlink(rig_path("state0.atomic"));
	CHECK_EQ(symlink("/nowhere/at/all", rig_path("state0.atomic")), 0);
	dup2(fd, STDERR_FILENO); /* it is logged */
	CHECK_EQ(rig_open_lun(0), -ENOENT);
	dup2(loud, STDERR_FILENO);
	close(fd);
	close(loud);
	rig_down();
}

int main(void)
{
	log_init("journal_test");
	log_set_level("error");
	CHECK_RUN(test_finished);
	CHECK_RUN(test_ended);
	CHECK_RUN(test_torn_record);
	CHECK_RUN(test_failed);
	CHECK_RUN(test_other_disk);
	CHECK_RUN(test_other_file);
	CHECK_RUN(test_abandoned);
	CHECK_RUN(test_its_name_is_on_the_medium);
	CHECK_RUN(test_cannot_be_ended);
	CHECK_RUN(test_no_place);
	return CHECK_DONE();
}
