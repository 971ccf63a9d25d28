/* SPDX-License-Identifier: BSD-2-Clause */
/* The memory of the host that a test plays. */
#include <stdio.h>
#include <string.h>

#include <xenctrl.h>

#include "tests/unit/fake/xen.h"
#include "xen/copy/pagecodec.h"

/* As in fake/xen.c. */
#pragma GCC diagnostic ignored "-Wmissing-prototypes"

struct page_encoder *__real_page_encoder_new(uint64_t cache_bytes,
					     const struct page_encoder_ops *ops, void *arg);

struct page_encoder *__wrap_page_encoder_new(uint64_t cache_bytes,
					     const struct page_encoder_ops *ops, void *arg)
{
	if (fake.no_encoder || (fake.cache_at_most && cache_bytes > fake.cache_at_most))
		return NULL;
	return __real_page_encoder_new(cache_bytes, ops, arg);
}

int __wrap_xc_domain_getinfolist(xc_interface *xch, uint32_t first, unsigned n,
				 xc_domaininfo_t *info)
{
	struct fake_domain *d = fake_domain(first);

	(void)xch;
	(void)n;
	if (!d)
		return 0;
	*info = (xc_domaininfo_t){.domain = (domid_t)first,
				  .flags = d->pv ? 0 : XEN_DOMINF_hvm_guest};
	return 1;
}

int __wrap_xc_domain_populate_physmap(xc_interface *xch, uint32_t domid, unsigned long n,
				      unsigned order, unsigned flags, xen_pfn_t *pfns)
{
	size_t len = strlen(fake.did);

	(void)xch;
	(void)domid;
	(void)flags;
	if (order && fake.superpages_left == 0)
		return 0;
	fake.superpages_left -= order != 0;
	snprintf(fake.did + len, sizeof(fake.did) - len, "%lu of %u from %#lx, ", n, order,
		 (unsigned long)pfns[0]);
	if (n > fake.pages_left)
		n = fake.pages_left;
	fake.pages_left -= n;
	return (int)n;
}
