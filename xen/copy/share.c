/* SPDX-License-Identifier: BSD-2-Clause */
#include "xen/copy/share.h"

#include <glob.h>
#include <inttypes.h>
#include <stdio.h>

#include "core/bytes.h"
#include "core/log.h"

#define BEFORE_NS (200 * MS_NS) /* less tells little of what they do alone */
#define STARVED	  0.05		/* of the most that they did: less is idle */
#define SETTLES	  4u   /* of a trial this part, until a change of pace has reached the disks */
#define GAIN	  1.25 /* what the disks do more when it yields: less may be chance */
#define FAIRER	  1.5  /* and the product of what both get: yielding takes long */

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

/* Requests a second between two counts. */
static double per_second(uint64_t from, uint64_t to, uint64_t ns)
{
	return to > from && ns ? (double)(to - from) * SEC_NS / (double)ns : 0;
}

/* The product of what both get is greatest where neither has much at the cost of the other: a
 * stream that starves them is to yield, one that has its share is not made to last twice as long.
 * (Kelly 1997, proportional fairness.) */
static bool pays(const struct share_choice *c)
{
	return c->requests[1] >= GAIN * c->requests[0] &&
	       c->requests[1] * c->bytes[1] > FAIRER * c->requests[0] * c->bytes[0];
}

static void begin(struct share_choice *c, int does, uint64_t now)
{
	c->does = does;
	c->since = now;
	c->from.at = 0;
}

static void choose(struct share_choice *c, uint64_t now)
{
	bool yields = pays(c);

	log_debug("disks: at most %.0f requests/s; %.0f beside %.2f MB/s, %.0f beside %.2f MB/s of "
		  "a stream that yields: it %s",
		  c->most, c->requests[0], c->bytes[0] / 1e6, c->requests[1], c->bytes[1] / 1e6,
		  yields ? "yields" : "does not");
	if (!yields)
		c->take_ns = c->take_ns ? MIN(2 * c->take_ns, (uint64_t)SHARE_TAKE_MOST_NS)
					: SHARE_TAKE_NS;
	begin(c, yields ? SHARE_YIELDS : SHARE_TAKES, now);
}

static void tried(struct share_choice *c, const struct share_count *now)
{
	int way = c->does == SHARE_TRIES_YIELDING;
	uint64_t ns = now->at - c->from.at;

	c->requests[way] = per_second(c->from.requests, now->requests, ns);
	c->bytes[way] = per_second(c->from.bytes, now->bytes, ns);
	c->most = MAX(c->most, c->requests[way]);
	if (c->bytes[way] <= 0) /* from which nothing is learnt */
		begin(c, SHARE_TRIES_YIELDING, now->at);
	else if (way)
		begin(c, SHARE_TRIES_TAKING, now->at);
	else
		choose(c, now->at);
}

/* Also those of which the stream has left little. */
static bool is_busy(const struct share_choice *c, const struct share_count *now)
{
	double rate = per_second(c->last.requests, now->requests, now->at - c->last.at);

	return c->last.at &&
	       (rate >= SHARE_BUSY || (c->most >= SHARE_BUSY && rate >= STARVED * c->most));
}

/* How long it does what it does. */
static uint64_t span(const struct share_choice *c)
{
	switch (c->does) {
	case SHARE_TRIES_TAKING: return SHARE_TRY_TAKING_NS;
	case SHARE_TRIES_YIELDING: return SHARE_TRY_YIELDING_NS;
	case SHARE_YIELDS: return SHARE_YIELD_NS;
	default: return c->take_ns;
	}
}

bool share_choose(struct share_choice *c, const struct share_count *now)
{
	bool busy = is_busy(c, now);
	uint64_t ns = now->at - c->since;

	c->last = *now;
	if (!busy) {
		/* Of whom it takes nothing. What has not been tried to the end has to begin again;
		 * what came of a trial stands. */
		if (c->does == SHARE_TRIES_TAKING || c->does == SHARE_TRIES_YIELDING)
			*c = (struct share_choice){
				.most = c->most, .last = c->last, .take_ns = c->take_ns};
		return false;
	}
	if (!c->from.at && ns >= span(c) / SETTLES)
		c->from = *now;
	/* There is nothing to try while its source is what the stream waits for. */
	if (ns >= span(c) && (c->does != SHARE_TAKES || now->waits)) {
		if (c->does == SHARE_TAKES || c->does == SHARE_YIELDS)
			begin(c, SHARE_TRIES_YIELDING, now->at);
		else
			tried(c, now);
	}
	return c->does >= SHARE_TRIES_YIELDING;
}

static struct share_count count(const struct share *s)
{
	return (struct share_count){clock_ns(), share_requests(s->domid), s->yield.acked,
				    yield_waits(&s->yield)};
}

static void step(void *arg)
{
	struct share *s = arg;
	struct share_count now;

	if (clock_ns() - s->choice.last.at >= SHARE_LOOK_NS) {
		now = count(s);
		s->yields = share_choose(&s->choice, &now);
	}
	yield_step(&s->yield, clock_ns(), s->yields);
	loop_timer_set(s->loop, &s->timer, YIELD_STEP_NS, step, s);
}

void share_watch(struct share *s, uint32_t domid)
{
	*s = (struct share){.domid = domid};
	s->watched = count(s);
}

void share_start(struct share *s, struct loop *l, struct channel *c)
{
	int fd = channel_socket(c);
	struct share_count now;

	if (fd < 0 || yield_init(&s->yield, fd))
		return;
	now = count(s);
	if (now.at - s->watched.at >= BEFORE_NS)
		s->choice.most =
			per_second(s->watched.requests, now.requests, now.at - s->watched.at);
	s->choice.last = now;
	s->loop = l;
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
