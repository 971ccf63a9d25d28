/* SPDX-License-Identifier: BSD-2-Clause */
#include "xen/events.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void events_init(struct events *q, struct loop *l, void (*run)(void *arg), void *arg)
{
	*q = (struct events){.loop = l, .task = {.fn = run, .arg = arg}};
}

void events_raise(struct events *q, unsigned e)
{
	if (!memchr(q->queue, (int)e, q->n))
		q->queue[q->n++] = (unsigned char)e;
	loop_defer(q->loop, &q->task);
}

void events_kick(struct events *q)
{
	loop_defer(q->loop, &q->task);
}

bool events_take(struct events *q, unsigned *e)
{
	if (!q->n)
		return false;
	*e = q->queue[0];
	memmove(q->queue, q->queue + 1, --q->n);
	return true;
}

void events_fini(struct events *q)
{
	if (q->loop)
		loop_defer_cancel(q->loop, &q->task);
}

void cause_note(char *cause, size_t size, const char *fmt, ...)
{
	va_list ap;

	if (cause[0])
		return;
	va_start(ap, fmt);
	vsnprintf(cause, size, fmt, ap);
	va_end(ap);
}
