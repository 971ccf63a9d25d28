/* SPDX-License-Identifier: BSD-2-Clause */
/* What a target server tells about itself: its LUNs with their counters, its sessions. */
#ifndef NET_ISCSI_REPORT_H
#define NET_ISCSI_REPORT_H

#include <stdio.h>

#include "net/iscsi/target.h"

/* One JSON object, or text for people. */
void report_status(struct target_server *s, FILE *f, bool json);
/* One JSON array, or a line for each. */
void report_luns(struct target_server *s, FILE *f, bool json);
void report_sessions(struct target_server *s, FILE *f, bool json);
/* Prometheus' text format, version 0.0.4. */
void report_metrics(struct target_server *s, FILE *f);

#endif
