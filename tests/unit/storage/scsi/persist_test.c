/* SPDX-License-Identifier: BSD-2-Clause */
#include <fcntl.h>
#include <sys/stat.h>

#include "tests/unit/storage/scsi/pr.h"

/* What would be found after loss of power: the content as of the last fsync() of the file, under
 * the name that its directory had at its own last one. */
static struct {
	ino_t inode;
	char content[1024];
} synced;
static char durable[1024];

int fsync(int fd)
{
	struct stat st, named;
	if (fstat(fd, &st) < 0)
		return -1;
	if (!S_ISDIR(st.st_mode)) {
		synced.inode = st.st_ino;
		snprintf(synced.content, sizeof(synced.content), "/proc/self/fd/%d", fd);
		fd = open(synced.content, O_RDONLY);
		memset(synced.content, 0, sizeof(synced.content));
		CHECK(read(fd, synced.content, sizeof(synced.content) - 1) >= 0);
		close(fd);
	} else if (stat(rig_path("state0"), &named) == 0) {
		strcpy(durable, named.st_ino == synced.inode ? synced.content : "not written");
	} else {
		strcpy(durable, "none");
	}
	return 0;
}

/* As after kill -9 and a new start: nothing of what was in memory is asked for again. */
static void restart(void)
{
	rig_close_lun(0);
	CHECK_EQ(rig_open_lun(0), 0);
	for (unsigned h = 0; h < HOSTS; h++)
		rig_login(0, h);
}

static bool file_there(const char *name)
{
	return access(rig_path(name), F_OK) == 0;
}

static void test_survives(void)
{
	static const unsigned types[] = {WE, EA, WERO, EARO, WEAR, EAAR};
	rig_up(NULL, true);
	for (unsigned i = 0; i < ARRAY_SIZE(types); i++) {
		uint64_t holder = types[i] >= WEAR ? 0 : 0xfedcba9876543210;
		CHECK_EQ(pr_out(0, REGISTER, 0, 0, 0xfedcba9876543210, APTPL), SCSI_GOOD);
		CHECK_EQ(pr_out(1, REGISTER, 0, 0, 11, APTPL | ALL_TG_PT), SCSI_GOOD);
		CHECK_EQ(pr_out(0, RESERVE, types[i], 0xfedcba9876543210, 0, 0), SCSI_GOOD);
		CHECK(file_there("state0") && !file_there("state0.new"));
		restart();
		CHECK(reserved(types[i], holder));
		CHECK_EQ(key_count(), 2);
		CHECK_EQ(generation(), 0); /* counts since power on */
		CHECK(can_write(0) && !can_write(2));
		CHECK_EQ(can_write(1), types[i] >= WERO);
		/* What was released stays released. */
		CHECK_EQ(pr_out(0, RELEASE, types[i], 0xfedcba9876543210, 0, 0), SCSI_GOOD);
		clear_attentions();
		restart();
		CHECK(reserved(0, 0));
		CHECK_EQ(key_count(), 2);
		CHECK_EQ(pr_out(0, CLEAR, 0, 0xfedcba9876543210, 0, 0), SCSI_GOOD);
		clear_attentions();
		CHECK(!file_there("state0")); /* nothing to keep */
		restart();
		CHECK_EQ(key_count(), 0);
	}
	rig_down();
}

/* An answer means that all of it is on the medium. */
static void test_on_the_medium(void)
{
	rig_up(NULL, true);
	strcpy(durable, "none");
	CHECK_EQ(pr_out(0, REGISTER, 0, 0, 0xabcdef, APTPL), SCSI_GOOD);
	CHECK(strstr(durable, "abcdef") && !strstr(durable, " H "));
	CHECK_EQ(pr_out(1, REGISTER, 0, 0, 0x123456, APTPL), SCSI_GOOD);
	CHECK(strstr(durable, "abcdef") && strstr(durable, "123456"));
	CHECK_EQ(pr_out(0, RESERVE, EA, 0xabcdef, 0, 0), SCSI_GOOD);
	CHECK(strstr(durable, " H ") != NULL);
	CHECK_EQ(pr_out(0, CLEAR, 0, 0xabcdef, 0, 0), SCSI_GOOD);
	CHECK_STR(durable, "none");
	rig_down();
}

/* A name that is not ASCII, or worse, keeps nobody from registering, and survives itself. */
static void test_names(void)
{
	static const char *const names[] = {
		"iqn.2026-11.test:gr\xc3\xbc\xc3\x9f\x65,i,0x1",
		"iqn.2026-11.test:\xff\x80,i,0x2",
		"iqn.2026-11.test:a b\nregister %25,i,0x3",
	};
	rig_up(NULL, true);
	for (unsigned i = 0; i < ARRAY_SIZE(names); i++) {
		lun_nexus_remove(&rig.nexus[0][1]);
		lun_nexus_add(rig.lun[0], &rig.nexus[0][1], names[i], 1);
		rig.nexus[0][1].ua_n = 0;
		CHECK_EQ(pr_out(1, REGISTER, 0, 0, 7, APTPL), SCSI_GOOD);
		CHECK_EQ(pr_out(0, REGISTER, 0, 0, 10, APTPL), SCSI_GOOD);
		CHECK_EQ(pr_out(1, RESERVE, EA, 7, 0, 0), SCSI_GOOD);
		restart();
		CHECK(reserved(EA, 7));
		CHECK_EQ(key_count(), 2);
		lun_nexus_remove(&rig.nexus[0][1]);
		lun_nexus_add(rig.lun[0], &rig.nexus[0][1], names[i], 1);
		rig.nexus[0][1].ua_n = 0;
		CHECK(can_write(1) && !can_write(0));
		CHECK_EQ(pr_out(1, CLEAR, 0, 7, 0, 0), SCSI_GOOD);
		clear_attentions();
	}
	rig_down();
}

/* A hand-over, cut off right after the reply. */
static void test_move_survives(void)
{
	uint8_t p[256] = {0};
	uint32_t n = transport_id(p + 24, host_names[1]);
	rig_up(NULL, true);
	CHECK_EQ(pr_out(0, REGISTER, 0, 0, 10, APTPL), SCSI_GOOD);
	CHECK_EQ(pr_out(0, RESERVE, EA, 10, 0, 0), SCSI_GOOD);
	put_be64(p, 10);
	put_be64(p + 8, 11);
	p[17] = 0x02 | APTPL;
	put_be16(p + 18, 1);
	put_be32(p + 20, n);
	CHECK_EQ(pr_out_list(0, MOVE, 0, p, 24 + n), SCSI_GOOD);
	restart();
	CHECK(reserved(EA, 11));
	CHECK_EQ(key_count(), 1);
	CHECK(can_write(1) && !can_read(0));
	rig_down();
}

/* Without APTPL nothing is kept; the latest registration decides. */
static void test_latest_decides(void)
{
	rig_up(NULL, true);
	CHECK_EQ(pr_out(0, REGISTER, 0, 0, 10, 0), SCSI_GOOD);
	CHECK_EQ(pr_out(0, RESERVE, EA, 10, 0, 0), SCSI_GOOD);
	CHECK(!file_there("state0"));
	CHECK_EQ(pr_out(1, REGISTER, 0, 0, 11, APTPL), SCSI_GOOD);
	CHECK(file_there("state0"));
	CHECK_EQ(pr_out(2, REGISTER, 0, 0, 12, 0), SCSI_GOOD);
	CHECK(!file_there("state0"));
	restart();
	CHECK_EQ(key_count(), 0);
	CHECK(can_write(2));
	rig_down();
}

static void test_no_state_file(void)
{
	rig_up(NULL, false);
	CHECK_EQ(pr_out(0, REGISTER, 0, 0, 10, APTPL), SCSI_CHECK_CONDITION);
	CHECK_EQ(last.asc, ASC_INVALID_FIELD_IN_PARAMETER);
	CHECK_EQ(key_count(), 0);
	rig_down();
}

/* When the file cannot be written the initiator is told, and nothing has changed. */
static void test_cannot_save(void)
{
	rig_up(NULL, true);
	CHECK_EQ(pr_out(0, REGISTER, 0, 0, 10, APTPL), SCSI_GOOD);
	CHECK_EQ(mkdir(rig_path("state0.new"), 0700), 0); /* in the way of the new file */
	CHECK_EQ(pr_out(0, RESERVE, EA, 10, 0, 0), SCSI_CHECK_CONDITION);
	CHECK_EQ(last.key, SENSE_HARDWARE_ERROR);
	CHECK(reserved(0, 0));
	CHECK(can_write(1));
	CHECK_EQ(rmdir(rig_path("state0.new")), 0);
	CHECK_EQ(pr_out(0, RESERVE, EA, 10, 0, 0), SCSI_GOOD);
	restart();
	CHECK(reserved(EA, 10));
	rig_down();
}

/* A crash while the new file was being written left the old one whole. */
static void test_half_written(void)
{
	int fd;
	rig_up(NULL, true);
	CHECK_EQ(pr_out(0, REGISTER, 0, 0, 10, APTPL), SCSI_GOOD);
	fd = open(rig_path("state0.new"), O_WRONLY | O_CREAT, 0600);
	CHECK_EQ(write(fd, "vstor-res", 9), 9);
	close(fd);
	restart();
	CHECK(has_key(10));
	CHECK_EQ(pr_out(0, REGISTER, 0, 10, 20, APTPL), SCSI_GOOD);
	restart();
	CHECK(has_key(20));
	rig_down();
}

/* Every byte that turns is found: the LUN is not opened without its reservations. */
static void test_damaged(void)
{
	char content[512];
	ssize_t len;
	int fd, quiet = open("/dev/null", O_WRONLY), loud = dup(STDERR_FILENO);

	rig_up(NULL, true);
	CHECK_EQ(pr_out(0, REGISTER, 0, 0, 10, APTPL), SCSI_GOOD);
	CHECK_EQ(pr_out(0, RESERVE, EA, 10, 0, 0), SCSI_GOOD);
	fd = open(rig_path("state0"), O_RDWR);
	len = read(fd, content, sizeof(content));
	CHECK(len > 0 && len < (ssize_t)sizeof(content));
	rig_close_lun(0);
	dup2(quiet, STDERR_FILENO); /* each refusal is logged */
	for (ssize_t i = 0; i < len; i++) {
		char turned = content[i] ^ 0x01;
		CHECK_EQ(pwrite(fd, &turned, 1, i), 1);
		CHECK_EQ(rig_open_lun(0), -EBADMSG);
		CHECK_EQ(pwrite(fd, content + i, 1, i), 1);
	}
	for (ssize_t cut = 0; cut < len; cut++) {
		CHECK_EQ(ftruncate(fd, cut), 0);
		CHECK_EQ(rig_open_lun(0), -EBADMSG);
	}
	dup2(loud, STDERR_FILENO);
	CHECK_EQ(pwrite(fd, content, (size_t)len, 0), len);
	close(fd);
	close(loud);
	close(quiet);
	CHECK_EQ(rig_open_lun(0), 0);
	for (unsigned h = 0; h < HOSTS; h++)
		rig_login(0, h);
	CHECK(reserved(EA, 10));
	rig_down();
}

int main(void)
{
	log_init("persist_test");
	CHECK_RUN(test_survives);
	CHECK_RUN(test_on_the_medium);
	CHECK_RUN(test_names);
	CHECK_RUN(test_move_survives);
	CHECK_RUN(test_latest_decides);
	CHECK_RUN(test_no_state_file);
	CHECK_RUN(test_cannot_save);
	CHECK_RUN(test_half_written);
	CHECK_RUN(test_damaged);
	return CHECK_DONE();
}
