/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vstor as libxl's save helper: libxl runs $LIBXL_SAVE_HELPER, which toolstack users set to
 * ourselves, as `--save-domain ...` or `--restore-domain ...` (Xen: libxl_save_callout.c). The work
 * is libxl's own; the pre-copy policy is ours (xen/copy/precopy.h), put in at link time by
 * --wrap=helper_setcallbacks_save.
 */
#ifndef XEN_SAVE_HELPER_H
#define XEN_SAVE_HELPER_H

#include <stdint.h>
#include <sys/types.h>

int save_helper_main(int argc, char **argv);

/* The process that saves this domain at the moment, ours or another toolstack's: 0, none. */
pid_t save_helper_of(uint32_t domid);

/* Makes libxl run this very executable as its helper. 0 or -errno. */
int save_helper_install(void);

/*
 * What a domain's save helper is told, beyond what libxl tells it. A process may save several
 * domains at a time, and its helpers inherit one environment: so the variable's name has the domain
 * number in it. NULL forgets it. 0 or -errno.
 */
int save_helper_set(uint32_t domid, const char *name, const char *value);
/* In the helper. NULL: not told. */
const char *save_helper_get(uint32_t domid, const char *name);

#endif
