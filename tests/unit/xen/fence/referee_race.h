/* SPDX-License-Identifier: BSD-2-Clause */
/* Two hosts that claim at the same time, each command a moment of its own. */
#ifndef TESTS_UNIT_XEN_REFEREE_RACE_H
#define TESTS_UNIT_XEN_REFEREE_RACE_H

#include <pthread.h>

#include "tests/unit/xen/fence/referee_rig.h"

/* Each command is one moment; whose turn it is, the schedule says, and what is lost. */
static struct race {
	pthread_mutex_t lock;
	pthread_cond_t turn;
	unsigned schedule, at; /* bits: who is next */
	unsigned fault;	       /* the command that is lost, counted from 1; 0: none */
	bool only_answer;      /* it is done, and the answer is lost */
	bool over[2];
	unsigned commands;
	enum referee_says says[2];
} race = {.lock = PTHREAD_MUTEX_INITIALIZER, .turn = PTHREAD_COND_INITIALIZER};

static _Thread_local unsigned racer;
/* Brings a command to its disk: direct(), unless a test has paths. */
static int (*race_execute)(const char *device, struct sg_io_hdr *io) = direct;

static inline unsigned next_one(void)
{
	unsigned who = race.schedule >> race.at & 1;

	return race.over[who] ? !who : who;
}

static inline int raced(const char *device, struct sg_io_hdr *io)
{
	int rc = 0;

	pthread_mutex_lock(&race.lock);
	while (next_one() != racer)
		pthread_cond_wait(&race.turn, &race.lock);
	if (++race.commands == race.fault) {
		if (race.only_answer)
			race_execute(device, io);
		io->host_status = 0x0e;
	} else {
		rc = race_execute(device, io);
	}
	if (race.at < 31)
		race.at++;
	pthread_cond_broadcast(&race.turn);
	pthread_mutex_unlock(&race.lock);
	return rc;
}

static inline void *run_racer(void *arg)
{
	struct referee *r = arg;

	racer = r == &b;
	be(racer);
	race.says[racer] = referee_claim(r, false);
	pthread_mutex_lock(&race.lock);
	race.over[racer] = true;
	pthread_cond_broadcast(&race.turn);
	pthread_mutex_unlock(&race.lock);
	return NULL;
}

/* Both claim, prepared as they are, from the first of the schedule on. */
static inline void run_both(unsigned schedule, unsigned fault, bool only_answer)
{
	int (*before)(const char *device, struct sg_io_hdr *io) = reservation_sg_io;
	pthread_t t[2];

	race.schedule = schedule;
	race.fault = fault;
	race.only_answer = only_answer;
	race.at = race.commands = 0;
	race.over[0] = race.over[1] = false;
	reservation_sg_io = raced;
	pthread_create(&t[A], NULL, run_racer, &a);
	pthread_create(&t[B], NULL, run_racer, &b);
	pthread_join(t[A], NULL);
	pthread_join(t[B], NULL);
	reservation_sg_io = before;
}

#endif
