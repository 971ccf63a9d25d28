/* SPDX-License-Identifier: BSD-2-Clause */
/* vstor recover: says where a guest is after a migration that went wrong, and resumes it. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <libxl_utils.h>

#include "cmd/cmd.h"
#include "core/json.h"
#include "core/log.h"
#include "core/opts.h"
#include "xen/handover.h"
#include "xen/save_helper.h"
#include "xen/settle.h"

#define EXIT_STOPPED 3

struct run {
	struct loop *loop;
	struct toolstack *t;
	struct guest guest;
	struct settle settle;
	bool json;
};

static bool ends_with(const char *name, const char *end)
{
	size_t n = strlen(name), k = strlen(end);

	return n > k && strcmp(name + n - k, end) == 0;
}

static void print(const struct run *r, const char *words)
{
	struct json j;

	if (!r->json) {
		printf("domain %s: it %s\n", r->guest.name, words);
		return;
	}
	json_begin(&j, stdout);
	json_object(&j, NULL);
	json_string(&j, "domain", r->guest.name);
	json_u64(&j, "domid", r->guest.domid);
	json_string(&j, "guest", words);
	json_object_end(&j);
	json_end(&j);
}

static void on_settled(void *arg, enum settle_is is)
{
	struct run *r = arg;
	bool runs = is == SETTLE_RUNS || is == SETTLE_RESUMED || is == SETTLE_PENDING;

	print(r, settle_words(is));
	if (is == SETTLE_STRANDED)
		log_error("domain %s: cannot be resumed: %s; its memory is whole: `xl dump-core` "
			  "keeps it, or destroy it and start it again",
			  r->guest.name, r->settle.cause);
	loop_stop(r->loop, runs ? 0 : is == SETTLE_STRANDED ? EXIT_STOPPED : 1);
}

/* What only its user can decide: 0, or an exit status after one logged line. */
static int refuse(struct run *r)
{
	const char *name = r->guest.name;
	int plain = (int)strlen(name);

	if (ends_with(name, HANDOVER_AWAY)) {
		plain -= (int)strlen(HANDOVER_AWAY);
		print(r, "has been handed over");
		log_error("domain %s: it may run on the other host: look there; if it does, `xl "
			  "destroy %s` here; if it does not and never will, `xl rename %s %.*s` "
			  "and `vstor recover %.*s`; never let both run",
			  name, name, name, plain, name, plain, name);
		return EXIT_STOPPED;
	}
	if (ends_with(name, HANDOVER_INCOMING)) {
		print(r, "is half received");
		log_error("domain %s: the other host has it still, unless it has handed it over: "
			  "a `vstor receive` that starts here finishes or undoes it",
			  name);
		return 1;
	}
	if (save_helper_of(r->guest.domid)) {
		log_error("domain %s: somebody saves or migrates it at the moment (process %d): "
			  "wait, or end that",
			  name, (int)save_helper_of(r->guest.domid));
		return 1;
	}
	return 0;
}

/* The guest of this name, or what a migration has made of its name. */
static int find(struct run *r, const char *domain)
{
	char away[GUEST_NAME_MAX + sizeof(HANDOVER_AWAY)];
	libxl_ctx *ctx = toolstack_ctx(r->t);
	uint32_t domid;

	snprintf(away, sizeof(away), "%.*s%s", GUEST_NAME_MAX, domain, HANDOVER_AWAY);
	if (libxl_domain_qualifier_to_domid(ctx, domain, &domid) &&
	    !libxl_name_to_domid(ctx, away, &domid))
		return guest_find(r->t, away, &r->guest);
	return guest_find(r->t, domain, &r->guest);
}

static int run(struct run *r, const char *domain)
{
	struct settle_guest g = {0};
	int status = 1, claim = -1;

	r->loop = loop_new();
	if (!r->loop || toolstack_open(r->loop, &r->t) || find(r, domain))
		goto out;
	claim = handover_claim(r->guest.uuid);
	if (claim < 0) {
		log_error(claim == -EBUSY ? "domain %s: it is being migrated at the moment, or "
					    "put back after that: wait"
					  : "domain %s: cannot keep its lock in /run/vstor: %s",
			  r->guest.name, strerror(-claim));
		goto out;
	}
	status = refuse(r);
	if (status)
		goto out;
	g.domid = r->guest.domid;
	snprintf(g.name, sizeof(g.name), "%s", r->guest.name);
	g.throttled = handover_noted_cap(claim, g.domid, &g.cap);
	settle_start(&r->settle, r->t, r->loop, &g, on_settled, r);
	status = loop_run(r->loop);
	settle_stop(&r->settle);
	if (g.throttled && !r->settle.slow)
		handover_forget_cap(claim);
out:
	guest_fini(&r->guest);
	if (claim >= 0)
		close(claim);
	toolstack_close(r->t);
	loop_free(r->loop);
	return status;
}

int cmd_recover(int argc, char **argv)
{
	struct run r = {0};
	const struct opt table[] = {{.type = OPT_END}};
	const struct opts o = {
		.name = "recover",
		.synopsis = "DOMAIN",
		.description = "Says where a guest is after a migration that went wrong, and "
			       "resumes it if it is\nsuspended here.",
		.table = table,
		.json = &r.json,
		.min_operands = 1,
		.max_operands = 1,
		.epilog = "Exit status: 0 it runs here; 1 it does not, or nothing was done: the "
			  "message says why;\n2 usage; 3 it is stopped here, and only you can "
			  "decide.\n",
	};
	int rc = opts_parse(&o, argc, argv);

	return rc < 0 ? opts_exit(rc) : run(&r, argv[1]);
}
