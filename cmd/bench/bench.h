/* SPDX-License-Identifier: BSD-2-Clause */
/* The benches behind `vstor bench`: each parses its options, runs, prints; exit status. */
#ifndef CMD_BENCH_BENCH_H
#define CMD_BENCH_BENCH_H

#include "cmd/bench/loads.h"

/* Runs one load until its time is over, or SIGINT or SIGTERM ends it with its summary. */
int bench_load(const struct load_kind *kind, int argc, char **argv);
int bench_ping(int argc, char **argv);
int bench_exec(int argc, char **argv);
int bench_host(int argc, char **argv);
int bench_report(int argc, char **argv);
int bench_agent(int argc, char **argv);
int bench_migrate(int argc, char **argv);
int bench_storage(int argc, char **argv);
/* `disk`, `ping`, ...: one that runs until it is told to stop and has samples. */
bool bench_is_load(const char *name);

#endif
