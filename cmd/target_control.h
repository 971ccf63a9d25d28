/* SPDX-License-Identifier: BSD-2-Clause */
/* What the control socket of `vstor target` is asked: status, LUNs, sessions. */
#ifndef CMD_TARGET_CONTROL_H
#define CMD_TARGET_CONTROL_H

#include "cmd/target_luns.h"
#include "net/control.h"

struct target_control {
	struct target_server *server;
	struct target_luns *luns;
	struct target_config **config; /* which may change */
};

/* For control_open(), with a struct target_control:
 *   status [json]
 *   lun list [json] | lun add SPEC | lun remove NUMBER TARGET | lun resize NUMBER BYTES TARGET
 *     (add: with the file, as disk_open_file() opens it: who asks may do that, the target may not)
 *   session list [json] | session drop ID|IQN
 * TARGET `-`: whichever has a LUN of that number; BYTES 0: what the disk has by now. */
void target_control_serve(void *arg, struct control_request *r, char *const *words, unsigned n);

#endif
