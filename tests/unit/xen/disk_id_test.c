/* SPDX-License-Identifier: BSD-2-Clause */
#include "xen/disk_id.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "tests/unit/check.h"
#include "tests/unit/xen/sysfs.h"

static char dir[] = "/tmp/vstor-disk-id-XXXXXX";

static void put(const char *path, const char *text)
{
	sysfs_put(dir, path, text);
}

static void test_ids(void)
{
	char id[DISK_ID_MAX];

	put("dev/block/8:16/device/wwid", "naa.6001405abc   \n");
	put("dev/block/253:1/dm/uuid", "LVM-abc\n");
	put("dev/block/7:0/size", "12\n");
	CHECK_EQ(disk_id(makedev(8, 16), id), 0);
	CHECK_STR(id, "naa.6001405abc");
	CHECK_EQ(disk_id(makedev(253, 1), id), 0);
	CHECK_STR(id, "LVM-abc");
	CHECK_EQ(disk_id(makedev(7, 0), id), -ENOENT);
	CHECK_EQ(disk_id(makedev(8, 32), id), -ENOENT);
}

/* The same disk by another device of this host. */
static void test_twin(void)
{
	char path[128], twin[32], target[128];

	snprintf(path, sizeof(path), "%s/node", dir);
	CHECK_EQ(mknod(path, S_IFBLK | 0600, makedev(8, 16)), 0);
	CHECK(!disk_id_twin(path, twin));
	CHECK(!disk_id_twin("/dev/null", twin) && !disk_id_twin("/nonexistent", twin));
	put("sdx/device/wwid", "naa.6001405abc\n");
	snprintf(target, sizeof(target), "%s/dev/block/65:112", dir);
	CHECK_EQ(symlink("../../sdx", target), 0);
	CHECK(disk_id_twin(path, twin));
	CHECK_STR(twin, "sdx");
}

static void test_fields(void)
{
	static const char said[] = "cpu=x\ndisk=xvda naa.1 p2\ndisk=xvdab naa.2\n";
	const uint8_t *p = (const uint8_t *)said;
	char id[DISK_ID_MAX];

	CHECK_EQ(disk_ids_get(p, sizeof(said) - 1, "xvda", id), 0);
	CHECK_STR(id, "naa.1 p2");
	CHECK_EQ(disk_ids_get(p, sizeof(said) - 1, "xvdab", id), 0);
	CHECK_STR(id, "naa.2");
	CHECK_EQ(disk_ids_get(p, sizeof(said) - 1, "xvdb", id), -ENOENT);
}

int main(void)
{
	if (!mkdtemp(dir))
		return 1;
	disk_id_sysfs = dir;
	CHECK_RUN(test_ids);
	CHECK_RUN(test_twin);
	CHECK_RUN(test_fields);
	return check_remove(dir) != 0 || CHECK_DONE();
}
