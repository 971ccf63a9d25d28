/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Two threads for work that must not stand still: one does it, the other stands by and takes over
 * when the first has been in what may hang for longer than is good. That one stands by in its turn
 * when it comes back.
 */
#ifndef CORE_STANDBY_H
#define CORE_STANDBY_H

#include <stdbool.h>

struct standby;

/* Thread 0 works, and nobody stands by yet. NULL with errno. */
struct standby *standby_new(void);
void standby_free(struct standby *s);

/* Does thread `me` (0 or 1) work? */
bool standby_works(const struct standby *s, unsigned me);
/* Is there somebody who stands by? */
bool standby_ready(const struct standby *s);

/* Who works begins with what may hang; what he gets is for standby_back(). */
unsigned standby_risk(struct standby *s);
/* It has ended. False: the other one works by now. */
bool standby_back(struct standby *s, unsigned risk);

/* Thread `me` stands by. True: it has taken over; false: the end. */
bool standby_wait(struct standby *s, unsigned me);
/* The work has ended: nobody needs to stand by any more. */
void standby_end(struct standby *s);

#endif
