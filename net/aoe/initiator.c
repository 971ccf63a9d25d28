/* SPDX-License-Identifier: BSD-2-Clause */
#include "net/aoe/initiator.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/hdreg.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "core/bytes.h"
#include "core/fds.h"
#include "core/loop.h"
#include "net/aoe/frame.h"
#include "net/iscsi/kernel.h"
#include "net/uevent.h"

#define BLOCK	 "/sys/class/block"
#define PREFIX	 "etherd!"
#define DISCOVER "/dev/etherd/discover"
#define FLUSH	 "/dev/etherd/flush"
#define AGAIN	 SEC_NS /* a question may be lost */
#define GONE	 (5 * SEC_NS)

__attribute__((format(printf, 4, 5))) static int failed(char *error, size_t size, int err,
							const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(error, size, fmt, ap);
	va_end(ap);
	return err;
}

/* ---- what there is ---- */

static void read_text(const struct aoe_device *d, const char *name, char *out, size_t size)
{
	char path[256];
	ssize_t n = -1;
	int fd;
	snprintf(path, sizeof(path), BLOCK "/%s/%s", d->disk.name, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		n = read(fd, out, size - 1);
		close(fd);
	}
	out[n > 0 ? n : 0] = '\0';
	out[strcspn(out, "\n")] = '\0';
}

int aoe_device_find(const struct aoe_address *at, struct aoe_device *d)
{
	char numbers[32];
	unsigned major, minor;
	*d = (struct aoe_device){.at = *at};
	snprintf(d->disk.name, sizeof(d->disk.name), PREFIX "e%u.%u", at->shelf, at->slot);
	snprintf(d->disk.path, sizeof(d->disk.path), "/dev/etherd/e%u.%u", at->shelf, at->slot);
	read_text(d, "dev", numbers, sizeof(numbers));
	if (sscanf(numbers, "%u:%u", &major, &minor) != 2)
		return -ENOENT;
	d->disk.dev = makedev(major, minor);
	read_text(d, "state", d->state, sizeof(d->state));
	read_text(d, "mac", d->target, sizeof(d->target));
	return 0;
}

int aoe_devices(struct aoe_device **v, size_t *n)
{
	DIR *dir = opendir(BLOCK);
	struct dirent *e;
	*v = NULL;
	*n = 0;
	while (dir && (e = readdir(dir))) {
		struct aoe_address at;
		struct aoe_device *more;
		if (strncmp(e->d_name, PREFIX, strlen(PREFIX)) != 0 ||
		    aoe_address_parse(e->d_name + strlen(PREFIX), &at))
			continue; /* a partition is none */
		more = realloc(*v, (*n + 1) * sizeof(**v));
		if (!more) {
			closedir(dir);
			free(*v);
			return -ENOMEM;
		}
		*v = more;
		*n += aoe_device_find(&at, &(*v)[*n]) == 0;
	}
	if (dir)
		closedir(dir);
	return 0;
}

int aoe_device_of(const char *path, struct aoe_device *d)
{
	struct stat st;
	if (stat(path, &st) < 0)
		return -ENOENT;
	return S_ISBLK(st.st_mode) ? aoe_device_numbered(st.st_rdev, d) : -ENODEV;
}

/* The driver has put the texts of IDENTIFY DEVICE in their order. */
int aoe_device_serial(const struct aoe_device *d, char serial[AOE_SERIAL])
{
	uint8_t identity[AOE_SECTOR];
	int fd = open(d->disk.path, O_RDONLY | O_NONBLOCK | O_CLOEXEC), rc = 0, n = 20;
	if (fd < 0)
		return -errno;
	if (ioctl(fd, HDIO_GET_IDENTITY, identity) < 0)
		rc = -errno;
	close(fd);
	if (rc)
		return rc;
	memcpy(serial, identity + 20, 20);
	while (n && (serial[n - 1] == ' ' || !serial[n - 1]))
		n--;
	serial[n] = '\0';
	return n ? 0 : -ENODATA;
}

int aoe_device_numbered(dev_t number, struct aoe_device *d)
{
	char link[64], target[PATH_MAX];
	struct aoe_address at;
	const char *name;
	ssize_t n;
	snprintf(link, sizeof(link), "/sys/dev/block/%u:%u", major(number), minor(number));
	n = readlink(link, target, sizeof(target) - 1);
	target[n > 0 ? n : 0] = '\0';
	name = strstr(target, "/block/" PREFIX);
	if (!name || aoe_address_parse(name + strlen("/block/" PREFIX), &at))
		return -ENODEV;
	return aoe_device_find(&at, d) ? -ENODEV : 0;
}

/* ---- attach ---- */

/* The driver lets nobody open a device whose target it has not heard of yet. */
static bool usable(const struct aoe_address *at, struct aoe_device *d)
{
	int fd = aoe_device_find(at, d) == 0 ? open(d->disk.path, O_RDONLY | O_NONBLOCK | O_CLOEXEC)
					     : -1;
	if (fd < 0)
		return false;
	close(fd);
	return true;
}

/* Its control files appear with the module, their nodes a moment later. */
static int load_driver(int events, uint64_t until)
{
	if (access("/sys/module/aoe", F_OK) < 0 && kernel_module_load("aoe"))
		return access("/sys/module/aoe", F_OK) < 0 ? -ENODEV : 0;
	while (access(DISCOVER, F_OK) < 0 && clock_ns() < until)
		uevents_wait(events, until);
	return access(DISCOVER, F_OK) < 0 ? -ENODEV : 0;
}

static int find_target(int events, const struct aoe_address *at, uint64_t until,
		       struct aoe_device *d)
{
	for (uint64_t now = clock_ns(); now < until; now = clock_ns()) {
		uint64_t again = MIN(now + AGAIN, until);
		int rc = fds_write_text(DISCOVER, "");
		/* An empty write does not get to the driver. */
		rc = rc ? rc : fds_write_text(DISCOVER, "\n");
		if (rc)
			return rc;
		do {
			if (usable(at, d))
				return 0;
			uevents_wait(events, again);
		} while (clock_ns() < again);
	}
	return usable(at, d) ? 0 : -ETIMEDOUT;
}

int aoe_attach(const struct aoe_address *at, uint64_t timeout_ns, struct aoe_device *d,
	       bool *existed, char *error, size_t size)
{
	uint64_t until = clock_ns() + timeout_ns;
	int events, rc;

	*existed = usable(at, d);
	if (*existed)
		return 0;
	events = uevents_open();
	rc = events < 0 ? events : load_driver(events, until);
	if (rc == 0)
		rc = find_target(events, at, until, d);
	if (events >= 0)
		close(events);
	switch (rc) {
	case 0: return 0;
	case -ENODEV: return failed(error, size, rc, "no aoe in the kernel: modprobe aoe");
	case -EACCES:
	case -EPERM:
		return failed(error, size, -EPERM,
			      "the kernel's initiator is root's alone: run vstor as root");
	case -ETIMEDOUT:
		return failed(error, size, rc,
			      "e%u.%u: nobody answers for it: check shelf and slot, that an "
			      "interface on its network is up, and whom the target lets in",
			      at->shelf, at->slot);
	default: return failed(error, size, rc, "e%u.%u: %s", at->shelf, at->slot, strerror(-rc));
	}
}

/* ---- detach ---- */

/* What has not been written is, or never will be. */
static int write_back(const struct aoe_device *d)
{
	int fd = open(d->disk.path, O_RDONLY | O_NONBLOCK | O_CLOEXEC), rc = 0;
	if (fd < 0)
		return -errno;
	if (fsync(fd) < 0)
		rc = -errno;
	close(fd);
	return rc;
}

static int take_away(const struct aoe_device *d)
{
	int events = uevents_open(), rc;
	uint64_t until = clock_ns() + GONE;
	struct aoe_device now;
	char name[16];

	if (events < 0)
		return events;
	snprintf(name, sizeof(name), "e%u.%u", d->at.shelf, d->at.slot);
	rc = fds_write_text(FLUSH, name);
	while (rc == 0 && aoe_device_find(&d->at, &now) == 0) {
		if (clock_ns() >= until)
			rc = -EBUSY;
		uevents_wait(events, until);
	}
	close(events);
	return rc;
}

int aoe_detach(const struct aoe_device *d, bool force, char *error, size_t size)
{
	char user[256];
	const char *who = force ? NULL : iscsi_disk_user(&d->disk, user);
	int rc;

	if (who)
		return failed(error, size, -EBUSY, "%s is %s: stop using it, or --force",
			      d->disk.path, who);
	if (!force && strncmp(d->state, "up", 2) != 0)
		return failed(error, size, -EHOSTDOWN,
			      "%s: its target is away, and what is not written yet would be lost: "
			      "wait for it, or --force",
			      d->disk.path);
	rc = force ? 0 : write_back(d);
	if (rc == 0)
		rc = take_away(d);
	if (rc == -EBUSY)
		return failed(error, size, rc, "%s is in use: stop using it", d->disk.path);
	return rc ? failed(error, size, rc, "%s: %s", d->disk.path, strerror(-rc)) : 0;
}
