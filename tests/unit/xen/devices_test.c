/* SPDX-License-Identifier: BSD-2-Clause */
/* Each device of a configuration either moves, or is refused by name. */
#include "xen/devices.h"

#include "tests/unit/check.h"
#include "tests/unit/fake/xen.h"

static struct verdicts v;

/* What devices_source() says of a guest with these devices. */
static void look(const libxl_domain_config *c)
{
	struct guest g = {.domid = 5, .name = "guest", .config = *c};

	verdicts_fini(&v);
	v = (struct verdicts){0};
	devices_source(&g, &v);
}

static void refused(const libxl_domain_config *c, const char *name)
{
	look(c);
	if (!CHECK_EQ(v.refused, 1) || !CHECK(strncmp(v.why, name, strlen(name)) == 0))
		printf("# %s: %s\n", name, v.why);
}

static void test_what_cannot_move(void)
{
	fake_reset();
	refused(&(libxl_domain_config){.num_pcidevs = 1}, "PCI device");
	refused(&(libxl_domain_config){.num_rdms = 1}, "reserved memory");
	refused(&(libxl_domain_config){.num_dtdevs = 1}, "device tree node");
	refused(&(libxl_domain_config){.num_usbctrls = 1}, "USB controller");
	refused(&(libxl_domain_config){.num_usbdevs = 1}, "USB device");
	refused(&(libxl_domain_config){.num_vtpms = 1}, "vtpm");
	refused(&(libxl_domain_config){.num_p9s = 1}, "9pfs");
	refused(&(libxl_domain_config){.num_pvcallsifs = 1}, "pvcalls");
	refused(&(libxl_domain_config){.num_vdispls = 1}, "display");
	refused(&(libxl_domain_config){.num_vsnds = 1}, "sound");
}

static void test_back_ends(void)
{
	libxl_device_disk disk = {.vdev = "xvda",
				  .pdev_path = "/img",
				  .readwrite = 1,
				  .backend = LIBXL_DISK_BACKEND_PHY};
	libxl_device_nic nic = {.backend_domid = 0};
	const libxl_domain_config c = {.disks = &disk, .num_disks = 1, .nics = &nic, .num_nics = 1};

	fake_reset();
	look(&c);
	CHECK_EQ(v.refused, 0);
	disk.backend = LIBXL_DISK_BACKEND_QDISK;
	refused(&c, "disk xvda");
	disk.direct_io_safe = true;
	look(&c);
	CHECK_EQ(v.refused, 0);
	disk.backend_domid = 3;
	refused(&c, "disk 0");
	disk.backend_domid = 0;
	nic.backend_domid = 3;
	refused(&c, "network 0");
}

/* Writes that could not be waited for are not to be written at all. */
static void test_disks_that_cannot_be_seen(void)
{
	fake_reset();
	fake.rings[0] = (struct fake_ring){5, "51712", -1, .unreadable = true};
	refused(&(libxl_domain_config){.num_disks = 0}, "disks");
}

static void test_needs_of_the_other_host(void)
{
	libxl_device_nic nic = {.bridge = "no-such-bridge"};
	libxl_domain_config c = {.num_vfbs = 1, .b_info.device_model = "/nowhere/qemu"};

	verdicts_fini(&v);
	v = (struct verdicts){0};
	devices_destination(&c, &v);
	CHECK_EQ(v.refused, 1);
	CHECK(strncmp(v.why, "QEMU", 4) == 0);
	c = (libxl_domain_config){.nics = &nic, .num_nics = 1};
	verdicts_fini(&v);
	v = (struct verdicts){0};
	devices_destination(&c, &v);
	CHECK_EQ(v.refused, 1);
	CHECK(strncmp(v.why, "network 0", 9) == 0);
	verdicts_fini(&v);
}

int main(void)
{
	CHECK_RUN(test_what_cannot_move);
	CHECK_RUN(test_back_ends);
	CHECK_RUN(test_disks_that_cannot_be_seen);
	CHECK_RUN(test_needs_of_the_other_host);
	return CHECK_DONE();
}
