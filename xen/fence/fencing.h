/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fencing a guest: which of its disks the referee (xen/fence/referee.h) can have, and its calls,
 * which wait for disks, beside the loop.
 */
#ifndef XEN_FENCING_H
#define XEN_FENCING_H

#include <pthread.h>

#include "core/loop.h"
#include "xen/fence/referee.h"
#include "xen/verdicts.h"

/*
 * The disks that a domain of this host writes to and that can be fenced by all that can be seen
 * without asking them. Each that cannot gets a verdict (NO, or WARN with `lenient`: --no-fence).
 * v may be NULL.
 */
void fencing_list(uint32_t domid, bool lenient, struct referee *r, struct verdicts *v);
/* The device of a SCSI disk of this host, "/dev/sdb", or of one by several paths, "/dev/dm-3", for
 * its number; NULL, or why it cannot be fenced; until the next call. */
const char *fencing_device(dev_t number, char path[32]);

/* For whoever has somebody else to ask when the disk is silent: how long it is asked before that.
 * 40 s unless a test changes it. */
extern uint64_t fencing_patience;
/* How long the source has to claim the guest before RACE does: 5 s unless a test changes it. */
extern uint64_t fencing_grace;

enum fencing_do {
	FENCING_CHECK, /* whether the disks can keep reservations */
	FENCING_LOOK,  /* the same, and who holds them */
	FENCING_BEGIN, /* the same, then referee_begin() */
	FENCING_JOIN,
	FENCING_CLAIM, /* until there is an answer, or the time is up; so RACE and RECLAIM */
	FENCING_RACE,  /* as CLAIM, with abort, when the source has had time to claim */
	FENCING_RECLAIM,
	FENCING_LEAVE_SOURCE, /* SILENT: not from all of them */
	FENCING_LEAVE,	      /* the same */
	FENCING_MEND,	      /* referee_mend(); SILENT: not all of them */
};

struct fencing {
	struct loop *loop;
	pthread_t thread;
	int fd; /* an eventfd: the thread has ended */
	struct loop_fd watch;
	struct loop_timer again;
	enum fencing_do what;
	bool lenient, running, threaded;
	uint64_t deadline;
	struct referee r;  /* the result, with `why` */
	struct verdicts v; /* what CHECK, BEGIN and JOIN have to say */
	enum referee_says says;
	void (*done)(void *arg, enum referee_says says);
	void *arg;
};

/*
 * Does it for a copy of r; then done(arg, says), never before it has returned, with the copy as it
 * is then in f->r. CLAIM and the like ask again for limit_ns (0: for ever) while a disk is silent.
 */
void fencing_start(struct fencing *f, struct loop *l, enum fencing_do what, bool lenient,
		   const struct referee *r, uint64_t limit_ns,
		   void (*done)(void *arg, enum referee_says says), void *arg);
/* Waits for the command under way; done() does not come any more. Harmless when all zero. */
void fencing_stop(struct fencing *f);
/* Frees its verdicts. Harmless when all zero. */
void fencing_fini(struct fencing *f);

#endif
