/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/unit/fake/xen.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "xen/toolstack.h"

/* Each is declared by a list that the Makefile takes its --wrap options from. */
#pragma GCC diagnostic ignored "-Wmissing-prototypes"

struct fake_xen fake;

int fake_version(void)
{
	return fake.version ? fake.version : VSTOR_XEN_MAJOR << 16 | VSTOR_XEN_MINOR;
}

void fake_reset(void)
{
	fake = (struct fake_xen){0};
}

struct fake_domain *fake_domain(uint32_t domid)
{
	for (int i = 0; i < FAKE_DOMAINS; i++)
		if (domid && fake.domains[i].domid == domid)
			return &fake.domains[i];
	return NULL;
}

struct fake_domain *fake_domain_new(uint32_t domid, const char *name)
{
	for (int i = 0; i < FAKE_DOMAINS; i++) {
		struct fake_domain *d = &fake.domains[i];

		if (d->domid)
			continue;
		*d = (struct fake_domain){.domid = domid,
					  .scheduler = LIBXL_SCHEDULER_CREDIT2,
					  .weight = 256,
					  .vcpus = 1};
		snprintf(d->name, sizeof(d->name), "%s", name);
		memset(&d->uuid, (int)domid, sizeof(d->uuid));
		return d;
	}
	abort();
}

static struct fake_domain *by_name(const char *name)
{
	for (int i = 0; i < FAKE_DOMAINS; i++)
		if (fake.domains[i].domid && strcmp(fake.domains[i].name, name) == 0)
			return &fake.domains[i];
	return NULL;
}

struct fake_ctx {
	xentoollog_logger *log;
};

__attribute__((format(printf, 4, 5))) static void say(libxl_ctx *ctx, xentoollog_level level,
						      const char *context, const char *fmt, ...)
{
	xentoollog_logger *log = ((struct fake_ctx *)ctx)->log;
	va_list ap;

	va_start(ap, fmt);
	log->vmessage(log, level, -1, context, fmt, ap);
	va_end(ap);
}

/* Notes a call that changes something. True: it fails. */
static bool fails(libxl_ctx *ctx, const char *name, uint32_t domid)
{
	size_t n = strlen(fake.did);
	bool now = fake.fails && strcmp(fake.fails, name) == 0;

	snprintf(fake.did + n, sizeof(fake.did) - n, "%s %u, ", name, domid);
	if (!now)
		return false;
	if (!fake.fails_always)
		fake.fails = NULL;
	say(ctx, XTL_ERROR, "libxl", "libxl_fake.c:1:%s: %s", name,
	    fake.says ? fake.says : "it fails");
	return true;
}

/* libxl may call back before the call that began the operation has returned. */
static int ends(const libxl_asyncop_how *how, int rc)
{
	if (!how)
		return rc;
	how->callback(NULL, rc, how->u.for_callback);
	return 0;
}

/* ---- the test's side ---- */

void fake_helper_says(const char *report)
{
	say(fake.save_ctx, XTL_DEBUG, TOOLSTACK_REPORT, "%s", report);
}

void fake_save_ends(int rc)
{
	const libxl_asyncop_how *how = fake.save;

	if (!how)
		return;
	fake.save = NULL;
	if (rc)
		say(fake.save_ctx, XTL_ERROR, "libxl", "libxl_fake.c:1:save: the save ends with %d",
		    rc);
	ends(how, rc);
}

void fake_suspends(struct fake_domain *d)
{
	d->control[0] = 0;
	d->shutdown = true;
	d->reason = LIBXL_SHUTDOWN_REASON_SUSPEND;
}

void fake_restore_ends(int rc)
{
	const libxl_asyncop_how *how = fake.restore;

	if (!how)
		return;
	fake.restore = NULL;
	*fake.restore_domid = fake.made;
	if (rc)
		say(fake.restore_ctx, XTL_ERROR, "libxl",
		    "libxl_fake.c:1:restore: the restore ends with %d", rc);
	if (rc && rc != ERROR_ABORTED)
		fake_domain(fake.made)->domid = 0;
	/* libxl__build_post() */
	else if (!rc && fake.restore_config->b_info.sched_params.weight > 0)
		fake_domain(fake.made)->weight = fake.restore_config->b_info.sched_params.weight;
	ends(how, rc);
}

void fake_read_ends(int rc)
{
	const libxl_asyncop_how *how = fake.read;

	fake.read = NULL;
	if (how)
		ends(how, rc);
}

void fake_plugged(int i, int rc)
{
	const libxl_asyncop_how *how = fake.plugs[i];

	if (!how)
		return;
	fake.plugs[i] = NULL;
	if (rc)
		say(fake.restore_ctx, XTL_ERROR, "libxl",
		    "libxl_fake.c:1:plug: device %d ends with %d", i, rc);
	ends(how, rc);
}

int __wrap_libxl_save_helper_main(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	return fake.helper ? fake.helper() : 1;
}

/* ---- libxl ---- */

int __wrap_libxl_ctx_alloc(libxl_ctx **out, int version, unsigned flags, xentoollog_logger *log)
{
	struct fake_ctx *c = calloc(1, sizeof(*c));

	(void)version;
	(void)flags;
	c->log = log;
	fake.open++;
	*out = (libxl_ctx *)c;
	return 0;
}

int __wrap_libxl_ctx_free(libxl_ctx *ctx)
{
	free(ctx);
	fake.open--;
	return 0;
}

const libxl_version_info *__wrap_libxl_get_version_info(libxl_ctx *ctx)
{
	static libxl_version_info v;

	(void)ctx;
	v.xen_version_major = fake_version() >> 16;
	v.xen_version_minor = fake_version() & 0xffff;
	return &v;
}

void __wrap_libxl_osevent_register_hooks(libxl_ctx *ctx, const libxl_osevent_hooks *h, void *user)
{
	(void)ctx;
	(void)h;
	(void)user;
}

void __wrap_libxl_childproc_setmode(libxl_ctx *ctx, const libxl_childproc_hooks *h, void *user)
{
	(void)ctx;
	(void)h;
	(void)user;
}

int __wrap_libxl_childproc_sigchld_occurred(libxl_ctx *ctx)
{
	(void)ctx;
	return 0;
}

void __wrap_libxl_postfork_child_noexec(libxl_ctx *ctx)
{
	(void)ctx;
}

int __wrap_libxl_get_physinfo(libxl_ctx *ctx, libxl_physinfo *info)
{
	(void)ctx;
	libxl_physinfo_init(info);
	info->cap_hvm = info->cap_pv = true;
	info->cap_hap = !fake.no_hap;
	info->cap_shadow = !fake.no_shadow;
	info->nr_cpus = 2;
	info->total_pages = 1 << 20;
	return fake.no_physinfo ? ERROR_FAIL : 0;
}

int __wrap_libxl_get_free_memory(libxl_ctx *ctx, uint64_t *kib)
{
	(void)ctx;
	*kib = 1 << 20;
	return 0;
}

static void dominfo(const struct fake_domain *d, libxl_dominfo *info)
{
	libxl_dominfo_init(info);
	info->domid = d->domid;
	info->uuid = d->uuid;
	info->running = !d->paused && !d->shutdown && !d->dying;
	info->paused = d->paused;
	info->shutdown = d->shutdown;
	info->shutdown_reason = d->reason;
	info->dying = d->dying;
	info->max_memkb = 128 << 10;
	info->vcpu_max_id = 0;
	info->vcpu_online = d->vcpus;
	info->cpu_time = d->cpu_ns;
}

int __wrap_libxl_domain_sched_params_get(libxl_ctx *ctx, uint32_t domid,
					 libxl_domain_sched_params *p)
{
	const struct fake_domain *d = fake_domain(domid);

	(void)ctx;
	if (!d)
		return ERROR_FAIL;
	libxl_domain_sched_params_init(p);
	p->sched = d->scheduler;
	p->cap = d->cap;
	p->weight = d->weight;
	return 0;
}

int __wrap_libxl_domain_sched_params_set(libxl_ctx *ctx, uint32_t domid,
					 const libxl_domain_sched_params *p)
{
	struct fake_domain *d = fake_domain(domid);

	bool weight = p->weight != LIBXL_DOMAIN_SCHED_PARAM_WEIGHT_DEFAULT;

	if (fails(ctx, weight ? "weight" : "cap", domid) || !d)
		return ERROR_FAIL;
	if (weight)
		d->weight = p->weight;
	if (p->cap != LIBXL_DOMAIN_SCHED_PARAM_CAP_DEFAULT)
		d->cap = p->cap;
	return 0;
}

int __wrap_libxl_domain_info(libxl_ctx *ctx, libxl_dominfo *info, uint32_t domid)
{
	const struct fake_domain *d = fake_domain(domid);

	(void)ctx;
	if (!d)
		return ERROR_DOMAIN_NOTFOUND;
	dominfo(d, info);
	return 0;
}

libxl_dominfo *__wrap_libxl_list_domain(libxl_ctx *ctx, int *n)
{
	libxl_dominfo *all = calloc(FAKE_DOMAINS, sizeof(*all));

	(void)ctx;
	*n = 0;
	for (int i = 0; all && i < FAKE_DOMAINS; i++)
		if (fake.domains[i].domid)
			dominfo(&fake.domains[i], &all[(*n)++]);
	return all;
}

char *__wrap_libxl_domid_to_name(libxl_ctx *ctx, uint32_t domid)
{
	const struct fake_domain *d = fake_domain(domid);

	(void)ctx;
	return d ? strdup(d->name) : NULL;
}

int __wrap_libxl_name_to_domid(libxl_ctx *ctx, const char *name, uint32_t *domid)
{
	const struct fake_domain *d = by_name(name);

	(void)ctx;
	*domid = d ? d->domid : 0;
	return d ? 0 : ERROR_INVAL;
}

int __wrap_libxl_domain_qualifier_to_domid(libxl_ctx *ctx, const char *name, uint32_t *domid)
{
	return __wrap_libxl_name_to_domid(ctx, name, domid);
}

int __wrap_libxl_domain_rename(libxl_ctx *ctx, uint32_t domid, const char *old, const char *new)
{
	struct fake_domain *d = fake_domain(domid);

	if (fails(ctx, "rename", domid) || !d || strcmp(d->name, old) != 0 || by_name(new))
		return ERROR_FAIL;
	snprintf(d->name, sizeof(d->name), "%s", new);
	return 0;
}

int __wrap_libxl_retrieve_domain_configuration(libxl_ctx *ctx, uint32_t domid,
					       libxl_domain_config *c, const libxl_asyncop_how *how)
{
	struct fake_domain *d = fake_domain(domid);

	if (!d || fails(ctx, "retrieve", domid))
		return ends(how, ERROR_FAIL);
	c->c_info.name = strdup(d->name);
	c->c_info.uuid = d->uuid;
	c->c_info.type = d->pv ? LIBXL_DOMAIN_TYPE_PV : LIBXL_DOMAIN_TYPE_PVH;
	c->b_info.sched_params.sched = d->scheduler;
	c->b_info.sched_params.cap = d->cap;
	c->b_info.sched_params.weight = d->weight;
	c->num_disks = d->disks;
	c->disks = calloc((size_t)d->disks + 1, sizeof(*c->disks));
	for (int i = 0; i < d->disks; i++)
		libxl_device_disk_init(&c->disks[i]);
	if (!fake.slow_read)
		return ends(how, 0);
	fake.read = how;
	return 0;
}

char *__wrap_libxl_domain_config_to_json(libxl_ctx *ctx, libxl_domain_config *c)
{
	char *text;

	(void)ctx;
	if (asprintf(&text, "{\"disks\": %d, \"cap\": %d, \"weight\": %d}", c->num_disks,
		     c->b_info.sched_params.cap, c->b_info.sched_params.weight) < 0)
		return NULL;
	return text;
}

int __wrap_libxl_domain_config_from_json(libxl_ctx *ctx, libxl_domain_config *c, const char *json)
{
	libxl_domain_sched_params *p = &c->b_info.sched_params;

	(void)ctx;
	if (!fake.config)
		return ERROR_FAIL;
	fake.config(c);
	sscanf(json, "{\"disks\": %*d, \"cap\": %d, \"weight\": %d}", &p->cap, &p->weight);
	return 0;
}

int __wrap_libxl_domain_suspend(libxl_ctx *ctx, uint32_t domid, int fd, int flags,
				const libxl_asyncop_how *how)
{
	struct fake_domain *d = fake_domain(domid);

	if (fails(ctx, "suspend", domid) || !d)
		return ERROR_FAIL;
	d->log_dirty = flags & LIBXL_SUSPEND_LIVE;
	fake.save = how;
	fake.save_ctx = ctx;
	fake.save_fd = fd;
	fake.save_domid = domid;
	return 0;
}

int __wrap_libxl_domain_create_restore(libxl_ctx *ctx, libxl_domain_config *c, uint32_t *domid,
				       int fd, int back_fd,
				       const libxl_domain_restore_params *params,
				       const libxl_asyncop_how *how,
				       const libxl_asyncprogress_how *console)
{
	(void)fd;
	(void)back_fd;
	(void)params;
	(void)console;
	if (fails(ctx, "restore", fake.made))
		return ERROR_FAIL;
	fake_domain_new(fake.made, fake.nameless ? "" : c->c_info.name)->paused = true;
	fake.restore = how;
	fake.restore_ctx = ctx;
	fake.restore_domid = domid;
	fake.restore_config = c;
	return 0;
}

int __wrap_libxl_domain_create_new(libxl_ctx *ctx, libxl_domain_config *c, uint32_t *domid,
				   const libxl_asyncop_how *how,
				   const libxl_asyncprogress_how *console)
{
	struct fake_domain *d;

	(void)console;
	if (fails(ctx, "create", fake.made))
		return ends(how, ERROR_FAIL);
	d = fake_domain_new(fake.made, c->c_info.name);
	d->paused = true;
	if (c->b_info.sched_params.cap > 0)
		d->cap = c->b_info.sched_params.cap;
	if (c->b_info.sched_params.weight > 0)
		d->weight = c->b_info.sched_params.weight;
	*domid = fake.made;
	return ends(how, 0);
}

int __wrap_libxl_userdata_store(libxl_ctx *ctx, uint32_t domid, const char *id, const uint8_t *data,
				int len)
{
	(void)id;
	(void)data;
	(void)len;
	return fails(ctx, "store", domid) ? ERROR_FAIL : 0;
}

void __wrap_libxl_domain_config_copy(libxl_ctx *ctx, libxl_domain_config *to,
				     const libxl_domain_config *from)
{
	(void)ctx;
	(void)from;
	libxl_domain_config_init(to);
}

int __wrap_libxl_domain_need_memory(libxl_ctx *ctx, libxl_domain_config *c, uint32_t domid,
				    uint64_t *kib)
{
	(void)ctx;
	(void)c;
	(void)domid;
	*kib = fake.need_kib;
	return 0;
}

static int plugs(libxl_ctx *ctx, const char *what, uint32_t domid, const libxl_asyncop_how *how)
{
	if (fails(ctx, what, domid))
		return ERROR_FAIL;
	for (int i = 0; i < FAKE_PLUGS; i++) {
		if (!fake.plugs[i]) {
			fake.plugs[i] = how;
			return 0;
		}
	}
	abort();
}

int __wrap_libxl_device_disk_add(libxl_ctx *ctx, uint32_t domid, libxl_device_disk *d,
				 const libxl_asyncop_how *how)
{
	(void)d;
	return plugs(ctx, "disk", domid, how);
}

int __wrap_libxl_device_nic_add(libxl_ctx *ctx, uint32_t domid, libxl_device_nic *d,
				const libxl_asyncop_how *how)
{
	(void)d;
	return plugs(ctx, "nic", domid, how);
}

int __wrap_libxl_ao_abort(libxl_ctx *ctx, const libxl_asyncop_how *how)
{
	for (int i = 0; i < FAKE_PLUGS; i++) {
		if (fake.plugs[i] == how) {
			fails(ctx, "abort plug", fake.made);
			fake_plugged(i, ERROR_ABORTED);
			return 0;
		}
	}
	if (fake.restore && fake.restore == how) {
		fails(ctx, "abort", fake.made);
		fake_restore_ends(ERROR_ABORTED);
		return 0;
	}
	if (fake.save != how)
		return ERROR_NOTFOUND;
	fails(ctx, "abort", fake.save_domid);
	if (fake.on_abort)
		fake.on_abort();
	else
		fake_save_ends(ERROR_ABORTED);
	return 0;
}

int __wrap_libxl_domain_resume(libxl_ctx *ctx, uint32_t domid, int suspend_cancel,
			       const libxl_asyncop_how *how)
{
	struct fake_domain *d = fake_domain(domid);

	if (fails(ctx, "resume", domid) || !suspend_cancel || !d || !d->shutdown ||
	    d->reason != LIBXL_SHUTDOWN_REASON_SUSPEND)
		return ends(how, ERROR_FAIL);
	d->shutdown = false;
	return ends(how, 0);
}

int __wrap_libxl_domain_pause(libxl_ctx *ctx, uint32_t domid, const libxl_asyncop_how *how)
{
	struct fake_domain *d = fake_domain(domid);

	if (fails(ctx, "pause", domid) || !d)
		return ends(how, ERROR_FAIL);
	d->paused = true;
	return ends(how, 0);
}

int __wrap_libxl_domain_unpause(libxl_ctx *ctx, uint32_t domid, const libxl_asyncop_how *how)
{
	struct fake_domain *d = fake_domain(domid);

	if (fails(ctx, "unpause", domid) || !d || !d->paused)
		return ends(how, ERROR_FAIL);
	d->paused = false;
	return ends(how, 0);
}

int __wrap_libxl_domain_destroy(libxl_ctx *ctx, uint32_t domid, const libxl_asyncop_how *how)
{
	struct fake_domain *d = fake_domain(domid);

	if (fails(ctx, "destroy", domid) || !d)
		return ends(how, ERROR_FAIL);
	d->domid = 0;
	return ends(how, 0);
}
