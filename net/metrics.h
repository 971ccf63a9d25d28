/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A page of metrics for Prometheus, by as much of HTTP as a scraper needs: GET /metrics (RFC 9112);
 * everything else gets an error status and the end of the connection.
 */
#ifndef NET_METRICS_H
#define NET_METRICS_H

#include <stdio.h>

#include "core/loop.h"

struct metrics;

/* Serves on ADDR[:PORT] (see sock_listen(); the default port is 9860) what `page` writes: the text
 * format, version 0.0.4. 0 or negative errno; the error is logged. */
int metrics_open(struct metrics **out, struct loop *l, const char *address,
		 void (*page)(void *arg, FILE *f), void *arg);
void metrics_close(struct metrics *m);
/* See sock_listen_port(). */
uint16_t metrics_port(const struct metrics *m);

#endif
