/* SPDX-License-Identifier: BSD-2-Clause */
/* The subcommands: each parses its options and starts the work of the floors below. */
#ifndef CMD_CMD_H
#define CMD_CMD_H

int cmd_target(int argc, char **argv);
int cmd_status(int argc, char **argv);
int cmd_lun(int argc, char **argv);
int cmd_session(int argc, char **argv);
int cmd_discover(int argc, char **argv);
int cmd_attach(int argc, char **argv);
int cmd_detach(int argc, char **argv);
int cmd_block_script(int argc, char **argv);
int cmd_keeper(int argc, char **argv);
int cmd_migrate(int argc, char **argv);
int cmd_receive(int argc, char **argv);
int cmd_recover(int argc, char **argv);
int cmd_takeover(int argc, char **argv);
int cmd_monitor(int argc, char **argv);
int cmd_watch(int argc, char **argv);
int cmd_evacuate(int argc, char **argv);
int cmd_balance(int argc, char **argv);
int cmd_bench(int argc, char **argv);

#endif
