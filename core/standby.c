/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/standby.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "core/loop.h"

#define TOO_LONG (40 * MS_NS) /* takes effect after this to twice this */

/* The state: who works, whether he is in what may hang, and the number of that. */
#define WHO    1u
#define RISK   2u
#define NUMBER 4u

struct standby {
	unsigned state;
	bool ready;   /* somebody stands by */
	bool watches; /* who looks at the state every now and then: he who begins with a risk need
			 not wake him, which costs more than the rest of it */
	bool ended;
	pthread_mutex_t lock; /* of `ended`, and of going to sleep */
	pthread_cond_t wake;
};

struct standby *standby_new(void)
{
	struct standby *s = calloc(1, sizeof(*s));
	pthread_condattr_t clock;
	if (!s)
		return NULL;
	pthread_condattr_init(&clock);
	pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
	pthread_cond_init(&s->wake, &clock);
	pthread_condattr_destroy(&clock);
	pthread_mutex_init(&s->lock, NULL);
	return s;
}

void standby_free(struct standby *s)
{
	if (!s)
		return;
	pthread_cond_destroy(&s->wake);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

bool standby_works(const struct standby *s, unsigned me)
{
	return (__atomic_load_n(&s->state, __ATOMIC_RELAXED) & WHO) == me;
}

bool standby_ready(const struct standby *s)
{
	return __atomic_load_n(&s->ready, __ATOMIC_RELAXED);
}

unsigned standby_risk(struct standby *s)
{
	unsigned risk = (__atomic_load_n(&s->state, __ATOMIC_RELAXED) + NUMBER) | RISK;
	/* In one order with what a watcher does who is about to sleep: one of both sees the other.
	 */
	__atomic_store_n(&s->state, risk, __ATOMIC_SEQ_CST);
	if (!__atomic_load_n(&s->watches, __ATOMIC_SEQ_CST)) {
		pthread_mutex_lock(&s->lock);
		__atomic_store_n(&s->watches, true, __ATOMIC_RELAXED);
		pthread_cond_signal(&s->wake);
		pthread_mutex_unlock(&s->lock);
	}
	return risk;
}

bool standby_back(struct standby *s, unsigned risk)
{
	return __atomic_compare_exchange_n(&s->state, &risk, risk & ~RISK, false, __ATOMIC_ACQ_REL,
					   __ATOMIC_ACQUIRE);
}

/* Waits until it is woken, but no longer than a risk may take. */
static void watch(struct standby *s)
{
	struct timespec t;
	uint64_t until = clock_ns() + TOO_LONG;
	t.tv_sec = (time_t)(until / SEC_NS);
	t.tv_nsec = (long)(until % SEC_NS);
	while (!s->ended && pthread_cond_timedwait(&s->wake, &s->lock, &t) != ETIMEDOUT)
		;
}

bool standby_wait(struct standby *s, unsigned me)
{
	unsigned before, now;
	bool taken = false;
	pthread_mutex_lock(&s->lock);
	__atomic_store_n(&s->ready, true, __ATOMIC_RELAXED);
	while (!s->ended && !taken) {
		if (!__atomic_load_n(&s->watches, __ATOMIC_RELAXED)) {
			pthread_cond_wait(&s->wake, &s->lock);
			continue;
		}
		before = __atomic_load_n(&s->state, __ATOMIC_SEQ_CST);
		watch(s);
		now = __atomic_load_n(&s->state, __ATOMIC_SEQ_CST);
		if (now != before)
			continue;
		if (now & RISK) {
			taken = __atomic_compare_exchange_n(&s->state, &now,
							    (now & ~(RISK | WHO)) | me, false,
							    __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
		} else {
			__atomic_store_n(&s->watches, false, __ATOMIC_SEQ_CST);
			if (__atomic_load_n(&s->state, __ATOMIC_SEQ_CST) != now)
				__atomic_store_n(&s->watches, true, __ATOMIC_RELAXED);
		}
	}
	__atomic_store_n(&s->ready, false, __ATOMIC_RELAXED);
	pthread_mutex_unlock(&s->lock);
	return taken;
}

void standby_end(struct standby *s)
{
	pthread_mutex_lock(&s->lock);
	s->ended = true;
	pthread_cond_broadcast(&s->wake);
	pthread_mutex_unlock(&s->lock);
}
