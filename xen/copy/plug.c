/* SPDX-License-Identifier: BSD-2-Clause */
#include "xen/copy/plug.h"

#include <stdlib.h>
#include <string.h>

#include <libxl_utils.h>

#include "core/log.h"
#include "xen/devices.h"
#include "xen/events.h"
#include "xen/held_disks.h"
#include "xen/weight.h"

/* What libxl keeps of a guest's configuration; without it no device can be added. */
#define USERDATA "libxl-json"

#define BREATH_NS (1 * MS_NS)

static void on_plugged(void *arg, int rc)
{
	struct plug *p = arg;

	if (rc)
		because(p->cause, "its devices cannot be plugged: %s", toolstack_cause(p->t, rc));
	if (--p->left == 0)
		p->done(p->arg);
}

/* The loop turns in between: each keeps libxl busy for a while, and the sender wants to hear of us.
 */
static void plug_next(void *arg)
{
	struct plug *p = arg;
	struct toolstack_op *op = &p->ops[p->next];
	const libxl_asyncop_how *how = toolstack_how(p->t, op, on_plugged, p);
	libxl_ctx *ctx = toolstack_ctx(p->t);
	int k = (int)p->next++ - p->disks, rc;

	if (k < 0)
		rc = libxl_device_disk_add(ctx, p->domid, &p->config->disks[k + p->disks], how);
	else
		rc = libxl_device_nic_add(ctx, p->domid, &p->config->nics[k], how);
	if (rc)
		toolstack_failed(op, rc);
	if (p->next < p->n)
		loop_timer_set(p->loop, &p->timer, BREATH_NS, plug_next, p);
}

/* libxl has noted the configuration as it was, and notes it in place of this in the end. */
static int store(struct toolstack *t, libxl_domain_config *config, uint32_t domid)
{
	char *json = libxl_domain_config_to_json(toolstack_ctx(t), config);
	int rc = ERROR_NOMEM;

	if (json)
		rc = libxl_userdata_store(toolstack_ctx(t), domid, USERDATA, (uint8_t *)json,
					  (int)strlen(json) + 1);
	free(json);
	return rc;
}

bool plug_start(struct plug *p, struct loop *l, struct toolstack *t, libxl_domain_config *config,
		bool hold, void (*done)(void *arg), void *arg)
{
	*p = (struct plug){.loop = l,
			   .t = t,
			   .config = config,
			   .disks = config->num_disks,
			   .nics = config->num_nics,
			   .weight = config->b_info.sched_params.weight,
			   .done = done,
			   .arg = arg};
	p->n = p->left = (unsigned)(p->disks + p->nics);
	if (!p->n || devices_need_qemu(config) ||
	    libxl_name_to_domid(toolstack_ctx(t), config->c_info.name, &p->domid) ||
	    store(t, config, p->domid))
		goto left_to_libxl;
	p->ops = calloc(p->n, sizeof(*p->ops));
	if (!p->ops)
		goto left_to_libxl;
	/* libxl_create.c reads them when it has the stream (domcreate_rebuild_done(),
	 * domcreate_attach_devices()); should it do so earlier some day, the restore fails, as it
	 * would plug them twice. */
	config->num_disks = config->num_nics = 0;
	p->holds = hold && p->disks && p->nics && !held_disks_begin(p->domid);
	if (p->holds) /* long before it runs: then every call would be downtime */
		weight_lower(t, p->domid, &config->b_info.sched_params);
	log_debug("domain %u: plugging %d disks, %d network cards", p->domid, p->disks, p->nics);
	loop_timer_set(l, &p->timer, 0, plug_next, p);
	return true;
left_to_libxl:
	*p = (struct plug){0};
	return false;
}

bool plug_busy(const struct plug *p)
{
	return p->left > 0;
}

static void finish(void *arg)
{
	on_plugged(arg, 0);
}

void plug_abort(struct plug *p)
{
	for (unsigned i = 0; i < p->next; i++)
		toolstack_abort(&p->ops[i]);
	/* What is not begun yet never is; one of it stands for all. */
	if (p->next == p->n)
		return;
	p->left -= p->n - p->next - 1;
	p->next = p->n;
	loop_timer_set(p->loop, &p->timer, 0, finish, p);
}

void plug_fini(struct plug *p)
{
	if (!p->ops)
		return;
	loop_timer_del(p->loop, &p->timer);
	p->config->num_disks = p->disks;
	p->config->num_nics = p->nics;
	p->config->b_info.sched_params.weight = p->weight;
	free(p->ops);
	*p = (struct plug){0};
}
