/* SPDX-License-Identifier: BSD-2-Clause */
/* dm-multipath's maps as sysfs shows them, and paths that come while a guest runs. */
#include "xen/fence/paths.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/sysmacros.h>

#include "tests/unit/fake/xen.h"
#include "tests/unit/xen/fence/paths_rig.h"
#include "xen/fence/fencing.h"
#include "xen/fence/hotplug.h"
#include "xen/fence/path_watch.h"

static void test_lists(void)
{
	struct paths p;

	CHECK(paths_is_map("/dev/dm-0"));
	CHECK(!paths_is_map("/dev/sdb") && !paths_is_map("/dev/0"));
	put("class/block/dm-7/slaves/sdaa", "");
	put("class/block/dm-7/slaves/sdc", "");
	put("class/block/dm-7/slaves/sdb", "");
	CHECK_EQ(paths_list("/dev/dm-7", false, &p), 0);
	CHECK_EQ(p.n, 3);
	CHECK_STR(p.path[0], "/dev/sdb");
	CHECK_STR(p.path[2], "/dev/sdaa");
	put("class/block/sdb/device/state", "transport-offline\n");
	put("class/block/sdc/device/state", "running\n");
	CHECK_EQ(paths_list("/dev/dm-7", false, &p), 0);
	CHECK_EQ(p.n, 2);
	CHECK_STR(p.path[0], "/dev/sdc");
	CHECK_EQ(paths_list("/dev/dm-7", true, &p), 0);
	CHECK_EQ(p.n, 3);
	CHECK_EQ(paths_list("/dev/dm-8", true, &p), -ENXIO);
	for (unsigned i = 0; i < PATHS_MAX; i++) {
		char path[64];

		snprintf(path, sizeof(path), "class/block/dm-7/slaves/sdx%u", i);
		put(path, "");
	}
	CHECK_EQ(paths_list("/dev/dm-7", true, &p), -E2BIG);
}

static void link_to(const char *target, const char *name)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/%s", sysfs, name);
	CHECK_EQ(symlink(target, path), 0);
}

/* Which devices can be fenced, by fencing_device() and what it asks. */
static void test_devices(void)
{
	char path[32] = "", map[32];
	dev_t number;

	put("devices/dm-3/dm/uuid", "mpath-36001405abc\n");
	put("dev/block/x", "");
	link_to("../../devices/dm-3", "dev/block/253:3");
	CHECK_STR(fencing_device(makedev(253, 3), path), "it has no path left");
	put("devices/dm-3/slaves/sdb/device/scsi_disk/x", "");
	put("devices/dm-3/slaves/sdc/device/scsi_disk/x", "");
	CHECK(fencing_device(makedev(253, 3), path) == NULL);
	CHECK_STR(path, "/dev/dm-3");
	put("devices/dm-3/slaves/vda/dev", "254:0\n");
	CHECK_STR(fencing_device(makedev(253, 3), path), "its path vda is no SCSI disk");
	put("devices/dm-4/dm/uuid", "part1-mpath-36001405abc\n");
	link_to("../../devices/dm-4", "dev/block/253:4");
	CHECK_STR(fencing_device(makedev(253, 4), path), "it is a volume of the device mapper's");
	/* And from a path to its map. */
	put("dev/block/8:16/holders/dm-3/dm/uuid", "mpath-36001405abc\n");
	put("dev/block/8:16/holders/dm-3/dev", "253:3\n");
	put("dev/block/8:32/holders/dm-5/dm/uuid", "LVM-abc\n");
	put("dev/block/8:32/holders/dm-5/dev", "253:5\n");
	CHECK(paths_map_of(makedev(8, 16), map, &number));
	CHECK_STR(map, "/dev/dm-3");
	CHECK(number == makedev(253, 3));
	CHECK(!paths_map_of(makedev(8, 32), map, &number));
	CHECK(!paths_map_of(makedev(8, 48), map, &number));
}

/* A path is a disk of the guest's that has the map: it is neither held nor given up by itself. */
static void test_guest_of_map(void)
{
	char who[128];

	fake_reset();
	fake_node_set("backend/vbd/9", "");
	fake_node_set("backend/vbd/9/51712", "");
	fake_node_set("backend/vbd/9/51712/physical-device", "fd:3");
	fake_node_set("/local/domain/9/name", "web1");
	CHECK(hotplug_guest_of(makedev(253, 3), NULL, who, sizeof(who)));
	CHECK(hotplug_guest_of(makedev(8, 16), NULL, who, sizeof(who)));
	CHECK_STR(who, "guest web1, disk 51712");
	CHECK(!hotplug_guest_of(makedev(8, 16), "backend/vbd/9/51712", who, sizeof(who)));
	CHECK(!hotplug_guest_of(makedev(8, 32), NULL, who, sizeof(who)));
	CHECK_EQ(fake.open, 0);
}

/* ---- paths that come ---- */

static struct path_watch watch;
static struct loop_timer look_timer;
static struct loop *watch_loop;
static unsigned wanted;

static void look(void *arg)
{
	if (watch.known[0].n == wanted && !watch.fencing.running)
		loop_stop(watch_loop, 0);
	else
		loop_timer_set(watch_loop, &look_timer, 5 * MS_NS, look, arg);
}

/* Until it has seen to so many paths of the first disk. */
static void seen_to(unsigned n)
{
	wanted = n;
	look(NULL);
	loop_run(watch_loop);
}

static void test_comes(void)
{
	char gone[128];

	paths_up();
	snprintf(gone, sizeof(gone), "%s/class/block/dm-0/slaves/0b", sysfs);
	CHECK_EQ(unlink(gone), 0);
	be(A);
	CHECK_EQ(referee_begin(&a), REFEREE_WON);
	CHECK(writes(A, 0) && !writes(A + SECOND, 0) && writes(A + SECOND, 1));
	watch_loop = loop_new();
	path_watch_start(&watch, watch_loop, &a);
	seen_to(1);
	CHECK(!writes(A + SECOND, 0));
	put("class/block/dm-0/slaves/0b", "");
	seen_to(2);
	CHECK(writes(A + SECOND, 0) && !writes(B, 0) && !writes(B + SECOND, 0));
	path_watch_stop(&watch);
	/* Nothing is watched that has one path. */
	a.n = 1;
	snprintf(a.disk[0].path, sizeof(a.disk[0].path), "/dev/0a");
	path_watch_start(&watch, watch_loop, &a);
	CHECK_EQ(watch.r.n, 0);
	path_watch_stop(&watch);
	loop_free(watch_loop);
	rig_down();
}

int main(void)
{
	log_set_level("error");
	make_sysfs();
	CHECK_RUN(test_lists);
	CHECK_RUN(test_devices);
	CHECK_RUN(test_guest_of_map);
	CHECK_RUN(test_comes);
	return remove_sysfs() != 0 || CHECK_DONE();
}
