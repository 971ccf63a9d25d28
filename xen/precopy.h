/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The pre-copy policy: after each round of a live save, whether another one pays. It runs in the
 * save helper (xen/save_helper.c); this module is the decision alone, and the words in which it is
 * told to the migrating process. Pages are 4096 bytes, times are the monotonic clock's in ns.
 * (Xen: xenguest.h "struct precopy_stats"; Clark et al. 2005, section 4.3.)
 */
#ifndef XEN_PRECOPY_H
#define XEN_PRECOPY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PRECOPY_PAGE 4096ull
/* A round shorter than this fits into the buffers on the way, and says nothing of the link. */
#define PRECOPY_MEASURE_PAGES 4096ull
/* Below this a round more costs as much as it saves. */
#define PRECOPY_FEW_PAGES  50ull
#define PRECOPY_MAX_ROUNDS 30u

enum precopy_verdict { PRECOPY_GO_ON, PRECOPY_STOP, PRECOPY_ABORT };

struct precopy_limits {
	uint64_t max_downtime_ns; /* how long the last copy may take */
	bool strict;		  /* give the migration up when that cannot be reached */
	unsigned max_rounds;
};

struct precopy {
	struct precopy_limits limits;
	uint64_t guest_pages; /* what the guest really has; 0: not known */
	uint64_t rate;	      /* bytes/s, of the last round worth measuring; 0: not known */
	uint64_t round_began;
	uint64_t round_pages;
	uint64_t last_dirty;
	unsigned stalled; /* rounds in a row that left nearly as many dirty pages as the one before
			   */
	uint64_t predicted_ns; /* of the last copy, as of the last round; UINT64_MAX: not known */
	const char *why;       /* one word for the last verdict */
};

void precopy_init(struct precopy *p, const struct precopy_limits *limits, uint64_t guest_pages);
/*
 * Before round `round` (from 0) sends `dirty` pages. STOP: these are still sent while the guest
 * runs, then it is suspended and only what it has written meanwhile is left. Round 0 claims every
 * page that could exist, holes included.
 */
enum precopy_verdict precopy_before(struct precopy *p, uint64_t now, unsigned round,
				    uint64_t dirty);
/* After it has sent them. */
void precopy_after(struct precopy *p, uint64_t now);

/* The limits, as passed to the helper (save_helper_set()). */
#define PRECOPY_ENV "VSTOR_PRECOPY"
void precopy_limits_print(const struct precopy_limits *l, char *out, size_t size);
/* -EINVAL and defaults in *l when the text is not of ours. NULL gives the defaults. */
int precopy_limits_parse(const char *text, struct precopy_limits *l);

/* What the helper reports. */
struct precopy_report {
	enum {
		PRECOPY_ROUND,	   /* a round begins (or ends the pre-copy: verdict) */
		PRECOPY_SUSPEND,   /* the guest is about to be asked to suspend itself */
		PRECOPY_SUSPENDED, /* and has */
	} what;
	uint64_t at;
	unsigned round;
	uint64_t dirty, rate;
	uint64_t predicted_ns;
	enum precopy_verdict verdict;
};
void precopy_report_print(const struct precopy_report *r, char *out, size_t size);
int precopy_report_parse(const char *text, struct precopy_report *r); /* -EINVAL */

#endif
