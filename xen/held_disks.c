/* SPDX-License-Identifier: BSD-2-Clause */
#include "xen/held_disks.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/log.h"

#define PATH_LEN 512
#define NUMBER	 "physical-device"
#define HELD	 "vstor-held"

/* The wish lies where libxl keeps what it knows of a domain, and goes with that. */
static void wish_path(uint32_t domid, char path[PATH_LEN])
{
	snprintf(path, PATH_LEN, "/libxl/%" PRIu32 "/vstor-hold", domid);
}

static char *get(struct xs_handle *xs, xs_transaction_t t, const char *dir, const char *node)
{
	char path[PATH_LEN];
	unsigned len;

	snprintf(path, sizeof(path), "%.450s/%s", dir, node);
	return xs_read(xs, t, path, &len);
}

static bool put(struct xs_handle *xs, xs_transaction_t t, const char *dir, const char *node,
		const char *value)
{
	char path[PATH_LEN];

	snprintf(path, sizeof(path), "%.450s/%s", dir, node);
	return xs_write(xs, t, path, value, (unsigned)strlen(value));
}

int held_disks_begin(uint32_t domid)
{
	struct xs_handle *xs = xs_open(0);
	char path[PATH_LEN];
	int rc = 0;

	if (!xs)
		return -errno;
	wish_path(domid, path);
	if (!xs_write(xs, XBT_NULL, path, "1", 1))
		rc = -errno;
	xs_close(xs);
	return rc;
}

/* The wish is read in the transaction that heeds it: it cannot be taken back in between unseen. */
uint32_t held_disks_domid(const char *backend)
{
	const char *vbd = strstr(backend, "backend/vbd/");
	uint32_t domid;

	return vbd && sscanf(vbd, "backend/vbd/%" SCNu32 "/", &domid) == 1 ? domid : 0;
}

bool held_disks_put(struct xs_handle *xs, xs_transaction_t t, const char *backend,
		    const char *number)
{
	uint32_t domid = held_disks_domid(backend);
	char path[PATH_LEN], *wish = NULL;
	unsigned len;
	bool ok;

	if (domid) {
		wish_path(domid, path);
		wish = xs_read(xs, t, path, &len);
	}
	ok = put(xs, t, backend, wish ? HELD : NUMBER, number);
	free(wish);
	return ok;
}

char *held_disks_number(struct xs_handle *xs, const char *backend)
{
	char *number = get(xs, XBT_NULL, backend, NUMBER);

	return number ? number : get(xs, XBT_NULL, backend, HELD);
}

static void let_go(struct xs_handle *xs, uint32_t domid, const char *devid)
{
	char backend[PATH_LEN], path[PATH_LEN + 16], *number;

	snprintf(backend, sizeof(backend), "backend/vbd/%" PRIu32 "/%.32s", domid, devid);
	number = get(xs, XBT_NULL, backend, HELD);
	if (!number)
		return;
	snprintf(path, sizeof(path), "%s/" HELD, backend);
	if (put(xs, XBT_NULL, backend, NUMBER, number))
		xs_rm(xs, XBT_NULL, path);
	else
		log_error("%s: %s: the guest waits for this disk: xenstore-write %s/" NUMBER " %s",
			  backend, strerror(errno), backend, number);
	free(number);
}

void held_disks_let_go(uint32_t domid)
{
	struct xs_handle *xs = xs_open(0);
	char path[PATH_LEN], **disks = NULL;
	unsigned n = 0;

	if (!xs) {
		log_error("domain %" PRIu32 ": it may wait for its disks: xenstore: %s", domid,
			  strerror(errno));
		return;
	}
	wish_path(domid, path);
	xs_rm(xs, XBT_NULL, path);
	snprintf(path, sizeof(path), "backend/vbd/%" PRIu32, domid);
	disks = xs_directory(xs, XBT_NULL, path, &n);
	for (unsigned i = 0; disks && i < n; i++)
		let_go(xs, domid, disks[i]);
	free(disks);
	xs_close(xs);
}
