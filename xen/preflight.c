/* SPDX-License-Identifier: BSD-2-Clause */
#include "xen/preflight.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <libxl_utils.h>

#include "core/bytes.h"
#include "xen/cpu.h"
#include "xen/handover.h"
#include "xen/message.h"

#define SCRIPTS "/etc/xen/scripts"

/* ---- verdicts ---- */

static const char *const words[] = {
	[VERDICT_OK] = "ok", [VERDICT_WARN] = "warn", [VERDICT_NO] = "no"};

static void add(struct verdicts *v, enum verdict_is is, const char *text)
{
	message_put(&v->fields, words[is], "%s", text);
	if (is == VERDICT_NO && !v->refused++)
		snprintf(v->why, sizeof(v->why), "%.250s", text);
}

void verdict(struct verdicts *v, enum verdict_is is, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	add(v, is, text);
}

int verdicts_merge(struct verdicts *v, const uint8_t *p, size_t n)
{
	struct message_field f;
	size_t at = 0;

	if (message_check(p, n))
		return -EPROTO;
	while (message_next(p, n, &at, &f)) {
		for (size_t i = 0; i < ARRAY_SIZE(words); i++)
			if (message_field_is(&f, words[i]))
				verdict(v, i, "%.*s", (int)MIN(f.value_len, 500), f.value);
	}
	return 0;
}

void verdicts_each(const struct verdicts *v,
		   void (*fn)(void *arg, const char *word, const char *text, size_t len), void *arg)
{
	struct message_field f;
	size_t at = 0;

	while (message_next(v->fields.data, v->fields.len, &at, &f))
		for (size_t i = 0; i < ARRAY_SIZE(words); i++)
			if (message_field_is(&f, words[i]))
				fn(arg, words[i], f.value, f.value_len);
}

void verdicts_fini(struct verdicts *v)
{
	buf_free(&v->fields);
}

/* ---- at the source ---- */

static void check_life(struct guest *g, struct verdicts *v)
{
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

void preflight_source(struct guest *g, bool live, struct verdicts *v)
{
	const libxl_domain_config *c = &g->config;

	check_life(g, v);
	check_live(g, live, v);
	if (c->num_pcidevs || c->num_dtdevs || c->num_usbdevs)
		verdict(v, VERDICT_NO,
			"devices: a device of this host is passed through to the guest: detach it "
			"first");
	if (c->b_info.num_vnuma_nodes)
		verdict(v, VERDICT_NO, "memory: a guest with vNUMA cannot be migrated by Xen");
}

/* ---- at the destination ---- */

static void check_xen(struct toolstack *t, const struct preflight_peer *peer, struct verdicts *v)
{
	unsigned major, minor;
	bool older;

	toolstack_xen_version(t, &major, &minor);
	older = major < peer->xen_major || (major == peer->xen_major && minor < peer->xen_minor);
	verdict(v, older ? VERDICT_NO : VERDICT_OK,
		older ? "Xen: from %u.%u to %u.%u: a guest cannot go back to an older release"
		      : "Xen: from %u.%u to %u.%u",
		peer->xen_major, peer->xen_minor, major, minor);
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
	char incoming[GUEST_NAME_MAX + sizeof(HANDOVER_INCOMING)], uuid[GUEST_UUID_MAX];
	uint32_t domid;

	snprintf(incoming, sizeof(incoming), "%s%s", c->c_info.name, HANDOVER_INCOMING);
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

static bool script_there(const char *script, const char *fallback)
{
	char path[512];

	if (!script)
		script = fallback;
	snprintf(path, sizeof(path), script[0] == '/' ? "%s" : SCRIPTS "/%s", script);
	return access(path, X_OK) == 0;
}

static void check_nics(const libxl_domain_config *c, struct verdicts *v)
{
	for (int i = 0; i < c->num_nics; i++) {
		const libxl_device_nic *n = &c->nics[i];
		const char *bridge = n->bridge ? n->bridge : "xenbr0";
		char path[256];

		snprintf(path, sizeof(path), "/sys/class/net/%.200s", bridge);
		if (n->bridge && (strchr(bridge, '/') || access(path, F_OK)))
			verdict(v, VERDICT_NO, "network %d: that host has no bridge %s", i, bridge);
		else if (!script_there(n->script, "vif-bridge"))
			verdict(v, VERDICT_NO, "network %d: that host has no " SCRIPTS "/%s", i,
				n->script ? n->script : "vif-bridge");
		else
			verdict(v, VERDICT_OK, "network %d: bridge %s", i, bridge);
	}
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
	check_nics(config, v);
}
