/* SPDX-License-Identifier: BSD-2-Clause */
#include "storage/claim.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "core/log.h"

/* QEMU locks a byte for each thing it does with an image, at 100, and for each that it does not
 * want others to do, at 200 (block/file-posix.c): bytes 101 and 103 when it writes and resizes. */
#define QEMU_WRITES  101
#define QEMU_RESIZES 103

static int busy(const char *path, const char *what, const char *hint)
{
	log_error("%s: %s; %s", path, what, hint);
	return -EBUSY;
}

/* Does another hold a lock there that one of `type` would conflict with? *pid: its process, or -1.
 */
static bool locked(int fd, short type, off_t start, off_t len, pid_t *pid)
{
	struct flock l = {.l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = len};
	/* File systems without locks, and kernels before 3.15: nobody has any. */
	if (fcntl(fd, F_OFD_GETLK, &l) < 0 || l.l_type == F_UNLCK)
		return false;
	*pid = l.l_pid;
	return true;
}

static int check_locks(int fd, const char *path, bool readonly)
{
	char what[80] = "another program has it open and locked (a virtual machine?)";
	pid_t pid = -1;
	bool taken = readonly ? locked(fd, F_RDLCK, 0, 0, &pid) ||
					locked(fd, F_WRLCK, QEMU_WRITES, 1, &pid) ||
					locked(fd, F_WRLCK, QEMU_RESIZES, 1, &pid)
			      : locked(fd, F_WRLCK, 0, 0, &pid);
	if (!taken)
		return 0;
	if (pid > 0)
		snprintf(what, sizeof(what), "process %ld has it locked", (long)pid);
	return busy(path, what, "stop that one first");
}

/* The first line of a file of /sys; false when there is none. */
static bool read_line(const char *name, char *out, int size)
{
	FILE *f = fopen(name, "re");
	bool ok = f && fgets(out, size, f);
	if (f)
		fclose(f);
	if (ok)
		out[strcspn(out, "\n")] = '\0';
	return ok;
}

/* The loop device whose medium is this file. */
static bool find_loop(const struct stat *mine, char *out, size_t size)
{
	DIR *d = opendir("/sys/block");
	struct dirent *e;
	bool found = false;
	while (d && !found && (e = readdir(d))) {
		char name[300], backing[4096];
		struct stat st;
		if (strncmp(e->d_name, "loop", 4))
			continue;
		snprintf(name, sizeof(name), "/sys/block/%s/loop/backing_file", e->d_name);
		found = read_line(name, backing, sizeof(backing)) && stat(backing, &st) == 0 &&
			st.st_dev == mine->st_dev && st.st_ino == mine->st_ino;
		if (found)
			snprintf(out, size, "/dev/%.32s", e->d_name);
	}
	if (d)
		closedir(d);
	return found;
}

static int check_loop(int fd, const char *path)
{
	char loop[48], what[80];
	struct stat st;
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || !find_loop(&st, loop, sizeof(loop)))
		return 0;
	snprintf(what, sizeof(what), "it is the medium of %s", loop);
	return busy(path, what, "unmount that and free it (losetup -d), or export it with ,ro");
}

int claim_disk(int fd, const char *path, bool readonly)
{
	int rc = check_locks(fd, path, readonly);
	if (rc == 0 && !readonly)
		rc = check_loop(fd, path);
	if (rc)
		return rc;
	if (flock(fd, (readonly ? LOCK_SH : LOCK_EX) | LOCK_NB) == 0)
		return 0;
	if (errno == EWOULDBLOCK)
		return busy(path, "it is exported already, or another program has it locked",
			    "stop that one first");
	rc = -errno;
	log_error("%s: cannot lock it: %s; use a file system that can", path, strerror(errno));
	return rc;
}

/* Where the device is mounted (proc(5), mountinfo: the third field, the fifth). */
static bool find_mount(dev_t dev, char *out, size_t size)
{
	FILE *f = fopen("/proc/self/mountinfo", "re");
	char line[4096], where[256];
	unsigned major, minor;
	bool found = false;
	while (f && !found && fgets(line, sizeof(line), f)) {
		found = sscanf(line, "%*s %*s %u:%u %*s %255s", &major, &minor, where) == 3 &&
			makedev(major, minor) == dev;
		if (found)
			snprintf(out, size, "it is mounted on %s", where);
	}
	if (f)
		fclose(f);
	return found;
}

/* A device that is built on it: of the device mapper, of md. */
static bool find_holder(dev_t dev, char *out, size_t size)
{
	char name[64];
	struct dirent *e;
	bool found = false;
	DIR *d;
	snprintf(name, sizeof(name), "/sys/dev/block/%u:%u/holders", major(dev), minor(dev));
	d = opendir(name);
	while (d && !found && (e = readdir(d))) {
		found = e->d_name[0] != '.';
		if (found)
			snprintf(out, size, "/dev/%.64s is built on it", e->d_name);
	}
	if (d)
		closedir(d);
	return found;
}

int claim_refused(const char *path)
{
	char what[300];
	struct stat st;
	if (stat(path, &st) < 0 || (!find_mount(st.st_rdev, what, sizeof(what)) &&
				    !find_holder(st.st_rdev, what, sizeof(what))))
		snprintf(what, sizeof(what), "it, or a part of it, is in use");
	return busy(path, what, "free it first, or export it with ,ro");
}
