/* SPDX-License-Identifier: BSD-2-Clause */
/* What libxl tells by itself, and who stays with a guest to hear it. */
#include <stdio.h>
#include <stdlib.h>

#include "tests/unit/fake/xen.h"

/* Each is declared by a list that the Makefile takes its --wrap options from. */
#pragma GCC diagnostic ignored "-Wmissing-prototypes"

/* ---- the test's side ---- */

void fake_shuts_down(struct fake_domain *d, libxl_shutdown_reason reason)
{
	libxl_event *e = calloc(1, sizeof(*e));

	d->shutdown = true;
	d->reason = reason;
	if (!e || fake.death_of != d->domid)
		abort();
	libxl_event_init_type(e, LIBXL_EVENT_TYPE_DOMAIN_SHUTDOWN);
	e->domid = d->domid;
	e->u.domain_shutdown.shutdown_reason = (uint8_t)reason;
	fake.hooks->event_occurs(fake.hooks_user, e);
}

void fake_dies(struct fake_domain *d)
{
	libxl_event *e = calloc(1, sizeof(*e));

	if (!e || fake.death_of != d->domid)
		abort();
	libxl_event_init_type(e, LIBXL_EVENT_TYPE_DOMAIN_DEATH);
	e->domid = d->domid;
	d->domid = 0;
	fake.hooks->event_occurs(fake.hooks_user, e);
}

/* ---- libxl ---- */

void __wrap_libxl_event_register_callbacks(libxl_ctx *ctx, const libxl_event_hooks *hooks,
					   void *user)
{
	(void)ctx;
	fake.hooks = hooks;
	fake.hooks_user = user;
}

int __wrap_libxl_evenable_domain_death(libxl_ctx *ctx, uint32_t domid, libxl_ev_user user,
				       libxl_evgen_domain_death **out)
{
	(void)ctx;
	(void)user;
	fake.death_of = domid;
	*out = (libxl_evgen_domain_death *)&fake;
	return 0;
}

void __wrap_libxl_evdisable_domain_death(libxl_ctx *ctx, libxl_evgen_domain_death *e)
{
	(void)ctx;
	(void)e;
	fake.death_of = 0;
}

/* ---- not libxl's, but processes that would want a Xen host ---- */

int __wrap_monitor_start(const char *domain, bool announce)
{
	fake.announced = announce;
	snprintf(fake.monitored, sizeof(fake.monitored), "%s", domain);
	return 0;
}

void __wrap_disk_watch_start(uint32_t domid)
{
	(void)domid;
}
