/* SPDX-License-Identifier: BSD-2-Clause */
#include "xen/keepsake.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/buf.h"
#include "core/log.h"
#include "core/meanwhile.h"
#include "xen/message.h"

#define FILE_MAX (1 << 20)

const char *keepsake_dir = "/var/lib/vstor/guests";

/* The directory and those that it lies in. */
static int make_dir(void)
{
	char path[256];

	snprintf(path, sizeof(path), "%s", keepsake_dir);
	for (char *p = path + 1; *p; p++) {
		if (*p != '/')
			continue;
		*p = 0;
		if (mkdir(path, 0755) && errno != EEXIST)
			return -errno;
		*p = '/';
	}
	return mkdir(path, 0700) && errno != EEXIST ? -errno : 0;
}

/* Whole and on the disk, or as before. */
static int write_file(const char *path, const struct buf *b)
{
	char temporary[300];
	int fd, rc = 0;

	snprintf(temporary, sizeof(temporary), "%s.new", path);
	fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	if (write(fd, b->data, b->len) != (ssize_t)b->len)
		rc = errno ? -errno : -EIO;
	if (!rc)
		rc = meanwhile_fsync(fd);
	close(fd);
	if (!rc && rename(temporary, path))
		rc = -errno;
	if (rc)
		unlink(temporary);
	return rc;
}

/* Fields as in a message, an empty line, the configuration. */
int keepsake_put(const struct keepsake *k)
{
	struct buf b = {0};
	char path[256];
	int rc = make_dir();

	if (strspn(k->uuid, "0123456789abcdef-") != strlen(k->uuid) || !k->uuid[0])
		rc = -EINVAL;
	message_put(&b, "name", "%s", k->name);
	message_put(&b, "uuid", "%s", k->uuid);
	message_put(&b, "peer", "%s", k->peer);
	message_put(&b, "peer_id", "%" PRIu32, k->peer_id);
	buf_printf(&b, "\n%s", k->json);
	snprintf(path, sizeof(path), "%s/%s", keepsake_dir, k->uuid);
	if (!rc)
		rc = b.failed ? -ENOMEM : write_file(path, &b);
	buf_free(&b);
	if (rc)
		log_warn("domain %s: its configuration is not kept in %s: %s: vstor takeover will "
			 "want it as a file",
			 k->name, keepsake_dir, strerror(-rc));
	return rc;
}

static int parse(const char *text, struct keepsake *k)
{
	const char *end = strstr(text, "\n\n");
	size_t n = end ? (size_t)(end - text) + 1 : 0;
	const uint8_t *p = (const uint8_t *)text;
	uint64_t id;

	if (!end || message_check(p, n) || message_get(p, n, "name", k->name, sizeof(k->name)) ||
	    message_get(p, n, "uuid", k->uuid, sizeof(k->uuid)) ||
	    message_get(p, n, "peer", k->peer, sizeof(k->peer)) ||
	    message_get_u64(p, n, "peer_id", &id) || id > UINT32_MAX)
		return -EINVAL;
	k->peer_id = (uint32_t)id;
	k->json = strdup(end + 2);
	return k->json ? 0 : -ENOMEM;
}

static int read_one(const char *file, struct keepsake *k, struct stat *st)
{
	char path[600], *text;
	int fd, rc = -EINVAL;
	ssize_t n;

	snprintf(path, sizeof(path), "%s/%s", keepsake_dir, file);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (fstat(fd, st) || !S_ISREG(st->st_mode) || st->st_size > FILE_MAX) {
		close(fd);
		return -EINVAL;
	}
	text = malloc((size_t)st->st_size + 1);
	n = text ? read(fd, text, (size_t)st->st_size) : -1;
	close(fd);
	if (n >= 0) {
		text[n] = 0;
		rc = parse(text, k);
	}
	free(text);
	return rc;
}

static bool later(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec != b->tv_sec ? a->tv_sec > b->tv_sec : a->tv_nsec > b->tv_nsec;
}

int keepsake_find(const char *name, struct keepsake *k)
{
	DIR *dir = opendir(keepsake_dir);
	struct timespec last = {0};
	struct dirent *e;
	int rc = -ENOENT;

	memset(k, 0, sizeof(*k));
	while (dir && (e = readdir(dir))) {
		struct keepsake one = {0};
		struct stat st;

		if (e->d_name[0] == '.' || strchr(e->d_name, '.') ||
		    read_one(e->d_name, &one, &st) || strcmp(one.name, name) != 0 ||
		    (rc == 0 && !later(&st.st_mtim, &last))) {
			keepsake_fini(&one);
			continue;
		}
		keepsake_fini(k);
		*k = one;
		last = st.st_mtim;
		rc = 0;
	}
	if (dir)
		closedir(dir);
	return rc;
}

void keepsake_fini(struct keepsake *k)
{
	free(k->json);
	k->json = NULL;
}
