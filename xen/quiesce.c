/* SPDX-License-Identifier: BSD-2-Clause */
#include "xen/quiesce.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include <xenctrl.h>
#include <xengnttab.h>
#include <xenstore.h>

#include <xen/io/blkif.h>

#define LOOK_NS (4 * MS_NS)

/* What is needed to look. */
struct looker {
	struct xs_handle *xs;
	xengnttab_handle *gnttab;
	uint32_t domid;
};

/* A number in xenstore; -ENOENT: there is no such node. */
static int read_number(struct looker *l, unsigned *out, const char *dir, const char *node)
{
	char path[300], *text;
	int rc = -ENOENT;

	snprintf(path, sizeof(path), "%s/%s", dir, node);
	text = xs_read(l->xs, XBT_NULL, path, NULL);
	if (text && sscanf(text, "%u", out) == 1)
		rc = 0;
	free(text);
	return rc;
}

/* The first page of a ring holds both sides' counters (Xen: public/io/ring.h). */
static int unanswered(struct looker *l, unsigned ref)
{
	const volatile blkif_sring_t *ring =
		xengnttab_map_grant_ref(l->gnttab, l->domid, ref, PROT_READ);
	uint32_t n;

	if (!ring)
		return errno ? -errno : -EIO;
	n = ring->req_prod - ring->rsp_prod;
	xengnttab_unmap(l->gnttab, (void *)ring, 1);
	/* The guest, whose page it is, is not trusted with our sums. */
	return n < 65536 ? (int)n : 65536;
}

/* A ring that the front end has never offered has nothing in it. */
static int ring_in(struct looker *l, const char *dir)
{
	unsigned ref;

	if (read_number(l, &ref, dir, "ring-ref") && read_number(l, &ref, dir, "ring-ref0"))
		return 0;
	return unanswered(l, ref);
}

/* Xen: public/io/blkif.h, "Request Transport Parameters" and "Multi-queue". */
static int disk_inflight(struct looker *l, const char *vdev)
{
	char dir[128], queue[160];
	unsigned queues = 1;
	int sum = 0;

	snprintf(dir, sizeof(dir), "/local/domain/%u/device/vbd/%.40s", l->domid, vdev);
	if (read_number(l, &queues, dir, "multi-queue-num-queues") || queues < 2)
		return ring_in(l, dir);
	for (unsigned i = 0; i < queues && i < 1024; i++) {
		int n;

		snprintf(queue, sizeof(queue), "%s/queue-%u", dir, i);
		n = ring_in(l, queue);
		if (n < 0)
			return n;
		sum += n;
	}
	return sum;
}

static int all_disks(struct looker *l)
{
	char path[64], **vdevs;
	unsigned n = 0;
	int sum = 0;

	snprintf(path, sizeof(path), "/local/domain/%u/device/vbd", l->domid);
	vdevs = xs_directory(l->xs, XBT_NULL, path, &n);
	if (!vdevs)
		return errno == ENOENT ? 0 : -errno;
	for (unsigned i = 0; i < n && sum >= 0; i++) {
		int one = disk_inflight(l, vdevs[i]);

		sum = one < 0 ? one : sum + one;
	}
	free(vdevs);
	return sum;
}

int quiesce_inflight(uint32_t domid)
{
	struct looker l = {.domid = domid};
	int rc;

	l.xs = xs_open(0);
	if (l.xs)
		l.gnttab = xengnttab_open(NULL, 0);
	rc = l.gnttab ? all_disks(&l) : errno ? -errno : -EIO;
	if (l.gnttab)
		xengnttab_close(l.gnttab);
	if (l.xs)
		xs_close(l.xs);
	return rc;
}

static void look(void *arg)
{
	struct quiesce *q = arg;
	int n = quiesce_inflight(q->domid);

	if (n == 0)
		q->done(q->arg, 0);
	else if (clock_ns() > q->deadline)
		q->done(q->arg, n < 0 ? n : -ETIMEDOUT);
	else
		loop_timer_set(q->loop, &q->timer, LOOK_NS, look, q);
}

void quiesce_start(struct quiesce *q, struct loop *l, uint32_t domid, uint64_t limit_ns,
		   void (*done)(void *arg, int err), void *arg)
{
	*q = (struct quiesce){.loop = l,
			      .domid = domid,
			      .deadline = clock_ns() + limit_ns,
			      .done = done,
			      .arg = arg};
	loop_timer_set(l, &q->timer, 0, look, q);
}

void quiesce_stop(struct quiesce *q)
{
	if (q->loop)
		loop_timer_del(q->loop, &q->timer);
}
