/* SPDX-License-Identifier: BSD-2-Clause */
#include "xen/share.h"

#include <glob.h>
#include <inttypes.h>
#include <stdio.h>

#define LOOK_NS (500 * MS_NS)

const char *share_backends = "/sys/bus/xen-backend/devices";

uint64_t share_requests(uint32_t domid)
{
	char pattern[256];
	uint64_t sum = 0, n;
	glob_t files;

	snprintf(pattern, sizeof(pattern), "%s/vbd-%" PRIu32 "-*/statistics/[rw][dr]_req",
		 share_backends, domid);
	if (glob(pattern, 0, NULL, &files))
		return 0;
	for (size_t i = 0; i < files.gl_pathc; i++) {
		FILE *f = fopen(files.gl_pathv[i], "re");

		if (f && fscanf(f, "%" SCNu64, &n) == 1)
			sum += n;
		if (f)
			fclose(f);
	}
	globfree(&files);
	return sum;
}

static void step(void *arg)
{
	struct share *s = arg;
	uint64_t now = clock_ns(), requests;

	if (now - s->looked_at >= LOOK_NS) {
		requests = share_requests(s->domid);
		s->busy =
			requests > s->requests && (double)(requests - s->requests) * SEC_NS >=
							  SHARE_BUSY * (double)(now - s->looked_at);
		s->requests = requests;
		s->looked_at = now;
	}
	yield_step(&s->yield, now, s->busy);
	loop_timer_set(s->loop, &s->timer, YIELD_STEP_NS, step, s);
}

void share_start(struct share *s, struct loop *l, struct channel *c, uint32_t domid)
{
	int fd = channel_socket(c);

	*s = (struct share){.domid = domid, .looked_at = clock_ns()};
	if (fd < 0 || yield_init(&s->yield, fd))
		return;
	s->loop = l;
	s->requests = share_requests(domid);
	loop_timer_set(l, &s->timer, YIELD_STEP_NS, step, s);
}

void share_stop(struct share *s)
{
	if (!s->loop)
		return;
	loop_timer_del(s->loop, &s->timer);
	yield_step(&s->yield, clock_ns(), false);
	s->loop = NULL;
}
