/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The hand-over of a disk that each host reaches by several paths (included by handover.pml: LATE).
 * The reservation is Write Exclusive - Registrants Only. A command goes by any of its sender's
 * paths, and may be lost or late by each.
 *
 *  a The source has A1 registered on all paths, one of which holds. The destination has nothing.
 *  b The destination, all of the guest there: REGISTER B1 by a path, PREEMPT naming A1 by it.
 *  c The source: REGISTER, A1 to A3, by a path. If that holds, the reservation is A3's now; else,
 *    PREEMPT by it with A3, naming A1.
 *  d The key that holds is looked at after each command, and alone decides: A1: nobody has won. GOOD
 *    for a PREEMPT says nothing: it may have removed a path of the source's that does not hold.
 *  e Who holds removes all keys of the other host's, and only then runs the guest.
 *  f Whichever of its own keys holds is the source's: it may have been promised the guest, and have
 *    been killed then.
 *  g Before it holds, the source registers by no path that has not A1: what comes late then misses.
 */

#define mine(h,k)	((h) == B -> (k) == B1 : (k) == A1 || (k) == A2 || (k) == A3)
#define holds(h,d)	mine(h, holder[d])
#define registered(h,d) (KEY(h, 0, d) != 0 || KEY(h, 1, d) != 0)
#define sent(h,d)	(len(Q(h, 0, d)) > 0 || len(Q(h, 1, d)) > 0)
#define forget_paths(h) seen_other[h] = 0
#define is_registered(k) (KEY(A, 0, d) == (k) || KEY(A, 1, d) == (k) || KEY(B, 0, d) == (k) || KEY(B, 1, d) == (k))

inline remove(h, p) {
	if
	:: KEY(h, p, d) == other ->
		KEY(h, p, d) = 0;
		if :: h == A && op == PREEMPT_ABORT -> WRITING(p, d) = false :: else fi
	:: else
	fi
}

/* Nobody names its own key but the source, which has another one by then. */
inline preempt(h, p) {
	remove(A, 0); remove(A, 1); remove(B, 0); remove(B, 1);
	if :: holder[d] == other -> holder[d] = own; at[d] = p :: else fi
}

/* By which path: one that has the key; by others it changes nothing. The destination's are alike:
 * the second is used when the first has been. */
#define by_path(p,h,own) (KEY(h, p, disk[h]) == (own) && \
	((h) == A || (p) == 0 || KEY(B, 0, disk[h]) != 0 || len(Q(B, 0, disk[h])) > 0))
#define by_any(h,own)	 (by_path(0, h, own) || by_path(1, h, own))

inline command(h, op, own, other) {
	if
	:: by_path(0, h, own) -> command_by(0, h, op, own, other)
	:: by_path(1, h, own) -> command_by(1, h, op, own, other)
	:: else -> skip /* step is READ */
	fi;
	seen[h] = 0; seen_holder[h] = 0; seen_other[h] = 0 /* it is looked at again */
}

inline read_disk(h) {
	seen_holder[h] = holder[disk[h]];
	seen_other[h] = (KEY(1 - h, 0, disk[h]) != 0 -> KEY(1 - h, 0, disk[h]) : KEY(1 - h, 1, disk[h]));
	if
	:: seen_holder[h] == 0 -> seen[h] = FREE
	:: seen_holder[h] != 0 && !mine(h, seen_holder[h]) -> seen[h] = OTHERS
	:: seen_holder[h] != 0 && mine(h, seen_holder[h]) -> seen[h] = (seen_other[h] == 0 -> MINE : OPEN)
	fi;
	step[h] = ACT
}

/* To hold under `key`, from whoever does. */
inline take_over(h, key) {
	if
	:: command(h, REGISTER, 0, key)
	:: h == A -> command(h, REGISTER, A1, key)
	:: h == A && key == A2 -> command(h, REGISTER, A3, key)
	:: seen_holder[h] == 0 -> command(h, RESERVE, key, 0)
	:: seen_holder[h] != 0 -> command(h, PREEMPT, key, seen_holder[h])
	fi
}

/* The source, as it takes the guest back; under which key. */
#define BACK (promised || seen_holder[A] == A2 -> A2 : A3)
inline source_takes() {
	step[A] = READ;
	if
	:: seen_holder[A] == BACK && seen[A] == MINE && disk[A] < DISKS - 1 -> disk[A]++
	:: seen_holder[A] == BACK && seen[A] == MINE && disk[A] == DISKS - 1 -> forget(A); e = SE_WON
	:: seen_holder[A] == BACK && seen[A] == OPEN -> command(A, PREEMPT, BACK, seen_other[A])
	:: seen_holder[A] == BACK && KEY(A, 0, disk[A]) != BACK ->
		command_by(0, A, REGISTER, KEY(A, 0, disk[A]), BACK)
	:: seen_holder[A] == BACK && KEY(A, 1, disk[A]) != BACK ->
		command_by(1, A, REGISTER, KEY(A, 1, disk[A]), BACK)
	:: seen_holder[A] != BACK && (promised || disk[A] > 0) -> take_over(A, BACK)
	:: !promised && disk[A] == 0 && seen_holder[A] == A1 -> command(A, REGISTER, A1, A3)
	:: !promised && disk[A] == 0 && seen_holder[A] == A1 -> command(A, PREEMPT, A3, A1)
	:: !promised && disk[A] == 0 && seen_holder[A] != A1 && seen_holder[A] != BACK -> forget(A); e = SE_TAKEN
	fi
}

inline started_afresh() {
	step[A] = READ;
	if
	:: disk[A] == 0 && seen[A] == OTHERS -> fresh = false; forget(A) /* refused */
	:: seen_holder[A] != A2 && (disk[A] > 0 || seen[A] != OTHERS) -> take_over(A, A2)
	:: seen_holder[A] == A2 && seen[A] == OPEN -> command(A, PREEMPT, A2, seen_other[A])
	:: seen_holder[A] == A2 && seen[A] == MINE && disk[A] < DISKS - 1 -> disk[A]++
	:: seen_holder[A] == A2 && seen[A] == MINE && disk[A] == DISKS - 1 ->
		fresh = false; forget(A); dom[A] = RUNS
	fi
}

inline destination_takes() {
	step[B] = READ;
	if
	:: seen[B] == MINE && disk[B] < DISKS - 1 -> disk[B]++
	:: seen[B] == MINE && disk[B] == DISKS - 1 -> forget(B); e = RE_WON
	:: seen[B] == OPEN -> command(B, (go_heard -> PREEMPT : PREEMPT_ABORT), B1, seen_other[B])
	:: (seen[B] == MINE || seen[B] == OPEN) && KEY(B, 0, disk[B]) == 0 -> command_by(0, B, REGISTER, 0, B1)
	:: (seen[B] == MINE || seen[B] == OPEN) && KEY(B, 1, disk[B]) == 0 -> command_by(1, B, REGISTER, 0, B1)
	:: seen[B] == OTHERS && (seen_holder[B] == A1 || disk[B] > 0) -> command(B, REGISTER, 0, B1)
	:: seen[B] == OTHERS && (seen_holder[B] == A1 || disk[B] > 0) ->
		command(B, (go_heard -> PREEMPT : PREEMPT_ABORT), B1, seen_holder[B])
	:: seen[B] == FREE && disk[B] > 0 -> command(B, REGISTER, 0, B1)
	:: seen[B] == FREE && disk[B] > 0 -> command(B, RESERVE, B1, 0)
	:: disk[B] == 0 && seen[B] != MINE && seen[B] != OPEN && seen_holder[B] != A1 -> forget(B); e = RE_TAKEN
	fi
}
