/* SPDX-License-Identifier: BSD-2-Clause */
/* The fake host's libxc, xenstore and grant table. */
#include "tests/unit/fake/xen.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <xen/io/blkif.h>
#include <xenctrl.h>
#include <xengnttab.h>
#include <xenstore.h>

#pragma GCC diagnostic ignored "-Wmissing-prototypes"

/* ---- libxc ---- */

xc_interface *__wrap_xc_interface_open(xentoollog_logger *log, xentoollog_logger *log2,
				       unsigned flags)
{
	(void)log;
	(void)log2;
	(void)flags;
	fake.open++;
	return (xc_interface *)&fake;
}

int __wrap_xc_interface_close(xc_interface *xch)
{
	(void)xch;
	fake.open--;
	return 0;
}

int __wrap_xc_version(xc_interface *xch, int cmd, void *arg)
{
	(void)xch;
	(void)arg;
	return cmd == XENVER_version ? fake_version() : -1;
}

/* Not libxc's own: those differ from release to release. */
int __wrap_release_log_dirty_off(xc_interface *xch, uint32_t domid)
{
	struct fake_domain *d = fake_domain(domid);

	(void)xch;
	if (!d) {
		errno = ESRCH;
		return -1;
	}
	d->log_dirty = false;
	return 0;
}

/* Counts; there is no bitmap. */
long long __wrap_release_peek(xc_interface *xch, uint32_t domid, xc_hypercall_buffer_t *bitmap,
			      unsigned long pages, xc_shadow_op_stats_t *stats)
{
	const struct fake_domain *d = fake_domain(domid);

	(void)xch;
	(void)pages;
	if (!d || bitmap) {
		errno = d ? EINVAL : ESRCH;
		return -1;
	}
	*stats = (xc_shadow_op_stats_t){.dirty_count = (uint32_t)d->dirty};
	return 0;
}

/* Nothing is idle. */
int __wrap_xc_getcpuinfo(xc_interface *xch, int max, xc_cpuinfo_t *info, int *n)
{
	(void)xch;
	memset(info, 0, (size_t)max * sizeof(*info));
	*n = max;
	return 0;
}

int __wrap_release_policy(bool system, uint32_t which, xen_cpuid_leaf_t **leaves, uint32_t *n)
{
	(void)system;
	(void)which;
	(void)leaves;
	(void)n;
	return -EOPNOTSUPP;
}

/* ---- xenstore: control/shutdown of the domains, other nodes, and transactions ---- */

static char *wanted; /* written in the transaction; the domain is that of its path */
static struct fake_domain *written;
static struct fake_node pending[FAKE_NODES]; /* the same, of other nodes */

static struct fake_node *find_node(struct fake_node *nodes, const char *path)
{
	for (int i = 0; i < FAKE_NODES; i++)
		if (strcmp(nodes[i].path, path) == 0)
			return &nodes[i];
	return NULL;
}

static bool set_node(struct fake_node *nodes, const char *path, const char *value)
{
	struct fake_node *n = find_node(nodes, path);

	if (!n)
		n = find_node(nodes, "");
	if (!n)
		abort();
	snprintf(n->path, sizeof(n->path), "%s", value ? path : "");
	snprintf(n->value, sizeof(n->value), "%s", value ? value : "");
	return true;
}

const char *fake_node(const char *path)
{
	const struct fake_node *n = find_node(fake.nodes, path);

	return n ? n->value : NULL;
}

void fake_node_set(const char *path, const char *value)
{
	set_node(fake.nodes, path, value);
}

bool __wrap_xs_rm(struct xs_handle *xs, xs_transaction_t t, const char *path)
{
	(void)xs;
	(void)t;
	fake_node_set(path, NULL);
	return true;
}

struct xs_handle *__wrap_xs_open(unsigned long flags)
{
	(void)flags;
	fake.open++;
	return (struct xs_handle *)&fake;
}

void __wrap_xs_close(struct xs_handle *xs)
{
	(void)xs;
	fake.open--;
}

bool __wrap_xs_watch(struct xs_handle *xs, const char *path, const char *token)
{
	(void)xs;
	(void)path;
	(void)token;
	fake.watched++;
	return !fake.no_watch;
}

char **__wrap_xs_check_watch(struct xs_handle *xs)
{
	(void)xs;
	errno = EAGAIN;
	if (!fake.watched)
		return NULL;
	fake.watched--;
	return calloc(2, sizeof(char *));
}

static struct fake_domain *control_of(const char *path)
{
	unsigned domid;
	int end = 0;

	if (sscanf(path, "/local/domain/%u/control/shutdown%n", &domid, &end) != 1 || path[end])
		return NULL;
	return fake_domain(domid);
}

/* The nodes of a disk that tell where its rings are. */
static char *ring_node(const char *path)
{
	char *text = NULL;

	for (int i = 0; i < FAKE_RINGS; i++) {
		const struct fake_ring *r = &fake.rings[i];
		char dir[100], node[140];
		int queues = 0;

		if (!r->domid)
			continue;
		for (int k = 0; k < FAKE_RINGS; k++)
			queues += fake.rings[k].domid == r->domid && fake.rings[k].vdev &&
				  strcmp(fake.rings[k].vdev, r->vdev) == 0;
		snprintf(dir, sizeof(dir), "/local/domain/%u/device/vbd/%s", r->domid, r->vdev);
		snprintf(node, sizeof(node), "%s/multi-queue-num-queues", dir);
		if (r->queue >= 0 && strcmp(path, node) == 0 && asprintf(&text, "%d", queues) > 0)
			return text;
		if (r->queue < 0)
			snprintf(node, sizeof(node), "%s/ring-ref", dir);
		else
			snprintf(node, sizeof(node), "%s/queue-%d/ring-ref0", dir, r->queue);
		if (strcmp(path, node) == 0 && asprintf(&text, "%d", i + 1) > 0)
			return text;
	}
	return NULL;
}

char **__wrap_xs_directory(struct xs_handle *xs, xs_transaction_t t, const char *path,
			   unsigned *num)
{
	char **list = calloc(FAKE_RINGS + FAKE_NODES, sizeof(*list));
	size_t len = strlen(path);
	unsigned domid = 0;
	int end = 0;

	(void)xs;
	(void)t;
	*num = 0;
	if (sscanf(path, "/local/domain/%u/device/vbd%n", &domid, &end) != 1 || !end || path[end])
		domid = 0;
	for (int i = 0; list && i < FAKE_RINGS; i++)
		if (domid && fake.rings[i].domid == domid && fake.rings[i].queue < 1)
			list[(*num)++] = (char *)fake.rings[i].vdev;
	for (int i = 0; list && i < FAKE_NODES; i++)
		if (strncmp(fake.nodes[i].path, path, len) == 0 && fake.nodes[i].path[len] == '/' &&
		    !strchr(fake.nodes[i].path + len + 1, '/'))
			list[(*num)++] = fake.nodes[i].path + len + 1;
	if (*num)
		return list;
	free(list);
	errno = ENOENT;
	return NULL;
}

xengnttab_handle *__wrap_xengnttab_open(xentoollog_logger *log, unsigned flags)
{
	(void)log;
	(void)flags;
	fake.open++;
	return (xengnttab_handle *)&fake;
}

int __wrap_xengnttab_close(xengnttab_handle *g)
{
	(void)g;
	fake.open--;
	return 0;
}

void *__wrap_xengnttab_map_grant_ref(xengnttab_handle *g, uint32_t domid, uint32_t ref, int prot)
{
	const struct fake_ring *r = &fake.rings[ref - 1];
	blkif_sring_t *page;

	(void)g;
	errno = EINVAL;
	if (!ref || ref > FAKE_RINGS || r->domid != domid || r->unreadable || prot & PROT_WRITE)
		return NULL;
	page = calloc(1, 4096);
	if (page) {
		page->req_prod = r->req;
		page->rsp_prod = r->rsp;
		fake.open++;
	}
	return page;
}

int __wrap_xengnttab_unmap(xengnttab_handle *g, void *page, uint32_t count)
{
	(void)g;
	fake.open -= count;
	free(page);
	return 0;
}

xs_transaction_t __wrap_xs_transaction_start(struct xs_handle *xs)
{
	(void)xs;
	return 1;
}

void *__wrap_xs_read(struct xs_handle *xs, xs_transaction_t t, const char *path, unsigned *len)
{
	const struct fake_domain *d = control_of(path);
	char *text = !d && fake.node ? fake.node(path) : NULL;

	(void)xs;
	(void)t;
	if (text)
		return text;
	if (fake_node(path))
		return strdup(fake_node(path));
	if (!d) {
		errno = ENOENT;
		return ring_node(path);
	}
	if (len)
		*len = (unsigned)strlen(d->control);
	return strdup(d->control);
}

bool __wrap_xs_write(struct xs_handle *xs, xs_transaction_t t, const char *path, const void *data,
		     unsigned len)
{
	(void)xs;
	(void)t;
	written = control_of(path);
	if (!written) {
		char value[32];

		errno = EACCES;
		if (fake.fails && strcmp(fake.fails, "xs_write") == 0)
			return false;
		snprintf(value, sizeof(value), "%.*s", (int)len, (const char *)data);
		return set_node(t == XBT_NULL ? fake.nodes : pending, path, value);
	}
	free(wanted);
	wanted = strndup(data, len);
	return true;
}

bool __wrap_xs_transaction_end(struct xs_handle *xs, xs_transaction_t t, bool abort)
{
	void (*meanwhile)(void) = fake.meanwhile;
	bool conflict = fake.conflicts || meanwhile;

	(void)xs;
	(void)t;
	if (!abort && meanwhile) {
		fake.meanwhile = NULL;
		meanwhile();
	}
	if (!abort && fake.conflicts)
		fake.conflicts--;
	if (!abort && !conflict && written)
		snprintf(written->control, sizeof(written->control), "%s", wanted);
	for (int i = 0; i < FAKE_NODES; i++) {
		if (!abort && !conflict && pending[i].path[0])
			fake_node_set(pending[i].path, pending[i].value);
		pending[i].path[0] = 0;
	}
	free(wanted);
	wanted = NULL;
	written = NULL;
	errno = EAGAIN;
	return abort || !conflict;
}
