/* SPDX-License-Identifier: BSD-2-Clause */
#include "net/attach.h"

#include <errno.h>
#include <string.h>

#include "net/aoe/initiator.h"

int attach_aoe_only(const struct attach_request *r)
{
	struct aoe_address at;
	if (r->target || r->initiator || r->lun || r->serial || r->digests || r->chap_user ||
	    r->chap_secret || r->chap_secret_file || r->mutual_user || r->mutual_secret ||
	    r->mutual_secret_file || r->replacement_timeout)
		return -EINVAL;
	return aoe_address_parse(r->portal, &at);
}

int attach_disk(const struct attach_request *r, struct attachment *a, char error[ATTACH_ERROR])
{
	struct aoe_address at;
	struct aoe_device d;
	int rc;
	if (r->via != ATTACH_AOE)
		return iscsi_attach(r, a, error);
	memset(a, 0, sizeof(*a));
	if (aoe_address_parse(r->portal, &at))
		return attach_failed(error, -EINVAL, "%s: not of the form SHELF.SLOT", r->portal);
	rc = aoe_attach(&at, r->timeout_ns, &d, &a->existed, error, ATTACH_ERROR);
	a->disk = d.disk;
	return rc;
}

int attach_find(const struct attach_request *r, struct attachment *a, char error[ATTACH_ERROR])
{
	struct aoe_address at;
	struct aoe_device d;
	if (r->via != ATTACH_AOE)
		return iscsi_find(r, a, error);
	memset(a, 0, sizeof(*a));
	a->existed = true;
	if (aoe_address_parse(r->portal, &at))
		return attach_failed(error, -EINVAL, "%s: not of the form SHELF.SLOT", r->portal);
	if (aoe_device_find(&at, &d))
		return attach_failed(error, -ENOENT, "%s: not attached", r->portal);
	a->disk = d.disk;
	return 0;
}

int attach_end(const struct attach_request *r, const struct attachment *a, bool force,
	       char error[ATTACH_ERROR])
{
	struct aoe_device d;
	if (r->via != ATTACH_AOE)
		return iscsi_detach(&a->session, &a->disk, r->via, force, error);
	if (aoe_device_of(a->disk.path, &d))
		return 0; /* it is gone */
	return aoe_detach(&d, force, error, ATTACH_ERROR);
}
