/* SPDX-License-Identifier: BSD-2-Clause */
#include "xen/migration/preflight.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include <libxl_utils.h>

#include "core/bytes.h"
#include "xen/cpu.h"
#include "xen/devices.h"
#include "xen/message.h"
#include "xen/copy/save_helper.h"
#include "xen/throttle.h"

#define MIB (1024u * 1024)

/* ---- at the source ---- */

/* Two saves would take each other's dirty pages: what either sends would lack some (Xen:
 * paging_log_dirty_op() cleans one bitmap). Vstor's own are told apart by the guest's claim. */
static void check_save(const struct guest *g, struct verdicts *v)
{
	pid_t helper = save_helper_of(g->domid);

	if (helper)
		verdict(v, VERDICT_NO,
			"guest: %s is being saved or moved by another program, whose helper is "
			"process %d: wait until that has ended",
			g->name, (int)helper);
}

static void check_life(struct guest *g, struct verdicts *v)
{
	check_save(g, v);
	switch (guest_life(g->t, g->domid)) {
	case GUEST_RUNS: verdict(v, VERDICT_OK, "guest: %s runs here", g->name); break;
	case GUEST_PAUSED:
		verdict(v, VERDICT_NO,
			"guest: %s is paused, and a paused guest cannot suspend itself: "
			"xl unpause %s first",
			g->name, g->name);
		break;
	case GUEST_SUSPENDED:
		verdict(v, VERDICT_NO,
			"guest: %s is suspended already: another migration is under way, or a "
			"broken one has left it so",
			g->name);
		break;
	default: verdict(v, VERDICT_NO, "guest: %s has shut down: nothing to move", g->name); break;
	}
}

/* Dirty pages of a PV guest are found by shadow paging, of others by nested paging as well. */
static void check_live(struct guest *g, bool live, struct verdicts *v)
{
	bool pv = g->config.c_info.type == LIBXL_DOMAIN_TYPE_PV;
	libxl_physinfo info;

	libxl_physinfo_init(&info);
	if (!live) {
		verdict(v, VERDICT_OK, "copy: offline: the guest is stopped for all of it");
	} else if (libxl_get_physinfo(toolstack_ctx(g->t), &info)) {
		verdict(v, VERDICT_NO, "copy: cannot ask this hypervisor what it can do: %s",
			toolstack_cause(g->t, ERROR_FAIL));
	} else if (pv ? !info.cap_shadow : !info.cap_hap && !info.cap_shadow) {
		verdict(v, VERDICT_NO,
			"copy: this hypervisor is built without SHADOW_PAGING, so a PV guest "
			"cannot be copied while it runs: use --offline, or a PVH guest, or "
			"another hypervisor");
	} else {
		verdict(v, VERDICT_OK, "copy: live: the guest runs for most of it");
	}
	libxl_physinfo_dispose(&info);
}

/* Whether its scheduler has caps is a matter of the host's configuration, not of its release. */
static void check_pace(struct guest *g, struct verdicts *v)
{
	struct throttle th;
	char why[160];

	if (throttle_init(&th, g->t, g->domid, why, sizeof(why)))
		verdict(v, VERDICT_WARN,
			"pace: %s: the guest cannot be slowed down, should it write faster than "
			"the "
			"link carries",
			why);
	else
		verdict(v, VERDICT_OK, "pace: the guest can be slowed down, should that be needed");
}

void preflight_source(struct guest *g, bool live, bool slow, struct verdicts *v)
{
	const libxl_domain_config *c = &g->config;

	check_life(g, v);
	check_live(g, live, v);
	if (live && slow)
		check_pace(g, v);
	devices_source(g, v);
	if (c->b_info.num_vnuma_nodes)
		verdict(v, VERDICT_NO, "memory: a guest with vNUMA cannot be migrated by Xen");
	if (!libxl_defbool_is_default(c->b_info.nested_hvm) &&
	    libxl_defbool_val(c->b_info.nested_hvm))
		verdict(v, VERDICT_NO,
			"guest: nested virtualization cannot be migrated by Xen: nestedhvm=0");
}

/* ---- at the destination ---- */

static void check_xen(struct toolstack *t, const struct preflight_peer *peer, struct verdicts *v)
{
	const struct release here = toolstack_xen(t);
	bool older = release_older(here, peer->xen);
	char other[16];

	verdict(v, older ? VERDICT_NO : VERDICT_OK,
		older ? "Xen: from %u.%u to %u.%u: a guest cannot go back to an older release: "
			"bring that host to %u.%u first"
		      : "Xen: from %u.%u to %u.%u",
		peer->xen.major, peer->xen.minor, here.major, here.minor, peer->xen.major,
		peer->xen.minor);
	if (release_tools_differ(here, other, sizeof(other)))
		verdict(v, VERDICT_WARN,
			"tools: that host runs Xen %u.%u, but its xl is of %s: reboot it into %s, "
			"or "
			"install xen-utils-%u.%u there",
			here.major, here.minor, other, other, here.major, here.minor);
}

static void check_type(struct toolstack *t, const libxl_domain_config *c, struct verdicts *v)
{
	const char *name = libxl_domain_type_to_string(c->c_info.type);
	libxl_physinfo info;

	libxl_physinfo_init(&info);
	if (libxl_get_physinfo(toolstack_ctx(t), &info)) {
		verdict(v, VERDICT_NO, "type: cannot ask the hypervisor what it can do: %s",
			toolstack_cause(t, ERROR_FAIL));
	} else {
		bool can = c->c_info.type == LIBXL_DOMAIN_TYPE_PV ? info.cap_pv : info.cap_hvm;

		verdict(v, can ? VERDICT_OK : VERDICT_NO,
			can ? "type: %s" : "type: that host cannot run %s guests", name);
		if (c->b_info.max_vcpus > (int)info.nr_cpus)
			verdict(v, VERDICT_WARN, "vcpus: the guest has %d, that host %u CPUs",
				c->b_info.max_vcpus, info.nr_cpus);
	}
	libxl_physinfo_dispose(&info);
}

static void check_name(struct toolstack *t, const libxl_domain_config *c,
		       const struct preflight_peer *peer, struct verdicts *v)
{
	libxl_ctx *ctx = toolstack_ctx(t);
	char incoming[GUEST_NAME_MAX + sizeof(GUEST_INCOMING)], uuid[GUEST_UUID_MAX];
	uint32_t domid;

	snprintf(incoming, sizeof(incoming), "%s%s", c->c_info.name, GUEST_INCOMING);
	guest_uuid_text(&c->c_info.uuid, uuid);
	if (!libxl_name_to_domid(ctx, incoming, &domid))
		verdict(v, VERDICT_NO,
			"name: %s is there already: another migration of it is under way",
			incoming);
	else if (!peer->same_host && !libxl_name_to_domid(ctx, c->c_info.name, &domid))
		verdict(v, VERDICT_NO, "name: that host has a domain called %s already",
			c->c_info.name);
	else if (!peer->same_host && !guest_by_uuid(t, uuid, NULL, &domid))
		verdict(v, VERDICT_NO, "name: that host has a domain with the uuid %s already",
			uuid);
	else
		verdict(v, VERDICT_OK, "name: %s is free", c->c_info.name);
}

static void check_memory(struct toolstack *t, const char *json, struct verdicts *v)
{
	libxl_domain_config c;
	uint64_t need = 0, spare = 0;

	libxl_domain_config_init(&c);
	if (libxl_domain_config_from_json(toolstack_ctx(t), &c, json) ||
	    toolstack_memory(t, &c, &need, &spare))
		verdict(v, VERDICT_NO, "memory: cannot be reckoned: %s",
			toolstack_cause(t, ERROR_FAIL));
	else if (need > spare)
		verdict(v, VERDICT_NO,
			"memory: %" PRIu64 " MB needed, %" PRIu64 " MB free: balloon that host's "
			"dom0 or another guest down",
			need, spare);
	else
		verdict(v, VERDICT_OK, "memory: %" PRIu64 " MB needed, %" PRIu64 " MB free", need,
			spare);
	libxl_domain_config_dispose(&c);
}

/* Where the guest is to run, and what it will be booted from the next time. */
static void check_config(struct toolstack *t, const libxl_domain_config *c, struct verdicts *v)
{
	const libxl_domain_build_info *b = &c->b_info;
	const char *const files[] = {b->kernel, b->ramdisk, b->device_tree};
	uint32_t pool;

	if (c->c_info.pool_name &&
	    libxl_name_to_cpupoolid(toolstack_ctx(t), c->c_info.pool_name, &pool))
		verdict(v, VERDICT_NO, "cpupool: that host has none called %s: xl cpupool-create",
			c->c_info.pool_name);
	for (size_t i = 0; !b->bootloader && i < ARRAY_SIZE(files); i++)
		if (files[i] && access(files[i], R_OK))
			verdict(v, VERDICT_WARN,
				"boot: that host has no %s: the guest can move, but not be started "
				"again there",
				files[i]);
	if (b->bootloader && b->bootloader[0] == '/' && access(b->bootloader, X_OK))
		verdict(v, VERDICT_WARN,
			"boot: that host has no %s: the guest can move, but not be started again "
			"there",
			b->bootloader);
}

/* libxl keeps the guest's configuration, logs of its scripts and of QEMU. */
static void check_space(struct verdicts *v)
{
	static const struct {
		const char *path;
		uint64_t need, like;
	} places[] = {
		{"/var/lib/xen", MIB, 16 * MIB},
		{"/var/log/xen", MIB / 4, 16 * MIB},
		{"/run", MIB, 4 * MIB},
	};
	struct statvfs s;
	bool fine = true;

	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		uint64_t spare;

		/* A file system without a size is in memory. */
		if (statvfs(places[i].path, &s) || !s.f_blocks)
			continue;
		spare = (uint64_t)s.f_bavail * s.f_frsize;
		if (spare >= places[i].like)
			continue;
		fine = false;
		verdict(v, spare < places[i].need ? VERDICT_NO : VERDICT_WARN,
			"space: %s of that host has %" PRIu64 " KiB left: make room there",
			places[i].path, spare >> 10);
	}
	if (fine)
		verdict(v, VERDICT_OK, "space: there is some for the guest's logs");
}

/* The guest's own clock goes by its host's. */
static void check_clock(const struct preflight_peer *peer, struct verdicts *v)
{
	uint64_t theirs;
	struct timespec now;
	double skew;

	if (message_get_u64(peer->said, peer->said_len, "time_ms", &theirs))
		return;
	clock_gettime(CLOCK_REALTIME, &now);
	skew = (double)now.tv_sec + (double)now.tv_nsec / 1e9 - (double)theirs / 1e3;
	if (fabs(skew) < 1)
		verdict(v, VERDICT_OK, "clock: both hosts have the same time");
	else
		verdict(v, VERDICT_WARN,
			"clock: that host's is %.1f s %s: the guest's will jump: let both follow "
			"one time server",
			fabs(skew), skew > 0 ? "ahead" : "behind");
}

static void check_cpu(const libxl_domain_config *c, const char *cpu, struct verdicts *v)
{
	char why[200];

	switch (cpu_policy_check(cpu, c->c_info.type == LIBXL_DOMAIN_TYPE_PV, why, sizeof(why))) {
	case 0: verdict(v, VERDICT_OK, "CPU: that host has every feature the guest uses"); break;
	case -EOPNOTSUPP: verdict(v, VERDICT_WARN, "CPU: not compared: %s", why); break;
	default:
		verdict(v, VERDICT_NO,
			"CPU: that host lacks what the guest may use (%s): mask it in the guest's "
			"cpuid= and restart the guest",
			why);
	}
}

void preflight_destination(struct toolstack *t, const libxl_domain_config *config, const char *json,
			   const struct preflight_peer *peer, struct verdicts *v)
{
	toolstack_forget_cause(t);
	check_xen(t, peer, v);
	check_type(t, config, v);
	check_cpu(config, peer->cpu, v);
	check_name(t, config, peer, v);
	check_memory(t, json, v);
	check_config(t, config, v);
	check_space(v);
	check_clock(peer, v);
	devices_destination(config, v);
}
