/* SPDX-License-Identifier: BSD-2-Clause */
/* What the subcommands that ask a running target share. */
#ifndef CMD_CONTROL_CLIENT_H
#define CMD_CONTROL_CLIENT_H

/* Sends words to the target at `path`, with a file that is open (-1: none), and prints its answer;
 * errors are logged. Returns the exit status. */
int control_ask(const char *path, const char *const *words, unsigned n, int file);

#endif
