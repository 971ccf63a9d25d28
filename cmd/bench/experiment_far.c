/* SPDX-License-Identifier: BSD-2-Clause */
/* The host that the guest goes to, by an agent there: what it is, how fast the link to it is, how
 * busy it is. It can be done without. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "cmd/bench/experiment.h"

#define PROBED_AT_LEAST (64u << 10) /* bytes: less says nothing of a link */

static void over(struct experiment *x)
{
	x->far.done = true;
	experiment_link_known(x);
	experiment_collected(x);
}

static void on_ready(void *arg, const char *what)
{
	struct experiment *x = arg;

	if (x->far.there) /* again, after the link was broken */
		return;
	x->far.there = true;
	snprintf(x->far.is, sizeof(x->far.is), "%s", what);
	agent_link_probe(&x->far.link);
}

static void on_probed(void *arg, uint64_t bytes, uint64_t ns)
{
	struct experiment *x = arg;

	if (ns && bytes >= PROBED_AT_LEAST)
		x->far.link_mbit = (double)bytes * 8e3 / (double)ns;
	else
		experiment_missing(x, "the rate of the link to %s: it took too little", x->o.host);
	experiment_link_known(x);
}

static void on_clock(void *arg, int64_t offset_ns, uint64_t round_trip_ns)
{
	struct experiment *x = arg;

	(void)round_trip_ns;
	x->far.offset = offset_ns;
	x->far.known = true;
}

static void on_line(void *arg, unsigned id, const char *text)
{
	(void)arg;
	(void)id;
	(void)text;
}

static void on_failed(void *arg, unsigned id, const char *text)
{
	(void)id;
	experiment_missing(arg, "the other host's CPU: %s", text);
}

static void on_result(void *arg, unsigned id, struct buf *json, int status, const char *text)
{
	struct experiment *x = arg;

	(void)id;
	(void)status;
	(void)text;
	buf_put_u8(json, '\0');
	buf_free(&x->far.json);
	x->far.json = *json;
}

static void on_done(void *arg)
{
	over(arg);
}

static void on_lost(void *arg, const char *text)
{
	experiment_missing(arg, "the other host: %s", text);
	over(arg);
}

static const struct agent_ops ops = {.ready = on_ready,
				     .clock = on_clock,
				     .probed = on_probed,
				     .line = on_line,
				     .failed = on_failed,
				     .result = on_result,
				     .done = on_done,
				     .lost = on_lost};

void experiment_far_open(struct experiment *x)
{
	x->far.link_mbit = NAN;
	if (!x->o.far_agent) { /* it was not asked for */
		over(x);
	} else if (agent_link_open(x->loop, &x->far.link, x->o.far_agent, x->o.key_file, &ops, x)) {
		experiment_missing(x, "the other host: its agent cannot be reached");
		over(x);
	}
}

void experiment_far_start(struct experiment *x)
{
	static const char *const words[] = {"host", "--duration", "0", NULL};

	if (x->far.done)
		return;
	if (!x->far.there) {
		experiment_missing(x, "the other host's CPU: its agent does not answer");
		agent_link_close(&x->far.link);
		x->far.done = true;
		return;
	}
	agent_link_reset(&x->far.link);
	agent_link_start(&x->far.link, 0, words);
	agent_link_ask_clock(&x->far.link);
}

void experiment_far_stop(struct experiment *x)
{
	if (!x->far.done)
		agent_link_stop(&x->far.link);
}
