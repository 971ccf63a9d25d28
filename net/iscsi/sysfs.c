/* SPDX-License-Identifier: BSD-2-Clause */
#include "net/iscsi/sysfs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <scsi/sg.h>
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
#include "net/iscsi/kernel.h"
#include "net/uevent.h"

#define SESSIONS "/sys/class/iscsi_session"
#define PATH_LEN 512
/* SCSI numbers LUNs from 256 on with the flat addressing bit, as scsilun_to_int() does. */
#define FLAT 0x4000u

#define INQUIRY	     0x12
#define VPD_SERIAL   0x80
#define INQUIRY_MS   10000
#define DRIVER_SENSE 8 /* of sg's driver_status: there is sense data */

/* One line of a file, without its newline. */
static int read_line(const char *path, char *out, size_t size)
{
	ssize_t n = -1;
	int fd = open(path, O_RDONLY | O_CLOEXEC), err = 0;

	out[0] = '\0';
	if (fd < 0)
		return -errno;
	n = read(fd, out, size - 1);
	if (n < 0)
		err = -errno;
	close(fd);
	out[n > 0 ? n : 0] = '\0';
	out[strcspn(out, "\n")] = '\0';
	return err;
}

int iscsi_session_attr(uint32_t sid, const char *name, char *out, size_t size)
{
	char path[PATH_LEN];
	int err;

	snprintf(path, sizeof(path), SESSIONS "/session%u/%s", sid, name);
	err = read_line(path, out, size);
	/* how the kernel prints what was never set */
	if (strcmp(out, "(null)") == 0)
		out[0] = '\0';
	return err;
}

static int connection_attr(uint32_t sid, const char *name, char *out, size_t size)
{
	char path[PATH_LEN];
	int err;

	snprintf(path, sizeof(path), "/sys/class/iscsi_connection/connection%u:0/%s", sid, name);
	err = read_line(path, out, size);
	if (strcmp(out, "(null)") == 0)
		out[0] = '\0';
	return err;
}

int iscsi_session_read(uint32_t sid, struct iscsi_session *s)
{
	char path[PATH_LEN], text[PATH_LEN];
	const char *host;
	ssize_t n;

	memset(s, 0, sizeof(*s));
	s->sid = sid;
	/* .../hostH/sessionS/iscsi_session/sessionS */
	snprintf(path, sizeof(path), SESSIONS "/session%u", sid);
	n = readlink(path, text, sizeof(text) - 1);
	if (n < 0)
		return -ENOENT;
	text[n] = '\0';
	host = strstr(text, "/host");
	if (!host || sscanf(host, "/host%u/", &s->host) != 1)
		return -ENOENT;
	if (iscsi_session_attr(sid, "state", s->state, sizeof(s->state)))
		return -ENOENT;
	iscsi_session_attr(sid, "targetname", s->target, sizeof(s->target));
	iscsi_session_attr(sid, "initiatorname", s->initiator, sizeof(s->initiator));
	iscsi_session_attr(sid, "ifacename", s->iface, sizeof(s->iface));
	iscsi_session_attr(sid, "target_id", text, sizeof(text));
	s->target_id = (unsigned)strtoul(text, NULL, 10);
	iscsi_session_attr(sid, "recovery_tmo", text, sizeof(text));
	s->recovery_tmo = strcmp(text, "off") == 0 ? -1 : atoi(text);
	connection_attr(sid, "persistent_address", s->address, sizeof(s->address));
	connection_attr(sid, "persistent_port", text, sizeof(text));
	s->port = (uint16_t)strtoul(text, NULL, 10);
	connection_attr(sid, "address", s->peer, sizeof(s->peer));
	return 0;
}

static int by_sid(const void *a, const void *b)
{
	const struct iscsi_session *x = a, *y = b;

	return x->sid < y->sid ? -1 : x->sid > y->sid;
}

int iscsi_sessions(struct iscsi_session **v, size_t *n)
{
	struct iscsi_session *bigger;
	struct dirent *e;
	uint32_t sid;
	DIR *d = opendir(SESSIONS);

	*v = NULL;
	*n = 0;
	if (!d)
		return 0;
	while ((e = readdir(d))) {
		if (sscanf(e->d_name, "session%u", &sid) != 1)
			continue;
		bigger = realloc(*v, (*n + 1) * sizeof(**v));
		if (!bigger) {
			free(*v);
			closedir(d);
			return -ENOMEM;
		}
		*v = bigger;
		if (iscsi_session_read(sid, &(*v)[*n]) == 0)
			++*n;
	}
	closedir(d);
	if (*n)
		qsort(*v, *n, sizeof(**v), by_sid);
	return 0;
}

/* The directory of a LUN. */
static void lun_path(const struct iscsi_session *s, unsigned number, char out[PATH_LEN])
{
	snprintf(out, PATH_LEN, SESSIONS "/session%u/device/target%u:0:%u/%u:0:%u:%u", s->sid,
		 s->host, s->target_id, s->host, s->target_id, number);
}

static unsigned lun_number(unsigned lun)
{
	return lun < 256 ? lun : FLAT | lun;
}

/* Fills d from the name of a disk; -EAGAIN while its node is not there. */
static int disk_fill(const char *name, unsigned lun, struct iscsi_disk *d)
{
	char path[PATH_LEN], text[32];
	unsigned major, minor;
	struct stat st;

	memset(d, 0, sizeof(*d));
	d->lun = lun;
	snprintf(d->name, sizeof(d->name), "%s", name);
	snprintf(d->path, sizeof(d->path), "/dev/%s", d->name);
	snprintf(path, sizeof(path), "/sys/class/block/%s/dev", d->name);
	if (read_line(path, text, sizeof(text)) || sscanf(text, "%u:%u", &major, &minor) != 2)
		return -EAGAIN;
	d->dev = makedev(major, minor);
	if (stat(d->path, &st) < 0 || !S_ISBLK(st.st_mode) || st.st_rdev != d->dev)
		return -EAGAIN;
	return 0;
}

static int disk_in(const char *lun_dir, unsigned lun, struct iscsi_disk *d)
{
	char path[PATH_LEN + 16], type[16];
	struct dirent *e;
	int err = -EAGAIN;
	DIR *dir;

	snprintf(path, sizeof(path), "%s/type", lun_dir);
	if (read_line(path, type, sizeof(type)))
		return -ENXIO;
	/* Peripheral device types with a block device: disk, optical, simplified, zoned (SPC-5). */
	if (strcmp(type, "0") && strcmp(type, "7") && strcmp(type, "14") && strcmp(type, "20"))
		return -ENODEV;
	snprintf(path, sizeof(path), "%s/block", lun_dir);
	dir = opendir(path);
	if (!dir)
		return -EAGAIN;
	while (err && (e = readdir(dir)))
		if (e->d_name[0] != '.')
			err = disk_fill(e->d_name, lun, d);
	closedir(dir);
	return err;
}

int iscsi_disk_find(const struct iscsi_session *s, unsigned lun, struct iscsi_disk *d)
{
	char dir[PATH_LEN];

	lun_path(s, lun_number(lun), dir);
	return disk_in(dir, lun, d);
}

int iscsi_disks(const struct iscsi_session *s, struct iscsi_disk **v, size_t *n)
{
	unsigned host, channel, id, number;
	struct iscsi_disk *bigger;
	char path[PATH_LEN];
	struct dirent *e;
	DIR *d;

	*v = NULL;
	*n = 0;
	snprintf(path, sizeof(path), SESSIONS "/session%u/device/target%u:0:%u", s->sid, s->host,
		 s->target_id);
	d = opendir(path);
	if (!d)
		return 0;
	while ((e = readdir(d))) {
		if (sscanf(e->d_name, "%u:%u:%u:%u", &host, &channel, &id, &number) != 4)
			continue;
		bigger = realloc(*v, (*n + 1) * sizeof(**v));
		if (!bigger) {
			free(*v);
			closedir(d);
			return -ENOMEM;
		}
		*v = bigger;
		lun_path(s, number, path);
		if (disk_in(path, number & ~FLAT, &(*v)[*n]) == 0)
			++*n;
	}
	closedir(d);
	return 0;
}

int iscsi_disk_of(const char *path, struct iscsi_session *s, struct iscsi_disk *d)
{
	unsigned host, channel, id, number;
	char link[PATH_LEN], text[PATH_LEN];
	const char *p, *name;
	struct stat st;
	uint32_t sid;
	ssize_t n;

	if (stat(path, &st) < 0)
		return -errno;
	if (!S_ISBLK(st.st_mode))
		return -ENODEV;
	/* .../hostH/sessionS/targetH:C:I/H:C:I:L/block/sdX */
	snprintf(link, sizeof(link), "/sys/dev/block/%u:%u", major(st.st_rdev), minor(st.st_rdev));
	n = readlink(link, text, sizeof(text) - 1);
	if (n < 0)
		return -ENODEV;
	text[n] = '\0';
	p = strstr(text, "/session");
	if (!p || sscanf(p, "/session%u/target%*u:%*u:%*u/%u:%u:%u:%u/block/", &sid, &host,
			 &channel, &id, &number) != 5)
		return -ENODEV;
	p = strstr(p, "/block/");
	name = p ? p + strlen("/block/") : "";
	if (!*name || strchr(name, '/')) /* a partition */
		return -ENODEV;
	if (iscsi_session_read(sid, s))
		return -ENODEV;
	return disk_fill(name, number & ~FLAT, d) ? -ENODEV : 0;
}

/* As iscsi_disk_find(); -EAGAIN also while the kernel has made the node, but lets nobody open it.
 */
static int find_openable(const struct iscsi_session *s, unsigned lun, struct iscsi_disk *d)
{
	int err = iscsi_disk_find(s, lun, d), fd;

	if (err)
		return err;
	fd = open(d->path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return -EAGAIN;
	close(fd);
	return 0;
}

int iscsi_disk_scan(const struct iscsi_session *s, unsigned lun, uint64_t timeout_ns,
		    struct iscsi_disk *d)
{
	const uint64_t deadline = clock_ns() + timeout_ns;
	char path[PATH_LEN], text[64];
	int events = uevents_open(), err;

	if (events < 0)
		return events;
	/* Where nobody loads modules for new devices, the disks would have no driver. */
	if (access("/sys/bus/scsi/drivers/sd", F_OK) < 0)
		kernel_module_load("sd_mod");
	snprintf(path, sizeof(path), "/sys/class/scsi_host/host%u/scan", s->host);
	snprintf(text, sizeof(text), "0 %u %u", s->target_id, lun_number(lun));
	err = fds_write_text(path, text);
	if (!err)
		err = find_openable(s, lun, d);
	while (err == -EAGAIN) {
		if (clock_ns() >= deadline) {
			err = -ETIMEDOUT;
			break;
		}
		uevents_wait(events, deadline);
		err = find_openable(s, lun, d);
	}
	close(events);
	return err;
}

/* The text of a Unit Serial Number page of n bytes. */
static int serial_of(const uint8_t *page, size_t n, char out[256])
{
	const char *start;
	size_t len;

	out[0] = '\0';
	if (n < 4 || page[1] != VPD_SERIAL)
		return -ENODATA;
	len = MIN(n - 4, (size_t)get_be16(page + 2));
	start = (const char *)page + 4;
	while (len && *start == ' ')
		start++, len--;
	while (len && start[len - 1] == ' ')
		len--;
	snprintf(out, 256, "%.*s", (int)len, start);
	return *out ? 0 : -ENODATA;
}

int iscsi_disk_serial_then(const struct iscsi_disk *d, char out[256])
{
	uint8_t page[4 + 255];
	char path[PATH_LEN];
	ssize_t n;
	int fd;

	out[0] = '\0';
	snprintf(path, sizeof(path), "/sys/class/block/%s/device/vpd_pg80", d->name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -ENODATA;
	n = read(fd, page, sizeof(page));
	close(fd);
	return serial_of(page, n > 0 ? (size_t)n : 0, out);
}

int iscsi_disk_serial(const struct iscsi_disk *d, char out[256])
{
	uint8_t page[4 + 251], sense[32]; /* of a length that is one byte in every SPC */
	uint8_t cdb[6] = {INQUIRY, 1 /* EVPD */, VPD_SERIAL, 0, sizeof(page)};
	struct sg_io_hdr io = {
		.interface_id = 'S',
		.dxfer_direction = SG_DXFER_FROM_DEV,
		.cmd_len = sizeof(cdb),
		.mx_sb_len = sizeof(sense),
		.dxfer_len = sizeof(page),
		.dxferp = page,
		.cmdp = cdb,
		.sbp = sense,
		.timeout = INQUIRY_MS,
	};
	int fd = open(d->path, O_RDONLY | O_NONBLOCK | O_CLOEXEC), err = 0;

	out[0] = '\0';
	if (fd < 0)
		return -errno;
	if (ioctl(fd, SG_IO, &io) < 0)
		err = -errno;
	close(fd);
	if (!err && (io.host_status || io.driver_status & ~DRIVER_SENSE))
		err = -EIO;
	if (!err && io.status) /* it does not know the page */
		err = -ENODATA;
	return err ? err : serial_of(page, sizeof(page) - (size_t)io.resid, out);
}

int iscsi_disk_remove(const struct iscsi_disk *d)
{
	char path[PATH_LEN];
	int fd = open(d->path, O_RDONLY | O_CLOEXEC), err = 0;

	if (fd < 0)
		return -errno;
	/* EBADE: it is reserved for another host, which refuses us a flush, too: nothing that
	 * counts is left here. */
	if ((fsync(fd) < 0 && errno != EBADE) || ioctl(fd, BLKFLSBUF, 0) < 0)
		err = -errno;
	close(fd);
	if (err)
		return err;
	/* The driver sends SYNCHRONIZE CACHE before it lets go. */
	snprintf(path, sizeof(path), "/sys/class/block/%s/device/delete", d->name);
	return fds_write_text(path, "1");
}

/* The mount point of the disk or of one of its partitions. */
static bool mounted(const struct iscsi_disk *d, char *where, size_t size)
{
	char line[4096], point[1024], link[PATH_LEN], text[PATH_LEN];
	unsigned major, minor;
	bool found = false;
	ssize_t n;
	FILE *f = fopen("/proc/self/mountinfo", "re");

	if (!f)
		return false;
	while (!found && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%*u %*u %u:%u %*s %1023s", &major, &minor, point) != 3)
			continue;
		snprintf(link, sizeof(link), "/sys/dev/block/%u:%u", major, minor);
		n = readlink(link, text, sizeof(text) - 1);
		if (n < 0)
			continue;
		text[n] = '\0';
		/* .../block/sdb or .../block/sdb/sdb1 */
		char *block = strstr(text, "/block/");
		if (!block)
			continue;
		block += strlen("/block/");
		block[strcspn(block, "/")] = '\0';
		found = strcmp(block, d->name) == 0;
	}
	fclose(f);
	if (found)
		snprintf(where, size, "mounted on %.200s", point);
	return found;
}

const char *iscsi_disk_user(const struct iscsi_disk *d, char buf[256])
{
	char path[PATH_LEN];
	struct dirent *e;
	DIR *dir;
	int fd;

	if (mounted(d, buf, 256))
		return buf;
	snprintf(path, sizeof(path), "/sys/class/block/%s/holders", d->name);
	dir = opendir(path);
	buf[0] = '\0';
	while (dir && !buf[0] && (e = readdir(dir)))
		if (e->d_name[0] != '.')
			snprintf(buf, 256, "held by %.200s", e->d_name);
	if (dir)
		closedir(dir);
	if (buf[0])
		return buf;
	/* Whoever claims a device does it exclusively: swap, dm, md, a partition's user. */
	fd = open(d->path, O_RDONLY | O_EXCL | O_CLOEXEC);
	if (fd < 0 && errno == EBUSY) {
		snprintf(buf, 256, "claimed by another user of the device");
		return buf;
	}
	if (fd >= 0)
		close(fd);
	return NULL;
}
