/* SPDX-License-Identifier: BSD-2-Clause */
#include "xen/guest.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libxl_utils.h>

#include "core/log.h"

void guest_uuid_text(const libxl_uuid *u, char out[GUEST_UUID_MAX])
{
	snprintf(out, GUEST_UUID_MAX, LIBXL_UUID_FMT, LIBXL_UUID_BYTES(*u));
}

int guest_find(struct toolstack *t, const char *name, struct guest *g)
{
	libxl_ctx *ctx = toolstack_ctx(t);
	libxl_dominfo info;
	char *found;

	memset(g, 0, sizeof(*g));
	g->t = t;
	libxl_dominfo_init(&info);
	if (libxl_domain_qualifier_to_domid(ctx, name, &g->domid) ||
	    libxl_domain_info(ctx, &info, g->domid)) {
		log_error("domain %s: there is none of that name or number on this host", name);
		return -ENOENT;
	}
	guest_uuid_text(&info.uuid, g->uuid);
	libxl_dominfo_dispose(&info);
	found = libxl_domid_to_name(ctx, g->domid);
	snprintf(g->name, sizeof(g->name), "%s", found ? found : name);
	free(found);
	if (g->domid == 0) {
		log_error("domain %s: that is this host's own dom0, which cannot be moved", name);
		return -ENOENT;
	}
	libxl_domain_config_init(&g->config);
	return 0;
}

static void on_config(void *arg, int rc)
{
	struct guest *g = arg;

	if (rc)
		log_error("domain %s: cannot read its configuration: %s; was it made by xl or "
			  "another libxl toolstack?",
			  g->name, toolstack_cause(g->t, rc));
	g->done(g->arg, rc ? -EIO : 0);
}

void guest_read(struct guest *g, void (*done)(void *arg, int err), void *arg)
{
	int rc;

	g->done = done;
	g->arg = arg;
	rc = libxl_retrieve_domain_configuration(toolstack_ctx(g->t), g->domid, &g->config,
						 toolstack_how(g->t, &g->op, on_config, g));
	if (rc)
		toolstack_failed(&g->op, rc);
}

void guest_fini(struct guest *g)
{
	if (g->t)
		libxl_domain_config_dispose(&g->config);
	g->t = NULL;
}

static enum guest_life ended(libxl_shutdown_reason why)
{
	switch (why) {
	case LIBXL_SHUTDOWN_REASON_SUSPEND: return GUEST_SUSPENDED;
	case LIBXL_SHUTDOWN_REASON_CRASH:
	case LIBXL_SHUTDOWN_REASON_WATCHDOG: return GUEST_CRASHED;
	default: return GUEST_DOWN;
	}
}

enum guest_life guest_life(struct toolstack *t, uint32_t domid)
{
	libxl_dominfo info;
	enum guest_life life;

	libxl_dominfo_init(&info);
	if (libxl_domain_info(toolstack_ctx(t), &info, domid))
		return GUEST_ABSENT;
	if (info.dying)
		life = GUEST_DYING;
	else if (info.shutdown)
		life = ended(info.shutdown_reason);
	else
		life = info.paused ? GUEST_PAUSED : GUEST_RUNS;
	libxl_dominfo_dispose(&info);
	return life;
}

int guest_by_uuid(struct toolstack *t, const char *uuid, const char *name, uint32_t *domid)
{
	libxl_ctx *ctx = toolstack_ctx(t);
	libxl_dominfo *list;
	int n, rc = -ENOENT;

	list = libxl_list_domain(ctx, &n);
	if (!list)
		return -ENOENT;
	for (int i = 0; i < n && rc; i++) {
		char text[GUEST_UUID_MAX], *its;

		guest_uuid_text(&list[i].uuid, text);
		if (strcmp(text, uuid) != 0)
			continue;
		its = libxl_domid_to_name(ctx, list[i].domid);
		if (!name || strcmp(its ? its : "", name) == 0) {
			*domid = list[i].domid;
			rc = 0;
		}
		free(its);
	}
	libxl_dominfo_list_free(list, n);
	return rc;
}
