/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The monitor: a process for each guest that vstor has brought here, or brought back. It does what
 * the xl that created a guest stays for: the guest's on_poweroff, on_reboot, on_crash and
 * on_watchdog (Xen: xl.cfg(5) "Event Actions"). In `ps` it is `vstor monitor NAME`; it ends with
 * the guest.
 */
#ifndef XEN_MONITOR_H
#define XEN_MONITOR_H

#include "xen/toolstack.h"

/*
 * Starts one for a domain of this host, by name or number, and does not wait for it; it outlives
 * us. announce: it tells the network first that the guest is here (net/announce.h). To be called
 * when the guest runs. There is never more than one for a guest: one more ends by itself. (Only
 * vstor's are counted. xl's own has ended if the guest was suspended since it was created here, and
 * is still there if it was not: then no other may be started.) 0 or -errno, after one logged line.
 */
int monitor_start(const char *domain, bool announce);

/* Is one: returns when the guest has come to its end, with an exit status. Logs what it does. */
int monitor_run(struct loop *l, struct toolstack *t, const char *domain, bool announce);

/* ---- its decisions, apart from libxl so that they can be tested ---- */

/* What the configuration wants done with a guest that has shut down. */
libxl_action_on_shutdown monitor_action(const libxl_domain_config *c, libxl_shutdown_reason reason);
/* How long to wait before a guest is started again that has lived so long, after having waited so
 * long the last time (0: there was none): longer each time that it does not live. */
uint64_t monitor_gap(uint64_t life_ns, uint64_t last_ns);

#endif
