/* SPDX-License-Identifier: BSD-2-Clause */
#include "xen/device_watch.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include <xenstore.h>

/* xenstored answers in order: before this answer come the events of what was done before it. */
static bool events(struct device_watch *w)
{
	bool any = false;
	unsigned len;
	char **e;

	free(xs_read(w->xs, XBT_NULL, w->path, &len));
	while ((e = xs_check_watch(w->xs))) {
		any = true;
		free(e);
	}
	return any || errno != EAGAIN;
}

void device_watch_start(struct device_watch *w, const char *path)
{
	snprintf(w->path, sizeof(w->path), "%s", path);
	w->xs = xs_open(0);
	if (!w->xs)
		return;
	if (xs_watch(w->xs, w->path, "devices"))
		events(w); /* each watch begins with one */
	else
		device_watch_stop(w);
}

bool device_watch_touched(struct device_watch *w)
{
	return !w->xs || events(w);
}

void device_watch_stop(struct device_watch *w)
{
	if (w->xs)
		xs_close(w->xs);
	w->xs = NULL;
}
