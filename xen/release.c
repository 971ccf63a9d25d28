/* SPDX-License-Identifier: BSD-2-Clause */
#include "xen/release.h"

#include <errno.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <xenguest.h>

#include "core/log.h"

const char *release_folder = "/usr/lib/vstor";
const char *release_libraries = "/usr/lib";

bool release_same(struct release a, struct release b)
{
	return a.major == b.major && a.minor == b.minor;
}

bool release_older(struct release a, struct release b)
{
	return a.major < b.major || (a.major == b.major && a.minor < b.minor);
}

/* ---- which one runs ---- */

static void ignore_message(xentoollog_logger *l, xentoollog_level level, int errnoval,
			   const char *context, const char *format, va_list al)
{
	(void)l;
	(void)level;
	(void)errnoval;
	(void)context;
	(void)format;
	(void)al;
}

static void ignore_progress(xentoollog_logger *l, const char *context, const char *doing_what,
			    int percent, unsigned long done, unsigned long total)
{
	(void)l;
	(void)context;
	(void)doing_what;
	(void)percent;
	(void)done;
	(void)total;
}

bool release_running(struct release *r)
{
	/* No Xen is no error here: who needs one says so. */
	static xentoollog_logger silent = {.vmessage = ignore_message, .progress = ignore_progress};
	xc_interface *xch = xc_interface_open(&silent, &silent, 0);
	int version = xch ? xc_version(xch, XENVER_version, NULL) : -1;

	if (xch)
		xc_interface_close(xch);
	if (version <= 0)
		return false;
	*r = (struct release){(unsigned)version >> 16, (unsigned)version & 0xffff};
	return true;
}

static bool known(const char *name)
{
	const char *at = strstr(VSTOR_XEN_RELEASES, name);
	size_t n = strlen(name);

	return at && (!at[n] || at[n] == ' ');
}

void release_misfit(struct release running, char text[RELEASE_TEXT])
{
	char name[32];

	snprintf(name, sizeof(name), "%u.%u", running.major, running.minor);
	if (known(name))
		snprintf(text, RELEASE_TEXT,
			 "this vstor is for Xen %u.%u, and this host runs Xen %s: install vstor-%s "
			 "(make XEN_VERSION=%s) in its place, or as %s/vstor-%s",
			 RELEASE_BUILT.major, RELEASE_BUILT.minor, name, name, name, release_folder,
			 name);
	else
		snprintf(text, RELEASE_TEXT,
			 "this vstor is for Xen %u.%u, and this host runs Xen %s: there are vstors "
			 "for " VSTOR_XEN_RELEASES " only",
			 RELEASE_BUILT.major, RELEASE_BUILT.minor, name);
}

int release_check(char text[RELEASE_TEXT])
{
	struct release running;

	if (!release_running(&running) || release_same(running, RELEASE_BUILT))
		return 0;
	release_misfit(running, text);
	return -EPROTONOSUPPORT;
}

static bool same_file(const char *a, const char *b)
{
	struct stat s, t;

	return !stat(a, &s) && !stat(b, &t) && s.st_dev == t.st_dev && s.st_ino == t.st_ino;
}

int release_hand_over(char *const argv[])
{
	struct release running;
	char path[256];
	int err;

	if (!release_running(&running) || release_same(running, RELEASE_BUILT))
		return 0;
	snprintf(path, sizeof(path), "%s/vstor-%u.%u", release_folder, running.major,
		 running.minor);
	/* One that lies there under a wrong name would call itself for ever. */
	if (access(path, F_OK) || same_file(path, "/proc/self/exe"))
		return 0;
	execv(path, argv);
	err = -errno;
	log_error(
		"this vstor is for Xen %u.%u, this host runs Xen %u.%u, and %s cannot be run: %s: "
		"install it again",
		RELEASE_BUILT.major, RELEASE_BUILT.minor, running.major, running.minor, path,
		strerror(-err));
	return err;
}

bool release_tools_differ(struct release running, char *which, size_t size)
{
	char mine[256], any[256];
	glob_t found;
	bool differ;

	snprintf(mine, sizeof(mine), "%s/xen-%u.%u", release_libraries, running.major,
		 running.minor);
	snprintf(any, sizeof(any), "%s/xen-[0-9]*.[0-9]*", release_libraries);
	if (glob(any, 0, NULL, &found))
		return false;
	differ = access(mine, F_OK);
	snprintf(which, size, "%s", strrchr(found.gl_pathv[0], '-') + 1);
	globfree(&found);
	return differ;
}

/* ---- what differs ---- */

#if VSTOR_XEN_MINOR < 16

#define policy_size xc_get_cpu_policy_size

static int fetch_policy(xc_interface *xch, bool system, uint32_t which, xen_cpuid_leaf_t *leaves,
			uint32_t *n, xen_msr_entry_t *msrs, uint32_t *n_msrs)
{
	return system ? xc_get_system_cpu_policy(xch, which, n, leaves, n_msrs, msrs)
		      : xc_get_domain_cpu_policy(xch, which, n, leaves, n_msrs, msrs);
}

long long release_peek(xc_interface *xch, uint32_t domid, xc_hypercall_buffer_t *bitmap,
		       unsigned long pages, xc_shadow_op_stats_t *stats)
{
	return xc_shadow_control(xch, domid, XEN_DOMCTL_SHADOW_OP_PEEK, bitmap, pages, NULL, 0,
				 stats);
}

int release_log_dirty_off(xc_interface *xch, uint32_t domid)
{
	return xc_shadow_control(xch, domid, XEN_DOMCTL_SHADOW_OP_OFF, NULL, 0, NULL, 0, NULL);
}

#else

#define policy_size xc_cpu_policy_get_size

static int fetch_policy(xc_interface *xch, bool system, uint32_t which, xen_cpuid_leaf_t *leaves,
			uint32_t *n, xen_msr_entry_t *msrs, uint32_t *n_msrs)
{
	xc_cpu_policy_t *p = xc_cpu_policy_init();
	int rc = -1;

	if (p)
		rc = system ? xc_cpu_policy_get_system(xch, which, p)
			    : xc_cpu_policy_get_domain(xch, which, p);
	if (!rc)
		rc = xc_cpu_policy_serialise(xch, p, leaves, n, msrs, n_msrs);
	xc_cpu_policy_destroy(p);
	return rc;
}

long long release_peek(xc_interface *xch, uint32_t domid, xc_hypercall_buffer_t *bitmap,
		       unsigned long pages, xc_shadow_op_stats_t *stats)
{
	return xc_logdirty_control(xch, domid, XEN_DOMCTL_SHADOW_OP_PEEK, bitmap, pages, 0, stats);
}

int release_log_dirty_off(xc_interface *xch, uint32_t domid)
{
	return xc_shadow_control(xch, domid, XEN_DOMCTL_SHADOW_OP_OFF, NULL, 0);
}

#endif

int release_policy(bool system, uint32_t which, xen_cpuid_leaf_t **leaves, uint32_t *n)
{
	xc_interface *xch = xc_interface_open(NULL, NULL, 0);
	xen_msr_entry_t *msrs = NULL;
	uint32_t n_msrs;
	int rc = -EOPNOTSUPP;

	*leaves = NULL;
	if (!xch || policy_size(xch, n, &n_msrs))
		goto out;
	*leaves = calloc(*n, sizeof(**leaves));
	msrs = calloc(n_msrs, sizeof(*msrs));
	if (*leaves && msrs && !fetch_policy(xch, system, which, *leaves, n, msrs, &n_msrs))
		rc = 0;
out:
	free(msrs);
	if (xch)
		xc_interface_close(xch);
	if (rc) {
		free(*leaves);
		*leaves = NULL;
	}
	return rc;
}
