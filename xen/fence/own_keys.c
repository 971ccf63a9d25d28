/* SPDX-License-Identifier: BSD-2-Clause */
#include "xen/fence/own_keys.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "core/log.h"
#include "core/meanwhile.h"

#define KEPT 1024

const char *own_keys_dir = "/var/lib/vstor/keys";

static bool path_of(uint64_t key, char *path, size_t size)
{
	return own_keys_dir &&
	       snprintf(path, size, "%s/%016" PRIx64, own_keys_dir, key) < (int)size;
}

/* The directory and that which it lies in. */
static int make_dir(void)
{
	char path[256];
	char *end;

	snprintf(path, sizeof(path), "%s", own_keys_dir);
	end = strrchr(path, '/');
	if (mkdir(path, 0700) == 0 || errno == EEXIST)
		return 0;
	if (!end || end == path)
		return -errno;
	*end = 0;
	if (mkdir(path, 0700) && errno != EEXIST)
		return -errno;
	return mkdir(own_keys_dir, 0700) && errno != EEXIST ? -errno : 0;
}

static int sync_of(const char *path, int flags)
{
	int fd = open(path, flags | O_CLOEXEC, 0600), rc;

	if (fd < 0)
		return -errno;
	rc = meanwhile_fsync(fd);
	close(fd);
	return rc;
}

/* One is drawn for each migration and start of a guest, and no disk has it for long. */
static void prune(void)
{
	DIR *dir = opendir(own_keys_dir);
	char oldest[NAME_MAX + 1] = "";
	time_t when = 0;
	struct dirent *e;
	struct stat st;
	unsigned n = 0;

	while (dir && (e = readdir(dir))) {
		if (e->d_name[0] == '.' || fstatat(dirfd(dir), e->d_name, &st, 0))
			continue;
		if (n++ && st.st_mtime >= when)
			continue;
		when = st.st_mtime;
		snprintf(oldest, sizeof(oldest), "%s", e->d_name);
	}
	if (dir && n > KEPT)
		(void)unlinkat(dirfd(dir), oldest, 0);
	if (dir)
		closedir(dir);
}

void own_keys_note(uint64_t key)
{
	char path[300];
	int rc;

	if (!path_of(key, path, sizeof(path)))
		return;
	rc = make_dir();
	prune();
	if (!rc)
		rc = sync_of(path, O_WRONLY | O_CREAT);
	if (!rc)
		rc = sync_of(own_keys_dir, O_RDONLY | O_DIRECTORY);
	if (rc)
		log_warn("%s: %s: after a reboot this host may take its own reservations for "
			 "another's of its name",
			 path, strerror(-rc));
}

bool own_keys_has(uint64_t key)
{
	char path[300];

	return path_of(key, path, sizeof(path)) && access(path, F_OK) == 0;
}
