/* SPDX-License-Identifier: BSD-2-Clause */
#include "xen/migration/evacuation.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <libxl_utils.h>

#include "core/log.h"
#include "core/self.h"
#include "xen/migration/survey.h"
#include "xen/turn.h"

#define SAMPLE_NS (2 * SEC_NS)
#define SURVEY_NS (30 * SEC_NS)
#define WORDS_MAX 32

struct host {
	struct evacuation *e;
	struct survey survey;
	struct host_facts before;
};

struct guest_here {
	char name[GUEST_NAME_MAX];
	uint32_t domid;
	uint64_t cpu_ns;
};

struct mover { /* a vstor migrate that runs */
	struct evacuation *e;
	struct loop_child child;
	pid_t pid; /* 0: none */
	unsigned guest;
};

struct evacuation {
	const struct evacuation_options *o;
	struct loop *loop;
	struct toolstack *t;
	struct loop_timer timer;
	struct turn turn;
	void (*planned)(void *arg);
	void (*done)(void *arg, int err);
	void *arg;
	bool stopping, ended;

	struct host hosts[PLAN_HOSTS_MAX];
	unsigned answered;
	struct guest_here guests[PLAN_GUESTS_MAX];
	unsigned n_guests;
	struct host_facts here;

	struct plan_host plan_hosts[PLAN_HOSTS_MAX]; /* the last one is this host */
	struct plan_guest plan_guests[PLAN_GUESTS_MAX];
	struct plan_step steps[PLAN_GUESTS_MAX];
	enum plan_why why[PLAN_GUESTS_MAX];
	char refusals[PLAN_GUESTS_MAX][256];
	enum evacuated is[PLAN_GUESTS_MAX];
	int status[PLAN_GUESTS_MAX];
	unsigned n_steps, next_step;

	/* The check under way: of which guest, by which host. */
	unsigned check_guest, check_host;
	int check_out;
	struct loop_child check;
	pid_t check_pid;

	struct mover movers[];
};

static void end(struct evacuation *e, int err)
{
	if (e->ended)
		return;
	e->ended = true;
	e->done(e->arg, err);
}

/* ---- vstor migrate ---- */

static unsigned append(const char **argv, unsigned n, const char *const *words)
{
	for (; words && *words && n < WORDS_MAX - 4; words++)
		argv[n++] = *words;
	return n;
}

static void words(const struct evacuation *e, unsigned host, unsigned guest, bool check,
		  const char *argv[WORDS_MAX])
{
	unsigned n = 0;

	argv[n++] = "vstor";
	argv[n++] = "migrate";
	if (check)
		argv[n++] = "--check";
	n = append(argv, n, e->o->way_words);
	if (!check)
		n = append(argv, n, e->o->move_words);
	argv[n++] = "--";
	argv[n++] = e->guests[guest].name;
	argv[n++] = e->o->ways[host].host;
	argv[n] = NULL;
}

/* ---- carried out ---- */

static void go_on(struct evacuation *e);

static void on_moved(void *arg, int status)
{
	struct mover *m = arg;
	struct evacuation *e = m->e;

	m->pid = 0;
	e->status[m->guest] = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
	e->is[m->guest] = e->status[m->guest] ? EVACUATE_FAILED : EVACUATE_MOVED;
	go_on(e);
}

static int start_move(struct evacuation *e, struct mover *m, const struct plan_step *s)
{
	int turn, rc;
	const char *argv[WORDS_MAX];

	words(e, s->host, s->guest, false, argv);
	m->e = e;
	m->guest = s->guest;
	turn = turn_hand(&e->turn);
	rc = turn < 0
		     ? turn
		     : self_spawn(argv, e->o->silent ? SELF_NULL : SELF_KEEPS, SELF_KEEPS, &m->pid);
	turn_handed(turn);
	if (rc) {
		log_error("domain %s: cannot run vstor migrate: %s", e->guests[s->guest].name,
			  strerror(-rc));
		return rc;
	}
	e->is[s->guest] = EVACUATE_MOVES;
	loop_child_add(e->loop, &m->child, m->pid, on_moved, m);
	return 0;
}

/* As many at a time as the user allows; their pauses take turns (xen/turn.h). */
static void go_on(struct evacuation *e)
{
	unsigned running = 0;

	for (unsigned i = 0; i < e->o->parallel; i++) {
		struct mover *m = &e->movers[i];

		while (!m->pid && !e->stopping && e->next_step < e->n_steps) {
			const struct plan_step *s = &e->steps[e->next_step++];

			if (start_move(e, m, s)) {
				e->is[s->guest] = EVACUATE_FAILED;
				e->status[s->guest] = 1;
			}
		}
		running += m->pid != 0;
	}
	if (!running)
		end(e, 0);
}

/* ---- the checks, and the plan ---- */

static void make_plan(struct evacuation *e)
{
	const struct evacuation_options *o = e->o;

	if (o->balance) {
		e->n_steps = plan_balance(e->plan_guests, e->n_guests, e->plan_hosts,
					  o->n_hosts + 1, o->n_hosts, e->steps);
		for (unsigned i = 0; i < e->n_guests; i++)
			e->why[i] = PLAN_NOT_ACCEPTED;
		for (unsigned i = 0; i < e->n_steps; i++)
			e->why[e->steps[i].guest] = PLAN_PLACED;
	} else {
		e->n_steps = plan_evacuate(e->plan_guests, e->n_guests, e->plan_hosts, o->n_hosts,
					   e->steps, e->why);
	}
	e->planned(e->arg);
	if (o->plan_only)
		end(e, 0);
	else
		go_on(e);
}

static void check_next(struct evacuation *e);

/* Of "... cannot be moved to HOST: CAUSE" what comes from HOST on. */
static void keep_refusal(struct evacuation *e)
{
	static const char before[] = ": cannot be moved to ";
	char text[1024], *said;
	ssize_t n = read(e->check_out, text, sizeof(text) - 1);

	text[n > 0 ? n : 0] = 0;
	said = strstr(text, before);
	said = said ? said + strlen(before) : text;
	said[strcspn(said, "\n")] = 0;
	snprintf(e->refusals[e->check_guest], sizeof(e->refusals[0]), "%.250s", said);
}

static void on_checked(void *arg, int status)
{
	struct evacuation *e = arg;

	e->check_pid = 0;
	if (status == 0)
		e->plan_guests[e->check_guest].accepted |= 1ull << e->check_host;
	else
		keep_refusal(e);
	close(e->check_out);
	e->check_out = -1;
	if (++e->check_host == e->o->n_hosts) {
		e->check_host = 0;
		e->check_guest++;
	}
	check_next(e);
}

/* One after the other: two checks of one guest would be in each other's way. */
static void check_next(struct evacuation *e)
{
	const char *argv[WORDS_MAX];
	int out[2] = {-1, -1}, rc;

	if (e->stopping) {
		log_error("interrupted: nothing has been moved");
		end(e, -ECANCELED);
		return;
	}
	if (e->check_guest == e->n_guests) {
		make_plan(e);
		return;
	}
	rc = pipe2(out, O_CLOEXEC | O_NONBLOCK) ? -errno : 0;
	words(e, e->check_host, e->check_guest, true, argv);
	if (!rc)
		rc = self_spawn(argv, SELF_NULL, out[1], &e->check_pid);
	if (out[1] >= 0)
		close(out[1]);
	e->check_out = out[0];
	if (rc) {
		log_error("cannot run vstor migrate: %s", strerror(-rc));
		end(e, rc);
		return;
	}
	loop_child_add(e->loop, &e->check, e->check_pid, on_checked, e);
}

/* ---- what there is ---- */

static uint64_t cpu_time(const struct evacuation *e, const struct guest_here *g)
{
	libxl_dominfo info;
	uint64_t ns = g->cpu_ns;

	libxl_dominfo_init(&info);
	if (!libxl_domain_info(toolstack_ctx(e->t), &info, g->domid))
		ns = info.cpu_time;
	libxl_dominfo_dispose(&info);
	return ns;
}

static void put_host(struct plan_host *to, const char *name, const struct host_facts *before,
		     const struct host_facts *now)
{
	*to = (struct plan_host){.name = name,
				 .free_kib = now->free_kib,
				 .total_kib = now->total_kib,
				 .cpus = now->cpus,
				 .load = host_load(before, now)};
}

static void all_known(struct evacuation *e)
{
	const struct evacuation_options *o = e->o;
	struct host_facts now;

	if (host_facts(e->t, &now)) {
		log_error("this host: the hypervisor does not say what it has");
		end(e, -EIO);
		return;
	}
	for (unsigned i = 0; i < e->n_guests; i++) {
		const struct guest_here *g = &e->guests[i];

		e->plan_guests[i].load =
			(double)(cpu_time(e, g) - g->cpu_ns) / (double)(now.at_ns - e->here.at_ns);
	}
	for (unsigned i = 0; i < o->n_hosts; i++)
		put_host(&e->plan_hosts[i], o->ways[i].host, &e->hosts[i].before,
			 &e->hosts[i].survey.facts);
	put_host(&e->plan_hosts[o->n_hosts], "this host", &e->here, &now);
	check_next(e);
}

static void survey_all(void *arg);

static void on_surveyed(void *arg, int err)
{
	struct host *h = arg;
	struct evacuation *e = h->e;

	if (err && !e->ended)
		log_error("%s: cannot be asked what it has: %s", h->survey.way->host,
			  h->survey.cause);
	if (err) {
		end(e, err);
		return;
	}
	if (++e->answered < e->o->n_hosts || e->ended)
		return;
	if (e->hosts[0].before.at_ns) {
		all_known(e);
		return;
	}
	for (unsigned i = 0; i < e->o->n_hosts; i++)
		e->hosts[i].before = e->hosts[i].survey.facts;
	loop_timer_set(e->loop, &e->timer, e->o->sample_ns ? e->o->sample_ns : SAMPLE_NS,
		       survey_all, e);
}

static void survey_all(void *arg)
{
	struct evacuation *e = arg;

	e->answered = 0;
	for (unsigned i = 0; i < e->o->n_hosts; i++) {
		e->hosts[i].e = e;
		survey_start(&e->hosts[i].survey, e->loop, &e->o->ways[i], SURVEY_NS, on_surveyed,
			     &e->hosts[i]);
	}
}

/* Every guest but dom0 and what is dead; a paused one too, so that it is told why it stays. */
static int find_guests(struct evacuation *e)
{
	libxl_ctx *ctx = toolstack_ctx(e->t);
	int n;
	libxl_dominfo *list = libxl_list_domain(ctx, &n);

	if (!list)
		return -EIO;
	for (int i = 0; i < n && e->n_guests < PLAN_GUESTS_MAX; i++) {
		struct guest_here *g = &e->guests[e->n_guests];
		char *name;

		if (!list[i].domid || list[i].dying || list[i].shutdown)
			continue;
		name = libxl_domid_to_name(ctx, list[i].domid);
		snprintf(g->name, sizeof(g->name), "%s", name ? name : "");
		free(name);
		g->domid = list[i].domid;
		g->cpu_ns = list[i].cpu_time;
		e->plan_guests[e->n_guests++] = (struct plan_guest){
			.name = g->name,
			.kib = list[i].max_memkb +
			       libxl_get_required_shadow_memory(list[i].max_memkb,
								list[i].vcpu_max_id + 1),
		};
	}
	libxl_dominfo_list_free(list, n);
	return 0;
}

int evacuation_start(struct loop *l, struct toolstack *t, const struct evacuation_options *o,
		     void (*planned)(void *arg), void (*done)(void *arg, int err), void *arg,
		     struct evacuation **out)
{
	struct evacuation *e = calloc(1, sizeof(*e) + o->parallel * sizeof(e->movers[0]));
	int rc;

	if (!e)
		return -ENOMEM;
	e->o = o;
	e->loop = l;
	e->t = t;
	e->check_out = -1;
	e->planned = planned;
	e->done = done;
	e->arg = arg;
	rc = find_guests(e) || host_facts(t, &e->here) ? -EIO : 0;
	if (rc)
		log_error("this host: the hypervisor does not say what it has");
	else
		rc = turn_open(&e->turn);
	if (rc) {
		evacuation_free(e);
		return rc;
	}
	loop_timer_set(l, &e->timer, 0, survey_all, e);
	*out = e;
	return 0;
}

void evacuation_cancel(struct evacuation *e)
{
	e->stopping = true;
	for (unsigned i = 0; i < e->o->parallel; i++)
		if (e->movers[i].pid)
			kill(e->movers[i].pid, SIGTERM);
}

void evacuation_state(const struct evacuation *e, struct evacuation_state *s)
{
	*s = (struct evacuation_state){
		.n_guests = e->n_guests,
		.n_steps = e->n_steps,
		.guests = e->plan_guests,
		.hosts = e->plan_hosts,
		.steps = e->steps,
		.why = e->why,
		.is = e->is,
		.status = e->status,
		.refusals = e->refusals,
	};
}

void evacuation_free(struct evacuation *e)
{
	if (!e)
		return;
	for (unsigned i = 0; i < e->o->n_hosts; i++)
		survey_stop(&e->hosts[i].survey);
	loop_timer_del(e->loop, &e->timer);
	turn_close(&e->turn);
	free(e);
}
