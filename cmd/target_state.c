/* SPDX-License-Identifier: BSD-2-Clause */
#include "cmd/target_state.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/log.h"
#include "storage/scsi/journal.h"
#include "storage/scsi/persist.h"
#include "storage/scsi/state_file.h"

/* How long the name of the disk's state file is in this one; 0: it has none. */
static size_t disk_name(const char *name)
{
	size_t prefix = strlen(LUN_STATE_PREFIX), digits;
	if (strncmp(name, LUN_STATE_PREFIX, prefix) != 0)
		return 0;
	digits = strspn(name + prefix, "0123456789abcdef");
	return digits == 16 && (!name[prefix + 16] || name[prefix + 16] == '.') ? prefix + 16 : 0;
}

/* TARGET,NUMBER: so they were called once. */
static bool old_name(const char *name)
{
	const char *comma = strrchr(name, ',');
	const char *end = comma ? comma + 1 + strspn(comma + 1, "0123456789") : NULL;
	return end && end > comma + 1 && (!*end || *end == '.');
}

bool target_state_file(const char *name)
{
	return disk_name(name) || old_name(name);
}

/* Whether another target has it, or it is not to be written. It is locked later on, for good: by
 * then other processes of this one are begun, which must not hold the lock. */
static const char *not_free(const struct sandbox_user *u)
{
	const char *why = NULL;
	struct stat st;
	int fd = open(TARGET_STATE_DEFAULT, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0 || faccessat(fd, ".", W_OK, AT_EACCESS) < 0)
		why = strerror(errno);
	else if (u->drop && st.st_uid != 0 && st.st_uid != u->uid)
		why = "it is another user's";
	else if (flock(fd, LOCK_EX | LOCK_NB) < 0)
		why = errno == EWOULDBLOCK ? "another target has its state there" : strerror(errno);
	if (fd >= 0)
		close(fd);
	return why;
}

const char *target_state_choose(const char *word, const struct sandbox_user *u)
{
	const char *why;
	if (word)
		return strcmp(word, TARGET_STATE_NONE) == 0 ? NULL : word;
	if (geteuid() != 0)
		return NULL;
	if (mkdir(TARGET_STATE_DEFAULT, 0700) < 0 && errno != EEXIST)
		why = strerror(errno);
	else
		why = not_free(u);
	if (!why)
		return TARGET_STATE_DEFAULT;
	log_info("%s: %s; reservations end with this target: choose a directory with --state-dir",
		 TARGET_STATE_DEFAULT, why);
	return NULL;
}

int target_state_lock(const char *dir, int *lock)
{
	int rc;
	*lock = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (*lock >= 0 && flock(*lock, LOCK_EX | LOCK_NB) == 0)
		return 0;
	rc = -errno;
	if (rc == -EWOULDBLOCK)
		log_error("%s: another target has its state there; name another directory", dir);
	else
		log_error("%s: cannot be locked: %s; choose one on a file system that can", dir,
			  strerror(-rc));
	return rc;
}

static bool served(const struct target_luns *t, const char *name, size_t len)
{
	char mine[LUN_STATE_NAME];
	for (const struct served_lun *s = t->list; s; s = s->next) {
		lun_state_name(mine, &s->setup.c);
		if (strlen(mine) == len && strncmp(mine, name, len) == 0)
			return true;
	}
	return false;
}

static bool put_aside(const char *name)
{
	size_t n = strlen(name), end = strlen(STATE_FILE_ASIDE);
	return n > end && strcmp(name + n - end, STATE_FILE_ASIDE) == 0;
}

static int review(const char *name, const char *rest)
{
	char disk[256];
	int rc = 0;
	if (!*rest) {
		rc = pr_whose(name, disk, sizeof(disk));
		if (rc == 0)
			log_warn("%s: the reservations of %s, which is not served, are kept for "
				 "it; remove the file if they are not wanted",
				 name, disk);
	} else if (strcmp(rest, LUN_STATE_JOURNAL) == 0) {
		rc = journal_abandon(name);
	}
	return rc;
}

void target_state_review(const struct target_luns *t)
{
	DIR *d = opendir(".");
	struct dirent *e;
	while (d && (e = readdir(d))) {
		size_t len = disk_name(e->d_name);
		int rc = 0;
		if (len && !served(t, e->d_name, len)) {
			rc = review(e->d_name, e->d_name + len);
		} else if (!len && old_name(e->d_name) && !put_aside(e->d_name)) {
			rc = state_file_set_aside(e->d_name);
			if (rc == 0)
				log_warn("%s: state by number, as it was kept once, is of nobody; "
					 "put aside as %s" STATE_FILE_ASIDE,
					 e->d_name, e->d_name);
		}
		if (rc)
			log_warn("%s: %s", e->d_name, strerror(-rc));
	}
	if (d)
		closedir(d);
}
