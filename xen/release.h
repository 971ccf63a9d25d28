/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The releases of Xen: which one this binary is for, which one runs here, and all that their
 * libraries differ in. libxl and libxc speak to the hypervisor of their own release only (Xen:
 * public/domctl.h and sysctl.h, INTERFACE_VERSION), so there is a binary for each.
 */
#ifndef XEN_RELEASE_H
#define XEN_RELEASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <xenctrl.h>

struct release {
	unsigned major, minor; /* e.g. 4 and 17 */
};

/* Whose libraries are in this binary. */
#define RELEASE_BUILT ((struct release){VSTOR_XEN_MAJOR, VSTOR_XEN_MINOR})
bool release_same(struct release a, struct release b);
bool release_older(struct release a, struct release b); /* a than b */

/* The running hypervisor's (XENVER_version, the same in all releases). False: it cannot be asked:
 * no Xen here, not dom0, not root. */
bool release_running(struct release *r);

/* One line: this binary does not fit `running`, and what to do. */
#define RELEASE_TEXT 256
void release_misfit(struct release running, char text[RELEASE_TEXT]);
/* 0, or -EPROTONOSUPPORT with release_misfit()'s line: for who does without a toolstack. */
int release_check(char text[RELEASE_TEXT]);

/*
 * Where the binaries for all releases may lie, as vstor-4.17 and so on. If this one does not fit
 * the running hypervisor and the one that does is there, it takes over this process: same
 * arguments, same descriptors; no return. 0: this one fits, or has to speak for itself; -errno: the
 * other one cannot be run.
 */
extern const char *release_folder;
int release_hand_over(char *const argv[]);

/* True when tools of Xen are installed (Debian: /usr/lib/xen-4.17 and so on), but none of this
 * release: xl will not work here until a reboot. `which`: one that is there. */
extern const char *release_libraries;
bool release_tools_differ(struct release running, char *which, size_t size);

/* ---- what libxc calls otherwise, or does not have, before 4.16 ---- */

/* The CPUID policy of the system (which: XEN_SYSCTL_cpu_policy_*) or of a domain (its number). The
 * caller frees *leaves. 0 or -EOPNOTSUPP. */
int release_policy(bool system, uint32_t which, xen_cpuid_leaf_t **leaves, uint32_t *n);

/* XEN_DOMCTL_SHADOW_OP_PEEK: pages looked at, or -1 and errno. bitmap may be NULL, stats not. */
long long release_peek(xc_interface *xch, uint32_t domid, xc_hypercall_buffer_t *bitmap,
		       unsigned long pages, xc_shadow_op_stats_t *stats);
/* XEN_DOMCTL_SHADOW_OP_OFF: 0, or -1 and errno. */
int release_log_dirty_off(xc_interface *xch, uint32_t domid);

#endif
