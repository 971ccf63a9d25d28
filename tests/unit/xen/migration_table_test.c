/* SPDX-License-Identifier: BSD-2-Clause */
/* Every way through the two machines, together and alone: what they promise holds on all of them.
 */
#include "xen/migration_table.h"

#include "tests/unit/check.h"

/* ---- the sender alone ---- */

/* What has happened on a way to a state. */
struct past {
	bool go;      /* GO has been said */
	bool promise; /* the receiver has promised never to start it, or GO was never said */
	bool running; /* the receiver has said that it runs there */
	bool asked;
};

static unsigned int seen[SENDER_STATES];

static void check_action(const struct sender_row *row, const struct past *p)
{
	switch (row->action) {
	case SA_RESUME: CHECK(!p->go || p->promise); break;
	case SA_DESTROY: CHECK(p->go && p->running); break;
	case SA_END_MOVED: CHECK(p->running); break;
	case SA_END_HERE: CHECK(!p->running); break;
	case SA_END_UNKNOWN: CHECK(p->go && p->asked && !p->running && !p->promise); break;
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
	CHECK_EQ(sender_step(S_GO, SE_LOST)->action, SA_ASK);
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
			      row->action == SA_END_HERE);
		}
	}
	CHECK_EQ(sender_step(S_ABORT, SE_SAVED)->action, SA_RESUME);
	CHECK_EQ(sender_step(S_ABORT, SE_SAVE_FAILED)->action, SA_RESUME);
}

/* ---- the receiver alone ---- */

static unsigned int seen_r[RECEIVER_STATES];

static void walk_receiver(enum receiver_state s, bool go, bool made, unsigned int depth)
{
	seen_r[s]++;
	if (depth == 0 || s == R_END)
		return;
	for (int e = 0; e < RECEIVER_EVENTS; e++) {
		const struct receiver_row *row = receiver_step(s, (enum receiver_event)e);
		bool went = go || e == RE_GO, has = made;

		if (!row)
			continue;
		if (row->action == RA_RESTORE)
			has = true;
		if (row->action == RA_START)
			CHECK(went);
		if (row->action == RA_END_GONE)
			CHECK(!has); /* it has been destroyed on the way */
		if (row->action == RA_DESTROY)
			has = false;
		walk_receiver(row->next, went, has, depth - 1);
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
	CHECK_EQ(receiver_step(R_READY, RE_LOST)->action, RA_DESTROY);
	CHECK_EQ(receiver_step(R_RESTORE, RE_LOST)->action, RA_ABORT_RESTORE);
	CHECK(!receiver_step(R_START, RE_LOST));
	CHECK(!receiver_step(R_START, RE_CANCEL));
	CHECK(!receiver_step(R_RUNNING, RE_CANCEL));
	for (int s = 0; s < RECEIVER_STATES; s++)
		if (s != R_READY)
			CHECK(!receiver_step((enum receiver_state)s, RE_GO));
}

/* ---- both, with a line that can be cut at any moment ---- */

static unsigned int worlds, lost_worlds;

struct world {
	enum sender_state s;
	enum receiver_state r;
	bool line;	/* the channel stands */
	bool ready, go; /* said, not yet heard */
	bool runs_there, suspended_here, gone_here;
};

/* The guest must never run on both hosts, and never be gone from both. */
static void check_world(const struct world *w)
{
	bool runs_here = !w->suspended_here && !w->gone_here;

	worlds++;
	CHECK(!(runs_here && w->runs_there));
	CHECK(!(w->gone_here && !w->runs_there));
	if (w->suspended_here && !w->runs_there && w->s == S_END)
		lost_worlds++;
}

static void walk_both(struct world w, unsigned int depth);

static void sender_event(struct world w, enum sender_event e, unsigned int depth)
{
	const struct sender_row *row = sender_step(w.s, e);

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
	case SA_ASK: w.line = false; break;
	default: break;
	}
	walk_both(w, depth);
}

static void receiver_event(struct world w, enum receiver_event e, unsigned int depth)
{
	const struct receiver_row *row = receiver_step(w.r, e);

	if (!row)
		return;
	w.r = row->next;
	if (row->action == RA_SEND_READY)
		w.ready = w.line;
	if (row->action == RA_SEND_RUNNING)
		w.runs_there = true;
	walk_both(w, depth);
}

static void walk_both(struct world w, unsigned int depth)
{
	struct world cut = w;

	check_world(&w);
	if (depth == 0 || (w.s == S_END && w.r == R_END))
		return;
	/* what may happen by itself */
	if (w.s == S_SETTLE || w.s == S_READY)
		sender_event(w, SE_QUIET, depth - 1);
	if (w.s < S_GO)
		sender_event(w, SE_CANCEL, depth - 1);
	if (w.s == S_DESTROY || w.s == S_RESUME)
		sender_event(w, SE_DONE, depth - 1);
	if (w.r == R_RESTORE)
		receiver_event(w, RE_RESTORED, depth - 1);
	if (w.r == R_RESTORE || w.r == R_ABORT)
		receiver_event(w, RE_RESTORE_FAILED, depth - 1);
	if (w.r == R_START || w.r == R_DESTROY)
		receiver_event(w, RE_DONE, depth - 1);
	if (w.r == R_START)
		receiver_event(w, RE_UNDONE, depth - 1);
	/* what is heard; a message once sent arrives even if the line is cut behind it */
	if (w.ready) {
		cut.ready = false;
		sender_event(cut, SE_READY, depth - 1);
		cut = w;
	}
	if (w.go) {
		cut.go = false;
		receiver_event(cut, RE_GO, depth - 1);
		cut = w;
	}
	if (w.line && w.r == R_RUNNING)
		sender_event(w, SE_RUNNING, depth - 1);
	if (w.line && w.r == R_END && !w.runs_there)
		sender_event(w, SE_FAILED, depth - 1);
	/* what is learnt by asking: only what is true and final */
	if (w.s == S_ASK && w.runs_there)
		sender_event(w, SE_RUNNING, depth - 1);
	if (w.s == S_ASK && !w.runs_there && w.r == R_END && !w.go)
		sender_event(w, SE_FAILED, depth - 1);
	if (w.s == S_ASK)
		sender_event(w, SE_UNKNOWN, depth - 1);
	/* the cut */
	if (w.line) {
		cut.line = false;
		walk_both(cut, depth - 1);
		/* GO may be lost with the line. */
		cut.go = false;
		walk_both(cut, depth - 1);
	} else {
		sender_event(w, SE_LOST, depth - 1);
		if (!w.go)
			receiver_event(w, RE_LOST, depth - 1);
	}
}

static void test_never_twice_never_lost(void)
{
	walk_both(
		(struct world){.s = S_SETTLE, .r = R_RESTORE, .line = true, .suspended_here = true},
		12);
	CHECK(worlds > 1000);
	CHECK(lost_worlds > 0); /* the UNKNOWN end is reached too */
}

int main(void)
{
	CHECK_RUN(test_no_way_leads_astray);
	CHECK_RUN(test_point_of_no_return);
	CHECK_RUN(test_always_a_way_back);
	CHECK_RUN(test_receiver_leaves_nothing);
	CHECK_RUN(test_dead_mans_hold);
	CHECK_RUN(test_never_twice_never_lost);
	return CHECK_DONE();
}
