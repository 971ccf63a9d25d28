/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The rights of `vstor target` that outlive its own: its opener opens what the command line and the
 * configuration file name, by its own reading of these, and nothing else. So one who takes over the
 * target gets at no other file by it.
 */
#ifndef CMD_TARGET_OPENER_H
#define CMD_TARGET_OPENER_H

#include "core/opener.h"

struct control;
struct target_config;

/* Starts it; argv and what was read from it stay as they are as long as it runs. At the end it
 * removes the control socket (may be NULL). 0 or -errno. */
int target_opener_start(struct opener **out, int argc, char **argv, struct target_config *now,
			const struct control *control);
/* What was read last is what is served now: what was before it is due no more. */
void target_opener_taken(struct opener *o);

#endif
