/* SPDX-License-Identifier: BSD-2-Clause */
/* Whether a guest gets or loses devices, by what is written into xenstore when it does. */
#ifndef XEN_DEVICE_WATCH_H
#define XEN_DEVICE_WATCH_H

#include <stdbool.h>
#include <stdint.h>

struct xs_handle;

struct device_watch {
	struct xs_handle *xs; /* NULL: it cannot be watched */
	char path[64];
};

/* From now on; path: what is written there, or below. */
void device_watch_start(struct device_watch *w, const char *path);
/* Whether anything has been done to its devices, or may have been, until now. */
bool device_watch_touched(struct device_watch *w);
/* Harmless when all zero. */
void device_watch_stop(struct device_watch *w);

#endif
