/* SPDX-License-Identifier: BSD-2-Clause */
/* vstor recover: says where a guest is after a migration that went wrong, and finishes or undoes
 * what was cut off. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <libxl_utils.h>

#include "cmd/cmd.h"
#include "cmd/way.h"
#include "core/bytes.h"
#include "core/json.h"
#include "core/log.h"
#include "core/opts.h"
#include "xen/guest_claim.h"
#include "xen/migration/handover.h"
#include "xen/fence/leftover.h"
#include "xen/migration/recovery.h"
#include "xen/copy/save_helper.h"
#include "xen/migration/settle.h"

#define EXIT_STOPPED 3
#define ASK_NS	     (60 * SEC_NS)

struct run {
	struct loop *loop;
	struct toolstack *t;
	struct guest guest;
	struct settle settle;
	struct handover_sweep sweep;
	struct departed departed;
	bool json, release;
	struct json out;
	bool told; /* where the guest is, or why that is not known */
};

static bool ends_with(const char *name, const char *end)
{
	size_t n = strlen(name), k = strlen(end);

	return n > k && strcmp(name + n - k, end) == 0;
}

static void print(struct run *r, const char *words)
{
	r->told = true;
	if (!r->json) {
		printf("domain %s: it %s\n", r->guest.name, words);
		return;
	}
	json_object(&r->out, NULL);
	json_string(&r->out, "domain", r->guest.name);
	json_u64(&r->out, "domid", r->guest.domid);
	json_string(&r->out, "guest", words);
	json_object_end(&r->out);
	fflush(stdout);
}

/* For whoever reads --json, when only a line of the log has told. */
static void print_failed(struct run *r, const char *name)
{
	if (!r->json || r->told)
		return;
	json_object(&r->out, NULL);
	json_string(&r->out, "domain", name);
	json_string(&r->out, "guest", NULL);
	json_string(&r->out, "cause", log_last_error());
	json_object_end(&r->out);
	fflush(stdout);
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

	if (ends_with(name, GUEST_AWAY)) {
		plain -= (int)strlen(GUEST_AWAY);
		print(r, "has been handed over");
		log_error("domain %s: it may run on the other host: look there; if it does, `xl "
			  "destroy %s` here; if it does not and never will, `xl rename %s %.*s` "
			  "and `vstor recover %.*s`; never let both run",
			  name, name, name, plain, name, plain, name);
		return EXIT_STOPPED;
	}
	if (ends_with(name, GUEST_INCOMING)) {
		print(r, "is being received");
		log_error("domain %s: a vstor receive has it: wait, or end that", name);
		return 1;
	}
	if (save_helper_of(r->guest.domid)) {
		print(r, "is being saved or migrated");
		log_error("domain %s: somebody saves or migrates it at the moment (process %d): "
			  "wait, or end that",
			  name, (int)save_helper_of(r->guest.domid));
		return 1;
	}
	return 0;
}

/* The guest of this name, or what a migration has made of its name. False: there is none. */
static bool find(struct run *r, const char *domain)
{
	char away[GUEST_NAME_MAX + sizeof(GUEST_AWAY)];
	libxl_ctx *ctx = toolstack_ctx(r->t);
	uint32_t domid;

	snprintf(away, sizeof(away), "%.*s%s", GUEST_NAME_MAX, domain, GUEST_AWAY);
	if (libxl_domain_qualifier_to_domid(ctx, domain, &domid) == 0)
		return guest_find(r->t, domain, &r->guest) == 0;
	return libxl_name_to_domid(ctx, away, &domid) == 0 &&
	       guest_find(r->t, away, &r->guest) == 0;
}

/* By the journal of the migration that was cut off. */
static int by_journal(struct run *r, int claim)
{
	const struct departed *d = &r->departed;
	struct way way = {.port = d->port,
			  .ssh = d->ssh[0] ? d->ssh : NULL,
			  .key_file = d->key_file[0] ? d->key_file : NULL};
	struct recovery_note note = d->note;
	struct recovery_result is;
	char words[1024];
	int status = 0, rc;

	/* The domain of another boot is gone, whatever has its number. */
	if (!d->this_boot || !r->guest.domid)
		note.guest.domid = 0;
	snprintf(r->guest.name, sizeof(r->guest.name), "%s", note.guest.name);
	if (way_choose(&way, d->host)) {
		way_fini(&way);
		return EXIT_STOPPED;
	}
	note.guest.throttled = guest_claim_noted_cap(claim, note.guest.domid, &note.guest.cap);
	is = recovery_run(&note, &way.to, ASK_NS);
	way_fini(&way);
	switch (is.end) {
	case RECOVERY_HERE:
		print(r, settle_words(is.settled));
		status = is.settled <= SETTLE_PENDING	 ? 0
			 : is.settled == SETTLE_STRANDED ? EXIT_STOPPED
							 : 1;
		break;
	case RECOVERY_THERE:
		snprintf(words, sizeof(words), "was handed over to %s, and is gone here", d->host);
		print(r, words);
		break;
	case RECOVERY_ENDED:
		print(r, "was not handed over, and ended with this host: start it again");
		status = 1;
		break;
	case RECOVERY_OPEN:
		snprintf(words, sizeof(words),
			 "may run on %s, which does not say%s%s%s: look there, or ask again later; "
			 "do not start it here before",
			 d->host, is.cause[0] ? " (" : "", is.cause, is.cause[0] ? ")" : "");
		print(r, words);
		return EXIT_STOPPED;
	}
	if (note.guest.throttled && !is.slow)
		guest_claim_forget_cap(claim);
	rc = status == EXIT_STOPPED ? 0 : ledger_remove(note.uuid);
	if (rc)
		log_warn("its journal %s/%s cannot be removed: %s", ledger_dir, note.uuid,
			 strerror(-rc));
	return status;
}

static int without_journal(struct run *r, int claim)
{
	struct settle_guest g = {.domid = r->guest.domid};
	int status = refuse(r);

	if (status)
		return status;
	snprintf(g.name, sizeof(g.name), "%s", r->guest.name);
	g.throttled = guest_claim_noted_cap(claim, g.domid, &g.cap);
	settle_start(&r->settle, r->t, r->loop, &g, on_settled, r);
	status = loop_run(r->loop);
	settle_stop(&r->settle);
	if (g.throttled && !r->settle.slow)
		guest_claim_forget_cap(claim);
	return status;
}

static void on_swept(void *arg)
{
	struct run *r = arg;

	loop_stop(r->loop, 0);
}

/* One guest; domain NULL: the one that r->departed is of. */
static int recover(struct run *r, const char *domain)
{
	const char *name = domain ? domain : r->departed.note.guest.name;
	bool here = find(r, name);
	int journal = 0, claim, status;

	if (domain)
		journal = here ? departure_read(r->guest.uuid, &r->departed)
			       : departure_find(domain, &r->departed);
	if (!here && journal) {
		log_error("%s: no such domain here, and no migration of one was cut off", domain);
		return 1;
	}
	claim = guest_claim(here ? r->guest.uuid : r->departed.note.uuid);
	if (claim < 0) {
		log_error(claim == -EBUSY ? "domain %s: it is being migrated at the moment, or "
					    "put back after that: wait"
					  : "domain %s: cannot keep its lock in /run/vstor: %s",
			  name, strerror(-claim));
		return 1;
	}
	if (journal && journal != -ENOENT) {
		log_error("domain %s: the journal of its last migration, %s/%s, is not heeded: %s; "
			  "if it runs on no other host, remove that file",
			  name, ledger_dir, r->guest.uuid, ledger_cause(journal));
		status = EXIT_STOPPED;
	} else {
		status = journal ? without_journal(r, claim) : by_journal(r, claim);
	}
	close(claim);
	return status;
}

static int run(struct run *r, const char *domain)
{
	struct departed *all = NULL;
	unsigned n = 0;
	int status = 1, rc;

	/* With DOMAIN one object, without it an array: of as many as there are, or none. */
	if (r->json) {
		json_begin(&r->out, stdout);
		if (!domain)
			json_array(&r->out, NULL);
	}
	r->loop = loop_new();
	if (!r->loop || toolstack_open(r->loop, &r->t))
		goto out;
	/* What killed receivers have left comes first: it may be the guest. */
	handover_sweep(&r->sweep, r->t, r->loop, true, on_swept, r);
	loop_run(r->loop);
	if (r->release) {
		status = leftover_release(r->t, domain);
		goto out;
	}
	if (domain) {
		status = recover(r, domain);
		guest_fini(&r->guest);
		goto out;
	}
	n = departure_all(&all);
	status = 0;
	for (unsigned i = 0; i < n; i++) {
		r->departed = all[i];
		r->told = false;
		rc = recover(r, NULL);
		print_failed(r, all[i].note.guest.name);
		guest_fini(&r->guest);
		r->guest = (struct guest){0};
		status = MAX(status, rc);
	}
	if (!n && !r->json)
		printf("no migration was cut off here\n");
out:
	if (r->json) {
		if (domain)
			print_failed(r, domain);
		else
			json_array_end(&r->out);
		json_end(&r->out);
	}
	free(all);
	toolstack_close(r->t);
	loop_free(r->loop);
	return status;
}

int cmd_recover(int argc, char **argv)
{
	struct run r = {0};
	const struct opt table[] = {
		{.name = "release",
		 .type = OPT_FLAG,
		 .out = &r.release,
		 .help = "give up what this host has reserved of DOMAIN's disks, or of all, and "
			 "no guest here needs"},
		{.type = OPT_END},
	};
	const struct opts o = {
		.name = "recover",
		.synopsis = "[--release] [DOMAIN]",
		.description = "Says where a guest is after a migration that went wrong, and "
			       "finishes or undoes what was\ncut off: asks the other host, resumes "
			       "the guest if it is suspended here. Without\nDOMAIN: every guest of "
			       "which a migration was cut off.",
		.table = table,
		.json = &r.json,
		.min_operands = 0,
		.max_operands = 1,
		.epilog = "Exit status: 0 it runs, here or there: the message says where; 1 it "
			  "does not, or nothing was\ndone: the message says why; 2 usage; 3 it "
			  "is not known, or stopped here: only you can decide.\n",
	};
	int rc = opts_parse(&o, argc, argv);

	if (rc < 0)
		return opts_exit(rc);
	if (r.release && r.json) {
		log_error(
			"--release prints the commands that it gives to disks, and has no --json");
		return 2;
	}
	return run(&r, rc ? argv[1] : NULL);
}
