/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vstor as libxl's save helper: libxl runs $LIBXL_SAVE_HELPER, which toolstack users set to
 * ourselves, as `--save-domain ...` or `--restore-domain ...` (Xen: libxl_save_callout.c). The work
 * is libxl's own; the pre-copy policy is ours (xen/precopy.h), put in at link time by
 * --wrap=helper_setcallbacks_save.
 */
#ifndef XEN_SAVE_HELPER_H
#define XEN_SAVE_HELPER_H

int save_helper_main(int argc, char **argv);

/* Makes libxl run this very executable as its helper. 0 or -errno. */
int save_helper_install(void);

#endif
