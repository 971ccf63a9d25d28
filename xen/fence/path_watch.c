/* SPDX-License-Identifier: BSD-2-Clause */
#include "xen/fence/path_watch.h"

#include <string.h>

#define LOOK_NS (1 * SEC_NS)

static void look(void *arg);

static void again(struct path_watch *w)
{
	loop_timer_set(w->loop, &w->timer, LOOK_NS, look, w);
}

static void on_mended(void *arg, enum referee_says says)
{
	struct path_watch *w = arg;

	if (says != REFEREE_WON) /* all of them once more */
		memset(w->known, 0, sizeof(w->known));
	fencing_fini(&w->fencing);
	again(w);
}

/* Whether there are any that were not there before. */
static bool have_come(struct path_watch *w)
{
	bool is = false;

	for (unsigned i = 0; i < w->r.n; i++) {
		struct paths now, *known = &w->known[i];
		unsigned k = 0;

		paths_list(w->r.disk[i].path, false, &now);
		for (unsigned n = 0; n < now.n && !is; n++) {
			for (k = 0; k < known->n && strcmp(now.path[n], known->path[k]); k++)
				;
			is = k == known->n;
		}
		*known = now;
	}
	return is;
}

static void look(void *arg)
{
	struct path_watch *w = arg;

	if (have_come(w))
		fencing_start(&w->fencing, w->loop, FENCING_MEND, false, &w->r, 0, on_mended, w);
	else
		again(w);
}

void path_watch_start(struct path_watch *w, struct loop *l, const struct referee *r)
{
	*w = (struct path_watch){.loop = l};
	for (unsigned i = 0; i < r->n; i++)
		if (paths_is_map(r->disk[i].path))
			w->r.disk[w->r.n++] = r->disk[i];
	if (w->r.n)
		loop_timer_set(l, &w->timer, 0, look, w);
}

void path_watch_stop(struct path_watch *w)
{
	if (!w->loop)
		return;
	fencing_fini(&w->fencing);
	loop_timer_del(w->loop, &w->timer);
}
