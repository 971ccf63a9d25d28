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

enum target_thing {
	TARGET_CONFIG, /* the file that --config names; it is read anew for what follows */
	TARGET_TAKEN,  /* see target_opener_taken() */
	TARGET_SECRET,
	TARGET_LUN,	     /* as disk_open_file() opens it, made if need be; to write */
	TARGET_LUN_READONLY, /* the same, to read */
	TARGET_PORTAL,	     /* listens: see sock_listen_open() */
};

/* Starts it; argv and what was read from it stay as they are as long as it runs. At the end it
 * removes the control socket (may be NULL). 0 or -errno. */
int target_opener_start(struct opener **out, int argc, char **argv, struct target_config *now,
			const struct control *control);
/* The descriptor of `name`, or -errno. o NULL: opens it here, without asking whether that is due;
 * a file only. */
int target_open(struct opener *o, enum target_thing what, const char *name);
/* What was read last is what is served now: what was before it is due no more. */
void target_opener_taken(struct opener *o);

#endif
