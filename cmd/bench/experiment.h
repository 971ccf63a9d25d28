/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One migration of a guest under load, measured before, during and after: the founding study's
 * section 4.2. The loads run in the guest (agent.h); a ping from here, this host's CPUs and the
 * tool that migrates are children of ours. What was measured is written as one JSON object, the
 * run.
 */
#ifndef CMD_BENCH_EXPERIMENT_H
#define CMD_BENCH_EXPERIMENT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "cmd/bench/agent.h"
#include "cmd/bench/child.h"
#include "core/loop.h"

#define EXPERIMENT_TESTS 7
#define STEADY_SAMPLES	 10 /* two times so many are compared */
#define WORDS_IN_LOAD	 20

struct experiment_options {
	unsigned test;			      /* 1 to 7 */
	const char *guest, *agent, *key_file; /* address to ping; of its agent, HOST[:PORT] */
	const char *far_agent;		      /* on the host that it goes to; NULL: none */
	const char *domain, *host;
	const char *const *migrate; /* the words for vstor migrate, up to NULL */
	const char *with;	    /* a shell command instead; NULL: vstor migrate */
	const char *directory, *compile;
	const char *exec, *pattern; /* instead of the test's loads: a program, and where its figures
				       are (exec.c) */
	const char *label;	    /* what the run is called in reports; NULL: test and tool */
	uint64_t dirty;		    /* bytes that test 7 writes over and over */
	uint64_t warmup, before, after;
};

enum experiment_state {
	EXPERIMENT_CONNECT, /* to the agent */
	EXPERIMENT_LINK,    /* how fast is it to the other host? Nothing else goes on yet */
	EXPERIMENT_BEFORE,  /* until steady */
	EXPERIMENT_CLOCK,   /* the guest's clock, just before */
	EXPERIMENT_DURING,  /* the tool runs */
	EXPERIMENT_AFTER,
	EXPERIMENT_COLLECT, /* the agent hands over */
	EXPERIMENT_ENDING,  /* our own children end */
};

struct guest_load {
	const char *name; /* NULL: there is none */
	const char *words[WORDS_IN_LOAD];
	char numbers[3][24]; /* words made of numbers */
	double rate[2 * STEADY_SAMPLES];
	unsigned rates; /* so far */
	bool failed;
	struct buf json; /* its object, with a NUL behind it; empty: nothing has come */
};

/* The host that the guest comes to, by an agent there: what it is, its CPUs, the link to it. */
struct far_host {
	struct agent_link link;
	bool there, done;
	char is[512];
	double link_mbit; /* NAN: not known */
	bool known;	  /* its clock */
	int64_t offset;
	struct buf json; /* with a NUL behind it */
};

struct experiment {
	struct experiment_options o;
	struct loop *loop;
	enum experiment_state state;
	struct agent_link link;
	bool lost, all, interrupted, incomplete, after_over, clock_given_up;
	struct guest_load load[3];
	struct far_host far;
	struct child ping, cpu, tool;
	char tool_word[256];		  /* the last line that it logged */
	uint64_t start, from, to, enough; /* clock_ns(); 0: not yet */
	uint64_t started_ms;		  /* since 1970 */
	int64_t offset[2];		  /* of the guest's clock: before, after */
	uint64_t round_trip[2];
	bool known[2];
	struct loop_timer timer, patience;
	char guest_is[512];
	struct buf missing; /* texts, a NUL behind each */
	struct buf events;  /* time:be64 text NUL: what the tool said, and when */
};

/* The loads of the test; 0, or an exit status after an error line. */
int experiment_loads(struct experiment *x);
/* What the run lacks, in it and in the log: not all was measured. */
void experiment_missing(struct experiment *x, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
/* Connects to the far host and measures the link: experiment_link_known() when that is over; what
 * fails is missing, no more. (experiment_far.c) */
void experiment_far_open(struct experiment *x);
void experiment_link_known(struct experiment *x);
/* Looks at its CPUs from now on. */
void experiment_far_start(struct experiment *x);
/* Asks for what it has seen; experiment_collected() when it has come, or cannot. */
void experiment_far_stop(struct experiment *x);
void experiment_collected(struct experiment *x);
/* Runs to its end in a loop of its own. 0, or an exit status after an error line; also then there
 * may be something to write: x->start is not 0. */
int experiment_run(struct experiment *x);
/* A Ctrl-C: ends it early, with what there is; a second one does not wait for anything. */
void experiment_interrupt(struct experiment *x);
void experiment_write(const struct experiment *x, FILE *f);
void experiment_fini(struct experiment *x);

#endif
