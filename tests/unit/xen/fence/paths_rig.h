/* SPDX-License-Identifier: BSD-2-Clause */
/* Two hosts and their two disks, each of them by two paths: "/dev/dm-0" is LUN 0, by "/dev/0a" and
 * "/dev/0b". Who a host is by the first path is x, by the second x + SECOND
 * (tests/unit/storage/scsi/harness.h).
 */
#ifndef TESTS_UNIT_XEN_PATHS_RIG_H
#define TESTS_UNIT_XEN_PATHS_RIG_H

#define HOSTS  6
#define SECOND 3

#include <sys/stat.h>

#include "tests/unit/xen/fence/referee_race.h"
#include "xen/disk_id.h"
#include "xen/fence/referee_paths.h"
#include "xen/fence/referee_seen.h"
#include "tests/unit/xen/sysfs.h"

static const struct referee by_paths = {
	.n = 2, .disk = {{"xvda", "/dev/dm-0", 0}, {"xvdb", "/dev/dm-1", 0}}};

/* What becomes of a command. */
enum fault {
	ARRIVES,
	LOST,	     /* on its way */
	ANSWER_LOST, /* it is done */
	LATE,	     /* lost, and done when all is over */
	PATH_LOST,   /* and all later ones by this path of this host */
};
static struct {
	unsigned commands, at; /* sent; the one that it happens to, from 1 on; 0: none */
	enum fault fault;
	bool down[HOSTS]; /* a path of a host, to all disks */
	char device[16];  /* LATE: */
	unsigned nexus;
	uint8_t cdb[10], parameters[24];
} way;

static inline int lose(struct sg_io_hdr *io)
{
	io->host_status = 0x0e;
	return 0;
}

static inline int send_by_path(const char *device, struct sg_io_hdr *io)
{
	unsigned nexus = host + (device[6] == 'b' ? SECOND : 0);
	enum fault f = ++way.commands == way.at ? way.fault : ARRIVES;

	if (f == PATH_LOST)
		way.down[nexus] = true;
	if (way.down[nexus] || f == LOST)
		return lose(io);
	if (f == LATE && io->dxfer_direction == SG_DXFER_TO_DEV) {
		snprintf(way.device, sizeof(way.device), "%s", device);
		way.nexus = nexus;
		memcpy(way.cdb, io->cmdp, sizeof(way.cdb));
		memcpy(way.parameters, io->dxferp, sizeof(way.parameters));
		return lose(io);
	}
	execute(nexus, device, io);
	return f == ANSWER_LOST ? lose(io) : 0;
}

/* Brings what is late; its status. */
static inline uint8_t bring_late(void)
{
	if (!way.device[0])
		return CONFLICT;
	return run((unsigned)(way.device[5] - '0'), way.nexus, way.cdb, sizeof(way.cdb),
		   way.parameters, sizeof(way.parameters));
}

static inline void mend_ways(void)
{
	memset(&way, 0, sizeof(way));
}

/* ---- sysfs ---- */

static char sysfs[] = "/tmp/vstor-paths-XXXXXX";

static inline void put(const char *path, const char *text)
{
	sysfs_put(sysfs, path, text);
}

static inline void make_sysfs(void)
{
	if (!mkdtemp(sysfs))
		exit(1);
	put("class/block/dm-0/slaves/0a", "");
	put("class/block/dm-0/slaves/0b", "");
	put("class/block/dm-1/slaves/1a", "");
	put("class/block/dm-1/slaves/1b", "");
	disk_id_sysfs = sysfs;
}

static inline int remove_sysfs(void)
{
	return check_remove(sysfs);
}

/* ---- the disks ---- */

static inline void paths_up(void)
{
	disks_up();
	mend_ways();
	reservation_sg_io = race_execute = send_by_path;
	a = b = by_paths;
}

/* Who may write to both, by both paths, and nobody else. */
static inline void check_paths_owner(unsigned who)
{
	for (unsigned lun = 0; lun < 2; lun++)
		for (unsigned h = 0; h < HOSTS; h++)
			CHECK_EQ(writes(h, lun), h % SECOND == who);
}

/* The key by which a LUN is held; 0: by none, or not by several paths. */
static inline uint64_t held_by(const char *device)
{
	struct reservation r;
	const struct reservation_key *k;

	CHECK_EQ(reservation_read(device, &r), 0);
	k = seen_holder(&r);
	return k && r.type == RESERVATION_REGISTRANTS_ONLY ? k->key : 0;
}

static inline int by(unsigned who, const char *path, enum reservation_action act, uint64_t key,
		     uint64_t other)
{
	be(who);
	return reservation_out_type(path, act, RESERVATION_REGISTRANTS_ONLY, key, other);
}

#endif
