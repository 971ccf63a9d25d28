/* SPDX-License-Identifier: BSD-2-Clause */
#include "xen/quiesce.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Between two looks; three that find nothing, so that a request that the backend has not yet taken
 * from the ring is not missed. */
#define LOOK_NS (4 * MS_NS)
#define LOOKS	3u

const char *quiesce_sysfs = "/sys";

/* The first line of a file in sysfs, without its newline. */
static int read_line(const char *path, char *line, int size)
{
	FILE *f = fopen(path, "re");
	int rc = -ENOENT;

	if (!f)
		return rc;
	if (fgets(line, size, f)) {
		line[strcspn(line, "\n")] = 0;
		rc = 0;
	}
	fclose(f);
	return rc;
}

/* Two numbers: reads and writes. */
static unsigned inflight_of(unsigned major, unsigned minor)
{
	char path[256], line[64];
	unsigned reads, writes;

	snprintf(path, sizeof(path), "%s/dev/block/%u:%u/inflight", quiesce_sysfs, major, minor);
	if (read_line(path, line, sizeof(line)) || sscanf(line, "%u %u", &reads, &writes) != 2)
		return 0;
	return reads + writes;
}

unsigned quiesce_inflight(uint32_t domid)
{
	char path[512], prefix[32], line[64];
	unsigned major, minor, sum = 0;
	struct dirent *e;
	DIR *d;

	snprintf(path, sizeof(path), "%s/bus/xen-backend/devices", quiesce_sysfs);
	d = opendir(path);
	if (!d)
		return 0;
	snprintf(prefix, sizeof(prefix), "vbd-%u-", domid);
	while ((e = readdir(d))) {
		if (strncmp(e->d_name, prefix, strlen(prefix)) != 0)
			continue;
		snprintf(path, sizeof(path), "%s/bus/xen-backend/devices/%.64s/physical_device",
			 quiesce_sysfs, e->d_name);
		/* "8:0", in hexadecimal (Linux: drivers/block/xen-blkback/xenbus.c) */
		if (!read_line(path, line, sizeof(line)) &&
		    sscanf(line, "%x:%x", &major, &minor) == 2)
			sum += inflight_of(major, minor);
	}
	closedir(d);
	return sum;
}

static void look(void *arg)
{
	struct quiesce *q = arg;

	q->quiet = quiesce_inflight(q->domid) ? 0 : q->quiet + 1;
	if (q->quiet >= LOOKS)
		q->done(q->arg, 0);
	else if (clock_ns() > q->deadline)
		q->done(q->arg, -ETIMEDOUT);
	else
		loop_timer_set(q->loop, &q->timer, LOOK_NS, look, q);
}

void quiesce_start(struct quiesce *q, struct loop *l, uint32_t domid, uint64_t limit_ns,
		   void (*done)(void *arg, int err), void *arg)
{
	*q = (struct quiesce){.loop = l,
			      .domid = domid,
			      .deadline = clock_ns() + limit_ns,
			      .done = done,
			      .arg = arg};
	loop_timer_set(l, &q->timer, 0, look, q);
}

void quiesce_stop(struct quiesce *q)
{
	if (q->loop)
		loop_timer_del(q->loop, &q->timer);
}
