/* SPDX-License-Identifier: BSD-2-Clause */
#include "xen/fence/config_disks.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "xen/disk_id.h"
#include "xen/fence/fencing.h"
#include "xen/fence/hotplug.h"

#define SCRIPT "block-vstor"

static bool is_ours(const libxl_device_disk *disk)
{
	const char *slash = disk->script ? strrchr(disk->script, '/') : NULL;

	return disk->script && strcmp(slash ? slash + 1 : disk->script, SCRIPT) == 0;
}

/* Its device's number: 0, or -errno with one line in error. */
static int open_one(const libxl_device_disk *disk, struct config_disk *d, dev_t *number,
		    char error[ATTACH_ERROR])
{
	struct hotplug_words w;
	struct stat st;
	int rc;

	if (!is_ours(disk)) {
		if (stat(disk->pdev_path, &st))
			return attach_failed(error, -errno, "disk %s: %s: %s", disk->vdev,
					     disk->pdev_path, strerror(errno));
		*number = S_ISBLK(st.st_mode) ? st.st_rdev : 0;
		return 0;
	}
	d->words = disk->pdev_path;
	rc = hotplug_parse(d->words, &w, error);
	if (!rc)
		rc = attach_disk(&w.r, &d->a, error);
	if (rc)
		return rc;
	d->attached = !d->a.existed;
	*number = d->a.disk.dev;
	return 0;
}

/* NULL, or why it cannot be reserved. */
static const char *look(struct config_disk *d, dev_t number, char id[DISK_ID_MAX])
{
	const char *why = fencing_device(number, d->path);

	if (why)
		return why;
	switch (referee_check(d->path)) {
	case 0: break;
	case -EOPNOTSUPP: return "it has no reservations";
	case -ENOLCK: return "it forgets its reservations when its target is restarted";
	default: return "it does not answer";
	}
	return disk_id(number, id) ? "it has no identity (WWID)" : NULL;
}

void config_disks_release(const libxl_domain_config *c)
{
	for (int i = 0; i < c->num_disks; i++) {
		const libxl_device_disk *disk = &c->disks[i];
		char path[32], who[128];
		struct stat st;

		if (disk->readwrite && disk->pdev_path && !disk->script &&
		    stat(disk->pdev_path, &st) == 0 && S_ISBLK(st.st_mode) &&
		    !fencing_device(st.st_rdev, path) &&
		    !hotplug_guest_of(st.st_rdev, NULL, who, sizeof(who)))
			referee_release(path, NULL, NULL);
	}
}

static void close_one(struct config_disk *d)
{
	char error[ATTACH_ERROR], who[128];
	struct hotplug_words w;

	if (d->attached && !hotplug_guest_of(d->a.disk.dev, NULL, who, sizeof(who)) &&
	    hotplug_parse(d->words, &w, error) == 0)
		attach_end(&w.r, &d->a, false, error);
	d->attached = false;
}

int config_disks_open(const libxl_domain_config *c, struct config_disks *d,
		      char left_out[ATTACH_ERROR], char error[ATTACH_ERROR])
{
	char ids[REFEREE_DISKS][DISK_ID_MAX];

	memset(d, 0, sizeof(*d));
	left_out[0] = 0;
	for (int i = 0; i < c->num_disks; i++) {
		const libxl_device_disk *disk = &c->disks[i];
		struct config_disk one = {0};
		char id[DISK_ID_MAX];
		const char *why;
		dev_t number = 0;
		unsigned at;
		int rc;

		if (!disk->readwrite || !disk->pdev_path || !disk->pdev_path[0])
			continue;
		snprintf(one.vdev, sizeof(one.vdev), "%s", disk->vdev);
		rc = open_one(disk, &one, &number, error);
		if (rc) {
			config_disks_close(d);
			return rc;
		}
		why = d->n == REFEREE_DISKS ? "there are too many" : look(&one, number, id);
		if (why) {
			if (!left_out[0])
				snprintf(left_out, ATTACH_ERROR, "disk %s: %s", disk->vdev, why);
			close_one(&one);
			continue;
		}
		for (at = d->n; at && strcmp(ids[at - 1], id) > 0; at--) {
			memcpy(ids[at], ids[at - 1], sizeof(id));
			d->disk[at] = d->disk[at - 1];
		}
		memcpy(ids[at], id, sizeof(id));
		d->disk[at] = one;
		d->n++;
	}
	return 0;
}

void config_disks_close(struct config_disks *d)
{
	for (unsigned i = 0; i < d->n; i++)
		close_one(&d->disk[i]);
	d->n = 0;
}
