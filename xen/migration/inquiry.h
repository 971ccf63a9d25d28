/* SPDX-License-Identifier: BSD-2-Clause */
/* The sender asks, by channels of its own, what became of a migration whose channel was lost. */
#ifndef XEN_INQUIRY_H
#define XEN_INQUIRY_H

#include "net/channel.h"
#include "xen/migration/handover.h"

/* How to reach the receiving vstor: opens a new channel each time. 0 or -errno. */
struct migration_way {
	int (*open)(void *arg, struct loop *l, const struct channel_config *cfg,
		    struct channel **out);
	void *arg;
	const char *host;	       /* for texts */
	const struct channel_key *key; /* NULL: none */
	/* As the user has said it, for who asks later: by TCP to this port with this key, or else
	 * by this command (NULL: ssh). */
	unsigned port;
	const char *key_file, *ssh;
};

struct inquiry {
	struct loop *loop;
	const struct migration_way *way;
	const char *id;
	struct channel *c;
	struct loop_timer timer; /* to the next attempt, or the end of the one under way */
	uint64_t silence_ns;
	uint64_t deadline, last; /* while nothing is heard; in any case */
	bool answered;		 /* so; the channel is coming to its end */
	enum handover_is answer;
	char cause[CHANNEL_TEXT_MAX]; /* why there was no answer, so far */
	void (*done)(void *arg, enum handover_is is);
	void *arg;
};

/* For whoever has somebody else to ask: how long to ask before that. 60 s unless a test changes it.
 */
extern uint64_t inquiry_patience;
/* For whoever knows by the disk that the guest is the other's, and would only hear that it never
 * starts there: so long without a word from there that host is taken for dead. 20 s unless a test
 * changes it: with what it takes to miss that host a guest's end is told within 30 s. */
extern uint64_t inquiry_silence;

/*
 * Asks until there is an answer; for limit_ns, and for silence_ns without a word from there (that
 * it is still being started there is one). Then done(arg, RUNNING, GONE or UNKNOWN), never before
 * it has returned. way and id stay the caller's. q: all zero, or one that was started before, which
 * is given up if it has not ended.
 */
void inquiry_start(struct inquiry *q, struct loop *l, const struct migration_way *way,
		   const char *id, uint64_t silence_ns, uint64_t limit_ns,
		   void (*done)(void *arg, enum handover_is is), void *arg);
/* Harmless when all zero. */
void inquiry_stop(struct inquiry *q);

#endif
