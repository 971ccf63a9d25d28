/* SPDX-License-Identifier: BSD-2-Clause */
#include "storage/scsi/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/bytes.h"
#include "core/crc32c.h"
#include "core/log.h"

/*
 * The record: a header, then the data. It is valid when the first bytes say so and the CRC32C,
 * over all but itself, is right.
 */
#define HEADER	     4096
#define PATH_MAX_LEN (HEADER - 64)

enum { AT_MAGIC = 0, AT_CRC = 8, AT_LENGTH = 12, AT_OFFSET = 16, AT_PATH = 64 };

static const char magic[8] = "vstor-j1";

struct journal {
	int fd;
	char *path;
	struct disk *disk;
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
	if (rc && (ftruncate(j->fd, 0) < 0 || fdatasync(j->fd) < 0))
		log_error("%s: the record of an atomic write cannot be ended: %s; remove the file "
			  "before the next start, or that write comes back",
			  j->path, strerror(-rc));
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
static int64_t read_record(struct journal *j, uint8_t *record)
{
	size_t have = 0;
	uint32_t len;

	while (have < HEADER + JOURNAL_MAX) {
		ssize_t r = pread(j->fd, record + have, HEADER + JOURNAL_MAX - have, (off_t)have);
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

static int replay(struct journal *j)
{
	const char *path = disk_path(j->disk);
	uint8_t *record = malloc(HEADER + JOURNAL_MAX);
	int64_t n = record ? read_record(j, record) : -ENOMEM;
	uint64_t off = n > 0 ? get_be64(record + AT_OFFSET) : 0, size = disk_size(j->disk);
	int rc = n < 0 ? (int)n : 0;

	if (n <= 0)
		goto out;
	if (strncmp((char *)record + AT_PATH, path, PATH_MAX_LEN) != 0 || off > size ||
	    (uint64_t)n > size - off) {
		log_warn("%s: the state directory has an atomic write for %.200s; it is dropped",
			 path, (char *)record + AT_PATH);
		rc = forget(j);
		goto out;
	}
	if (disk_readonly(j->disk)) {
		log_warn("%s: an atomic write waits to be finished; export it without ,ro", path);
		goto out;
	}
	log_warn("%s: finishing an atomic write of %lld bytes that was cut off", path,
		 (long long)n);
	rc = disk_write(j->disk, record + HEADER, (size_t)n, off, false, NULL);
	if (rc == 0)
		rc = disk_sync(j->disk);
	if (rc == 0)
		rc = forget(j);
out:
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
		j->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
		rc = j->fd < 0 ? -errno : replay(j);
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
