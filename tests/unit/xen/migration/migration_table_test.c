/* SPDX-License-Identifier: BSD-2-Clause */
/* Every way through the two machines, together and alone: what they promise holds on all of them.
 */
#include "xen/migration/migration_table.h"

#include "core/bytes.h"
#include "tests/unit/check.h"
#include "xen/migration/handover.h"

/* ---- the sender alone ---- */

/* What has happened on a way to a state. */
struct past {
	bool go;      /* GO has been said */
	bool promise; /* the receiver has promised never to start it, or GO was never said */
	bool won;     /* it was found to be ours */
	bool running; /* the receiver has said that it runs there */
	bool taken;   /* it was found to be the receiver's */
	bool asked;
};

static unsigned int seen[SENDER_STATES];

static void check_action(const struct sender_row *row, const struct past *p)
{
	switch (row->action) {
	case SA_RESUME: CHECK(!p->go || p->won); break;
	case SA_RECLAIM: CHECK(p->promise); break;
	case SA_KEEP: CHECK(!p->go); break;
	case SA_DESTROY: CHECK(p->running || (p->asked && p->taken)); break;
	case SA_END_MOVED: CHECK(p->running || p->taken); break;
	case SA_END_HERE: CHECK(!p->running); break;
	case SA_END_UNKNOWN: CHECK(p->asked && !p->running); break;
	case SA_END_CHECKED: CHECK(!p->go); break;
	default: break;
	}
}

static void walk_sender(enum sender_state s, struct past p, unsigned int depth)
{
	seen[s]++;
	if (depth == 0 || s == S_END)
		return;
	for (int e = 0; e < SENDER_EVENTS; e++) {
		const struct sender_row *row = sender_step(s, (enum sender_event)e);
		struct past next = p;

		if (!row)
			continue;
		next.go |= row->action == SA_GO;
		next.asked |= row->action == SA_ASK;
		next.running |= e == SE_RUNNING;
		next.promise |= e == SE_FAILED;
		next.won |= e == SE_WON;
		next.taken |= e == SE_TAKEN;
		check_action(row, &next);
		walk_sender(row->next, next, depth - 1);
	}
}

static void test_no_way_leads_astray(void)
{
	walk_sender(S_CONNECT, (struct past){0}, SENDER_STATES + 2);
	for (int s = 0; s < SENDER_STATES; s++)
		CHECK(seen[s]);
}

static void test_point_of_no_return(void)
{
	CHECK(!sender_step(S_GO, SE_CANCEL));
	CHECK(!sender_step(S_DESTROY, SE_CANCEL));
	CHECK(!sender_step(S_GO, SE_UNDONE));
	CHECK_EQ(sender_step(S_GO, SE_LOST)->action, SA_TAKE);
	CHECK_EQ(sender_step(S_TAKE, SE_TAKEN)->action, SA_ASK);
	/* GO needs both, in either order. */
	CHECK_EQ(sender_step(S_SETTLE, SE_READY)->next, S_READY);
	CHECK_EQ(sender_step(S_READY, SE_QUIET)->action, SA_GO);
	CHECK_EQ(sender_step(S_SETTLE, SE_QUIET)->next, S_QUIET);
	CHECK_EQ(sender_step(S_QUIET, SE_READY)->action, SA_GO);
	CHECK(!sender_step(S_COPY, SE_READY));
}

/* Before GO a lost peer, a refusal and a signal bring the guest back from wherever it is. */
static void test_always_a_way_back(void)
{
	static const enum sender_event blows[] = {SE_LOST, SE_CANCEL, SE_FAILED};

	for (int s = S_HELLO; s < S_GO; s++) {
		for (unsigned int i = 0; s != S_ABORT && i < 3; i++) {
			const struct sender_row *row = sender_step((enum sender_state)s, blows[i]);

			if (!CHECK(row != NULL))
				continue;
			CHECK(row->action == SA_RESUME || row->action == SA_ABORT_SAVE ||
			      row->action == SA_KEEP || row->action == SA_END_HERE);
		}
	}
	CHECK_EQ(sender_step(S_ABORT, SE_SAVED)->action, SA_RESUME);
	CHECK_EQ(sender_step(S_ABORT, SE_SAVE_FAILED)->action, SA_RESUME);
}

/* ---- the receiver alone ---- */

static unsigned int seen_r[RECEIVER_STATES];

static void walk_receiver(enum receiver_state s, bool won, bool made, unsigned int depth)
{
	seen_r[s]++;
	if (depth == 0 || s == R_END)
		return;
	for (int e = 0; e < RECEIVER_EVENTS; e++) {
		const struct receiver_row *row = receiver_step(s, (enum receiver_event)e);
		bool ours = won || e == RE_WON, has = made;

		if (!row)
			continue;
		if (row->action == RA_RESTORE)
			has = true;
		if (row->action == RA_START)
			CHECK(ours);
		if (row->action == RA_END_GONE)
			CHECK(!has); /* it has been destroyed on the way */
		if (row->action == RA_DESTROY || row->action == RA_TAKE_BACK)
			has = false;
		walk_receiver(row->next, ours, has, depth - 1);
	}
}

static void test_receiver_leaves_nothing(void)
{
	walk_receiver(R_HELLO, false, false, RECEIVER_STATES + 2);
	for (int s = 0; s < RECEIVER_STATES; s++)
		CHECK(seen_r[s]);
}

/* Without GO, a lost channel destroys; with it, it changes nothing. */
static void test_dead_mans_hold(void)
{
	CHECK_EQ(receiver_step(R_READY, RE_LOST)->action, RA_RACE);
	CHECK_EQ(receiver_step(R_TAKE, RE_TAKEN)->action, RA_DESTROY);
	CHECK_EQ(receiver_step(R_RESTORE, RE_LOST)->action, RA_ABORT_RESTORE);
	CHECK(!receiver_step(R_START, RE_LOST));
	CHECK(!receiver_step(R_START, RE_CANCEL));
	CHECK(!receiver_step(R_RUNNING, RE_CANCEL));
	for (int s = 0; s < RECEIVER_STATES; s++)
		if (s != R_READY)
			CHECK(!receiver_step((enum receiver_state)s, RE_GO));
}

/* ---- both, with a line that can be cut and processes that can die at any moment ---- */

/* The receiver's domain. */
enum there { NOTHING, PAUSED, RUNS, DYING };

/* Small enough to be a number: that is how it is remembered. */
struct world {
	unsigned s : 4, r : 4; /* the machines' states */
	unsigned record : 3;   /* what the receiver has written (enum handover_is) */
	unsigned there : 2;    /* enum there */
	unsigned has_run : 1;  /* the guest, there */
	unsigned line : 1;     /* the channel stands */
	unsigned dead : 1;     /* the receiver has been killed */
	unsigned ready : 1, go : 1, running : 1, failed : 1; /* said, not yet heard */
	unsigned suspended_here : 1, gone_here : 1;
};

static unsigned int worlds, lost_worlds, killed_worlds;
static uint8_t visited[1 << 22];

static unsigned int number(const struct world *w)
{
	unsigned int n = w->s;

	n = n << 4 | w->r;
	n = n << 3 | w->record;
	n = n << 2 | w->there;
	n = n << 1 | w->has_run;
	n = n << 1 | w->line;
	n = n << 1 | w->dead;
	n = n << 1 | w->ready;
	n = n << 1 | w->go;
	n = n << 1 | w->running;
	n = n << 1 | w->failed;
	n = n << 1 | w->suspended_here;
	return n << 1 | w->gone_here;
}

/* The guest must never run on both hosts, and never be gone from both before it has run there. */
static void check_world(const struct world *w)
{
	bool runs_here = !w->suspended_here && !w->gone_here;

	worlds++;
	killed_worlds += w->dead;
	CHECK(!(runs_here && w->there == RUNS));
	CHECK(!(runs_here && w->has_run));
	CHECK(!(w->gone_here && !w->has_run));
	if (w->suspended_here && w->s == S_END)
		lost_worlds++;
}

static void walk_both(struct world w);

static void sender_event(struct world w, enum sender_event e)
{
	const struct sender_row *row = sender_step((enum sender_state)w.s, e);

	if (!row)
		return;
	w.s = row->next;
	switch (row->action) {
	case SA_GO: w.go = w.line; break;
	case SA_RESUME:
		w.suspended_here = false;
		w.line = false;
		break;
	case SA_DESTROY: w.gone_here = true; break;
	case SA_KEEP:
	case SA_TAKE:
	case SA_RECLAIM: w.line = false; break;
	default: break;
	}
	walk_both(w);
	/* No disk is asked: it goes by what was said. */
	if (w.s == S_TAKE)
		sender_event(w, row->action == SA_TAKE ? SE_TAKEN : SE_WON);
}

static void receiver_event(struct world w, enum receiver_event e)
{
	const struct receiver_row *row = receiver_step((enum receiver_state)w.r, e);

	if (!row || w.dead)
		return;
	w.r = row->next;
	switch (row->action) {
	case RA_SEND_READY:
		w.record = HANDOVER_READY;
		w.ready = w.line;
		break;
	case RA_START: w.record = HANDOVER_STARTING; break;
	case RA_SEND_RUNNING: w.running = w.line; break;
	case RA_TAKE_BACK: w.record = HANDOVER_PREPARING; /* fallthrough */
	case RA_DESTROY: w.there = DYING; break;
	case RA_END_GONE:
		w.record = HANDOVER_GONE;
		w.failed = w.line;
		break;
	default: break;
	}
	walk_both(w);
	if (w.r == R_TAKE)
		receiver_event(w, row->action == RA_TAKE ? RE_WON : RE_TAKEN);
}

/* What the guardian of a dead receiver does, or a vstor there that is asked, step by step. */
static void by_the_record(struct world w)
{
	static const enum guest_life life[] = {
		[NOTHING] = GUEST_ABSENT,
		[PAUSED] = GUEST_PAUSED,
		[RUNS] = GUEST_RUNS,
		[DYING] = GUEST_DYING,
	};

	switch (handover_rule((enum handover_is)w.record, life[w.there], false)) {
	case HANDOVER_TAKE: CHECK_EQ(w.record, 0); break; /* no disk is fenced */
	case HANDOVER_DESTROY: w.there = w.there == DYING ? NOTHING : DYING; break;
	case HANDOVER_START:
		w.there = RUNS;
		w.has_run = true;
		break;
	case HANDOVER_ANSWER_RUNNING:
		w.record = HANDOVER_RUNNING;
		if (w.s == S_ASK)
			sender_event(w, SE_RUNNING);
		break;
	case HANDOVER_ANSWER_GONE:
		w.record = HANDOVER_GONE;
		if (w.s == S_ASK)
			sender_event(w, SE_FAILED);
		break;
	case HANDOVER_ANSWER_UNKNOWN: CHECK(w.has_run); break; /* or it is stranded for nothing */
	}
	walk_both(w);
}

static void receiver_goes_on(struct world w)
{
	struct world then = w;

	if (w.r == R_START && w.there == PAUSED) {
		receiver_event(w, RE_UNDONE);
		then.there = RUNS;
		then.has_run = true;
		walk_both(then);
	} else if (w.r == R_START) {
		receiver_event(w, RE_DONE);
	}
	if (w.r == R_DESTROY && w.there == DYING) {
		then.there = NOTHING;
		walk_both(then);
	} else if (w.r == R_DESTROY) {
		receiver_event(w, RE_DONE);
	}
	/* Some time after it has said so. */
	if ((w.r == R_RUNNING || w.r == R_END) && w.record == HANDOVER_STARTING) {
		then.record = HANDOVER_RUNNING;
		walk_both(then);
	}
	if (w.r == R_RESTORE)
		receiver_event(w, RE_RESTORED);
	if (w.r == R_RESTORE || w.r == R_ABORT)
		receiver_event(w, RE_RESTORE_FAILED);
	if (w.r != R_END)
		receiver_event(w, RE_CANCEL); /* a signal, a limit */
	then = w;
	then.dead = true;
	then.line = false;
	walk_both(then);
}

static void sender_goes_on(struct world w)
{
	struct world dead = w;

	if (w.s == S_SETTLE || w.s == S_READY)
		sender_event(w, SE_QUIET);
	if (w.s < S_GO)
		sender_event(w, SE_CANCEL); /* a signal, a limit */
	if (w.s == S_DESTROY || w.s == S_RESUME)
		sender_event(w, SE_DONE);
	if (w.s == S_ASK)
		sender_event(w, SE_UNKNOWN);
	/* Killed: its guardian knows whether GO has been said, and resumes or asks. */
	dead.line = false;
	if (w.s < S_GO) {
		dead.s = S_RESUME;
		dead.suspended_here = false;
		walk_both(dead);
	} else if (w.s == S_GO) {
		dead.s = S_ASK;
		walk_both(dead);
	}
}

/* A message once sent arrives even if the line is cut behind it; or it is lost with it. */
static void messages_arrive(struct world w)
{
	struct world heard = w;

	heard.ready = false;
	if (w.ready)
		sender_event(heard, SE_READY);
	heard = w;
	heard.running = false;
	if (w.running)
		sender_event(heard, SE_RUNNING);
	heard = w;
	heard.failed = false;
	if (w.failed)
		sender_event(heard, SE_FAILED);
	heard = w;
	heard.go = false;
	if (w.go)
		receiver_event(heard, RE_GO);
}

static void walk_both(struct world w)
{
	unsigned int n = number(&w);
	struct world cut = w;

	if (!CHECK(n / 8 < sizeof(visited)) || visited[n / 8] & 1 << n % 8)
		return;
	visited[n / 8] |= (uint8_t)(1 << n % 8);
	check_world(&w);
	sender_goes_on(w);
	messages_arrive(w);
	if (!w.dead)
		receiver_goes_on(w);
	/* Its lock is free when it has died, and when it has come to an end. */
	if (w.dead || w.r == R_END)
		by_the_record(w);
	if (w.line) {
		cut.line = false;
		walk_both(cut);
		cut.go = cut.ready = cut.running = cut.failed = false;
		walk_both(cut);
	} else {
		if (!w.ready && !w.running && !w.failed)
			sender_event(w, SE_LOST);
		if (!w.go)
			receiver_event(w, RE_LOST);
	}
}

static void test_never_twice_never_lost(void)
{
	walk_both((struct world){.s = S_SETTLE,
				 .r = R_RESTORE,
				 .record = HANDOVER_PREPARING,
				 .there = PAUSED,
				 .line = true,
				 .suspended_here = true});
	CHECK(worlds > 300);
	CHECK(killed_worlds > 30);
	CHECK(lost_worlds > 0); /* the UNKNOWN end is reached too */
}

/* ---- time limits ---- */

/* No state in which we wait for the other side lasts for ever; a limit always leads somewhere, and
 * never past the point of no return. */
static void test_limits(void)
{
	static const enum sender_state waits[] = {S_CONNECT, S_HELLO, S_PREFLIGHT, S_COPY, S_SETTLE,
						  S_READY,   S_QUIET, S_GO,	   S_ASK};
	static const enum receiver_state waits_r[] = {R_HELLO,	 R_CONFIG, R_PREFLIGHT,
						      R_CHECKED, R_READY,  R_RUNNING};

	for (int s = 0; s < SENDER_STATES; s++)
		CHECK(sender_about(s)->name != NULL);
	for (int s = 0; s < RECEIVER_STATES; s++)
		CHECK(receiver_about(s)->name != NULL);
	for (unsigned int i = 0; i < ARRAY_SIZE(waits); i++) {
		const struct sender_about *a = sender_about(waits[i]);

		CHECK(a->limit != 0);
		CHECK(sender_step(waits[i], a->late) != NULL);
	}
	for (unsigned int i = 0; i < ARRAY_SIZE(waits_r); i++) {
		const struct receiver_about *a = receiver_about(waits_r[i]);

		CHECK(a->limit != 0);
		CHECK(receiver_step(waits_r[i], a->late) != NULL);
	}
	/* While the guest is stopped and nothing is handed over: back to here, if it is ours. */
	CHECK_EQ(sender_step(S_SETTLE, sender_about(S_SETTLE)->late)->action, SA_KEEP);
	CHECK_EQ(sender_about(S_READY)->limit, LIMIT_GOES_ON);
	CHECK_EQ(sender_about(S_QUIET)->limit, LIMIT_GOES_ON);
	CHECK_EQ(sender_step(S_GO, sender_about(S_GO)->late)->action, SA_TAKE);
	/* The receiver holds out longer than the sender takes to decide. */
	CHECK(receiver_about(R_READY)->limit > sender_about(S_SETTLE)->limit);
}

int main(void)
{
	CHECK_RUN(test_no_way_leads_astray);
	CHECK_RUN(test_point_of_no_return);
	CHECK_RUN(test_always_a_way_back);
	CHECK_RUN(test_receiver_leaves_nothing);
	CHECK_RUN(test_dead_mans_hold);
	CHECK_RUN(test_never_twice_never_lost);
	CHECK_RUN(test_limits);
	return CHECK_DONE();
}
