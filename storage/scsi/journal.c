/* SPDX-License-Identifier: BSD-2-Clause */
#include "storage/scsi/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/bytes.h"
#include "core/crc32c.h"
#include "core/log.h"
#include "storage/scsi/state_file.h"

/*
 * The record: a header, then the data. It is valid when the first bytes say so and the CRC32C,
 * over all but itself, is right.
 */
#define HEADER	     4096
#define PATH_MAX_LEN (HEADER - 64)

enum {
	AT_MAGIC = 0,
	AT_CRC = 8,
	AT_LENGTH = 12,
	AT_OFFSET = 16,
	AT_INODE = 24,
	AT_SIZE = 32,
	AT_PATH = 64
};

static const char magic[8] = "vstor-j2";

struct journal {
	int fd;
	char *path;
	struct disk *disk;
	bool stuck;
};

static uint32_t record_crc(const uint8_t *record, size_t len)
{
	uint32_t crc = crc32c(0, record, AT_CRC);
	return crc32c(crc, record + AT_CRC + 4, HEADER + len - AT_CRC - 4);
}

static int write_fully(int fd, const void *p, size_t n, off_t off)
{
	const uint8_t *b = p;
	while (n) {
		ssize_t r = pwrite(fd, b, n, off);
		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return -errno;
		b += r;
		off += r;
		n -= (size_t)r;
	}
	return fdatasync(fd) < 0 ? -errno : 0;
}

/* A later write to the same blocks must not be undone: the record ends before it can come. */
static int forget(struct journal *j)
{
	static const uint8_t nothing[sizeof(magic)];
	int rc = write_fully(j->fd, nothing, sizeof(nothing), 0);
	if (rc && (ftruncate(j->fd, 0) < 0 || fdatasync(j->fd) < 0)) {
		__atomic_store_n(&j->stuck, true, __ATOMIC_RELAXED);
		log_error("%s: the record of an atomic write cannot be ended: %s; the next start "
			  "does that write again, so nothing else is written to %s until then",
			  j->path, strerror(-rc), disk_path(j->disk));
	}
	return rc;
}

bool journal_stuck(const struct journal *j)
{
	return j && __atomic_load_n(&j->stuck, __ATOMIC_RELAXED);
}

/* Nothing of the file's content is left. */
static int wipe(int fd)
{
	off_t size = lseek(fd, 0, SEEK_END);
	uint8_t *zeros = calloc(1, HEADER + JOURNAL_MAX);
	int rc = zeros ? 0 : -ENOMEM;
	if (size < 0)
		rc = -errno;
	for (off_t at = 0; at < size && rc == 0; at += HEADER + JOURNAL_MAX)
		rc = write_fully(fd, zeros, (size_t)MIN(size - at, (off_t)(HEADER + JOURNAL_MAX)),
				 at);
	if (rc == 0 && (ftruncate(fd, 0) < 0 || fdatasync(fd) < 0))
		rc = -errno;
	free(zeros);
	return rc;
}

int journal_wipe(struct journal *j)
{
	char *aside;
	int fd, rc = wipe(j->fd);
	if (rc)
		return rc;
	if (asprintf(&aside, "%s" STATE_FILE_ASIDE, j->path) < 0)
		return -ENOMEM;
	fd = open(aside, O_RDWR | O_CLOEXEC);
	if (fd < 0) {
		rc = errno == ENOENT ? 0 : -errno;
	} else {
		rc = wipe(fd);
		close(fd);
		if (rc == 0)
			rc = state_file_remove(aside);
	}
	free(aside);
	return rc;
}

int journal_write(struct journal *j, const void *p, size_t n, uint64_t off)
{
	uint8_t *record = calloc(1, HEADER + n);
	int rc, ended;

	if (!record)
		return -ENOMEM;
	memcpy(record + AT_MAGIC, magic, sizeof(magic));
	put_be32(record + AT_LENGTH, (uint32_t)n);
	put_be64(record + AT_OFFSET, off);
	put_be64(record + AT_INODE, disk_inode(j->disk));
	put_be64(record + AT_SIZE, disk_size(j->disk));
	memccpy(record + AT_PATH, disk_path(j->disk), 0, PATH_MAX_LEN);
	memcpy(record + HEADER, p, n);
	put_be32(record + AT_CRC, record_crc(record, n));
	rc = write_fully(j->fd, record, HEADER + n, 0);
	free(record);
	if (rc == 0)
		rc = disk_write(j->disk, p, n, off, false, NULL);
	if (rc == 0)
		rc = disk_sync(j->disk);
	/* Also when the disk has failed: the initiator is told so, and may write something else. */
	ended = forget(j);
	return rc ? rc : ended;
}

/* ---- at the start ---- */

/* Reads the record: its length, 0 when there is none, or negative errno. */
static int64_t read_record(int fd, uint8_t *record)
{
	size_t have = 0;
	uint32_t len;

	while (have < HEADER + JOURNAL_MAX) {
		ssize_t r = pread(fd, record + have, HEADER + JOURNAL_MAX - have, (off_t)have);
		if (r < 0 && errno != EINTR)
			return -errno;
		if (r == 0)
			break;
		have += r < 0 ? 0 : (size_t)r;
	}
	if (have < HEADER || memcmp(record, magic, sizeof(magic)) != 0)
		return 0;
	len = get_be32(record + AT_LENGTH);
	if (len > have - HEADER || record_crc(record, len) != get_be32(record + AT_CRC))
		return 0; /* the end came while it was being written: nothing has begun */
	return len;
}

/* Is it the disk that the record was written for? Another that has its place now must not get
 * the data: a file is another when it was made anew, a device when it has another size. */
static bool is_of(const uint8_t *record, const struct disk *d)
{
	uint64_t inode = disk_inode(d), size = disk_size(d), was = get_be64(record + AT_SIZE);
	return strncmp((const char *)record + AT_PATH, disk_path(d), PATH_MAX_LEN) == 0 &&
	       get_be64(record + AT_INODE) == inode && (inode ? size >= was : size == was);
}

/* Puts away a record that is not to be done, and says so. */
static int set_aside(const char *path, const uint8_t *record, const char *why)
{
	int rc = state_file_set_aside(path);
	if (rc == 0)
		log_warn("%.300s: %s: an atomic write of %u bytes at byte %llu, which was cut off, "
			 "is not finished; it is kept in %s" STATE_FILE_ASIDE,
			 (const char *)record + AT_PATH, why, get_be32(record + AT_LENGTH),
			 (unsigned long long)get_be64(record + AT_OFFSET), path);
	return rc;
}

int journal_abandon(const char *path)
{
	uint8_t *record = malloc(HEADER + JOURNAL_MAX);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	int64_t n = fd < 0 ? -errno : record ? read_record(fd, record) : -ENOMEM;
	int rc = n < 0 ? (int)n : 0;
	if (n > 0)
		rc = set_aside(path, record, "not served");
	if (fd >= 0)
		close(fd);
	free(record);
	return rc;
}

static int open_file(struct journal *j)
{
	j->fd = open(j->path, O_RDWR | O_CLOEXEC);
	if (j->fd < 0 && errno == ENOENT) {
		j->fd = open(j->path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
		/* Its records have to be found after loss of power. */
		return j->fd < 0 ? -errno : state_file_sync_name(j->path);
	}
	return j->fd < 0 ? -errno : 0;
}

static int do_again(struct journal *j, const uint8_t *record, size_t n)
{
	const char *path = disk_path(j->disk);
	int rc;

	if (disk_readonly(j->disk)) {
		log_warn("%s: an atomic write waits to be finished; export it without ,ro", path);
		return 0;
	}
	log_warn("%s: finishing an atomic write of %zu bytes that was cut off", path, n);
	rc = disk_write(j->disk, record + HEADER, n, get_be64(record + AT_OFFSET), false, NULL);
	if (rc == 0)
		rc = disk_sync(j->disk);
	return rc ? rc : forget(j);
}

static int replay(struct journal *j)
{
	uint8_t *record = malloc(HEADER + JOURNAL_MAX);
	int64_t n = record ? read_record(j->fd, record) : -ENOMEM;
	int rc = n < 0 ? (int)n : 0;

	if (n > 0 && is_of(record, j->disk)) {
		rc = do_again(j, record, (size_t)n);
	} else if (n > 0) {
		rc = set_aside(j->path, record, "another disk has its place");
		close(j->fd);
		if (rc == 0)
			rc = open_file(j);
		else
			j->fd = -1;
	}
	free(record);
	return rc;
}

int journal_open(struct journal **out, const char *path, struct disk *d)
{
	struct journal *j = calloc(1, sizeof(*j));
	int rc = -ENOMEM;

	*out = j;
	if (!j)
		return rc;
	j->disk = d;
	j->fd = -1;
	j->path = strdup(path);
	if (j->path) {
		rc = open_file(j);
		if (rc == 0)
			rc = replay(j);
	}
	if (rc) {
		log_error("%s: cannot be used for atomic writes: %s; make it writable", path,
			  strerror(-rc));
		journal_close(j);
		*out = NULL;
	}
	return rc;
}

void journal_close(struct journal *j)
{
	if (!j)
		return;
	if (j->fd >= 0)
		close(j->fd);
	free(j->path);
	free(j);
}
