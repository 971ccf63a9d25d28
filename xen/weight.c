/* SPDX-License-Identifier: BSD-2-Clause */
#include "xen/weight.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <xenstore.h>

#include "core/bytes.h"
#include "core/log.h"

#define PATH_LEN 64

static void note_path(uint32_t domid, char path[PATH_LEN])
{
	snprintf(path, PATH_LEN, "/libxl/%" PRIu32 "/vstor-weight", domid);
}

/* 0: the scheduler has none, or cannot be asked. */
static int weight_of(struct toolstack *t, uint32_t domid)
{
	libxl_domain_sched_params p;
	int weight = 0;

	libxl_domain_sched_params_init(&p);
	if (!libxl_domain_sched_params_get(toolstack_ctx(t), domid, &p) &&
	    (p.sched == LIBXL_SCHEDULER_CREDIT || p.sched == LIBXL_SCHEDULER_CREDIT2))
		weight = p.weight;
	libxl_domain_sched_params_dispose(&p);
	return weight;
}

static int set(struct toolstack *t, uint32_t domid, int weight)
{
	libxl_domain_sched_params p;
	int rc;

	/* What is not set stays as it is. */
	libxl_domain_sched_params_init(&p);
	p.weight = weight;
	rc = libxl_domain_sched_params_set(toolstack_ctx(t), domid, &p);
	libxl_domain_sched_params_dispose(&p);
	return rc;
}

void weight_lower(struct toolstack *t, uint32_t domid, libxl_domain_sched_params *later)
{
	struct xs_handle *xs = xs_open(0);
	int was = weight_of(t, domid), n, lowered;
	char path[PATH_LEN], text[16];

	if (was && later->weight != LIBXL_DOMAIN_SCHED_PARAM_WEIGHT_DEFAULT)
		was = later->weight;
	lowered = MAX(was / 16, 1);
	n = snprintf(text, sizeof(text), "%d", was);
	note_path(domid, path);
	if (xs && was > 1 && xs_write(xs, XBT_NULL, path, text, (unsigned)n)) {
		if (set(t, domid, lowered))
			xs_rm(xs, XBT_NULL, path);
		else
			later->weight = lowered;
	}
	if (xs)
		xs_close(xs);
}

/* 0: none. */
static int noted(struct xs_handle *xs, const char *path)
{
	unsigned len;
	char *text = xs ? xs_read(xs, XBT_NULL, path, &len) : NULL;
	int was = text ? atoi(text) : 0;

	free(text);
	return was;
}

int weight_noted(uint32_t domid)
{
	struct xs_handle *xs = xs_open(0);
	char path[PATH_LEN];
	int was;

	note_path(domid, path);
	was = noted(xs, path);
	if (xs)
		xs_close(xs);
	return was;
}

void weight_restore(struct toolstack *t, uint32_t domid)
{
	struct xs_handle *xs = xs_open(0);
	char path[PATH_LEN];
	int was;

	note_path(domid, path);
	was = noted(xs, path);
	if (was && set(t, domid, was))
		log_error("domain %" PRIu32 ": its scheduler's weight was lowered while it "
			  "connected, and cannot be put back: %s: xl sched-credit2 -d %" PRIu32
			  " -w %d",
			  domid, toolstack_cause(t, ERROR_FAIL), domid, was);
	else if (was)
		xs_rm(xs, XBT_NULL, path);
	if (xs)
		xs_close(xs);
}
