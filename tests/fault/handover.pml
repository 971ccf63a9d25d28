/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Model of the hand-over, for spin: who may run the guest, from the last of the copy on. The two
 * machines are the program's own rows (xen/migration/migration.def). Around them: processes killed, hosts
 * that crash and come back, a line that is cut with or without what is on it, messages that come
 * twice or late, disks whose commands or answers are lost or carried out after their sender's end.
 *
 * The rules it shows to be right. Keys: of this migration alone, never used twice.
 *  1 Before READY: the destination is registered (no reservation) on every disk, under its key.
 *  2 The disk of lowest serial decides; taking it is PREEMPT naming the OTHER's key of this
 *    migration. GOOD: won. CONFLICT or no answer: read the keys and the holder, and go by those.
 *  3 Destination: holds it: won. Not registered any more, or the holder is not the sender's key of
 *    this migration, or nobody: lost. Else again.
 *  4 Source: holds it and the other is NOT registered: won. Holds it, other registered: again.
 *    Anything else, FREE too (it may have run and ended there): lost, unless promised (rule 8).
 *  5 Who has won makes the same true of every other disk (PREEMPT whoever holds it, RESERVE if
 *    nobody), as often as it takes, and only then runs the guest.
 *  6 GO (source quiet): PREEMPT. Lost line at READY: the destination may take, too (PREEMPT AND
 *    ABORT, after some seconds' grace). So once END is said the source resumes only after rule 4.
 *  7 The destination writes `ready` when all is there, and `starting` (synced) after it has won and
 *    before it unpauses. Found dead: preparing is destroyed; ready takes (rule 3, with ABORT);
 *    starting is started if it is paused, else may have run; no domain and not starting: gone.
 *  8 `gone`, heard or asked: the source may PREEMPT the destination's key even if that is the
 *    holder: registers anew under a NEW key if need be, then as rule 5. Without an answer, but with
 *    the disk lost: the guest is the other's, the copy here is destroyed.
 *  9 The source writes down (synced) that from now on rule 4 holds, before it says END.
 * 10 A guest that is started afresh: the lowest disk first; it gives its host's registration a new
 *    key by REGISTER (never REGISTER AND IGNORE), so that a late PREEMPT of an old migration misses
 *    it; RESERVE if nobody holds it; another's: refused. Then rule 5. (Where the host has another
 *    nexus now, PREEMPT naming its own old key is the same step: it fails when that is gone.)
 * 12 Several paths to a disk (LATE; tests/fault/paths.pml): each path is a nexus, and who registers
 *    may write (Write Exclusive - Registrants Only), so the destination registers after the suspend
 *    only. Rules 3 and 4 become: who holds has won, by whichever path, and both name the source's
 *    key of the beginning, so that one of them finds it. See there.
 * 11 Without a referee: before GO the sender's, after it the receiver's; promised: the sender's.
 */
#ifndef DISKS
#define DISKS 1
#endif
#ifndef FENCED
#define FENCED 1
#endif
#ifndef LATE
#define LATE 0
#endif
#ifndef FAULTS
#define FAULTS 3
#endif

mtype = {
#define SENDER_STATE(name, text, limit, late)	name,
#define SENDER_EVENT(name, text)		name,
#define SENDER_ACTION(name)			name,
#define RECEIVER_STATE(name, text, limit, late) name,
#define RECEIVER_EVENT(name, text)		name,
#define RECEIVER_ACTION(name)			name,
#define HANDOVER_WORD(name, text)		name,
#include "xen/migration/migration.def"
	NOTHING, PAUSED, RUNS, DYING, LOST, /* a domain; LOST: with its host */
	PREEMPT, PREEMPT_ABORT, REGISTER, RESERVE, GOOD, CONFLICT, NO_ANSWER,
	READ, ACT, WAIT, /* steps of taking a disk */
	MINE, OPEN, FREE, OTHERS
};

#define A	 0
#define B	 1
#define A1	 1 /* the source's key */
#define A2	 2 /* its next */
#define B1	 3
#define A3	 4 /* LATE: the source's, when it has taken the guest back */
#if LATE
#define PATHS	 2 /* of each host to each disk */
#define DEPTH	 1 /* commands on their way by each */
#else
#define PATHS	 1
#define DEPTH	 2
#endif
#define NEXUS(h,p,d) (((h) * PATHS + (p)) * DISKS + (d))
#define KEY(h,p,d)   reg[NEXUS(h, p, d)]
#define Q(h,p,d)     q[NEXUS(h, p, d)]
#define WRITING(p,d) writing[(p) * DISKS + (d)]
#if LATE
#include "tests/fault/paths.pml"
#else
#define holds(h,d)	(holder[d] == KEY(h, 0, d))
#define registered(h,d) (KEY(h, 0, d) != 0)
#define sent(h,d)	(len(Q(h, 0, d)) > 0)
#define forget_paths(h)
#endif

byte faults = FAULTS;

/* ---- the disks ---- */

byte holder[DISKS] = A1;
byte at[DISKS];	       /* by which of its paths */
byte reg[2 * PATHS * DISKS]; /* each nexus's key */
bool writing[PATHS * DISKS]; /* a write of the source has passed the reservation, and is not there yet */
chan q[2 * PATHS * DISKS] = [DEPTH] of { mtype, byte, byte, byte }; /* op, own key, other or new key, life */
mtype reply[2];
byte life[2];	       /* which life of the host's processes waits for the reply */

/* ---- the hosts ---- */

mtype s = S_COPY, r = R_RESTORE;
mtype dom[2];
bool up[2] = true, crashed[2];
bool rings = true;     /* the source may still have writes that no disk has seen */
bool written_down;     /* rule 9 */
bool go_down;	       /* GO has been said, or is about to be */
mtype record = HANDOVER_PREPARING;
bool go_heard, promised;
bool line = true, hears = true; /* hears: the source still has the channel */
bool all_said, ready, go, running, failed; /* said, and not yet heard */

byte disk[2];	       /* which is being taken */
mtype step[2], seen[2];
byte seen_holder[2], seen_own[2];
bool fresh;	       /* the guest is being started anew on the source */
bool gave_up;
#if LATE
bool gave_up_both;     /* by the other path */
byte seen_other[2];    /* a key of the other host's that is registered */
#endif

/* What is told of at the end. */
bool died_there;       /* at the destination, after that had taken it */
bool had_all;	       /* the destination, when the source's host crashed */
bool told_to_stop, unknown_end, has_run_there, again_here;

#define runs_here  (up[A] && dom[A] == RUNS)
#define runs_there (up[B] && dom[B] == RUNS)

/* Says so when it comes to pass for the first time: tests/fault/model wants to hear of each. */
#define some(name, condition) \
	if :: (condition) -> c_code { static int said; if (!said++) printf("some " name "\n"); } :: else fi

inline check() {
	assert(!(runs_here && runs_there));
	i = 0;
	do
	:: i < DISKS ->
		assert(!FENCED || !runs_here || holds(A, i));
		assert(!FENCED || !runs_there || holds(B, i));
		i++
	:: else -> break
	od;
	i = 0;
	some("asked", s == S_ASK);
#if FAULTS > 1
	some("killed on both sides, and moved", runs_there && life[A] > 0 && life[B] > 0 && !crashed[A] && !crashed[B]);
#endif
#if FENCED
#if LATE
	some("both may write, by the disk", runs_here && registered(B, 0) && written_down);
	some("the same, there", runs_there && registered(A, 0));
	some("held by the other path", runs_here && at[0] == 1 && written_down);
#endif
	some("taken without GO", runs_there && !go_down);
	some("taken from a crashed host", runs_there && crashed[A] && !go_down);
	some("a command later than its sender's end", r == R_END && dom[B] == NOTHING && sent(B, 0));
	some("started afresh", runs_here && again_here);
	some("refused to be started afresh", again_here && !fresh && runs_there && up[A])
#endif
}

/* ---- a disk ---- */

#if !LATE
inline preempt(h, p) {
	KEY(1 - h, p, d) = 0;
	if :: holder[d] == other -> holder[d] = own :: else fi;
	if :: op == PREEMPT_ABORT && h == B -> WRITING(p, d) = false :: else fi
}
#define is_registered(k) (KEY(A, 0, d) == (k) || KEY(B, 0, d) == (k))
#endif

inline execute(h, p) {
	got = CONFLICT;
	if
	:: (op == PREEMPT || op == PREEMPT_ABORT) && KEY(h, p, d) == own && is_registered(other) ->
		preempt(h, p);
		got = GOOD
	:: op == REGISTER && KEY(h, p, d) == own ->
		KEY(h, p, d) = other;
		if :: own != 0 && holder[d] == own && at[d] == p -> holder[d] = other :: else fi;
		got = GOOD
	:: op == RESERVE && KEY(h, p, d) == own && holder[d] == 0 -> holder[d] = own; at[d] = p; got = GOOD
	:: else
	fi
}

inline carry_out(h, p) {
	if
	:: execute(h, p)
	:: faults > 0 -> faults--; execute(h, p); got = NO_ANSWER
	:: faults > 0 -> faults--; got = NO_ANSWER
	fi;
	if :: lives == life[h] -> reply[h] = got :: else fi;
	op = 0; own = 0; other = 0; lives = 0; got = 0
}

/* The source writes by one of its paths. */
#define may_write(p) (rings && (!LATE || dom[A] != RUNS) && s != S_END && (LATE -> KEY(A, p, d) != 0 : holder[d] == KEY(A, p, d)) && !WRITING(p, d))
/* It arrives, and must not arrive amid what another writes. */
inline arrive(p) { assert(!has_run_there); WRITING(p, d) = false }

proctype Disk(byte d)
{
	mtype op, got;
	byte own, other, lives;

end:	do
	:: atomic { Q(A, 0, d) ? op, own, other, lives -> carry_out(A, 0) }
	:: atomic { Q(B, 0, d) ? op, own, other, lives -> carry_out(B, 0) }
	:: atomic { may_write(0) -> WRITING(0, d) = true }
	:: atomic { WRITING(0, d) -> arrive(0) }
#if LATE
	:: atomic { Q(A, 1, d) ? op, own, other, lives -> carry_out(A, 1) }
	:: atomic { Q(B, 1, d) ? op, own, other, lives -> carry_out(B, 1) }
	:: atomic { may_write(1) -> WRITING(1, d) = true }
	:: atomic { WRITING(1, d) -> arrive(1) }
#endif
	od
}

/* Sends a command about the disk that h is at, by a path. */
inline command_by(p, h, op, own, other) {
	if
	:: len(Q(h, p, disk[h])) < DEPTH -> Q(h, p, disk[h]) ! op, own, other, life[h]; step[h] = WAIT
	:: len(Q(h, p, disk[h])) == DEPTH -> step[h] = READ
	fi
}

#if !LATE
inline command(h, op, own, other) { command_by(0, h, op, own, other) }

inline read_disk(h) {
	seen_own[h] = KEY(h, 0, disk[h]);
	seen_holder[h] = holder[disk[h]];
	if
	:: seen_holder[h] == 0 -> seen[h] = FREE
	:: seen_holder[h] != 0 && seen_holder[h] != seen_own[h] -> seen[h] = OTHERS
	:: seen_holder[h] != 0 && seen_holder[h] == seen_own[h] ->
		if
		:: KEY(1 - h, 0, disk[h]) == 0 -> seen[h] = MINE
		:: else -> seen[h] = OPEN
		fi
	fi;
	step[h] = ACT
}
#endif

inline forget(h) { step[h] = 0; seen[h] = 0; seen_own[h] = 0; seen_holder[h] = 0; disk[h] = 0; reply[h] = 0; forget_paths(h) }

inline begin(h) { forget(h); step[h] = READ }

/* A life of h's processes ends; what they have sent goes its way. */
inline bury(h) { life[h]++; forget(h) }

/* ---- the source ---- */

inline sender() {
	a = SA_NONE;
	if
#define SENDER_ROW(state, event, next, action) :: s == state && e == event -> s = next; a = action
#include "xen/migration/migration.def"
	:: else /* it means nothing then */
	fi;
	if
	:: a == SA_SETTLE -> all_said = line
	:: a == SA_GO -> go_down = true; go = line
	:: a == SA_KEEP || a == SA_TAKE || a == SA_RECLAIM ->
		line = false; hears = false;
		if :: FENCED -> begin(A) :: else fi
	:: a == SA_RESUME -> line = false; hears = false
	:: a == SA_END_UNKNOWN -> unknown_end = true
	:: else
	fi;
	check();
	e = 0; a = 0
}

/* A message is taken; it may come once more. */
#define take(message) if :: message = false :: faults > 0 -> faults-- fi

active proctype Source()
{
	mtype e, a;
	byte i;
	bool in_take;

	atomic {
		dom[A] = RUNS; dom[B] = PAUSED;
		i = 0;
		do
		:: i < DISKS -> holder[i] = A1; KEY(A, 0, i) = A1; run Disk(i);
#if LATE
			KEY(A, 1, i) = A1;
#else
			KEY(B, 0, i) = B1;
#endif
			i++
		:: else -> break
		od;
		i = 0
	}
end:	do
	:: atomic {
		if
		/* its own work */
		:: up[A] && s == S_COPY && !written_down -> written_down = true
		:: up[A] && s == S_COPY && dom[A] == RUNS -> dom[A] = PAUSED
		:: up[A] && (s == S_COPY || s == S_ABORT) && dom[A] == PAUSED && written_down -> e = SE_SAVED
		:: up[A] && (s == S_COPY || s == S_ABORT) -> e = SE_SAVE_FAILED
		:: up[A] && (s == S_SETTLE || s == S_READY) && !WRITING(0, 0) && !WRITING(PATHS - 1, DISKS - 1) && !WRITING(0, DISKS - 1) && !WRITING(PATHS - 1, 0) ->
			rings = false; e = SE_QUIET
		:: up[A] && s == S_RESUME -> dom[A] = RUNS; rings = true; e = SE_DONE
		:: up[A] && s == S_DESTROY ->
			dom[A] = NOTHING; line = false; hears = false; e = SE_DONE
		/* a signal, a limit */
		:: up[A] && (s == S_COPY || s == S_SETTLE || s == S_READY || s == S_QUIET) -> e = SE_CANCEL
		:: up[A] && s == S_GO -> e = SE_LOST
		:: !FENCED && up[A] && s == S_ASK -> e = SE_CANCEL
		/* what it hears */
		:: up[A] && hears && ready -> take(ready); e = SE_READY
		:: up[A] && hears && running -> take(running); e = SE_RUNNING
		:: up[A] && hears && failed -> take(failed); e = SE_FAILED;
			promised = (s == S_GO)
		:: up[A] && hears && !line && !ready && !running && !failed -> hears = false; e = SE_LOST
		/* whose is it? */
		:: !FENCED && up[A] && s == S_TAKE ->
			if :: go_down && !promised -> e = SE_TAKEN :: else -> e = SE_WON fi;
			skip
		:: FENCED && up[A] && s == S_TAKE && step[A] == READ -> read_disk(A)
#if LATE
		:: up[A] && s == S_TAKE && step[A] == ACT -> source_takes()
#else
		:: up[A] && s == S_TAKE && step[A] == ACT ->
			step[A] = READ;
			if
			:: seen[A] == MINE && disk[A] < DISKS - 1 -> disk[A]++
			:: seen[A] == MINE && disk[A] == DISKS - 1 -> forget(A); e = SE_WON
			:: seen[A] == OPEN -> command(A, PREEMPT, seen_own[A], B1)
			:: else ->
				if
				:: !promised && disk[A] == 0 -> forget(A); e = SE_TAKEN
				:: (promised || disk[A] > 0) && seen_own[A] == 0 -> command(A, REGISTER, 0, A2)
				:: (promised || disk[A] > 0) && seen_own[A] != 0 && seen[A] == FREE ->
					command(A, RESERVE, seen_own[A], 0)
				:: (promised || disk[A] > 0) && seen_own[A] != 0 && seen[A] == OTHERS ->
					command(A, PREEMPT, seen_own[A], seen_holder[A])
				fi
			fi
#endif
		:: step[A] == WAIT && reply[A] != 0 -> reply[A] = 0; step[A] = READ
		/* the disk is mute for long; or that command only, which may be carried out yet */
		:: step[A] == WAIT && reply[A] == 0 && faults > 0 -> faults--; life[A]++; step[A] = READ
		:: FENCED && up[A] && s == S_TAKE && faults > 0 -> faults--; bury(A);
			in_take = true; e = SE_MUTE
		/* what became of it? */
		:: up[A] && s == S_ASK && up[B] && r == R_END && record == HANDOVER_RUNNING -> e = SE_RUNNING
		:: up[A] && s == S_ASK && up[B] && r == R_END && record == HANDOVER_GONE ->
			promised = true; in_take = false; e = SE_FAILED
		:: up[A] && s == S_ASK && (!up[B] || (r == R_END && record == HANDOVER_STARTING) || faults > 0) ->
			if
			:: up[B] && !(r == R_END && record == HANDOVER_STARTING) -> faults--
			:: else
			fi;
			if
			:: FENCED && in_take -> e = SE_MUTE
			:: FENCED && !in_take -> e = SE_TAKEN
			:: !FENCED -> e = SE_UNKNOWN
			fi;
			in_take = false;
			skip
		/* killed: its guardian, or a later vstor, goes by what is written down */
		:: up[A] && s != S_END && faults > 0 ->
			faults--; bury(A); line = false; hears = false; promised = false; in_take = false;
			e = 0;
			if
			:: !written_down -> s = S_RESUME
			:: written_down -> s = S_TAKE; if :: FENCED -> begin(A) :: else fi
			fi
		/* the host */
		:: up[A] && faults > 0 ->
			faults--; bury(A); line = false; hears = false; up[A] = false; crashed[A] = true;
			had_all = dom[B] == PAUSED && (r == R_READY || r == R_TAKE || r == R_START) &&
				(LATE || KEY(B, 0, 0) == B1) && holder[0] != A2 && holder[0] != A3 && !sent(A, 0);
			rings = false; fresh = false; promised = false; in_take = false;
			if :: dom[A] != NOTHING -> dom[A] = LOST :: else fi;
			s = S_END
		:: !up[A] -> up[A] = true
#if FENCED
		/* somebody starts the guest afresh: rule 10 */
		:: up[A] && dom[A] == LOST && !fresh && step[A] == 0 && !again_here ->
			fresh = true; again_here = true; begin(A)
		:: fresh && step[A] == READ -> read_disk(A)
#if LATE
		:: fresh && step[A] == ACT -> started_afresh()
#else
		:: fresh && step[A] == ACT ->
			if
			:: seen_own[A] != A2 && (disk[A] > 0 || seen[A] != OTHERS) ->
				command(A, REGISTER, seen_own[A], A2)
			:: seen_own[A] == A2 && seen[A] == FREE -> command(A, RESERVE, A2, 0)
			:: disk[A] == 0 && seen[A] == OTHERS -> fresh = false; forget(A) /* refused */
			:: seen_own[A] == A2 && disk[A] > 0 && seen[A] == OTHERS ->
				command(A, PREEMPT, A2, seen_holder[A])
			:: seen_own[A] == A2 && (seen[A] == MINE || seen[A] == OPEN) && disk[A] < DISKS - 1 ->
				disk[A]++; step[A] = READ
			:: seen_own[A] == A2 && (seen[A] == MINE || seen[A] == OPEN) && disk[A] == DISKS - 1 ->
				fresh = false; forget(A); dom[A] = RUNS
			fi
#endif
#endif
		fi;
		sender() }
	od
}

/* ---- the destination ---- */

inline receiver() {
	a = RA_NONE;
	if
#define RECEIVER_ROW(state, event, next, action) :: r == state && e == event -> r = next; a = action
#include "xen/migration/migration.def"
	:: else
	fi;
	if
	:: a == RA_SEND_READY -> record = HANDOVER_READY; ready = line
	:: a == RA_TAKE || a == RA_RACE ->
		go_heard = (a == RA_TAKE);
		if :: FENCED -> begin(B) :: else fi
	:: a == RA_START -> record = HANDOVER_STARTING
	:: a == RA_SEND_RUNNING -> running = line
	:: a == RA_TAKE_BACK -> record = HANDOVER_PREPARING; dom[B] = DYING
	:: a == RA_DESTROY -> dom[B] = DYING
	:: a == RA_END_GONE -> record = HANDOVER_GONE; failed = line; line = false
	:: else
	fi;
	check();
	e = 0; a = 0
}

active proctype Destination()
{
	mtype e, a;
	byte i;

end:	do
	:: atomic {
		if
		/* its own work */
		:: up[B] && r == R_RESTORE && all_said -> all_said = false; e = RE_RESTORED
		:: up[B] && (r == R_RESTORE || r == R_ABORT) -> e = RE_RESTORE_FAILED
		:: up[B] && r == R_DESTROY -> dom[B] = NOTHING; e = RE_DONE
		:: up[B] && r == R_START && dom[B] == PAUSED -> dom[B] = RUNS; has_run_there = true
		:: up[B] && r == R_START && dom[B] == PAUSED && faults > 0 ->
			faults--; died_there = true; e = RE_UNDONE
		:: up[B] && r == R_START && dom[B] == RUNS -> e = RE_DONE
		:: up[B] && r == R_RUNNING && record != HANDOVER_RUNNING -> record = HANDOVER_RUNNING
		/* a signal, a limit */
		:: up[B] && (r == R_RESTORE || r == R_READY) -> told_to_stop = true; e = RE_CANCEL
		/* what it hears */
		:: up[B] && r == R_READY && go -> take(go); e = RE_GO
		:: up[B] && r != R_END && r != R_RUNNING && !line && !go && !all_said -> e = RE_LOST
		:: up[B] && r == R_RUNNING && record == HANDOVER_RUNNING && !line -> e = RE_LOST
		/* whose is it? */
		:: !FENCED && up[B] && r == R_TAKE ->
			if :: go_heard -> e = RE_WON :: else -> e = RE_TAKEN fi;
			skip
		:: FENCED && up[B] && r == R_TAKE && step[B] == READ -> read_disk(B)
#if LATE
		:: up[B] && r == R_TAKE && step[B] == ACT -> destination_takes()
#else
		:: up[B] && r == R_TAKE && step[B] == ACT ->
			step[B] = READ;
			if
			:: (seen[B] == MINE || seen[B] == OPEN) && disk[B] < DISKS - 1 -> disk[B]++
			:: (seen[B] == MINE || seen[B] == OPEN) && disk[B] == DISKS - 1 -> forget(B); e = RE_WON
			:: seen[B] == OTHERS && seen_own[B] == B1 && (seen_holder[B] == A1 || disk[B] > 0) ->
				command(B, (go_heard -> PREEMPT : PREEMPT_ABORT), B1, seen_holder[B])
			:: seen[B] == FREE && seen_own[B] == B1 && disk[B] > 0 -> command(B, RESERVE, B1, 0)
			:: else ->
				assert(disk[B] == 0);
				forget(B); e = RE_TAKEN
			fi
#endif
		:: step[B] == WAIT && reply[B] != 0 -> reply[B] = 0; step[B] = READ
		:: step[B] == WAIT && reply[B] == 0 && faults > 0 -> faults--; life[B]++; step[B] = READ
		/* rule 7 */
		:: up[B] && r != R_END && faults > 0 ->
			faults--; bury(B); line = false; go = false; all_said = false; go_heard = false;
			if
			:: record == HANDOVER_PREPARING -> r = R_DESTROY; dom[B] = (dom[B] == NOTHING -> NOTHING : DYING)
			:: record == HANDOVER_READY && dom[B] == PAUSED -> r = R_TAKE; if :: FENCED -> begin(B) :: else fi
			:: record == HANDOVER_READY && dom[B] != PAUSED -> r = R_DESTROY
			:: record == HANDOVER_STARTING && dom[B] != DYING -> r = R_START
			:: record == HANDOVER_RUNNING -> r = R_RUNNING
			:: record == HANDOVER_GONE -> r = R_END
			fi
		:: up[B] && faults > 0 ->
			faults--; bury(B); line = false; go = false; all_said = false; up[B] = false; crashed[B] = true;
			if
			:: holder[0] == B1 || sent(B, 0) || record == HANDOVER_STARTING || record == HANDOVER_RUNNING ->
				died_there = true
			:: else
			fi;
			if :: dom[B] != NOTHING -> dom[B] = LOST :: else fi;
			r = R_END
		:: !up[B] -> up[B] = true;
			if :: record == HANDOVER_PREPARING || record == HANDOVER_READY -> record = HANDOVER_GONE :: else fi
#if FENCED
		/* Gone, it gives up what it has of the disks. */
		:: up[B] && r == R_END && record == HANDOVER_GONE && !gave_up && len(Q(B, 0, 0)) < DEPTH && KEY(B, 0, 0) == B1 ->
			gave_up = true; Q(B, 0, 0) ! REGISTER, B1, 0, life[B]
#if LATE
		:: up[B] && r == R_END && record == HANDOVER_GONE && !gave_up_both && len(Q(B, 1, 0)) < DEPTH && KEY(B, 1, 0) == B1 ->
			gave_up_both = true; Q(B, 1, 0) ! REGISTER, B1, 0, life[B]
#endif
#endif
		:: line && faults > 0 -> faults--; line = false;
			if
			:: true
			:: all_said = false; ready = false; go = false; running = false; failed = false
			fi
		fi;
		receiver() }
	od
}

/* ---- when nothing moves any more ---- */

active proctype Judge()
{
	atomic {
		timeout ->
		assert(s == S_END && r == R_END);
		some("moved", runs_there && dom[A] == NOTHING);
		some("stays", runs_here && written_down && dom[B] == NOTHING);
		some("stays by promise", runs_here && promised);
		some("stays, and the other host has crashed", runs_here && written_down && crashed[B]);
#if FENCED
		some("taken back after GO", runs_here && go_down && !promised && !crashed[A]);
		some("died with the other host", !runs_here && !runs_there && !crashed[A] && up[A] && up[B]);
		assert(!unknown_end);
		/* Nobody runs it: the host that had it, and it alone, has died. */
		assert(runs_here || runs_there || died_there ||
			(crashed[A] && (!had_all || told_to_stop || crashed[B])));
#else
		some("stranded", unknown_end && !runs_there && up[A] && up[B]);
		assert(runs_here || runs_there || unknown_end || died_there || crashed[A] || crashed[B]);
#endif
	}
}
