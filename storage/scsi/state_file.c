/* SPDX-License-Identifier: BSD-2-Clause */
#include "storage/scsi/state_file.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int write_all(int fd, const void *p, size_t n)
{
	const uint8_t *b = p;
	while (n) {
		ssize_t r = write(fd, b, n);
		if (r < 0 && errno != EINTR)
			return -errno;
		b += r < 0 ? 0 : r;
		n -= r < 0 ? 0 : (size_t)r;
	}
	return fsync(fd) < 0 ? -errno : 0;
}

static int write_file(const char *path, const void *p, size_t n)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	int rc;
	if (fd < 0)
		return -errno;
	rc = write_all(fd, p, n);
	if (close(fd) < 0 && rc == 0)
		rc = -errno;
	return rc;
}

int state_file_sync_name(const char *path)
{
	char *copy = strdup(path);
	int rc = -ENOMEM, fd;
	if (!copy)
		return rc;
	fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	rc = fd < 0 || fsync(fd) < 0 ? -errno : 0;
	if (fd >= 0)
		close(fd);
	free(copy);
	return rc;
}

static int move(const char *from, const char *to)
{
	return rename(from, to) < 0 ? -errno : state_file_sync_name(to);
}

int state_file_write(const char *path, const void *p, size_t n)
{
	char *fresh;
	int rc;
	if (asprintf(&fresh, "%s.new", path) < 0)
		return -ENOMEM;
	rc = write_file(fresh, p, n);
	if (rc == 0)
		rc = move(fresh, path);
	free(fresh);
	return rc;
}

int state_file_remove(const char *path)
{
	if (unlink(path) < 0 && errno != ENOENT)
		return -errno;
	return state_file_sync_name(path);
}

int state_file_set_aside(const char *path)
{
	char *aside;
	int rc;
	if (asprintf(&aside, "%s" STATE_FILE_ASIDE, path) < 0)
		return -ENOMEM;
	rc = move(path, aside);
	free(aside);
	return rc;
}
