/* SPDX-License-Identifier: BSD-2-Clause */
#include "xen/host.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <xenctrl.h>

#include "core/loop.h"
#include "xen/message.h"

const char *host_boot_id(void)
{
	static char id[64];
	FILE *f;

	if (id[0])
		return id;
	f = fopen("/proc/sys/kernel/random/boot_id", "re");
	if (f) {
		if (fgets(id, sizeof(id), f))
			id[strcspn(id, "\n")] = 0;
		fclose(f);
	}
	return id;
}

uint64_t host_memory_free(void)
{
	FILE *f = fopen("/proc/meminfo", "re");
	uint64_t kib = 0;
	char line[128];

	if (!f)
		return 0;
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "MemAvailable: %" SCNu64, &kib) == 1)
			break;
	fclose(f);
	return kib << 10;
}

uint64_t host_stolen_ns(void)
{
	unsigned long long ticks = 0;
	FILE *f = fopen("/proc/stat", "re");

	if (!f)
		return 0;
	if (fscanf(f, "cpu %*u %*u %*u %*u %*u %*u %*u %llu", &ticks) != 1)
		ticks = 0;
	fclose(f);
	return ticks * SEC_NS / (uint64_t)sysconf(_SC_CLK_TCK);
}

/* Since boot, of all CPUs together. */
static int idle_time(unsigned cpus, uint64_t *ns)
{
	xc_cpuinfo_t *info = calloc(cpus, sizeof(*info));
	xc_interface *xch = info ? xc_interface_open(NULL, NULL, 0) : NULL;
	int n = 0, rc = xch ? xc_getcpuinfo(xch, (int)cpus, info, &n) : -1;

	*ns = 0;
	for (int i = 0; !rc && i < n; i++)
		*ns += info[i].idletime;
	if (xch)
		xc_interface_close(xch);
	free(info);
	return rc ? -EIO : 0;
}

int host_facts(struct toolstack *t, struct host_facts *f)
{
	libxl_physinfo info;
	int rc;

	memset(f, 0, sizeof(*f));
	libxl_physinfo_init(&info);
	rc = libxl_get_physinfo(toolstack_ctx(t), &info) ||
	     libxl_get_free_memory(toolstack_ctx(t), &f->free_kib);
	f->total_kib = info.total_pages * (XC_PAGE_SIZE / 1024);
	f->cpus = info.nr_cpus;
	libxl_physinfo_dispose(&info);
	f->at_ns = clock_ns();
	return rc || !f->cpus || idle_time(f->cpus, &f->idle_ns) ? -EIO : 0;
}

void host_facts_put(struct toolstack *t, struct buf *b)
{
	struct host_facts f;

	if (host_facts(t, &f))
		return;
	message_put(b, "free_kib", "%" PRIu64, f.free_kib);
	message_put(b, "total_kib", "%" PRIu64, f.total_kib);
	message_put(b, "cpus", "%u", f.cpus);
	message_put(b, "idle_ns", "%" PRIu64, f.idle_ns);
	message_put(b, "at_ns", "%" PRIu64, f.at_ns);
}

int host_facts_get(const uint8_t *p, size_t n, struct host_facts *f)
{
	uint64_t cpus;

	memset(f, 0, sizeof(*f));
	if (message_get_u64(p, n, "free_kib", &f->free_kib) ||
	    message_get_u64(p, n, "total_kib", &f->total_kib) ||
	    message_get_u64(p, n, "cpus", &cpus) || !cpus || cpus > UINT16_MAX ||
	    message_get_u64(p, n, "idle_ns", &f->idle_ns) ||
	    message_get_u64(p, n, "at_ns", &f->at_ns))
		return -ENOENT;
	f->cpus = (unsigned)cpus;
	return 0;
}

double host_load(const struct host_facts *before, const struct host_facts *after)
{
	double ns = (double)after->at_ns - (double)before->at_ns;
	double load =
		ns > 0 ? after->cpus - ((double)after->idle_ns - (double)before->idle_ns) / ns : 0;

	return load > 0 ? load : 0;
}
