/* SPDX-License-Identifier: BSD-2-Clause */
#include "xen/ledger.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/bytes.h"
#include "core/crc32c.h"
#include "core/meanwhile.h"

#define VERSION 1u
#define PLACE	8192
#define MAGIC	"vstor journal"

/* At the head of each place; the text follows. */
#define AT_VERSION 16
#define AT_NUMBER  24
#define AT_LENGTH  32
#define AT_CRC	   36 /* of all before it, and of the text */
#define HEAD	   40

const char *ledger_dir = "/var/lib/vstor";

static int path_of(const char *name, const char *end, char *path, size_t size)
{
	if (!name[0] || name[0] == '.' || strchr(name, '/'))
		return -EINVAL;
	return snprintf(path, size, "%s/%s%s", ledger_dir, name, end) < (int)size ? 0
										  : -ENAMETOOLONG;
}

static int make_dir(void)
{
	struct stat st;

	if (stat(ledger_dir, &st) == 0)
		return 0;
	return mkdir(ledger_dir, 0700) && errno != EEXIST ? -errno : 0;
}

static int sync_dir(void)
{
	int fd = open(ledger_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), rc;

	if (fd < 0)
		return -errno;
	rc = meanwhile_fsync(fd);
	close(fd);
	return rc;
}

static int write_all(int fd, const uint8_t *p, size_t n, off_t at)
{
	while (n) {
		ssize_t k = pwrite(fd, p, n, at);

		if (k < 0 && errno == EINTR)
			continue;
		if (k <= 0)
			return k ? -errno : -EIO;
		p += k;
		n -= (size_t)k;
		at += k;
	}
	return 0;
}

static uint32_t sum(const uint8_t *place, size_t length)
{
	return crc32c(crc32c(0, place, AT_CRC), place + HEAD, length);
}

int ledger_put(struct ledger *j, const struct buf *text, bool sync)
{
	uint8_t place[PLACE] = MAGIC;
	int rc;

	if (j->fd < 0)
		return -EBADF;
	if (text->failed)
		return -ENOMEM;
	if (text->len > LEDGER_TEXT_MAX)
		return -EMSGSIZE;
	put_be32(place + AT_VERSION, VERSION);
	put_be64(place + AT_NUMBER, ++j->number);
	put_be32(place + AT_LENGTH, (uint32_t)text->len);
	memcpy(place + HEAD, text->data, text->len);
	put_be32(place + AT_CRC, sum(place, text->len));
	rc = write_all(j->fd, place, sizeof(place), j->second ? 0 : PLACE);
	if (!rc && sync) {
		rc = meanwhile_fdatasync(j->fd);
		j->second ^= !rc;
	}
	return rc;
}

/* What is in a place: 1 and its number and text, 0 nothing that is whole, or -errno. */
static int take(const uint8_t *place, uint64_t *number, const uint8_t **text, uint32_t *length)
{
	*number = get_be64(place + AT_NUMBER);
	*text = place + HEAD;
	*length = get_be32(place + AT_LENGTH);
	if (memcmp(place, MAGIC, sizeof(MAGIC)) != 0)
		return 0;
	if (get_be32(place + AT_VERSION) != VERSION)
		return -EPROTONOSUPPORT;
	return *length <= LEDGER_TEXT_MAX && get_be32(place + AT_CRC) == sum(place, *length);
}

static int get(struct ledger *j, struct buf *text)
{
	uint8_t file[2 * PLACE + 1];
	const uint8_t *from[2];
	uint64_t number[2];
	uint32_t length[2];
	ssize_t n = pread(j->fd, file, sizeof(file), 0);
	int first, second;

	if (n != 2 * PLACE)
		return n < 0 ? -errno : -EBADMSG;
	first = take(file, &number[0], &from[0], &length[0]);
	second = take(file + PLACE, &number[1], &from[1], &length[1]);
	if (first < 0 || second < 0)
		return -EPROTONOSUPPORT;
	if (!first && !second)
		return -EBADMSG;
	j->second = second && (!first || number[1] > number[0]);
	j->number = number[j->second];
	buf_put(text, from[j->second], length[j->second]);
	return text->failed ? -ENOMEM : 0;
}

static int make(struct ledger *j, const char *fresh, const char *path, const struct buf *text)
{
	int rc;

	(void)unlink(fresh); /* of one that was killed */
	j->fd = open(fresh, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (j->fd < 0)
		return -errno;
	if (flock(j->fd, LOCK_EX | LOCK_NB))
		return -errno;
	/* All of it has its blocks from the start: a later version is one write and one flush. */
	rc = write_all(j->fd, (const uint8_t[PLACE]){0}, PLACE, 0);
	if (!rc)
		rc = ledger_put(j, text, true);
	if (rc)
		return rc;
	if (link(fresh, path))
		return -errno;
	(void)unlink(fresh); /* before that is flushed, or a reset of the host brings it back */
	rc = sync_dir();
	if (rc)
		(void)unlink(path);
	return rc;
}

int ledger_create(struct ledger *j, const char *name, const struct buf *text)
{
	char path[512], fresh[512];
	int rc = path_of(name, "", path, sizeof(path));

	*j = (struct ledger){.fd = -1};
	if (!rc)
		rc = path_of(name, ".new", fresh, sizeof(fresh));
	if (!rc)
		rc = make_dir();
	if (rc)
		return rc;
	rc = make(j, fresh, path, text);
	(void)unlink(fresh);
	if (rc)
		ledger_close(j);
	return rc;
}

int ledger_open(struct ledger *j, const char *name, struct buf *text)
{
	char path[512];
	int rc = path_of(name, "", path, sizeof(path)), busy;

	*j = (struct ledger){.fd = -1};
	if (rc)
		return rc;
	j->fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	if (j->fd < 0)
		return -errno;
	busy = flock(j->fd, LOCK_EX | LOCK_NB);
	rc = get(j, text);
	if (!rc)
		rc = busy ? -EBUSY : meanwhile_fdatasync(j->fd); /* as it may not have been yet */
	if (rc && rc != -EBUSY)
		ledger_close(j);
	return rc;
}

const char *ledger_cause(int rc)
{
	switch (rc) {
	case -EPROTONOSUPPORT: return "it is of another version of vstor: use that";
	case -EBADMSG: return "it is cut short or damaged";
	default: return strerror(-rc);
	}
}

void ledger_close(struct ledger *j)
{
	if (j->fd >= 0)
		close(j->fd);
	j->fd = -1;
}

int ledger_remove(const char *name)
{
	char path[512];
	int rc = path_of(name, "", path, sizeof(path));

	if (rc)
		return rc;
	if (unlink(path))
		return errno == ENOENT ? 0 : -errno;
	return sync_dir();
}
