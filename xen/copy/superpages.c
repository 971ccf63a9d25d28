/* SPDX-License-Identifier: BSD-2-Clause */
#include "xen/copy/superpages.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

#include <xenctrl.h>

int __wrap_xc_domain_populate_physmap_exact(xc_interface *xch, uint32_t domid, unsigned long n,
					    unsigned order, unsigned flags, xen_pfn_t *extents);

static bool wanted;

void superpages_start(uint32_t domid)
{
	xc_interface *xch = xc_interface_open(NULL, NULL, 0);
	xc_domaininfo_t info;

	if (xch && xc_domain_getinfolist(xch, domid, 1, &info) == 1 && info.domain == domid)
		wanted = info.flags & XEN_DOMINF_hvm_guest;
	if (xch)
		xc_interface_close(xch);
}

/* All of what libxc's own function is. */
static int populate(xc_interface *xch, uint32_t domid, unsigned long n, unsigned order,
		    unsigned flags, xen_pfn_t *extents)
{
	int done = xc_domain_populate_physmap(xch, domid, n, order, flags, extents);

	if (done < 0 || (unsigned long)done == n)
		return done < 0 ? done : 0;
	errno = EBUSY;
	return -1;
}

/* The next n pages begin with a superpage. */
static bool is_superpage(const xen_pfn_t *pfns, unsigned long n)
{
	if (n < SUPERPAGE_PAGES || pfns[0] % SUPERPAGE_PAGES)
		return false;
	for (unsigned i = 1; i < SUPERPAGE_PAGES; i++)
		if (pfns[i] != pfns[0] + i)
			return false;
	return true;
}

int __wrap_xc_domain_populate_physmap_exact(xc_interface *xch, uint32_t domid, unsigned long n,
					    unsigned order, unsigned flags, xen_pfn_t *extents)
{
	unsigned long i = 0, left = 0;
	xen_pfn_t *small;
	int rc = 0;

	if (!wanted || order || n < SUPERPAGE_PAGES)
		return populate(xch, domid, n, order, flags, extents);
	small = malloc(n * sizeof(*small));
	if (!small)
		return -1;
	while (i < n) {
		/* It goes in and does not come back changed: the guest's pfns are translated. */
		xen_pfn_t first = extents[i];

		/* Xen may have no 2 MiB in one piece left, but the pages. */
		if (is_superpage(extents + i, n - i) &&
		    xc_domain_populate_physmap(xch, domid, 1, SUPERPAGE_ORDER, flags, &first) == 1)
			i += SUPERPAGE_PAGES;
		else
			small[left++] = extents[i++];
	}
	if (left)
		rc = populate(xch, domid, left, 0, flags, small);
	free(small);
	return rc;
}
