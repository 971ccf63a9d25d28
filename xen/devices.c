/* SPDX-License-Identifier: BSD-2-Clause */
#include "xen/devices.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/bytes.h"
#include "xen/quiesce.h"

#define SCRIPTS "/etc/xen/scripts"
#define QEMU	"/usr/libexec/xen-qemu-system-i386" /* as build-libs.sh tells libxl */

/* ---- kinds ---- */

/* All that a libxl_domain_config can hold. Those without a reason move. */
static const struct kind {
	const char *name;
	size_t count; /* where libxl_domain_config has the number of them */
	const char *why_not;
} kinds[] = {
#define KIND(field) offsetof(libxl_domain_config, field)
	{"disk", KIND(num_disks), NULL},
	{"network", KIND(num_nics), NULL},
	{"framebuffer", KIND(num_vfbs), NULL},
	{"keyboard", KIND(num_vkbs), NULL},
	{"channel", KIND(num_channels), NULL},
	{"PCI device", KIND(num_pcidevs), "it belongs to this host: detach it first"},
	{"reserved memory", KIND(num_rdms), "it belongs to a device of this host"},
	{"device tree node", KIND(num_dtdevs), "it belongs to this host"},
	{"USB controller", KIND(num_usbctrls), "its devices belong to this host: detach it first"},
	{"USB device", KIND(num_usbdevs), "it belongs to this host: detach it first"},
	{"vtpm", KIND(num_vtpms), "what it keeps would stay on this host"},
	{"9pfs", KIND(num_p9s), "files that the guest has open on this host would be lost"},
	{"pvcalls", KIND(num_pvcallsifs), "the guest's sockets are this host's"},
	{"display", KIND(num_vdispls), "its back end is a process of this host"},
	{"sound", KIND(num_vsnds), "its back end is a process of this host"},
#undef KIND
};

static int count_of(const libxl_domain_config *c, const struct kind *k)
{
	return *(const int *)((const char *)c + k->count);
}

static void check_kinds(const libxl_domain_config *c, struct verdicts *v)
{
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if (kinds[i].why_not && count_of(c, &kinds[i]))
			verdict(v, VERDICT_NO, "%s: cannot move: %s", kinds[i].name,
				kinds[i].why_not);
}

/* ---- back ends ---- */

/* True when the device is served by another domain than dom0: there is no such thing there. */
static bool served_elsewhere(uint32_t backend, const char *what, int n, struct verdicts *v)
{
	if (!backend)
		return false;
	verdict(v, VERDICT_NO,
		"%s %d: cannot move: its back end is domain %u of this host, not dom0", what, n,
		backend);
	return true;
}

static void check_disk(const libxl_device_disk *d, int n, struct verdicts *v)
{
	if (served_elsewhere(d->backend_domid, "disk", n, v) || !d->readwrite ||
	    d->direct_io_safe || !d->pdev_path || !d->pdev_path[0])
		return;
	if (d->backend == LIBXL_DISK_BACKEND_QDISK || d->backend == LIBXL_DISK_BACKEND_TAP)
		verdict(v, VERDICT_NO,
			"disk %s: cannot move: its back end is a process (%s), whose last writes "
			"may stay in this host's memory: use a block device, or direct-io-safe",
			d->vdev, libxl_disk_backend_to_string(d->backend));
}

static void check_backends(const libxl_domain_config *c, struct verdicts *v)
{
	for (int i = 0; i < c->num_disks; i++)
		check_disk(&c->disks[i], i, v);
	for (int i = 0; i < c->num_nics; i++)
		served_elsewhere(c->nics[i].backend_domid, "network", i, v);
	for (int i = 0; i < c->num_vfbs; i++)
		served_elsewhere(c->vfbs[i].backend_domid, "framebuffer", i, v);
	for (int i = 0; i < c->num_vkbs; i++)
		served_elsewhere(c->vkbs[i].backend_domid, "keyboard", i, v);
	for (int i = 0; i < c->num_channels; i++)
		served_elsewhere(c->channels[i].backend_domid, "channel", i, v);
}

void devices_source(struct guest *g, struct verdicts *v)
{
	unsigned refused = v->refused;
	int n;

	check_kinds(&g->config, v);
	check_backends(&g->config, v);
	n = quiesce_inflight(g->domid);
	if (n < 0 && v->refused == refused)
		verdict(v, VERDICT_NO,
			"disks: whether writes are on their way cannot be seen: %s: is the module "
			"xen-gntdev loaded?",
			strerror(-n));
}

/* ---- at the destination ---- */

bool devices_script(const char *script, const char *otherwise, char *path, size_t size)
{
	if (!script)
		script = otherwise;
	snprintf(path, size, script[0] == '/' ? "%s" : SCRIPTS "/%s", script);
	return access(path, X_OK) == 0;
}

static void check_nic(const libxl_device_nic *n, int i, struct verdicts *v)
{
	const char *bridge = n->bridge ? n->bridge : "xenbr0";
	char path[512], script[512];

	snprintf(path, sizeof(path), "/sys/class/net/%.200s", bridge);
	if (n->bridge && (strchr(bridge, '/') || access(path, F_OK)))
		verdict(v, VERDICT_NO, "network %d: that host has no bridge %s", i, bridge);
	else if (!devices_script(n->script, "vif-bridge", script, sizeof(script)))
		verdict(v, VERDICT_NO, "network %d: that host has no %s", i, script);
	else
		verdict(v, VERDICT_OK, "network %d: bridge %s", i, bridge);
}

/* What libxl runs QEMU for (Xen: libxl_dm.c, libxl__need_xenpv_qemu). */
const char *devices_need_qemu(const libxl_domain_config *c)
{
	if (c->c_info.type == LIBXL_DOMAIN_TYPE_HVM)
		return "an HVM guest";
	if (c->num_vfbs || c->num_vkbs)
		return "the guest's framebuffer or keyboard";
	if (c->num_channels)
		return "the guest's channel";
	for (int i = 0; i < c->num_disks; i++)
		if (c->disks[i].backend == LIBXL_DISK_BACKEND_QDISK)
			return "the guest's disk";
	return NULL;
}

static void check_qemu(const libxl_domain_config *c, struct verdicts *v)
{
	const char *what = devices_need_qemu(c);
	const char *path = c->b_info.device_model ? c->b_info.device_model : QEMU;

	if (!what)
		return;
	if (access(path, X_OK))
		verdict(v, VERDICT_NO, "QEMU: that host has no %s, which %s needs", path, what);
	else
		verdict(v, VERDICT_OK, "QEMU: %s, for %s", path, what);
}

void devices_destination(const libxl_domain_config *c, struct verdicts *v)
{
	for (int i = 0; i < c->num_nics; i++)
		check_nic(&c->nics[i], i, v);
	for (int i = 0; i < c->num_channels; i++)
		verdict(v, VERDICT_WARN, "channel %s: who uses it here has to connect to it there",
			c->channels[i].name ? c->channels[i].name : "?");
	check_qemu(c, v);
}

/* ---- the same devices ---- */

char *devices_text(libxl_ctx *ctx, const libxl_domain_config *c)
{
	libxl_domain_config d = *c; /* points to what is c's: not to be disposed of */

	libxl_domain_create_info_init(&d.c_info);
	libxl_domain_build_info_init(&d.b_info);
	return libxl_domain_config_to_json(ctx, &d);
}
