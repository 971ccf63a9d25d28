/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The pre-copy policy: after each round of a live save, whether another one pays, and how fast the
 * guest may run meanwhile. It runs in the save helper (xen/copy/save_helper.c); this module is the
 * decision alone (the words in which it is told: xen/copy/precopy_report.h). Pages are 4096 bytes,
 * times are the monotonic clock's in ns.
 *
 * What it goes by: what a page that the guest has written costs to send (time and bytes, as
 * measured in the rounds before), and how the guest's dirty set grows with the time it runs (looked
 * at several times a round). Both together tell how long the last copy would take now, and after
 * one round more. (Xen: xenguest.h "struct precopy_stats"; Clark et al. 2005, section 4.3; the
 * rising bound: QEMU's and KubeVirt's downtime steps; the throttle: QEMU's auto-converge.)
 */
#ifndef XEN_PRECOPY_H
#define XEN_PRECOPY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PRECOPY_PAGE 4096ull
/* Below this a round more costs as much as it saves. */
#define PRECOPY_FEW_PAGES  50ull
#define PRECOPY_MAX_ROUNDS 60u
/* The slowest that a guest is made, in hundredths of its own speed: it still answers a ping. */
#define PRECOPY_SLOWEST 3u

enum precopy_verdict { PRECOPY_GO_ON, PRECOPY_STOP, PRECOPY_ABORT };

struct precopy_limits {
	uint64_t max_downtime_ns; /* how long the guest may stand still */
	uint64_t fixed_ns;	  /* what of that is not the last copy, as far as is known before */
	uint64_t late_pages;	  /* that it writes when it is asked to suspend, likewise */
	uint64_t stop_at;	  /* the time from which on it stops at any price; 0: none */
	bool force;		  /* stop at any price as soon as further rounds gain nothing */
	bool patient;  /* somebody else's time limit ends it: rounds without gain do not */
	bool throttle; /* the guest may be slowed down */
};

/* The dirty set as it grows: pages by the time that the guest has run since the round began. */
#define PRECOPY_CURVE 32
struct precopy_curve {
	unsigned n;
	struct {
		double ns, pages;
	} at[PRECOPY_CURVE];
};

struct precopy {
	struct precopy_limits limits;
	uint64_t guest_pages; /* what the guest really has; 0: not known */

	/* What sending costs; 0: not known yet. */
	double page_ns;	   /* of a page, from end to end, by the slowest stage */
	double page_bytes; /* of a page, coded */
	double rate;	   /* bytes/s that the way has carried */

	/* The round that runs. */
	unsigned round;
	uint64_t began, asked_at;
	uint64_t pages; /* that it has to send */
	uint64_t sent_pages, sent_bytes;
	struct precopy_window {
		uint64_t at, pages, bytes;
	} window; /* since `at` */
	struct precopy_curve curve, before;
	double ran_ns;	    /* the guest's own time since the round began */
	uint64_t looked_at; /* when that was brought up to date */
	double overhead_ns; /* of a round, besides its pages */

	/* The guest's speed, 1 to 100; 100: not slowed. */
	unsigned speed;
	uint64_t speed_at;
	double aim; /* pages that may be dirty at the end of a slowed round */

	uint64_t last_dirty, least_dirty;
	unsigned stalled;      /* rounds in a row that have left nearly as many dirty pages as the
				  one before */
	uint64_t predicted_ns; /* the whole pause, as of the last look; UINT64_MAX: not known */
	const char *why;       /* one word for the last verdict */
};

/* guest_pages: see above. */
void precopy_init(struct precopy *p, const struct precopy_limits *limits, uint64_t guest_pages);
/* Round `round` (from 0) begins, the dirty set is empty again; it has to send `pages`, in round 0
 * every page that could exist, holes included. */
void precopy_before(struct precopy *p, uint64_t now, unsigned round, uint64_t pages);
/* A batch of `pfns` is on its way: `pages` of them with contents, coded as `bytes`. */
void precopy_sent(struct precopy *p, uint64_t now, uint64_t pfns, uint64_t pages, uint64_t bytes);
/* So many of the round's pages are left to the next one, as they are dirty again. */
void precopy_left_out(struct precopy *p, uint64_t pages);
/* The guest has `dirty` pages by now. May change p->speed. */
void precopy_look(struct precopy *p, uint64_t now, uint64_t dirty);
/*
 * The round has sent its pages, and `dirty` are dirty again (UINT64_MAX: not known); `queued` bytes
 * are still on their way to the other host. STOP: suspend now and copy the rest. May change
 * p->speed.
 */
enum precopy_verdict precopy_after(struct precopy *p, uint64_t now, uint64_t dirty,
				   uint64_t queued);
/* After STOP: it may not be stopped yet. It runs at its own speed and nothing is sent, until
 * precopy_waited(): what it has written meanwhile takes a round more. */
void precopy_wait(struct precopy *p, uint64_t now);
void precopy_waited(struct precopy *p, uint64_t now);

#endif
